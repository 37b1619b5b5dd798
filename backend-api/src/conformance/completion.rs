//! Rules 4, 5 and 6: every request completes, and `wait_all` sees it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use futures_executor::block_on;
use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::Subject;
use super::switch::Fault;
use crate::ErrorKind;

pub(super) fn error_and_panic(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        switch
            .lock()
            .faults
            .extend([(1, Fault::Error), (3, Fault::Panic)]);
        // One at a time, so that call numbers are request numbers.
        for n in 0..8 {
            let result = block_on(subject.submit(&backend, n));
            match n {
                1 => assert_eq!(result.unwrap_err().kind(), ErrorKind::InferenceFailed),
                3 => {
                    let error = result.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Panicked);
                    assert!(error.to_string().contains("planned panic"), "{error}");
                }
                _ => subject.assert_good(n, result),
            }
        }
    }
}

pub(super) fn ten_thousand_requests(subject: &Subject) {
    const REQUESTS: u64 = 10_000;
    let backend = (subject.open)();
    block_on(async {
        let mut pending = Vec::new();
        for n in 0..REQUESTS {
            pending.push(backend.submit(subject.request(n)).await.expect("accepted"));
        }
        backend.wait_all().await;
        for (n, result) in (0..).zip(join_all(pending).await) {
            subject.assert_good(n, result);
        }
    });
}

pub(super) fn dropped_handle(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        for n in 0..3 * slots {
            let pending = subject.submit(&backend, n);
            if n % 3 == 0 {
                drop(pending);
            } else {
                subject.assert_good(n, block_on(pending));
            }
        }
        block_on(backend.wait_all());
        let state = switch.lock();
        assert_eq!(state.started, state.finished, "an engine still runs");
        drop(state);
        subject.assert_usable(&backend);
    }
}

pub(super) fn cancelled_wait_all(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        switch.hold();
        let pending = subject.submit(&backend, 5);
        switch.wait_until(|state| state.started == 1);
        let mut waiting = Box::pin(backend.wait_all());
        assert!(
            (&mut waiting).now_or_never().is_none(),
            "a request is still running"
        );
        drop(waiting);
        switch.release();
        block_on(backend.wait_all());
        subject.assert_good(5, pending.now_or_never().expect("the result is there"));
    }
}

pub(super) fn wait_all_does_not_stop(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        let count = 3 * slots + 2;
        switch
            .lock()
            .faults
            .extend([(0, Fault::Panic), (1, Fault::Error)]);
        let pending: Vec<_> = (0..count).map(|n| subject.submit(&backend, n)).collect();
        block_on(backend.wait_all());
        let failed = pending
            .into_iter()
            .map(|pending| pending.now_or_never().expect("ended before wait_all did"))
            .filter(Result::is_err)
            .count();
        assert_eq!(failed, 2);
    }
}

pub(super) fn later_requests(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        if backend.info().slots < 2 {
            continue;
        }
        switch.hold();
        let first = subject.submit(&backend, 1);
        switch.wait_until(|state| state.started == 1);
        let mut waiting = Box::pin(backend.wait_all());
        assert!(
            (&mut waiting).now_or_never().is_none(),
            "a request is still running"
        );
        let later = subject.submit(&backend, 2);
        switch.wait_until(|state| state.started == 2);
        switch.release_first(1);
        // A rule that waits for an idle backend here waits until the deadline.
        block_on(waiting);
        subject.assert_good(1, first.now_or_never().expect("ended before wait_all did"));
        switch.release();
        subject.assert_good(2, block_on(later));
    }
}

pub(super) fn wait_all_is_not_starved(subject: &Subject) {
    for backend in subject.opened() {
        let (stop, busy) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    subject.assert_good(0, block_on(subject.submit(&backend, 0)));
                    busy.fetch_add(1, Ordering::Relaxed);
                    while !stop.load(Ordering::Relaxed) {
                        subject.assert_good(1, block_on(subject.submit(&backend, 1)));
                    }
                });
            }
            // All of them are at it before the first wait.
            while busy.load(Ordering::Relaxed) < 3 {
                thread::yield_now();
            }
            for n in 0..20 {
                let pending = subject.submit(&backend, n);
                block_on(backend.wait_all());
                subject.assert_good(
                    n,
                    pending.now_or_never().expect("ended before wait_all did"),
                );
            }
            stop.store(true, Ordering::Relaxed);
        });
        block_on(backend.wait_all());
    }
}
