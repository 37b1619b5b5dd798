//! Evaluations of runs.

use std::path::PathBuf;

use backend_api::Tensor;
use futures_util::stream::Stream;
use image_classification::{Classifier, Digests, FeedOptions, ImageError, Note};

use super::accumulator::{EvaluationAccumulator, EvaluationOptions, judged_places};
use super::error::EvaluationError;
use super::recorded::{RecordedAnswers, Recordings, add_labels};
use super::report::EvaluationReport;
use crate::accuracy::GroundTruth;
use crate::digest::Digest;
use crate::driver::{AddedImage, Driver, NamedAnswer, Runs, file_digest};
use crate::failure::Problem;
use crate::provenance::RunEntry;
use crate::recording::RecordingError;
use crate::run::{NamedImage, Run};

/// Evaluates classifiers: gives them images and counts how often they are right.
///
/// Each classifier is judged by its own labels, and gets a tensor from its own preprocessing.
///
/// ```
/// use evaluation::accuracy::GroundTruth;
/// use evaluation::{Evaluation, EvaluationOptions, GateLimits};
/// # use backend_api::{BackendInfo, Dim, ElementType, MockBackend, Tensor, TensorSpec};
/// # use image_classification::{Classifier, Labels, PreprocessOverrides, ScoreKind, WithOrigin};
/// # let spec = |dims: &[usize]| {
/// #     TensorSpec::new("x", ElementType::F32, dims.iter().copied().map(Dim::Fixed).collect())
/// # };
/// # let backend = MockBackend::builder()
/// #     .info(BackendInfo::new("mock", spec(&[1, 3, 8, 8]), spec(&[1, 2])))
/// #     .respond(|_, input| {
/// #         let light = input.as_slice::<f32>().unwrap_or_default()[0] / 255.0;
/// #         Tensor::new([1, 2], vec![1.0 - light, light])
/// #     })
/// #     .build()?;
/// # let overrides = PreprocessOverrides {
/// #     scores: ScoreKind::Probability,
/// #     labels: Some(WithOrigin::new(Labels::from_names(vec!["night".into(), "day".into()]), "the example")),
/// #     ..PreprocessOverrides::default()
/// # };
/// # let classifier = Classifier::builder(backend).overrides(overrides).build()?;
/// # let image = |grey: u8| [&b"P6 8 8 255\n"[..], &[grey; 8 * 8 * 3]].concat();
/// # let images = [("a.ppm", image(20)), ("b.ppm", image(180))];
///
/// let truth = GroundTruth::read("path,label\na.ppm,night\nb.ppm,day\n".as_bytes())?;
/// let options = EvaluationOptions {
///     limits: GateLimits {
///         min_top1: Some("95%".parse()?),
///         ..GateLimits::default()
///     },
///     ..EvaluationOptions::default()
/// };
/// let report = Evaluation::new([classifier], truth).options(options).run_blocking(images)?;
/// assert!(report.passed(), "{report}");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Evaluation {
    runs: Runs,
    truth: GroundTruth,
    options: EvaluationOptions,
    images: Vec<PathBuf>,
}

impl Evaluation {
    /// Returns an evaluation of `classifiers` by `truth`. The first is the reference, unless the options name another.
    pub fn new(classifiers: impl IntoIterator<Item = Classifier>, truth: GroundTruth) -> Self {
        Self::over(Runs::of_classifiers(classifiers), truth)
    }

    /// Returns an evaluation of `runs`, of which some may not be open.
    pub fn of_runs(runs: Vec<Run>, truth: GroundTruth) -> Self {
        Self::over(Runs::new(runs), truth)
    }

    fn over(runs: Runs, truth: GroundTruth) -> Self {
        Self {
            runs,
            truth,
            options: EvaluationOptions::default(),
            images: Vec::new(),
        }
    }

    /// Sets the options: the limits, the values of K, the threshold.
    #[must_use]
    pub fn options(mut self, options: EvaluationOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the names of the images, if they are known in advance. A run that has the classes of none of them is then
    /// rejected before anything is inferred.
    #[must_use]
    pub fn images(mut self, names: Vec<PathBuf>) -> Self {
        self.images = names;
        self
    }

    /// Sets the number of decoding threads and their memory.
    #[must_use]
    pub fn feed(mut self, options: FeedOptions) -> Self {
        self.runs.feed = options;
        self
    }

    /// Sets the message for images that cannot be prepared, in the failures of the report. The default is the
    /// library's.
    #[must_use]
    pub fn image_problem(mut self, words: fn(&ImageError) -> Problem) -> Self {
        self.runs.image_problem = words;
        self
    }

    /// Judges the answers for `images`, whose names the ground truth mentions. An image that fails is a failure of the
    /// result; the others are judged. If no run is left that can be judged, nothing is computed.
    ///
    /// # Errors
    ///
    /// If the files of a model cannot be read, or no classifier has the name of the reference.
    pub async fn run<I>(self, images: I) -> Result<EvaluationReport, EvaluationError>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        let mut running = self.start(images).await?;
        while running.next().await.is_some() {}
        Ok(running.finish())
    }

