#![doc = include_str!("../README.md")]

pub mod decode;
mod labels;
mod layout;
mod memory;
mod preprocess;
mod resolve;
mod scores;
mod setting;
pub mod sources;
mod top_k;

pub use decode::{DecodeError, Image, ImageHeader, Limits};
pub use labels::{Labels, LabelsError};
pub use layout::{ImageLayout, ImageSize, InputLayout, LayoutError};
pub use memory::{MemoryBudget, OverBudget, Reservation};
pub use preprocess::{Centre, ColorOrder, Interpolation, Preprocess, Resize};
pub use resolve::{
    Decode, FittedPreprocessing, Note, OutputReading, PreprocessOverrides, ResizeOverride,
    ResolveError, ResolvedPreprocessing, Severity,
};
pub use scores::{
    Interpretation, OutputKind, Quantization, ScoreKind, Scores, ScoresError, Scoring,
};
pub use setting::{Setting, SettingOrigin, WithOrigin};
pub use top_k::{Ranked, top_k};
