#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod classifier;
pub mod decode;
mod decoder;
mod feed;
mod file;
mod first_outputs;
mod labels;
mod layout;
mod memory;
mod preparation;
mod preprocess;
mod quantization;
mod recipes;
mod resolve;
mod scores;
mod setting;
pub mod sources;
mod threads;
mod top_k;

pub use classifier::{Classification, Classifier, ClassifierBuilder, ClassifyError, ScoredClass};
pub use decode::{DecodeError, DecodeLimits, Image, ImageHeader, ImageNote};
pub use decoder::{DecodedElsewhereError, Decoder, DecodingBackend};
pub use feed::{
    Answer, Digests, Feed, FeedOptions, FeedRun, ImageOutputs, InputDigests, RunOutput,
};
pub use file::{ReadError, has_image_magic, read_file};
pub use first_outputs::{FirstOutputs, take_first_answers, take_next_answers};
pub use labels::{Labels, LabelsError};
pub use layout::{ImageLayout, ImageSize, InputLayout, LayoutError};
pub use memory::{ImageMemory, MemoryBudget, OverBudget, Reservation};
pub use preparation::{
    Decode, ImageBuffers, ImageError, ImageFile, ImageNeed, ImageSource, Preparation,
};
pub use preprocess::{Centre, ColorOrder, CropMode, Interpolation, Preprocess, Resize};
pub use quantization::{Halves, InputQuantization, Quantization};
pub use recipes::{Recipe, RecipeError};
pub use resolve::{
    FittedPreprocessing, Note, OutputReading, PreprocessOverrides, ResizeOverride, ResolveError,
    ResolvedPreprocessing, Severity,
};
pub use scores::{Interpretation, OutputKind, ScoreKind, Scores, ScoresError, Scoring};
pub use setting::{Setting, SettingOrigin, WithOrigin};
pub use top_k::{Ranked, top_k};
