#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::duplicate_mod,
        reason = "each checker compiles the pool with its own primitives"
    )
)]

// The pool with planted faults is part of these tests and of those in `tests`, where the crate has this name.
#[cfg(test)]
extern crate self as backend_api;

mod backend;
mod blocking;
#[cfg(feature = "conformance")]
pub mod conformance;
mod element_type;
mod engine;
mod error;
mod info;
mod mock;
mod options;
mod outputs;
mod pool;
mod request;
mod schedules;
mod sync;
mod tensor;
mod tensor_spec;
mod timer;
mod trace;

pub use async_trait::async_trait;
/// The crate of the element types [`half::f16`] and [`half::bf16`], which are [`Element`]s.
pub use half;

pub use backend::{InferBackend, SubmitFuture};
pub use blocking::BlockingInfer;
pub use element_type::ElementType;
pub use engine::{Engine, Stopper};
pub use error::{Error, ErrorKind};
pub use info::{BackendInfo, FoundLibrary};
pub use mock::{MockBackend, MockBuilder};
pub use options::{ModelSource, OpenOptions, PerformanceHint, Precision};
pub use outputs::{
    ChosenOutputs, DeclaredOutput, ExtraOutputs, NamedTensor, choose_outputs, only_input,
};
pub use pool::{SlotPool, panic_message};
pub use request::{Completer, InferOutput, InferRequest, PendingInfer};
pub use tensor::{Element, Tensor};
pub use tensor_spec::{Dim, TensorSpec};
pub use trace::{CallerSpan, OpenSpan, trace_open};
