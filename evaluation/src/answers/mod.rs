//! Answers that are stored, for a comparison or an evaluation over the images of several processes.
//!
//! A file has everything that [`ComparisonAccumulator`](crate::ComparisonAccumulator) and
//! [`EvaluationAccumulator`](crate::EvaluationAccumulator) take: the description of the runs, and for each image its
//! digests and the outputs of the runs, byte for byte. Added in the order of the images, they give the report that one
//! process over all images gives.

mod error;
mod format;
mod reader;
mod run;
mod writer;

pub use error::AnswersError;
pub use reader::{AnswerReader, StoredAnswers};
pub use run::{InferredImage, RunningRuns, StoredRuns};
pub use writer::AnswerWriter;

use std::path::PathBuf;

use backend_api::Tensor;

use crate::digest::Digest;
use crate::failure::Problem;

/// An image with the answers of the runs.
#[derive(Debug, Clone)]
pub struct StoredImage {
    /// The path or the name of the image.
    pub path: PathBuf,
    /// The ground truth that came with the image, if its data set has some.
    pub truth: Option<Vec<String>>,
    /// The answers, or the reason why the image has none.
    pub answers: Result<ImageAnswers, Problem>,
}

/// The answers of the runs for an image.
#[derive(Debug, Clone)]
pub struct ImageAnswers {
    /// The digest of the image's file.
    pub file: Digest,
    /// The digest of the tensor of the first run. `None` if it was not computed.
    pub tensor: Option<Digest>,
    /// The output of each stored run, in their order, or the reason for the failure.
    pub outputs: Vec<Result<Tensor, Problem>>,
}
