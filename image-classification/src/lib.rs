#![doc = include_str!("../README.md")]

pub mod decode;
mod labels;
pub mod metadata;
mod preprocess;
// Kernels import intrinsics by wildcard and must be inlined into the code that detects the processor.
#[allow(
    clippy::inline_always,
    clippy::too_many_arguments,
    clippy::wildcard_imports,
    unfulfilled_lint_expectations
)]
pub mod resample;
mod scores;
mod top_k;

pub use decode::{DecodeError, Limits, Picture};
pub use labels::{Labels, LabelsError};
pub use preprocess::{ColorOrder, InputLayout, Interpolation, LayoutError, Preprocess, Resize};
pub use scores::{ScoreKind, Scores, ScoresError};
pub use top_k::{Ranked, top_k};
