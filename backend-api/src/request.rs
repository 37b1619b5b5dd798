//! Requests, their pending handles and their results.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::{Error, ErrorKind, NamedTensor, Tensor};

/// One input for one inference.
///
/// The tensor is shared, never borrowed: to feed the same tensor to several backends, or to use its
/// buffer again afterwards ([`Arc::get_mut`]), keep a clone of the [`Arc`]. A backend lets go of
/// its own clone before the request completes, unless it completes at its deadline while the engine runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InferRequest {
    /// The caller's name for this request. Backends only hand it back.
    pub id: u64,
    /// The model's input. Must fit [`BackendInfo::input`](crate::BackendInfo::input).
    pub input: Arc<Tensor>,
    /// The time after which the result is not needed. Default: none.
    ///
    /// A request that has not ended by then completes with [`ErrorKind::DeadlineExceeded`] at that time,
    /// whatever the engine does.
    pub deadline: Option<Instant>,
}

impl InferRequest {
    /// Returns a request for `input`, known to the caller as `id`.
    pub fn new(id: u64, input: impl Into<Arc<Tensor>>) -> Self {
        Self {
            id,
            input: input.into(),
            deadline: None,
        }
    }

    /// Sets the [`deadline`](Self::deadline).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets the [`deadline`](Self::deadline) to `timeout` from now. A timeout beyond what the clock can express
    /// sets none.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.deadline = Instant::now().checked_add(timeout);
        self
    }
}

/// The result of one inference.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InferOutput {
    /// The model's output that holds the scores.
    pub tensor: Tensor,
    /// The outputs of [`BackendInfo::extra_outputs`](crate::BackendInfo::extra_outputs), in the same order.
    pub extra: Vec<NamedTensor>,
    /// The time for which the engine ran, without the wait for a slot.
    pub elapsed: Duration,
}

impl InferOutput {
    /// Returns a result; the pool sets [`elapsed`](Self::elapsed).
    pub fn new(tensor: Tensor) -> Self {
        Self {
            tensor,
            extra: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }

    /// Returns a result with all outputs of a backend: the first of `tensors` holds the scores, the others are called
    /// `names`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InferenceFailed`] unless there is a tensor for the scores and for each name.
    pub fn with_extra(names: &[String], tensors: Vec<Tensor>) -> Result<Self, Error> {
        let count = tensors.len();
        let mut tensors = tensors.into_iter();
        match tensors.next() {
            Some(tensor) if count == names.len() + 1 => {
                let names = names.iter().cloned();
                let extra = names.zip(tensors);
                Ok(Self {
                    extra: extra
                        .map(|(name, tensor)| NamedTensor { name, tensor })
                        .collect(),
                    ..Self::new(tensor)
                })
            }
            _ => Err(Error::new(
                ErrorKind::InferenceFailed,
                format!(
                    "the engine gave {count} outputs, but {} were requested",
                    names.len() + 1
                ),
            )),
        }
    }
}

/// A request that a backend has accepted. Await it for the result.
///
/// It owns its result and borrows nothing: it may outlive the backend, move to another thread,
/// and be polled by any executor.
///
/// Dropping it cancels the request: one that no engine has begun is removed from the queue; one that runs is
/// stopped if the engine [can be stopped](crate::Engine::stopper), and otherwise runs to its end without effect. No
/// other request is affected.
#[must_use = "dropping this cancels the request"]
pub struct PendingInfer {
    id: u64,
    result: oneshot::Receiver<Result<InferOutput, Error>>,
    /// The queue that cancels the request, and its number there, until the result is taken.
    cancel: Option<(Arc<dyn Cancel>, u64)>,
}

/// A queue of numbered requests that can be cancelled.
pub(crate) trait Cancel: Send + Sync {
    /// Ends request `number` after its handle was dropped.
    fn cancel(&self, number: u64);
}

impl PendingInfer {
    /// Returns a handle for request `id`, and its completion. For implementations of
    /// [`InferBackend`](crate::InferBackend) that do not build on a
    /// [`SlotPool`](crate::SlotPool).
    ///
    /// Dropping the completer completes the handle with [`ErrorKind::Abandoned`].
    pub fn channel(id: u64) -> (Completer, Self) {
        let (sender, result) = oneshot::channel();
        let pending = Self {
            id,
            result,
            cancel: None,
        };
        (Completer(sender), pending)
    }

    /// Cancels request `number` of `queue` when this is dropped before the result is taken.
    pub(crate) fn cancels(mut self, queue: Arc<dyn Cancel>, number: u64) -> Self {
        self.cancel = Some((queue, number));
        self
    }

    /// Returns the [`InferRequest::id`] that was given.
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl Future for PendingInfer {
    type Output = Result<InferOutput, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.result).poll(context));
        self.cancel = None;
        Poll::Ready(result.unwrap_or_else(|_| Err(abandoned())))
    }
}

impl Drop for PendingInfer {
    fn drop(&mut self) {
        if let Some((queue, number)) = self.cancel.take() {
            queue.cancel(number);
        }
    }
}

impl fmt::Debug for PendingInfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingInfer")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Completes one [`PendingInfer`].
#[derive(Debug)]
pub struct Completer(oneshot::Sender<Result<InferOutput, Error>>);

impl Completer {
    /// Delivers the result and wakes the waiting task. Has no effect if the handle was dropped.
    pub fn complete(self, result: Result<InferOutput, Error>) {
        let _ = self.0.send(result);
    }
}

pub(crate) fn abandoned() -> Error {
    Error::new(
        ErrorKind::Abandoned,
        "the backend was dropped before the request ran",
    )
}
