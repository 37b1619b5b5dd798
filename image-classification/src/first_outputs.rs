//! The outputs that decide the rule for scores.

use backend_api::Tensor;

use crate::{FittedPreprocessing, ImageError, ImageOutputs};

/// The first outputs of a run, for [`FittedPreprocessing::read_outputs`].
///
/// An image that cannot be read or inferred has no output and does not count: a later image takes its place.
#[derive(Debug)]
pub struct FirstOutputs {
    outputs: Vec<Tensor>,
    most: usize,
}

impl FirstOutputs {
    /// A collection of at most `most` outputs.
    pub fn new(most: usize) -> Self {
        Self {
            outputs: Vec::new(),
            most,
        }
    }

    /// Returns the number of outputs that are still missing.
    pub fn missing(&self) -> usize {
        self.most - self.outputs.len()
    }

    /// Returns the outputs.
    pub fn outputs(&self) -> &[Tensor] {
        &self.outputs
    }

    /// Adds the output of `run`, its place in the feed, for the next image. Does nothing if there is no output or none is
    /// missing.
    pub fn add(&mut self, image: &Result<ImageOutputs, ImageError>, run: usize) {
        if self.missing() > 0
            && let Ok(outputs) = image
            && let Some(Ok(output)) = outputs.runs.get(run)
        {
            self.outputs.push(output.tensor.clone());
        }
    }

    /// Adds an output. Does nothing if none is missing.
    pub fn add_output(&mut self, output: Tensor) {
        if self.missing() > 0 {
            self.outputs.push(output);
        }
    }
}

impl Default for FirstOutputs {
    fn default() -> Self {
        Self::new(FittedPreprocessing::FIRST_IMAGES)
    }
}
