#![doc = include_str!("../README.md")]

pub mod decode;
mod labels;
mod layout;
mod memory;
mod preprocess;
mod scores;
pub mod sources;
mod top_k;

pub use decode::{DecodeError, Image, ImageHeader, Limits};
pub use labels::{Labels, LabelsError};
pub use layout::{ImageLayout, ImageSize, InputLayout, LayoutError};
pub use memory::{MemoryBudget, OverBudget, Reservation};
pub use preprocess::{Centre, ColorOrder, Interpolation, Preprocess, Resize};
pub use scores::{
    Interpretation, OutputKind, Quantization, ScoreKind, Scores, ScoresError, Scoring,
};
pub use top_k::{Ranked, top_k};
