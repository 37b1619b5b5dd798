//! The driver of comparisons and evaluations: it gives every image to the runs, and their answers back in order.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::vec;

use backend_api::{Error, Tensor};
use futures_util::stream::{Stream, StreamExt as _};
use image_classification::{
    Answer, Classifier, Digests, Feed, FeedOptions, FittedPreprocessing, Image, ImageError,
    ImageNote, ImageOutputs, Note, take_first_answers,
};

use crate::digest::{Digest, ImageDigests};
use crate::failure::{Failure, Problem};
use crate::provenance::RunEntry;
use crate::run::{NamedImage, OpenedRun, Run, run_names};

const REQUESTED: &str = "the driver's user requests this digest";

/// The answers of the runs for an image.
pub type NamedAnswer = Answer<PathBuf>;

/// An image with the answers of the runs, or with their problems.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AddedImage<'a> {
    /// The path or the name of the image.
    pub path: PathBuf,
    /// The remark on the image that its user should know.
    pub note: Option<ImageNote>,
    /// The failures of the image and of runs for it.
    pub failures: &'a [Failure],
}

/// Runs that get the same images.
#[derive(Debug)]
pub(crate) struct Runs {
    all: Vec<Run>,
    pub feed: FeedOptions,
    pub image_problem: fn(&ImageError) -> Problem,
}

impl Runs {
    pub fn new(runs: Vec<Run>) -> Self {
        Self {
            all: runs,
            feed: FeedOptions::default(),
            image_problem: |error| error.into(),
        }
    }

    pub fn of_classifiers(classifiers: impl IntoIterator<Item = Classifier>) -> Self {
        let mut runs: Vec<Run> = classifiers.into_iter().map(Run::from).collect();
        let texts: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
        for (run, name) in runs.iter_mut().zip(run_names(&texts)) {
            run.name = name;
        }
        Self::new(runs)
    }

    /// Describes the runs before any output is known.
    ///
    /// # Errors
    ///
    /// If the files of a model cannot be read.
    pub fn entries(&self) -> Result<Vec<RunEntry>, Error> {
        let mut models = HashMap::new();
        let entry = |run: &Run| {
            let mut entry = run.entry(&mut models)?;
            if let (Ok(opened), Ok(info)) = (&run.opened, &mut entry.info)
                && opened.fitted.reading.is_none()
            {
                // One value of an output may describe two classes.
                info.classes = None;
            }
            Ok(entry)
        };
        self.all.iter().map(entry).collect()
    }

    /// Gives `images` to the runs at `places`. If a model does not state its score rule, the first outputs decide it, and
    /// `entries` then has the decision.
    pub async fn start<I>(
        &self,
        mut entries: Vec<RunEntry>,
        places: Vec<usize>,
        images: I,
        digests: Digests,
    ) -> Driver<impl Stream<Item = NamedAnswer> + use<I>>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        let opened = |place: &usize| Some((*place, self.all[*place].opened.as_ref().ok()?));
        let opened: Vec<(usize, &OpenedRun)> = places.iter().filter_map(opened).collect();
        let mut options = self.feed.clone();
        options.digests = digests;
        let runs = opened.iter().map(|(_, run)| run.to_feed()).collect();
        let feed = Feed::new(runs, options);
        let inputs = images.into_iter().map(|image| {
            let NamedImage { name, source } = image.into();
            (name, source)
        });
        let mut answers = Box::pin(feed.answers(inputs));
        let fitted = opened.iter().map(|(_, run)| run.fitted.clone());
        let mut fitted: Vec<FittedPreprocessing> = fitted.collect();
        let mut to_decide: Vec<&mut FittedPreprocessing> = fitted.iter_mut().collect();
        let held = if places.is_empty() {
            Vec::new()
        } else {
            let most = FittedPreprocessing::FIRST_IMAGES;
            take_first_answers(&mut answers, &mut to_decide, most).await
        };
        for (run, entry) in self.all.iter().zip(&mut entries) {
            if let (Ok(run), Ok(info)) = (&run.opened, &mut entry.info) {
                info.classes = run.fitted.classes;
            }
        }
        let mut notes = Vec::new();
        for ((place, run), fitted) in opened.into_iter().zip(&fitted) {
            if run.fitted.reading.is_none()
                && let Ok(info) = &mut entries[place].info
            {
                *info = run.describe(info.clone(), fitted);
                notes.push((place, fitted.notes[run.fitted.notes.len()..].to_vec()));
            }
        }
        Driver {
            entries,
            notes,
            places,
            feed,
            image_problem: self.image_problem,
            held: held.into_iter(),
            answers,
        }
    }
}

/// Runs that answer images.
#[derive(Debug)]
pub(crate) struct Driver<A> {
    /// The descriptions of all runs.
    pub entries: Vec<RunEntry>,
    /// Notes on the runs whose scores the first outputs decided.
    pub notes: Vec<(usize, Vec<Note>)>,
    /// The places of the runs in the feed.
    places: Vec<usize>,
    feed: Feed,
    image_problem: fn(&ImageError) -> Problem,
    /// The answers that came before the scores were decided.
    held: vec::IntoIter<NamedAnswer>,
    answers: Pin<Box<A>>,
}

impl<A: Stream<Item = NamedAnswer>> Driver<A> {
    /// Returns the next image and its outputs, or the reason why it has none, in the order of the images.
    pub async fn next(&mut self) -> Option<(PathBuf, Result<ImageOutputs, Problem>)> {
        // Without runs, no image is taken from the inputs.
        if self.places.is_empty() {
            return None;
        }
        let Answer { input, result } = match self.held.next() {
            Some(answer) => answer,
            None => self.answers.next().await?,
        };
        Some((input, result.map_err(|error| (self.image_problem)(&error))))
    }

    /// Returns the outputs of the runs at `ready`, or their problems.
    pub fn outputs(&self, outputs: ImageOutputs, ready: &[usize]) -> Vec<Result<Tensor, Problem>> {
        let outputs = self.places.iter().zip(outputs.runs);
        let outputs = outputs.filter(|(place, _)| ready.contains(place));
        let output = outputs.map(|(_, output)| match output {
            Ok(output) => Ok(output.tensor),
            Err(error) => Err(Problem::from(&*error)),
        });
        output.collect()
    }

    /// Returns the digests of an image, with that of the tensor of the run at `place`.
    pub fn digests(&self, outputs: &ImageOutputs, place: Option<usize>) -> ImageDigests {
        let tensors = &outputs.digests.tensors;
        let feed_place = self.places.iter().position(|other| Some(*other) == place);
        let tensor = feed_place.and_then(|place| tensors.get(place).copied());
        ImageDigests {
            file: file_digest(outputs),
            tensor: tensor.expect(REQUESTED).into(),
            pixels: outputs.digests.pixels.map(Digest::from),
        }
    }

    /// Returns the output of each run for an image outside the input; empty if it cannot be prepared.
    // A future that borrowed the answers without `mut` could not change threads: they are not `Sync`.
    pub async fn infer(&mut self, image: Image) -> Vec<(usize, Tensor)> {
        let mut answers = pin!(self.feed.answers([((), image.into())]));
        let Some(Ok(outputs)) = answers.next().await.map(|answer| answer.result) else {
            return Vec::new();
        };
        let outputs = self.places.iter().copied().zip(outputs.runs);
        outputs
            .filter_map(|(place, output)| Some((place, output.ok()?.tensor)))
            .collect()
    }
}

/// Returns the digest of an image's file.
pub(crate) fn file_digest(outputs: &ImageOutputs) -> Digest {
    outputs.digests.file.expect(REQUESTED).into()
}
