//! Requests that are accepted while no engine begins them.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use futures_util::task::{ArcWake, waker};

use super::switch::Switch;
use super::{DEADLINE, Subject};
use crate::{Error, InferBackend, InferRequest, PendingInfer};

/// One request for each slot in the queue of `backend`, and no thread that takes them out: all of them are held in the
/// wakers of those who submitted. One request for each slot has run before.
pub(super) struct Queued {
    /// The results of the submits.
    pub(super) accepted: Vec<Result<PendingInfer, Error>>,
    threads: Arc<Gate>,
}

impl Queued {
    pub(super) fn new(
        subject: &Subject,
        backend: &dyn InferBackend,
        switch: &Switch,
        request: impl Fn(u64) -> InferRequest,
    ) -> Self {
        let slots = backend.info().slots as u64;
        switch.hold();
        let running: Vec<_> = (0..slots).map(|n| subject.submit(backend, n)).collect();
        switch.wait_until(|state| state.started == slots);
        let threads = Arc::new(Gate::new());
        let held = waker(Arc::clone(&threads));
        let mut submits: Vec<_> = (0..slots).map(|n| backend.submit(request(n))).collect();
        for submit in &mut submits {
            assert!(poll(submit, &held).is_pending(), "all slots are taken");
        }
        switch.release();
        threads.wait_for(slots);
        let accepted = submits
            .iter_mut()
            .map(|submit| match poll(submit, Waker::noop()) {
                Poll::Ready(result) => result,
                Poll::Pending => panic!("its slot is free"),
            })
            .collect();
        for (n, pending) in (0..).zip(running) {
            subject.assert_good(n, futures_executor::block_on(pending));
        }
        Self { accepted, threads }
    }

    /// Lets the threads go on.
    pub(super) fn release(&self) {
        self.threads.open();
    }
}

type Submit<'a> = Pin<Box<dyn Future<Output = Result<PendingInfer, Error>> + Send + 'a>>;

fn poll(submit: &mut Submit<'_>, waker: &Waker) -> Poll<Result<PendingInfer, Error>> {
    submit.as_mut().poll(&mut Context::from_waker(waker))
}

/// A waker that holds the threads that call it until it is opened.
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
    /// The thread of the rule, which is never held. A submit that is late there hands its permit to the next one, and so
    /// wakes it.
    rule: ThreadId,
}

#[derive(Default)]
struct GateState {
    arrived: u64,
    open: bool,
}

impl Gate {
    fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            rule: thread::current().id(),
        }
    }

    fn wait_for(&self, threads: u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (_state, timeout) = self
            .changed
            .wait_timeout_while(state, DEADLINE, |state| state.arrived < threads)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "the wakers were not called");
    }

    fn open(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open = true;
        self.changed.notify_all();
    }
}

impl ArcWake for Gate {
    fn wake_by_ref(this: &Arc<Self>) {
        if thread::current().id() == this.rule {
            return;
        }
        let mut state = this.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.arrived += 1;
        this.changed.notify_all();
        let _state = this
            .changed
            .wait_while(state, |state| !state.open)
            .unwrap_or_else(PoisonError::into_inner);
    }
}
