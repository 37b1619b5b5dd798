//! Requests, their pending handles and their results.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::{Error, ErrorKind, Tensor};

/// One input for one inference.
///
/// The tensor is shared, never borrowed: to feed the same tensor to several backends, or to use its
/// buffer again afterwards ([`Arc::get_mut`]), keep a clone of the [`Arc`]. A backend lets go of
/// its own clone before the request completes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InferRequest {
    /// The caller's name for this request. Backends only hand it back.
    pub id: u64,
    /// What the model is given. Must fit [`BackendInfo::input`](crate::BackendInfo::input).
    pub input: Arc<Tensor>,
}

impl InferRequest {
    /// A request for `input`, known to the caller as `id`.
    pub fn new(id: u64, input: impl Into<Arc<Tensor>>) -> Self {
        Self {
            id,
            input: input.into(),
        }
    }
}

/// The result of one inference.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InferOutput {
    /// What the model gave.
    pub tensor: Tensor,
    /// How long the engine ran, without waiting for a slot.
    pub elapsed: Duration,
}

impl InferOutput {
    /// A result; the pool sets [`elapsed`](Self::elapsed).
    pub fn new(tensor: Tensor) -> Self {
        Self {
            tensor,
            elapsed: Duration::ZERO,
        }
    }
}

/// A request that a backend has accepted. Await it for the result.
///
/// It owns its result and depends on nothing: it may outlive the backend, move to another thread,
/// and be polled by any executor. Dropping it discards this one result; the inference still runs.
#[derive(Debug)]
#[must_use = "the result of the inference is lost unless this is awaited"]
pub struct PendingInfer {
    id: u64,
    result: oneshot::Receiver<Result<InferOutput, Error>>,
}

impl PendingInfer {
    /// A handle for request `id`, and what completes it. For implementations of
    /// [`InferBackend`](crate::InferBackend) that do not build on a
    /// [`SlotPool`](crate::SlotPool).
    ///
    /// Dropping the completer completes the handle with [`ErrorKind::Abandoned`].
    pub fn channel(id: u64) -> (Completer, Self) {
        let (sender, result) = oneshot::channel();
        (Completer(sender), Self { id, result })
    }

    /// The [`InferRequest::id`] that was given.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// Completes one [`PendingInfer`].
#[derive(Debug)]
pub struct Completer(oneshot::Sender<Result<InferOutput, Error>>);

impl Completer {
    /// Delivers the result and wakes whoever awaits it. Nothing happens if the handle is gone.
    pub fn complete(self, result: Result<InferOutput, Error>) {
        let _ = self.0.send(result);
    }
}

impl Future for PendingInfer {
    type Output = Result<InferOutput, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result)
            .poll(context)
            .map(|result| result.unwrap_or_else(|_| Err(abandoned())))
    }
}

pub(crate) fn abandoned() -> Error {
    Error::new(
        ErrorKind::Abandoned,
        "run an inference",
        "the backend was dropped before the request ran",
    )
}
