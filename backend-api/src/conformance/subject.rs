//! A backend under test, and what rules do with it.

use std::fmt;
use std::sync::Arc;

use futures_executor::block_on;

use super::switch::{Switch, Switched};
use crate::{
    BackendInfo, Engine, Error, ErrorKind, InferBackend, InferOutput, InferRequest, PendingInfer,
    SlotPool, Tensor,
};

/// The description and the engines that a backend passes to its [`SlotPool`].
pub type Parts = (BackendInfo, Vec<Box<dyn Engine>>);

/// Makes a pool of `engines` with the description `info`.
pub type MakePool = fn(info: BackendInfo, engines: Vec<Box<dyn Engine>>) -> Box<dyn InferBackend>;

/// Makes a [`SlotPool`].
///
/// # Panics
///
/// If the pool does not start.
pub fn slot_pool(info: BackendInfo, engines: Vec<Box<dyn Engine>>) -> Box<dyn InferBackend> {
    Box::new(SlotPool::new(info, engines).expect("the pool starts"))
}

pub(super) type Wrap = fn(Box<dyn InferBackend>) -> Box<dyn InferBackend>;

/// The ways in which programs hold a backend. Each must behave as the backend itself.
pub(super) const WRAPPERS: [Wrap; 3] = [
    |backend| backend,
    |backend| Box::new(backend),
    |backend| Box::new(Arc::<dyn InferBackend>::from(backend)),
];

/// A backend under test.
pub struct Subject {
    /// Opens the backend as its users do.
    pub open: Box<dyn Fn() -> Box<dyn InferBackend> + Send + Sync>,
    /// Makes the parts that [`open`](Self::open) passes to its pool.
    pub parts: Box<dyn Fn() -> Parts + Send + Sync>,
    /// Makes the pool that runs the engines of [`parts`](Self::parts): [`slot_pool`], or the backend's own.
    pub pool: MakePool,
    /// A valid input for request `n`; different for different `n`.
    pub input: Box<dyn Fn(u64) -> Tensor + Send + Sync>,
    /// The exact output for request `n`.
    pub expected: Box<dyn Fn(u64) -> Tensor + Send + Sync>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

impl Subject {
    pub(super) fn request(&self, n: u64) -> InferRequest {
        InferRequest::new(n, (self.input)(n))
    }

    pub(super) fn submit(&self, backend: &dyn InferBackend, n: u64) -> PendingInfer {
        block_on(backend.submit(self.request(n))).expect("a valid request is accepted")
    }

    pub(super) fn assert_good(&self, n: u64, result: Result<InferOutput, Error>) {
        let output = result.unwrap_or_else(|error| panic!("request {n} failed: {error:?}"));
        assert!(
            output.tensor == (self.expected)(n),
            "request {n} got another request's result"
        );
    }

    pub(super) fn opened(&self) -> impl Iterator<Item = Box<dyn InferBackend>> {
        WRAPPERS.iter().map(|wrap| wrap((self.open)()))
    }

    /// Checks a request after a teardown: it may have run or not; any other end is wrong.
    pub(super) fn assert_good_or_abandoned(&self, n: u64, result: Result<InferOutput, Error>) {
        match result {
            Err(error) if error.kind() == ErrorKind::Abandoned => {}
            other => self.assert_good(n, other),
        }
    }

    /// Checks that every slot becomes free and runs requests; if one does not, this hangs.
    pub(super) fn assert_usable(&self, backend: &dyn InferBackend) {
        let slots = backend.info().slots as u64;
        let pending: Vec<_> = (0..slots).map(|n| self.submit(backend, n)).collect();
        for (n, pending) in (0..).zip(pending) {
            self.assert_good(n, block_on(pending));
        }
    }

    /// Returns the backend's own engines, each behind a switch.
    pub(super) fn switched(&self) -> impl Iterator<Item = (Box<dyn InferBackend>, Arc<Switch>)> {
        WRAPPERS.iter().map(|wrap| self.switched_in(*wrap))
    }

    pub(super) fn switched_in(&self, wrap: Wrap) -> (Box<dyn InferBackend>, Arc<Switch>) {
        let (info, engines) = (self.parts)();
        let switch = Arc::new(Switch::default());
        switch.lock().engines = engines.len();
        let engines = engines
            .into_iter()
            .map(|engine| Switched::new(engine, Arc::clone(&switch)))
            .map(|engine| Box::new(engine) as Box<dyn Engine>);
        let pool = (self.pool)(info, engines.collect());
        (wrap(pool), switch)
    }
}
