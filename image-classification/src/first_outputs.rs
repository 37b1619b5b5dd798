//! The outputs that decide the rule for scores.

use backend_api::Tensor;
use futures_util::stream::{Stream, StreamExt as _};

use crate::{Answer, FittedPreprocessing, ImageError, ImageOutputs};

/// The first outputs of a run, for [`FittedPreprocessing::read_outputs`].
///
/// An image that cannot be read or inferred has no output and does not count: a later image takes its place. After
/// [`MOST_IMAGES`](Self::MOST_IMAGES) images the available outputs decide, even if there are none. Images that
/// cannot be read before the first output are never counted.
#[derive(Debug)]
pub struct FirstOutputs {
    outputs: Vec<Tensor>,
    most: usize,
    /// The images that were seen since one reached the engine, that one among them.
    images: usize,
}

impl FirstOutputs {
    /// The number of images after which no further output is waited for.
    pub const MOST_IMAGES: usize = 64;

    /// Returns a collection of at most `most` outputs.
    pub fn new(most: usize) -> Self {
        Self {
            outputs: Vec::new(),
            most,
            images: 0,
        }
    }

    /// Returns whether no further output is waited for.
    pub fn is_complete(&self) -> bool {
        self.outputs.len() >= self.most || self.images >= Self::MOST_IMAGES
    }

    /// Returns the outputs.
    pub fn outputs(&self) -> &[Tensor] {
        &self.outputs
    }

    /// Adds the output of `run`, its place in the feed, for the next image. Does nothing if there is no output or the
    /// collection is complete.
    pub fn add(&mut self, image: &Result<ImageOutputs, ImageError>, run: usize) {
        let output = image.as_ref().ok().and_then(|image| image.runs.get(run));
        if let Some(Ok(output)) = output {
            self.add_output(output.tensor.clone());
        } else if !self.is_complete() && (output.is_some() || self.images > 0) {
            self.images += 1;
        }
    }

    /// Adds the output for the next image. Does nothing if the collection is complete.
    pub fn add_output(&mut self, output: Tensor) {
        if !self.is_complete() {
            self.outputs.push(output);
            self.images += 1;
        }
    }
}

impl Default for FirstOutputs {
    fn default() -> Self {
        Self::new(FittedPreprocessing::FIRST_IMAGES)
    }
}

/// Takes the first of the `answers` of a feed, as many as decide how the outputs of `runs` are read, and decides that.
/// Returns the answers that were taken, in their order.
///
/// `runs` are those of the feed, in their order. Nothing is taken if the reading of each is decided. At most `most`
/// outputs of a run decide. Where they decide nothing, its reading stays `None`.
pub async fn take_first_answers<T>(
    answers: &mut (impl Stream<Item = Answer<T>> + Unpin),
    runs: &mut [&mut FittedPreprocessing],
    most: usize,
) -> Vec<Answer<T>> {
    take(answers, runs, most, |_| false).await
}

/// Takes the next of the `answers` of a feed, as [`take_first_answers`] does, but lets errors pass: an answer without
/// an output that comes before the first output is returned alone, and decides nothing.
///
/// A caller that has used the returned answers calls this again as long as a reading is `None`.
pub async fn take_next_answers<T>(
    answers: &mut (impl Stream<Item = Answer<T>> + Unpin),
    runs: &mut [&mut FittedPreprocessing],
    most: usize,
) -> Vec<Answer<T>> {
    let is_error = |first: &FirstOutputs| first.outputs().is_empty();
    take(answers, runs, most, is_error).await
}

/// Takes answers until the outputs of each undecided run are complete, or all of them are to `pass`.
async fn take<T>(
    answers: &mut (impl Stream<Item = Answer<T>> + Unpin),
    runs: &mut [&mut FittedPreprocessing],
    most: usize,
    pass: impl Fn(&FirstOutputs) -> bool,
) -> Vec<Answer<T>> {
    let undecided = runs.iter_mut().enumerate();
    let undecided = undecided.filter(|(_, fitted)| fitted.reading.is_none());
    let mut undecided: Vec<_> = undecided
        .map(|(run, fitted)| (run, fitted, FirstOutputs::new(most)))
        .collect();
    let mut taken = Vec::new();
    while undecided.iter().any(|(.., first)| !first.is_complete())
        && let Some(answer) = answers.next().await
    {
        for (run, _, first) in &mut undecided {
            first.add(&answer.result, *run);
        }
        taken.push(answer);
        if undecided.iter().all(|(.., first)| pass(first)) {
            break;
        }
    }
    for (_, fitted, first) in undecided {
        fitted.read_outputs(first.outputs());
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use backend_api::{Error, ErrorKind};

    use super::*;
    use crate::{InputDigests, RunOutput};

    fn outputs(output: Result<f32, ()>) -> ImageOutputs {
        let failed = || Arc::new(Error::new(ErrorKind::InferenceFailed, "planned"));
        let output = output.map_err(|()| failed()).map(|value| RunOutput {
            tensor: Tensor::new([1, 1], vec![value]).unwrap(),
            extra: Vec::new(),
            infer: Duration::ZERO,
        });
        ImageOutputs {
            digests: InputDigests::default(),
            prepare: Duration::ZERO,
            note: None,
            runs: vec![output],
        }
    }

    #[test]
    fn no_more_than_64_images_are_waited_for() {
        let most = FirstOutputs::MOST_IMAGES;
        let mut always_failing = FirstOutputs::default();
        for _ in 0..1000 {
            always_failing.add(&Err(ImageError::Panicked), 0);
        }
        for image in 0..most {
            assert!(!always_failing.is_complete(), "{image}");
            always_failing.add(&Ok(outputs(Err(()))), 0);
        }
        assert!(always_failing.is_complete() && always_failing.outputs().is_empty());
        // Images that cannot be read are not waited for once there is an output.
        let mut one = FirstOutputs::default();
        one.add(&Ok(outputs(Ok(1.0))), 0);
        for image in 1..most {
            assert!(!one.is_complete(), "{image}");
            one.add(&Err(ImageError::Panicked), 0);
        }
        one.add(&Ok(outputs(Ok(2.0))), 0);
        assert_eq!(one.outputs().len(), 1);
    }
}
