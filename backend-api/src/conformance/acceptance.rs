//! Rules 1, 2, 3, 8 and 9: the requests that `submit` accepts, and when.

use std::sync::Arc;
use std::thread;

use futures_executor::block_on;
use futures_util::FutureExt as _;

use super::Subject;
use super::switch::{Change, Fault};
use crate::{Dim, ElementType, ErrorKind, InferRequest, Tensor};

pub(super) fn inputs_are_owned(subject: &Subject) {
    fn lives_alone<T: Send + Unpin + 'static>(_: &T) {}

    for backend in subject.opened() {
        let input = Arc::new((subject.input)(7));
        let request = InferRequest::new(7, Arc::clone(&input));
        let pending = block_on(backend.submit(request)).expect("accepted");
        lives_alone(&pending);
        assert_eq!(pending.id(), 7);
        drop(backend);
        subject.assert_good_or_abandoned(7, block_on(pending));
        assert_eq!(
            Arc::strong_count(&input),
            1,
            "the input is still held after completion"
        );
    }
}

pub(super) fn cancelled_submit(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let slots = backend.info().slots as u64;
        switch.hold();
        let pending: Vec<_> = (0..slots).map(|n| subject.submit(&backend, n)).collect();
        switch.wait_until(|state| state.started == slots);

        let mut blocked = Box::pin(backend.submit(subject.request(99)));
        assert!(
            (&mut blocked).now_or_never().is_none(),
            "submit must wait while all slots run"
        );
        drop(blocked);

        switch.release();
        block_on(backend.wait_all());
        for (n, pending) in (0..).zip(pending) {
            subject.assert_good(n, block_on(pending));
        }
        assert_eq!(switch.lock().started, slots, "the cancelled request ran");
        subject.assert_usable(&backend);
    }
}

pub(super) fn many_submits_before_the_first_wait(subject: &Subject) {
    for backend in subject.opened() {
        let count = 4 * backend.info().slots as u64 + 1;
        let pending: Vec<_> = (0..count).map(|n| subject.submit(&backend, n)).collect();
        block_on(backend.wait_all());
        for (n, pending) in (0..).zip(pending) {
            let ready = pending
                .now_or_never()
                .expect("after wait_all every result is there");
            subject.assert_good(n, ready);
        }
    }
}

pub(super) fn wrong_input(subject: &Subject) {
    for backend in subject.opened() {
        let wrong = Tensor::new([7], vec![0_i32; 7]).expect("seven zeros");
        let error = block_on(backend.submit(InferRequest::new(0, wrong))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InputMismatch);
    }
    for (backend, switch) in subject.switched() {
        let good = (subject.input)(0);
        let mut longer = good.shape().to_vec();
        longer.push(2);
        let zeros = |shape: &[usize], element_type: ElementType| {
            let bytes = vec![0; shape.iter().product::<usize>() * element_type.size()];
            Tensor::from_bytes(element_type, shape, &bytes).expect("a consistent tensor")
        };
        let other_type = if good.element_type() == ElementType::U8 {
            ElementType::F32
        } else {
            ElementType::U8
        };
        for wrong in [
            zeros(&longer, good.element_type()),
            zeros(good.shape(), other_type),
            zeros(&[], good.element_type()),
        ] {
            let error = block_on(backend.submit(InferRequest::new(0, wrong))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InputMismatch);
        }
        assert_eq!(switch.lock().started, 0, "the engine saw a wrong input");
        subject.assert_good(0, block_on(subject.submit(&backend, 0)));
    }
}

pub(super) fn wrong_output(subject: &Subject) {
    for (backend, switch) in subject.switched() {
        let dims = &backend.info().output.dims;
        let fixed = dims.iter().position(|dim| matches!(dim, Dim::Fixed(_)));
        let changes = [Change::Rank, Change::ElementType, Change::Count];
        let changes = changes.into_iter().chain(fixed.map(Change::Size));
        for (n, change) in (0..).zip(changes) {
            switch.lock().faults.insert(n, Fault::Output(change));
            match block_on(subject.submit(&backend, n)) {
                Ok(_) => panic!("a wrong output reached the caller: {change:?}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::OutputMismatch),
            }
        }
        subject.assert_usable(&backend);
    }
}

pub(super) fn no_runtime(subject: &Subject) {
    for backend in subject.opened() {
        // `block_on` here does not use tokio, and this thread has no runtime.
        subject.assert_good(3, block_on(subject.submit(&backend, 3)));
        block_on(backend.wait_all());
        thread::spawn(move || drop(backend))
            .join()
            .expect("drops on any thread");
    }
}
