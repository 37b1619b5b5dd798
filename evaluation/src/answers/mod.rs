//! Answers that are stored, for a comparison or an evaluation over the images of several processes.
//!
//! A file has everything that [`ComparisonAccumulator`](crate::ComparisonAccumulator) and
//! [`EvaluationAccumulator`](crate::EvaluationAccumulator) take: the description of the runs, and for each image its
//! digests and the outputs of the runs, byte for byte. Added in the order of the images, they give the report that one
//! process over all images gives.

mod error;
mod format;
mod image;
mod reader;
mod run;
mod writer;

pub use error::AnswersError;
pub use image::{ImageAnswers, StoredImage};
pub use reader::{AnswerReader, StoredAnswers};
pub use run::{InferredImage, RunningRuns, StoredRuns};
pub use writer::AnswerWriter;
