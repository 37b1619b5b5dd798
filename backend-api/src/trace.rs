//! The spans of the feature `tracing`. Without it, the functions here have no effect.

pub use spans::{CallerSpan, OpenSpan, trace_open};
pub(crate) use spans::{Inference, caller, enter, infer, submit};

#[cfg(feature = "tracing")]
mod spans {
    use std::future::Future;

    use tracing::field::Empty;
    use tracing::span::EnteredSpan;
    use tracing::{Instrument as _, Span, debug_span, info_span};

    use crate::OpenOptions;

    /// The span `open`; see [`trace_open`].
    #[derive(Debug)]
    #[must_use = "the span ends when this is dropped"]
    pub struct OpenSpan {
        _entered: EnteredSpan,
    }

    /// Enters the span `open` until the result is dropped. Engines call it where they open a model. Without the feature
    /// `tracing` it has no effect.
    pub fn trace_open(backend: &str, options: &OpenOptions) -> OpenSpan {
        let (model, device) = (&options.model, options.device.as_str());
        OpenSpan {
            _entered: info_span!("open", backend, %model, device).entered(),
        }
    }

    /// The span of a caller whose requests another thread submits: their spans are below it. Without the feature `tracing`
    /// it has no effect.
    #[derive(Debug, Clone)]
    pub struct CallerSpan(Span);

    impl CallerSpan {
        /// Returns the span in which this is called.
        pub fn current() -> Self {
            Self(Span::current())
        }

        /// Runs `future` in the span.
        pub fn surround<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
            future.instrument(self.0)
        }
    }

    /// The span that surrounds a submit in the caller's code.
    pub(crate) type Caller = Span;
    /// The span of an accepted request.
    pub(crate) type Inference = Span;

    /// Returns the span in which this is called.
    pub(crate) fn caller() -> Caller {
        Span::current()
    }

    /// Runs `future` in a new span.
    pub(crate) fn submit<F: Future>(
        backend: &str,
        id: u64,
        future: F,
    ) -> impl Future<Output = F::Output> {
        future.instrument(debug_span!("submit", backend, id))
    }

    /// Opens the span from the acceptance of a request to its end.
    pub(crate) fn infer(caller: Caller, backend: &str, id: u64) -> Inference {
        debug_span!(parent: caller, "infer", backend, id, slot = Empty)
    }

    /// Enters the span in the thread of `slot` until the result is dropped.
    pub(crate) fn enter(span: Inference, slot: usize) -> EnteredSpan {
        span.record("slot", slot);
        span.entered()
    }
}

#[cfg(not(feature = "tracing"))]
mod spans {
    use std::future::Future;

    use crate::OpenOptions;

    /// The span `open`; see [`trace_open`].
    #[derive(Debug)]
    #[must_use = "the span ends when this is dropped"]
    pub struct OpenSpan {
        _nothing: (),
    }

    /// Enters the span `open` until the result is dropped. Engines call it where they open a model. Without the feature
    /// `tracing` it has no effect.
    pub fn trace_open(_: &str, _: &OpenOptions) -> OpenSpan {
        OpenSpan { _nothing: () }
    }

    /// The span of a caller whose requests another thread submits: their spans are below it. Without the feature `tracing`
    /// it has no effect.
    #[derive(Debug, Clone)]
    pub struct CallerSpan {
        _nothing: (),
    }

    impl CallerSpan {
        /// Returns the span in which this is called.
        pub fn current() -> Self {
            Self { _nothing: () }
        }

        /// Runs `future` in the span.
        pub fn surround<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
            future
        }
    }

    pub(crate) struct Caller;
    pub(crate) struct Inference;

    pub(crate) fn caller() -> Caller {
        Caller
    }

    pub(crate) fn submit<F: Future>(_: &str, _: u64, future: F) -> F {
        future
    }

    pub(crate) fn infer(_: Caller, _: &str, _: u64) -> Inference {
        Inference
    }

    pub(crate) fn enter(_: Inference, _: usize) {}
}