    /// Judges the answers for `images`, as [`run`](Self::run) does, for a program without an executor.
    ///
    /// # Errors
    ///
    /// The errors of [`run`](Self::run).
    pub fn run_blocking<I>(self, images: I) -> Result<EvaluationReport, EvaluationError>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        futures_executor::block_on(self.run(images))
    }

    /// Starts an evaluation that the caller drives image by image, for a program that shows progress or failures, or
    /// stops before the last image: an iterator that ends early is not an error.
    ///
    /// # Errors
    ///
    /// The errors of [`run`](Self::run).
    pub async fn start<I>(
        self,
        images: I,
    ) -> Result<RunningEvaluation<'static, impl Stream<Item = NamedAnswer> + use<I>>, EvaluationError>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        self.start_recorded(images, Recordings::default()).await
    }

    /// Starts an evaluation as [`start`](Self::start) does, with recordings. Recorded runs come before the others.
    ///
    /// # Errors
    ///
    /// The errors of [`run`](Self::run).
    pub async fn start_recorded<I>(
        self,
        images: I,
        mut recordings: Recordings<'_>,
    ) -> Result<RunningEvaluation<'_, impl Stream<Item = NamedAnswer> + use<I>>, EvaluationError>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        let Self {
            runs,
            truth,
            options,
            images: names,
        } = self;
        let is_recorded = recordings.out.is_some();
        let digests = Digests {
            file: true,
            tensors: is_recorded,
            pixels: is_recorded,
        };
        let opened = runs.entries()?;
        let against = recordings.against.as_deref();
        let mut recorded = against.map_or_else(Vec::new, RecordedAnswers::entries);
        add_labels(&mut recorded, &opened);
        let all = |opened: Vec<RunEntry>| recorded.iter().cloned().chain(opened).collect();
        let entries: Vec<RunEntry> = all(opened.clone());
        let places = judged_places(&entries, &truth, &options, &names)?;
        let own = |place: usize| place.checked_sub(recorded.len());
        let places: Vec<usize> = places.into_iter().filter_map(own).collect();
        let mut driver = runs.start(opened, places, images, digests).await;
        let entries = all(std::mem::take(&mut driver.entries));
        let accumulator = EvaluationAccumulator::new(entries, truth, options, &names)?;
        let ready: Vec<usize> = accumulator.ready().filter_map(own).collect();
        if let Some(out) = &mut recordings.out {
            let entries = ready
                .iter()
                .map(|place| &accumulator.entries()[recorded.len() + place]);
            let runs = entries.filter_map(|it| Some((it.info.clone().ok()?, it.labels.clone())));
            out.start(runs.collect());
        }
        Ok(RunningEvaluation {
            driver,
            recorded: accumulator
                .ready()
                .filter(|it| own(*it).is_none())
                .collect(),
            ready,
            accumulator,
            recordings,
        })
    }
}

/// An evaluation that its caller drives.
#[derive(Debug)]
pub struct RunningEvaluation<'r, A> {
    driver: Driver<A>,
    accumulator: EvaluationAccumulator,
    /// The places of the recorded runs that are judged.
    recorded: Vec<usize>,
    /// The places of the runs that are judged among those that are not recorded.
    ready: Vec<usize>,
    recordings: Recordings<'r>,
}

impl<A: Stream<Item = NamedAnswer>> RunningEvaluation<'_, A> {
    /// Returns the accumulated answers, with all runs.
    pub fn accumulator(&self) -> &EvaluationAccumulator {
        &self.accumulator
    }

    /// Returns notes on runs whose scores the first outputs decided, with the place of each.
    pub fn notes(&self) -> &[(usize, Vec<Note>)] {
        &self.driver.notes
    }

    /// Judges the answers for the next image, in the order of the images. `None` after the last one, and if no run can
    /// be judged.
    pub async fn next(&mut self) -> Option<AddedImage<'_>> {
        if self.ready.is_empty() {
            return None;
        }
        let (path, outputs) = self.driver.next().await?;
        let (note, failures) = match outputs {
            Ok(outputs) => {
                let (note, file) = (outputs.note, file_digest(&outputs));
                let first = self.ready.first().copied();
                let is_recorded = self.recordings.out.is_some();
                let digests = is_recorded.then(|| self.driver.digests(&outputs, first));
                let outputs = self.driver.outputs(outputs, &self.ready);
                if let (Some(out), Some(digests)) = (&mut self.recordings.out, &digests) {
                    out.add(&path, digests, &outputs);
                }
                let mut all = self.recorded_outputs(file);
                all.extend(outputs);
                (note, self.accumulator.add(path.clone(), file, all))
            }
            Err(problem) => (None, self.accumulator.add_failed(path.clone(), problem)),
        };
        Some(AddedImage {
            path,
            note,
            failures,
        })
    }

    /// Returns the outputs of the judged recorded runs for an image.
    fn recorded_outputs(&mut self, file: Digest) -> Vec<Result<Tensor, Problem>> {
        let Some(against) = &mut self.recordings.against else {
            return Vec::new();
        };
        let mut outputs = against.outputs(&file);
        let output = |place: &usize| match &mut outputs {
            Ok(outputs) => {
                let output = outputs.get_mut(*place).and_then(Option::take);
                output.ok_or_else(|| RecordingError::FailedRun.problem())
            }
            Err(error) => Err(error.problem()),
        };
        self.recorded.iter().map(output).collect()
    }

    /// Returns the report. Recorded images that were not given are a failure of it.
    pub fn finish(mut self) -> EvaluationReport {
        let against = self.recordings.against.as_deref();
        let unused = against.and_then(RecordedAnswers::unused_problem);
        if let Some(problem) = unused.filter(|_| !self.ready.is_empty()) {
            self.accumulator.add_failure(problem);
        }
        self.accumulator.finish()
    }
}
