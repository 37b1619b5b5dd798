#![doc = include_str!("../README.md")]

pub mod decode;
mod labels;
pub mod metadata;
mod preprocess;
mod resample;
mod scores;
mod top_k;

pub use decode::{DecodeError, Limits, Picture};
pub use labels::{Labels, LabelsError};
pub use preprocess::{ColorOrder, InputLayout, Interpolation, LayoutError, Preprocess, Resize};
pub use scores::{ScoreKind, Scores, ScoresError};
pub use top_k::{Ranked, top_k};
