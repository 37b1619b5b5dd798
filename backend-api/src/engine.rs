//! The part that an engine supplies: one blocking call.

use crate::{Error, InferOutput, Tensor};

/// A function that stops one inference; see [`Engine::stopper`].
pub type Stopper = Box<dyn FnOnce() + Send>;

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

    /// Returns a function that stops the next inference, or `None` if this engine cannot be stopped, which is
    /// the default.
    ///
    /// The pool asks for one before each [`infer`](Self::infer). It calls the function when the result is no longer
    /// needed, so that the slot is free earlier.
    ///
    /// # Behavior
    ///
    /// - The function may be called from any thread at any time: before the inference begins, while it runs,
    ///   or when later ones run. It affects that one inference only.
    /// - It returns at once. The inference ends as soon as the engine can end it, with any error.
    /// - A stopped engine runs the next request normally.
    fn stopper(&mut self) -> Option<Stopper> {
        None
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: Engine + ?Sized> Engine for Box<T> {
    fn infer(&mut self, input: &Tensor) -> Result<InferOutput, Error> {
        (**self).infer(input)
    }

    fn stopper(&mut self) -> Option<Stopper> {
        (**self).stopper()
    }
}
