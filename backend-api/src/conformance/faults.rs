//! Rules 1, 4, 5, 6 and 7 under panics and unusual orders of events.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Context;
use std::thread;

use futures_executor::block_on;
use futures_util::FutureExt as _;
use futures_util::task::{ArcWake, waker};

use super::queued::Queued;
use super::switch::Fault;
use super::{DEADLINE, Subject};
use crate::{ErrorKind, InferRequest, Tensor};

/// A waker that sends the number of the input's owners when the request completes.
struct CountsOwners(Arc<Tensor>, mpsc::Sender<usize>);

impl ArcWake for CountsOwners {
    fn wake_by_ref(this: &Arc<Self>) {
        let _ = this.1.send(Arc::strong_count(&this.0));
    }
}

pub(super) fn input_is_released(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        switch.hold();
        let input = Arc::new((subject.input)(7));
        let request = InferRequest::new(7, Arc::clone(&input));
        let mut pending = block_on(backend.submit(request)).expect("accepted");
        let (owners, told) = mpsc::channel();
        let waker = waker(Arc::new(CountsOwners(input, owners)));
        let poll = pending.poll_unpin(&mut Context::from_waker(&waker));
        assert!(poll.is_pending(), "the engine is held");
        switch.release();
        let owners = told.recv_timeout(DEADLINE).expect("the waker is called");
        assert_eq!(owners, 1, "the input is still held at completion");
        subject.assert_good(7, block_on(pending));
    }
}

pub(super) fn panic_frees_its_slot(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        let faults = (0..slots).map(|call| (call, Fault::Panic));
        switch.lock().faults.extend(faults);
        for n in 0..slots {
            let error = block_on(subject.submit(&backend, n)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Panicked);
        }
        subject.assert_usable(&backend);
    }
}

/// A waker that panics without a message among the results of the tests.
struct Panics(AtomicUsize);

impl ArcWake for Panics {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::Relaxed);
        resume_unwind(Box::new("planned panic of a waker"));
    }
}

pub(super) fn panicking_wakers(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        switch.hold();
        let panics = Arc::new(Panics(AtomicUsize::new(0)));
        let waker = waker(Arc::clone(&panics));
        let mut context = Context::from_waker(&waker);
        let mut pending: Vec<_> = (0..slots).map(|n| subject.submit(&backend, n)).collect();
        for pending in &mut pending {
            assert!(pending.poll_unpin(&mut context).is_pending(), "it is held");
        }
        let mut all = backend.wait_all();
        assert!(all.poll_unpin(&mut context).is_pending(), "they are held");
        switch.release();
        while panics.0.load(Ordering::Relaxed) <= slots as usize {
            thread::yield_now();
        }
        for (n, pending) in (0..).zip(pending) {
            subject.assert_good(n, block_on(pending));
        }
        block_on(all);
        subject.assert_usable(&backend);
    }
}

pub(super) fn oldest_request(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        if slots < 2 {
            continue;
        }
        switch.hold();
        let oldest = subject.submit(&backend, 0);
        switch.wait_until(|state| state.started == 1);
        let mut all = backend.wait_all();
        assert!((&mut all).now_or_never().is_none(), "a request runs");
        let second = subject.submit(&backend, 1);
        switch.wait_until(|state| state.started == 2);
        switch.release_only(1);
        subject.assert_good(1, block_on(second));
        // These need all slots except that of the oldest request: they are accepted after the pool has counted the
        // second one.
        let others: Vec<_> = (1..slots).map(|n| subject.submit(&backend, n)).collect();
        let early = (&mut all).now_or_never();
        switch.release();
        assert!(early.is_none(), "wait_all ended before the oldest request");
        block_on(all);
        subject.assert_good(0, oldest.now_or_never().expect("it ended before wait_all"));
        for (n, pending) in (1..).zip(others) {
            subject.assert_good(n, block_on(pending));
        }
    }
}

pub(super) fn queue_at_drop(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        let mut queued = Queued::new(subject, &backend, &switch, |n| subject.request(n));
        let mut pending = std::mem::take(&mut queued.accepted);
        // The slots' threads are held until the drop has abandoned a queued request.
        let (dropping, began) = mpsc::channel();
        let last = pending.pop().expect("a slot").expect("accepted");
        let dropper = thread::spawn(move || {
            dropping.send(()).expect("it is awaited");
            drop(backend);
        });
        began.recv_timeout(DEADLINE).expect("the thread runs");
        let mut last = Box::pin(last);
        // This wait has no time limit: if a pool joins its threads before it abandons its queue, `check` gives up.
        let error = block_on(&mut last).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Abandoned);
        queued.release();
        dropper.join().expect("the backend drops without a panic");
        for accepted in pending {
            let ended = accepted.expect("accepted").now_or_never();
            let result = ended.expect("the drop leaves no request");
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Abandoned);
        }
        assert_eq!(switch.lock().started, slots, "a queued request ran");
    }
}
