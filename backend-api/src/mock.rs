//! A backend without an engine, for tests of programs that use backends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::{
    BackendInfo, Dim, ElementType, Engine, Error, ErrorKind, InferOutput, SlotPool, Tensor,
    TensorSpec,
};

type Respond = dyn Fn(u64, &Tensor) -> Result<InferOutput, Error> + Send + Sync;

/// A backend whose latency, outputs, failures and panics are scripted.
///
/// It is a [`SlotPool`] over scripted engines, so it keeps the contract exactly as the real
/// backends do.
///
/// ```
/// use backend_api::{InferBackend, InferRequest, MockBackend, Tensor};
///
/// let backend = MockBackend::builder()
///     .slots(2)
///     .respond(|_call, _input| Tensor::new([1, 3], vec![0.1_f32, 0.7, 0.2]))
///     .panic_on(1)
///     .build()?;
/// let input = || Tensor::new([1, 4], vec![0.0_f32; 4]);
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let good = backend.submit(InferRequest::new(0, input()?)).await?.await?;
/// assert_eq!(good.tensor.shape(), [1, 3]);
/// let bad = backend.submit(InferRequest::new(1, input()?)).await?.await;
/// assert_eq!(bad.unwrap_err().kind(), backend_api::ErrorKind::Panicked);
/// # Ok::<(), backend_api::Error>(()) })?;
/// # Ok::<(), backend_api::Error>(())
/// ```
#[derive(Debug)]
pub struct MockBackend {
    pool: SlotPool,
}

impl MockBackend {
    /// Returns a mock with one slot, no latency, input `f32[1, 4]`, and an output of zeros `f32[1, 3]`.
    pub fn builder() -> MockBuilder {
        MockBuilder {
            slots: 1,
            latency: Duration::ZERO,
            info: BackendInfo::new("mock", fixed("input", &[1, 4]), fixed("output", &[1, 3])),
            respond: Arc::new(|_, _| Tensor::new([1, 3], vec![0.0_f32; 3]).map(InferOutput::new)),
        }
    }
}

fn fixed(name: &str, shape: &[usize]) -> TensorSpec {
    TensorSpec::new(
        name,
        ElementType::F32,
        shape.iter().copied().map(Dim::Fixed).collect(),
    )
}

crate::pooled!(MockBackend);

/// Configures a [`MockBackend`].
#[must_use = "a builder does nothing until `build` is called"]
#[derive(Clone)]
pub struct MockBuilder {
    slots: usize,
    latency: Duration,
    info: BackendInfo,
    respond: Arc<Respond>,
}

impl MockBuilder {
    /// Sets the number of requests that run at a time.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// Sets the least time that each inference takes.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Sets the description of the backend. Inputs are checked against its [`BackendInfo::input`].
    pub fn info(mut self, info: BackendInfo) -> Self {
        self.info = info;
        self
    }

    /// Computes each output. `call` counts the inferences of this backend from 0 in the order in
    /// which they begin. May fail, block or panic.
    pub fn respond(
        self,
        respond: impl Fn(u64, &Tensor) -> Result<Tensor, Error> + Send + Sync + 'static,
    ) -> Self {
        self.respond_with(move |call, input| respond(call, input).map(InferOutput::new))
    }

    /// Computes all outputs of each inference, as [`respond`](Self::respond) does the only one.
    pub fn respond_with(
        mut self,
        respond: impl Fn(u64, &Tensor) -> Result<InferOutput, Error> + Send + Sync + 'static,
    ) -> Self {
        self.respond = Arc::new(respond);
        self
    }

    /// Lets inference number `call` (from 0) fail with `kind`; the others answer as before.
    pub fn fail_on(self, call: u64, kind: ErrorKind) -> Self {
        let respond = Arc::clone(&self.respond);
        self.respond_with(move |number, input| {
            if number == call {
                Err(Error::new(kind, format!("planned failure of call {call}")))
            } else {
                respond(number, input)
            }
        })
    }

    /// Lets inference number `call` (from 0) panic; the others answer as before.
    pub fn panic_on(self, call: u64) -> Self {
        let respond = Arc::clone(&self.respond);
        self.respond_with(move |number, input| {
            assert_ne!(number, call, "planned panic");
            respond(number, input)
        })
    }

    /// Starts the backend.
    ///
    /// # Errors
    ///
    /// The errors of [`SlotPool::new`].
    pub fn build(self) -> Result<MockBackend, Error> {
        let (info, engines) = self.into_parts();
        Ok(MockBackend {
            pool: SlotPool::new(info, engines)?,
        })
    }

    /// Returns the description and the engines that [`build`](Self::build) would start.
    fn into_parts(self) -> (BackendInfo, Vec<MockEngine>) {
        let calls = Arc::new(AtomicU64::new(0));
        let engine = MockEngine {
            calls,
            latency: self.latency,
            respond: self.respond,
        };
        (self.info, vec![engine; self.slots])
    }
}

impl fmt::Debug for MockBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockBuilder")
            .field("slots", &self.slots)
            .field("latency", &self.latency)
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct MockEngine {
    calls: Arc<AtomicU64>,
    latency: Duration,
    respond: Arc<Respond>,
}

impl Engine for MockEngine {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if !self.latency.is_zero() {
            thread::sleep(self.latency);
        }
        (self.respond)(call, input)
    }
}
