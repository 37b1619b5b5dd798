//! Calls for programs without an executor.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::{Error, InferBackend, InferOutput, InferRequest, PendingInfer, Tensor};

/// Calls of an [`InferBackend`] that block the calling thread. Every backend has them.
///
/// Asynchronous code calls [`InferBackend::submit`] instead: blocking a thread of an executor keeps other tasks
/// from running.
///
/// ```
/// use backend_api::{BlockingInfer, InferRequest, MockBackend, Tensor};
///
/// # fn main() -> Result<(), backend_api::Error> {
/// let backend = MockBackend::builder().slots(2).build()?;
/// let input = Tensor::new([1, 4], vec![0.5_f32; 4])?;
/// let output = backend.infer_blocking(input.clone())?;
/// assert_eq!(output.tensor.shape(), [1, 3]);
///
/// // Two requests at a time: one for each slot.
/// let first = backend.submit_blocking(InferRequest::new(0, input.clone()))?;
/// let second = backend.submit_blocking(InferRequest::new(1, input))?;
/// first.wait()?;
/// second.wait()?;
/// # Ok(())
/// # }
/// ```
pub trait BlockingInfer {
    /// Blocks until the request is accepted, as [`InferBackend::submit`] waits.
    ///
    /// # Errors
    ///
    /// The errors of [`InferBackend::submit`].
    fn submit_blocking(&self, request: InferRequest) -> Result<PendingInfer, Error>;

    /// Runs one inference and blocks until its result is there.
    ///
    /// # Errors
    ///
    /// The errors of [`InferBackend::submit`] and of the inference.
    fn infer_blocking(&self, input: impl Into<Arc<Tensor>>) -> Result<InferOutput, Error> {
        self.submit_blocking(InferRequest::new(0, input))?.wait()
    }
}

impl<T: InferBackend + ?Sized> BlockingInfer for T {
    fn submit_blocking(&self, request: InferRequest) -> Result<PendingInfer, Error> {
        block_on(self.submit(request))
    }
}

impl PendingInfer {
    /// Blocks the calling thread until the result is there. Asynchronous code awaits the handle instead.
    ///
    /// # Errors
    ///
    /// The errors of the inference.
    pub fn wait(self) -> Result<InferOutput, Error> {
        block_on(self)
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        // A thread may be unparked spuriously; then the future is not ready.
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{ErrorKind, MockBackend};

    fn input() -> Tensor {
        Tensor::new([1, 4], vec![0.0_f32; 4]).unwrap()
    }

    #[test]
    fn blocks_on_any_backend_until_the_result_is_there() {
        let latency = Duration::from_millis(20);
        let backend = MockBackend::builder().latency(latency).build().unwrap();
        let backend: Arc<dyn InferBackend> = Arc::new(backend);
        // This unparks the thread spuriously.
        thread::current().unpark();
        let output = backend.infer_blocking(input()).unwrap();
        assert!(output.elapsed >= latency);
        let first = backend.submit_blocking(InferRequest::new(1, input()));
        // Waits for the only slot.
        let second = backend.submit_blocking(InferRequest::new(2, input()));
        assert_eq!(first.unwrap().wait().unwrap().tensor.shape(), [1, 3]);
        assert_eq!(second.unwrap().wait().unwrap().tensor.shape(), [1, 3]);
    }

    #[test]
    fn errors_and_deadlines_end_the_wait() {
        let backend = MockBackend::builder()
            .latency(Duration::from_millis(200))
            .fail_on(1, ErrorKind::InferenceFailed)
            .build()
            .unwrap();
        let request = InferRequest::new(0, input()).with_timeout(Duration::from_millis(10));
        let late = backend
            .submit_blocking(request)
            .and_then(PendingInfer::wait);
        assert_eq!(late.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
        let failed = backend.infer_blocking(input()).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::InferenceFailed);
        let wrong = Tensor::new([1], vec![0.0_f32]).unwrap();
        let wrong = backend.infer_blocking(wrong).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::InputMismatch);
    }
}
