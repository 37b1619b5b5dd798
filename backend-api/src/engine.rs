//! What an engine has to supply: one blocking call.

use crate::{Error, InferOutput, Tensor};

/// One native infer request: runs a tensor through the model and blocks until it is done.
///
/// A [`SlotPool`](crate::SlotPool) gives each engine its own thread, which owns it until the pool
/// is dropped. So an implementation never meets two calls at a time, need not be [`Sync`], and
/// nothing native can be freed while it runs.
pub trait Engine: Send + 'static {
    /// Runs one inference.
    ///
    /// # Behavior
    ///
    /// - `input` has been checked against the model's input; do not check it again.
    /// - Called again after an error or a panic: leave no state behind that a later call would
    ///   trip over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InferenceFailed`](crate::ErrorKind::InferenceFailed), with the engine's own
    /// message. A panic is caught by the pool and becomes
    /// [`ErrorKind::Panicked`](crate::ErrorKind::Panicked) for this request alone.
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error>;
}

impl<T: Engine + ?Sized> Engine for Box<T> {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        (**self).infer(input)
    }
}
