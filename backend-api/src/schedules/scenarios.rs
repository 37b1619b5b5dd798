//! Small programs that use a pool. A checker runs each under many schedules.

use std::sync::Arc;

use futures_util::FutureExt as _;

use super::faulty::{BrokenPool, Bug};
use super::pool::SlotPool;
use super::sync::{block_on, step};
use crate::{
    BackendInfo, Dim, ElementType, Engine, Error, ErrorKind, InferBackend, InferOutput,
    InferRequest, PendingInfer, Tensor, TensorSpec,
};

/// The inputs for which [`Doubler`] panics and fails.
pub(super) const PANICS: u64 = 13;
pub(super) const FAILS: u64 = 17;

struct Doubler;

impl Engine for Doubler {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        step();
        match input.as_slice::<f32>().expect("f32")[0] as u64 {
            PANICS => std::panic::resume_unwind(Box::new("planned panic")),
            FAILS => Err(Error::new(ErrorKind::InferenceFailed, "planned failure")),
            n => Ok(InferOutput::new(tensor(2 * n))),
        }
    }
}

pub(super) fn tensor(n: u64) -> Tensor {
    Tensor::new([1], vec![n as f32]).expect("one value")
}

/// Makes the pool under test with `slots` slots: [`SlotPool`], or with a bug [`BrokenPool`].
pub(super) fn pool(slots: usize, bug: Option<Bug>) -> Arc<dyn InferBackend> {
    let spec = |name| TensorSpec::new(name, ElementType::F32, vec![Dim::Fixed(1)]);
    let info = BackendInfo::new("pool", spec("input"), spec("output"));
    let engines = (0..slots).map(|_| Box::new(Doubler) as Box<dyn Engine>);
    let engines = engines.collect();
    match bug {
        None => Arc::new(SlotPool::new(info, engines).expect("it starts")),
        Some(bug) => Arc::new(BrokenPool::new(info, engines, bug)),
    }
}

pub(super) fn submit(pool: &Arc<dyn InferBackend>, n: u64, input: &Arc<Tensor>) -> PendingInfer {
    step();
    block_on(pool.submit(InferRequest::new(n, Arc::clone(input)))).expect("it is accepted")
}

pub(super) fn assert_answer(n: u64, result: Result<InferOutput, Error>) {
    match (n, result) {
        (PANICS, Err(error)) => assert_eq!(error.kind(), ErrorKind::Panicked),
        (FAILS, Err(error)) => assert_eq!(error.kind(), ErrorKind::InferenceFailed),
        (n, Ok(output)) => assert_eq!(output.tensor, tensor(2 * n)),
        (n, Err(error)) => panic!("request {n}: {error}"),
    }
}

/// Runs request `n` and checks its answer, and that the input is released before.
pub(super) fn run(pool: &Arc<dyn InferBackend>, n: u64) {
    let input = Arc::new(tensor(n));
    let result = block_on(submit(pool, n, &input));
    assert_eq!(Arc::strong_count(&input), 1, "the input is still held");
    assert_answer(n, result);
}

/// Runs request `n` and checks that it has ended when `wait_all` does.
pub(super) fn run_with_wait_all(pool: &Arc<dyn InferBackend>, n: u64) {
    let pending = submit(pool, n, &Arc::new(tensor(n)));
    step();
    block_on(pool.wait_all());
    step();
    assert_answer(n, pending.now_or_never().expect("it ended before wait_all"));
}
