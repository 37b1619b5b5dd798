//! The contract between programs and engines.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{BackendInfo, Error, InferRequest, PendingInfer};

/// An inference engine with one model loaded on one device (or combination of devices), ready to
/// run several requests at a time.
///
/// The trait is dyn-safe: programs that choose the engine at run time hold an
/// `Arc<dyn InferBackend>`. `Box` and `Arc` of a backend are backends too.
///
/// No method needs a particular executor, and neither creating nor dropping a backend needs one.
/// [`BlockingInfer`](crate::BlockingInfer) has blocking calls.
#[async_trait]
pub trait InferBackend: fmt::Debug + Send + Sync + 'static {
    /// Returns the description: engine and version, requested and actual device and precision, the model's
    /// input and output, and the number of requests that run at a time.
    fn info(&self) -> &BackendInfo;

    /// Accepts one request.
    ///
    /// # Behavior
    ///
    /// - The input is checked against [`BackendInfo::input`] before anything else; no engine sees
    ///   a tensor of the wrong shape or type.
    /// - The outputs are checked against [`BackendInfo::output`] and [`BackendInfo::extra_outputs`]. If the engine gives
    ///   others, the request fails with [`ErrorKind::OutputMismatch`](crate::ErrorKind::OutputMismatch).
    /// - Waits only while all [`BackendInfo::slots`] are busy (backpressure).
    /// - A slot becomes free when the engine has finished, not when the result is collected: any
    ///   number of requests may be submitted before the first result is awaited.
    /// - Every accepted request completes exactly once, with a result or with an error.
    /// - A request with a [`deadline`](InferRequest::deadline) completes at its deadline at the latest. Its slot
    ///   becomes free when the engine returns, or at once if no engine has begun the request.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InputMismatch`](crate::ErrorKind::InputMismatch) for an input of the wrong shape or type.
    /// - [`ErrorKind::DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded) if all slots are busy until the
    ///   deadline.
    ///
    /// The [`PendingInfer`] reports later failures.
    ///
    /// # Cancellation
    ///
    /// Dropping the future before it is ready has no effect: no request was accepted, no slot is taken.
    async fn submit(&self, request: InferRequest) -> Result<PendingInfer, Error>;

    /// Resolves once every request that was accepted before the call has ended, with a result or with an error.
    ///
    /// # Behavior
    ///
    /// - Never ends early because a request failed.
    /// - Requests accepted after the call do not prolong it, so that concurrent submitters cannot
    ///   starve it.
    /// - If the handle of a request completed early, at its deadline, the request ends when its engine returns.
    /// - Results and errors are not consumed: they are in the handles.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses no result.
    async fn wait_all(&self);

    /// Returns the reason why all further requests fail at once, such as servers that are gone for good. `None` while
    /// requests may succeed. A caller with many requests ends its work then.
    fn failure(&self) -> Option<Error> {
        None
    }
}

/// The future of [`InferBackend::submit`] in the form that `async_trait` gives it, for implementations that pass it on.
#[doc(hidden)]
pub type SubmitFuture<'a> = Pin<Box<dyn Future<Output = Result<PendingInfer, Error>> + Send + 'a>>;

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: InferBackend + ?Sized> InferBackend for $pointer<T> {
            fn info(&self) -> &BackendInfo {
                (**self).info()
            }

            // The future of the pointer's target, without another box around it.
            fn submit<'a, 'async_trait>(
                &'a self,
                request: InferRequest,
            ) -> SubmitFuture<'async_trait>
            where
                'a: 'async_trait,
                Self: 'async_trait,
            {
                (**self).submit(request)
            }

            async fn wait_all(&self) {
                (**self).wait_all().await;
            }

            fn failure(&self) -> Option<Error> {
                (**self).failure()
            }
        }
    };
}
forward!(Box);
forward!(Arc);

/// Implements [`InferBackend`] for a type with a field `pool: SlotPool`, which does all of the work. A second argument is
/// the code of [`InferBackend::failure`]: `pooled!(MyBackend, |backend| backend.failure())`.
///
/// ```
/// use backend_api::{BackendInfo, Engine, Error, InferBackend, InferOutput, SlotPool, Tensor};
///
/// struct Negation;
///
/// impl Engine for Negation {
///     fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
///         let values = input.to_f32().iter().map(|value| -value).collect();
///         Tensor::new(input.shape(), values).map(InferOutput::new)
///     }
/// }
///
/// #[derive(Debug)]
/// pub struct NegationBackend {
///     pool: SlotPool,
/// }
///
/// backend_api::pooled!(NegationBackend);
///
/// # fn main() -> Result<(), Error> {
/// # use backend_api::{Dim, ElementType, TensorSpec};
/// # let spec = |name: &str| TensorSpec::new(name, ElementType::F32, vec![Dim::Fixed(1)]);
/// let info = BackendInfo::new("negation", spec("input"), spec("output"));
/// let backend = NegationBackend { pool: SlotPool::new(info, vec![Negation, Negation])? };
/// assert_eq!(backend.info().slots, 2);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! pooled {
    ($backend:ty) => {
        $crate::pooled!($backend, |backend| $crate::InferBackend::failure(
            &backend.pool
        ));
    };
    ($backend:ty, |$this:ident| $failure:expr) => {
        #[$crate::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl $crate::InferBackend for $backend {
            fn info(&self) -> &$crate::BackendInfo {
                $crate::InferBackend::info(&self.pool)
            }

            // The pool's own future, without another box around it.
            fn submit<'a, 'async_trait>(
                &'a self,
                request: $crate::InferRequest,
            ) -> $crate::SubmitFuture<'async_trait>
            where
                'a: 'async_trait,
                Self: 'async_trait,
            {
                $crate::InferBackend::submit(&self.pool, request)
            }

            async fn wait_all(&self) {
                $crate::InferBackend::wait_all(&self.pool).await;
            }

            fn failure(&self) -> ::std::option::Option<$crate::Error> {
                let $this = self;
                $failure
            }
        }
    };
}
