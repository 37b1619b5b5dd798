//! An image with its answers.

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

impl StoredImage {
    /// Returns whether a stored run has no answer for the image.
    pub fn has_failed(&self) -> bool {
        match &self.answers {
            Err(_) => true,
            Ok(answers) => answers.outputs.iter().any(Result::is_err),
        }
    }
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
