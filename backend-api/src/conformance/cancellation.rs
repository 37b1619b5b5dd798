//! Rule 11: dropping a handle cancels its request.

use std::sync::mpsc;
use std::thread;

use futures_executor::block_on;
use futures_util::FutureExt as _;

use super::Subject;
use super::queued::Queued;
use crate::{Engine, Stopper};

pub(super) fn queued_request(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        let mut queued = Queued::new(subject, &backend, &switch, |n| subject.request(n));
        for accepted in queued.accepted.drain(..) {
            drop(accepted.expect("accepted"));
        }
        // No request is left, and the slots are free, although the threads are still held.
        let all = backend.wait_all().now_or_never();
        all.expect("no request is left");
        let next: Vec<_> = (0..slots)
            .map(|n| backend.submit(subject.request(n)).now_or_never())
            .map(|accepted| accepted.expect("its slot is free").expect("accepted"))
            .collect();
        queued.release();
        block_on(backend.wait_all());
        for (n, pending) in (0..).zip(next) {
            subject.assert_good(n, pending.now_or_never().expect("ended"));
        }
        assert_eq!(switch.lock().started, 2 * slots, "a dropped request ran");
    }
}

pub(super) fn running_request(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        switch.hold();
        let pending: Vec<_> = (0..slots).map(|n| subject.submit(&backend, n)).collect();
        switch.wait_until(|state| state.started == slots);
        drop(pending);
        let submit = backend.submit(subject.request(99)).now_or_never();
        assert!(submit.is_none(), "a slot is free while its engine runs");
        let all = backend.wait_all().now_or_never();
        assert!(all.is_none(), "wait_all ended while engines run");
        switch.release();
        block_on(backend.wait_all());
        assert_eq!(switch.lock().finished, slots, "wait_all ended too early");
        subject.assert_usable(&backend);
    }
}

pub(super) fn stopped_engine(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        switch.lock().stoppable = true;
        switch.hold();
        let pending: Vec<_> = (0..slots).map(|n| subject.submit(&backend, n)).collect();
        switch.wait_until(|state| state.started == slots);
        drop(pending);
        // The engines are not released: they have to be stopped.
        block_on(backend.wait_all());
        assert_eq!(switch.lock().finished, slots, "wait_all ended too early");
        switch.release();
        subject.assert_usable(&backend);
    }
}

/// Runs on an engine without a pool. The rule does not apply to engines that cannot be stopped.
pub(super) fn one_inference_only(subject: &Subject) {
    let (_, engines) = (subject.parts)();
    let mut engine = engines.into_iter().next().expect("one engine at least");
    let Some(stop) = engine.stopper() else { return };
    stop();
    let stopped = engine.infer(&(subject.input)(0));
    assert!(
        stopped.is_err(),
        "an inference that was stopped has a result"
    );

    let late = stopper(&mut engine);
    subject.assert_good(1, engine.infer(&(subject.input)(1)));
    let _of_the_next = stopper(&mut engine);
    late();
    subject.assert_good(2, engine.infer(&(subject.input)(2)));

    // Stops at any moment of the inference, or after it.
    let (send, stops) = mpsc::channel::<Stopper>();
    let stopping = thread::spawn(move || stops.into_iter().for_each(|stop| stop()));
    for n in 0..1_000 {
        send.send(stopper(&mut engine)).expect("the thread listens");
        if let Ok(output) = engine.infer(&(subject.input)(n)) {
            subject.assert_good(n, Ok(output));
        }
        let _of_the_next = stopper(&mut engine);
        subject.assert_good(n + 1, engine.infer(&(subject.input)(n + 1)));
    }
    drop(send);
    stopping.join().expect("stopping does not panic");
}

fn stopper(engine: &mut dyn Engine) -> Stopper {
    engine.stopper().expect("it can be stopped as before")
}
