//! The checks of rule 7, and of rule 4 for a backend that is dropped. The [module](super) has the rules.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::Context;
use std::thread;

use futures_executor::block_on;
use futures_util::FutureExt as _;
use futures_util::task::{ArcWake, waker};

use super::{DEADLINE, Subject, WRAPPERS, patiently};
use crate::{ErrorKind, InferBackend, PendingInfer};

pub(super) fn teardown_completes(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        switch.hold();
        let pending: Vec<_> = (0..slots).map(|n| subject.submit(&backend, n)).collect();
        switch.wait_until(|state| state.started >= 1);
        let dropper = thread::spawn(move || drop(backend));
        switch.release();
        for (n, pending) in (0..).zip(pending) {
            subject.assert_good_or_abandoned(n, block_on(pending));
        }
        dropper.join().expect("the backend drops without a panic");
    }
}

pub(super) fn drop_joins(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots;
        switch.hold();
        let pending: Vec<_> = (0..slots as u64)
            .map(|n| subject.submit(&backend, n))
            .collect();
        switch.wait_until(|state| state.started == slots as u64);
        let dropper = thread::spawn(move || drop(backend));
        assert_eq!(
            switch.lock().engines,
            slots,
            "an engine was freed while it ran"
        );
        switch.release();
        dropper.join().expect("the backend drops without a panic");
        assert_eq!(
            switch.lock().engines,
            0,
            "a thread still owns an engine after the drop"
        );
        assert_eq!(
            switch.lock().finished,
            slots as u64,
            "drop runs at most one request a slot"
        );
        for (n, pending) in (0..).zip(pending) {
            subject.assert_good(n, pending.now_or_never().expect("completed by the drop"));
        }
    }
}

pub(super) fn drop_by_own_thread(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        switch.hold();
        let mut pending = subject.submit(&backend, 0);
        switch.wait_until(|state| state.started == 1);
        let drop = DropOnWake::by(backend, &mut pending).expect("it is held");
        switch.release();
        drop.began();
        drop.ended();
        subject.assert_good(0, block_on(pending));
        switch.wait_until(|state| state.engines == 0);
    }
}

pub(super) fn drop_by_timer(subject: &Subject) {
    for wrap in WRAPPERS {
        patiently(|timeout| {
            let (backend, switch) = subject.switched_in(wrap);
            switch.hold();
            let request = subject.request(0).with_timeout(timeout);
            let Ok(mut pending) = block_on(backend.submit(request)) else {
                return false;
            };
            let drop = DropOnWake::by(backend, &mut pending);
            if let Some(drop) = &drop {
                drop.began();
            }
            switch.release();
            let Some(drop) = drop else { return false };
            drop.ended();
            let error = block_on(pending).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
            switch.wait_until(|state| state.engines == 0);
            true
        });
    }
}

/// The last owner of a backend. It is used as a waker: the thread that wakes it drops the backend.
struct DropOnWake {
    backend: Mutex<Option<Box<dyn InferBackend>>>,
    /// Gets a message before the drop, and one after it.
    progress: mpsc::Sender<()>,
}

/// The progress of a [`DropOnWake`].
struct Progress(mpsc::Receiver<()>);

impl DropOnWake {
    /// Has the thread that completes `pending` drop `backend`. Returns `None` if `pending` is complete already.
    fn by(backend: Box<dyn InferBackend>, pending: &mut PendingInfer) -> Option<Progress> {
        let (progress, told) = mpsc::channel();
        let backend = Mutex::new(Some(backend));
        let waker = waker(Arc::new(Self { backend, progress }));
        let poll = pending.poll_unpin(&mut Context::from_waker(&waker));
        poll.is_pending().then_some(Progress(told))
    }
}

impl Progress {
    fn began(&self) {
        self.0.recv_timeout(DEADLINE).expect("the waker is called");
    }

    fn ended(&self) {
        let ended = self.0.recv_timeout(DEADLINE);
        ended.expect("the drop must not wait for its own thread");
    }
}

impl ArcWake for DropOnWake {
    fn wake_by_ref(this: &Arc<Self>) {
        let mut backend = this.backend.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(backend) = backend.take() {
            let _ = this.progress.send(());
            drop(backend);
            let _ = this.progress.send(());
        }
    }
}
