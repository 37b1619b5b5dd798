//! Runs whose answers are stored.

use backend_api::{Error, Tensor};
use futures_util::stream::Stream;
use image_classification::{Digests, FeedOptions, ImageError, ImageNote};

use super::image::{ImageAnswers, StoredImage};
use crate::driver::{Driver, NamedAnswer, Runs, file_digest};
use crate::duplicates::Duplicates;
use crate::failure::Problem;
use crate::provenance::RunEntry;
use crate::run::{NamedImage, Run, artificial_image};

/// Gives images to runs, for a comparison or an evaluation that happens later.
///
/// Nothing is judged here: the scores of a run have to be decided before, because its first outputs are others in each
/// process.
#[derive(Debug)]
pub struct StoredRuns {
    runs: Runs,
}

impl StoredRuns {
    /// Returns the answers of `runs`.
    pub fn new(runs: Vec<Run>) -> Self {
        Self {
            runs: Runs::new(runs),
        }
    }

    /// Sets the number of decoding threads and their memory.
    #[must_use]
    pub fn feed(mut self, options: FeedOptions) -> Self {
        self.runs.feed = options;
        self
    }

    /// Sets the message for images that cannot be prepared. The default is the library's.
    #[must_use]
    pub fn image_problem(mut self, words: fn(&ImageError) -> Problem) -> Self {
        self.runs.image_problem = words;
        self
    }

    /// Returns the descriptions of all runs.
    ///
    /// # Errors
    ///
    /// If the files of a model cannot be read.
    pub fn entries(&self) -> Result<Vec<RunEntry>, Error> {
        self.runs.entries()
    }

    /// Starts the runs at `stored`, which are open. With `tensors`, the digests of tensors are computed, which a
    /// comparison needs.
    pub async fn start<I>(
        &self,
        entries: Vec<RunEntry>,
        stored: Vec<usize>,
        images: I,
        tensors: bool,
    ) -> RunningRuns<impl Stream<Item = NamedAnswer> + use<I>>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        let digests = Digests {
            file: true,
            tensors,
            pixels: false,
        };
        let driver = self
            .runs
            .start(entries, stored.clone(), images, digests)
            .await;
        RunningRuns {
            driver,
            stored,
            tensors,
            duplicates: Duplicates::default(),
            images: 0,
        }
    }
}

/// An image that the runs have answered, or not.
#[derive(Debug, Clone)]
pub struct InferredImage {
    /// The image with its answers.
    pub image: StoredImage,
    /// The remark on the image that its user should know.
    pub note: Option<ImageNote>,
}

/// Runs under way.
#[derive(Debug)]
pub struct RunningRuns<A> {
    driver: Driver<A>,
    stored: Vec<usize>,
    tensors: bool,
    duplicates: Duplicates,
    images: usize,
}

impl<A: Stream<Item = NamedAnswer>> RunningRuns<A> {
    /// Returns the descriptions of all runs.
    pub fn entries(&self) -> &[RunEntry] {
        &self.driver.entries
    }

    /// Returns the places of the runs whose outputs are stored.
    pub fn stored(&self) -> &[usize] {
        &self.stored
    }

    /// Returns the next image with its answers, in the order of the images. `None` after the last one.
    pub async fn next(&mut self) -> Option<InferredImage> {
        let (path, outputs) = self.driver.next().await?;
        let place = self.images;
        self.images += 1;
        let (note, answers) = match outputs {
            Err(problem) => (None, Err(problem)),
            Ok(outputs) => {
                let note = outputs.note;
                let file = file_digest(&outputs);
                self.duplicates.add(place, file);
                let first = self.stored.first().copied();
                let tensor = self
                    .tensors
                    .then(|| self.driver.digests(&outputs, first).tensor);
                let outputs = self.driver.outputs(outputs, &self.stored);
                let answers = ImageAnswers {
                    file,
                    tensor,
                    outputs,
                };
                (note, Ok(answers))
            }
        };
        let image = StoredImage {
            path,
            truth: None,
            answers,
        };
        Some(InferredImage { image, note })
    }

    /// Returns the outputs of the runs for the artificial image, each with the place of its run. A comparison needs
    /// them if all images have one content. There are none if the images of these answers already differ.
    pub async fn artificial(mut self) -> Vec<(usize, Tensor)> {
        if self.duplicates.contents() != 1 {
            return Vec::new();
        }
        self.driver.infer(artificial_image()).await
    }
}
