//! Rule 10: a request ends at its deadline.

use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::FutureExt as _;

use super::queued::Queued;
use super::{Subject, WRAPPERS, patiently};
use crate::{Error, ErrorKind};

fn assert_late<T: std::fmt::Debug>(result: Result<T, Error>, deadline: Instant) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
    assert!(Instant::now() >= deadline, "it ended before its deadline");
}

pub(super) fn distant_deadline(subject: &Subject) {
    for backend in subject.opened() {
        for timeout in [Duration::from_hours(1), Duration::MAX] {
            let pending: Vec<_> = (0..50)
                .map(|n| {
                    let request = subject.request(n).with_timeout(timeout);
                    block_on(backend.submit(request)).expect("accepted")
                })
                .collect();
            block_on(backend.wait_all());
            for (n, pending) in (0..).zip(pending) {
                subject.assert_good(n, pending.now_or_never().expect("ended"));
            }
        }
    }
}

pub(super) fn late_request(subject: &Subject) {
    for backend in subject.opened() {
        let result = block_on(backend.submit(subject.request(0).with_timeout(Duration::ZERO)));
        assert_eq!(result.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
    }
    for (backend, switch) in subject.switched() {
        let now = Instant::now();
        let request = subject.request(0).with_deadline(now);
        let result = backend.submit(request).now_or_never();
        assert_late(result.expect("it is late already"), now);
        block_on(backend.wait_all());
        subject.assert_usable(&backend);
        let slots = backend.info().slots as u64;
        assert_eq!(switch.lock().started, slots, "the late request ran");
    }
}

pub(super) fn waiting_submit(subject: &Subject) {
    for wrap in WRAPPERS {
        patiently(|timeout| {
            let (backend, switch) = subject.switched_in(wrap);
            let slots = backend.info().slots as u64;
            switch.hold();
            let pending: Vec<_> = (0..slots).map(|n| subject.submit(&backend, n)).collect();
            let deadline = Instant::now() + timeout;
            let mut submit = backend.submit(subject.request(99).with_deadline(deadline));
            let waits = (&mut submit).now_or_never().is_none();
            if waits {
                assert_late(block_on(submit), deadline);
            }
            switch.release();
            block_on(backend.wait_all());
            for (n, pending) in (0..).zip(pending) {
                subject.assert_good(n, pending.now_or_never().expect("ended"));
            }
            assert_eq!(switch.lock().started, slots, "the late request ran");
            subject.assert_usable(&backend);
            waits
        });
    }
}

pub(super) fn queued_request(subject: &Subject) {
    for wrap in WRAPPERS {
        patiently(|timeout| {
            let (backend, switch) = subject.switched_in(wrap);
            let slots = backend.info().slots as u64;
            let deadline = Instant::now() + timeout;
            let mut queued = Queued::new(subject, &backend, &switch, |n| {
                subject.request(n).with_deadline(deadline)
            });
            let accepted = std::mem::take(&mut queued.accepted);
            let Ok(pending) = accepted.into_iter().collect::<Result<Vec<_>, _>>() else {
                queued.release();
                return false;
            };
            for pending in pending {
                assert_late(block_on(pending), deadline);
            }
            // The slots become free, although the threads are still held.
            let next: Vec<_> = (0..slots).map(|n| subject.submit(&backend, n)).collect();
            queued.release();
            block_on(backend.wait_all());
            for (n, pending) in (0..).zip(next) {
                subject.assert_good(n, pending.now_or_never().expect("ended"));
            }
            assert_eq!(switch.lock().started, 2 * slots, "a late request ran");
            true
        });
    }
}

pub(super) fn running_request(subject: &Subject) {
    for wrap in WRAPPERS {
        patiently(|timeout| {
            let (backend, switch) = subject.switched_in(wrap);
            let slots = backend.info().slots as u64;
            switch.hold();
            let deadline = Instant::now() + timeout;
            let late = (0..slots)
                .map(|n| block_on(backend.submit(subject.request(n).with_deadline(deadline))));
            let Ok(late) = late.collect::<Result<Vec<_>, _>>() else {
                switch.release();
                return false;
            };
            for pending in late {
                assert_late(block_on(pending), deadline);
            }
            let all_run = switch.lock().started == slots;
            if all_run {
                let submit = backend.submit(subject.request(99)).now_or_never();
                assert!(submit.is_none(), "a slot is free while its engine runs");
                let all = backend.wait_all().now_or_never();
                assert!(all.is_none(), "wait_all ended while engines run");
            }
            switch.release();
            block_on(backend.wait_all());
            let finished = switch.lock().finished;
            assert!(!all_run || finished == slots, "wait_all ended too early");
            subject.assert_usable(&backend);
            all_run
        });
    }
}

pub(super) fn stopped_engine(subject: &Subject) {
    for wrap in WRAPPERS {
        patiently(|timeout| {
            let (backend, switch) = subject.switched_in(wrap);
            switch.lock().stoppable = true;
            switch.hold();
            let deadline = Instant::now() + timeout;
            let request = subject.request(0).with_deadline(deadline);
            let Ok(pending) = block_on(backend.submit(request)) else {
                return false;
            };
            assert_late(block_on(pending), deadline);
            // The engine is not released: it has to be stopped.
            block_on(backend.wait_all());
            let started = switch.lock().started;
            switch.release();
            subject.assert_usable(&backend);
            started == 1
        });
    }
}
