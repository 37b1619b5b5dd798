//! Comparisons of runs.

use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use backend_api::Tensor;
use futures_util::stream::Stream;
use image_classification::{Classifier, Digests, FeedOptions, ImageError, ImageOutputs, Note};

use super::accumulator::{AnsweredImage, ComparisonAccumulator};
use super::error::ComparisonError;
use super::report::ComparisonReport;
use super::runs::ComparedRuns;
use super::tolerance::ToleranceOptions;
use crate::digest::ImageDigests;
use crate::driver::{AddedImage, Driver, NamedAnswer, Runs};
use crate::failure::{Failure, Problem};
use crate::provenance::RunEntry;
use crate::recording::{Recorder, Recording, RecordingError};
use crate::run::{NamedImage, Run, artificial_image};

/// Compares the answers of classifiers for the same images.
///
/// Classifiers with the same preprocessing get the same tensor of an image. Two classifiers cannot be compared, and the
/// [verdict](ComparisonReport::verdict) says so, if their preprocessing or their classes differ.
///
/// ```
/// use evaluation::Comparison;
/// use evaluation::agreement::Tolerance;
/// # use backend_api::{BackendInfo, Dim, ElementType, MockBackend, Tensor, TensorSpec};
/// # use image_classification::{Classifier, PreprocessOverrides, ScoreKind};
/// # fn classifier(scale: f32) -> Result<Classifier, Box<dyn std::error::Error>> {
/// #     let spec = |dims: &[usize]| {
/// #         TensorSpec::new("x", ElementType::F32, dims.iter().copied().map(Dim::Fixed).collect())
/// #     };
/// #     let backend = MockBackend::builder()
/// #         .info(BackendInfo::new("mock", spec(&[1, 3, 8, 8]), spec(&[1, 3])))
/// #         .respond(move |_, input| {
/// #             let sum: f32 = input.as_slice::<f32>().unwrap_or_default().iter().sum();
/// #             Tensor::new([1, 3], vec![scale * sum / 1e4, 1.0, 0.0])
/// #         })
/// #         .build()?;
/// #     let overrides = PreprocessOverrides {
/// #         scores: ScoreKind::Softmax,
/// #         ..PreprocessOverrides::default()
/// #     };
/// #     Ok(Classifier::builder(backend).overrides(overrides).build()?)
/// # }
/// # let [reference, candidate, faulty] = [classifier(1.0)?, classifier(1.000_001)?, classifier(1.1)?];
/// # let image = |grey: u8| [&b"P6 8 8 255\n"[..], &[grey; 8 * 8 * 3]].concat();
/// # let images = || [("a.ppm", image(20)), ("b.ppm", image(180))];
/// # futures_executor::block_on(async {
///
/// // Two engines that have opened the same model, and images: paths, or names with bytes or pixels.
/// let comparison = Comparison::new(reference.clone(), [candidate]).tolerance(Tolerance::F32);
/// let report = comparison.run(images()).await?;
/// assert!(report.agrees(), "{report}");
///
/// let report = Comparison::new(reference, [faulty]).run(images()).await?;
/// assert!(!report.agrees());
/// assert!(report.to_string().starts_with("DISAGREE"), "{report}");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Comparison {
    runs: Runs,
    reference: Option<String>,
    tolerance: ToleranceOptions,
    top: usize,
}

impl Comparison {
    /// Returns a comparison of `candidates` with `reference`.
    pub fn new(reference: Classifier, candidates: impl IntoIterator<Item = Classifier>) -> Self {
        let classifiers = std::iter::once(reference).chain(candidates);
        Self::over(Runs::of_classifiers(classifiers))
    }

    /// Returns a comparison of `runs`, of which some may not be open. The first that is open is the reference, unless
    /// [`reference`](Self::reference) names another.
    pub fn of_runs(runs: Vec<Run>) -> Self {
        Self::over(Runs::new(runs))
    }

    fn over(runs: Runs) -> Self {
        Self {
            runs,
            reference: None,
            tolerance: ToleranceOptions::default(),
            top: 10,
        }
    }

    /// Names the reference. By default it is the first run; with a recording, the first recorded run.
    #[must_use]
    pub fn reference(mut self, name: Option<String>) -> Self {
        self.reference = name;
        self
    }

    /// Sets the limits of differences: a [`Tolerance`](crate::agreement::Tolerance), or the options of one. Default:
    /// the limits of the coarsest precision in which a classifier computes or its model holds its weights.
    #[must_use]
    pub fn tolerance(mut self, tolerance: impl Into<ToleranceOptions>) -> Self {
        self.tolerance = tolerance.into();
        self
    }

    /// Sets the number of best classes that are compared. By default it is 10.
    #[must_use]
    pub fn top(mut self, top: usize) -> Self {
        self.top = top;
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

    /// Compares the answers for `images`. An image that fails is a failure of the result; the others are compared.
    ///
    /// If fewer than two runs are left that can be compared, nothing is computed, and the report has no images.
    ///
    /// # Errors
    ///
    /// If the files of a model cannot be read, no run has the name of the reference, or the differences cannot be kept
    /// in a temporary file.
    pub async fn run<I>(&self, images: I) -> Result<ComparisonReport, ComparisonError>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        Ok(self.of(images).run().await?.0)
    }

    /// Compares the answers for `images`, as [`run`](Self::run) does, for a program without an executor.
    ///
    /// # Errors
    ///
    /// The errors of [`run`](Self::run).
    pub fn run_blocking<I>(&self, images: I) -> Result<ComparisonReport, ComparisonError>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        futures_executor::block_on(self.run(images))
    }

    /// Returns the comparison of the answers for `images`, for a program that records the answers, compares with
    /// recorded ones, or drives the comparison image by image.
    pub fn of<I>(&self, images: I) -> ImageComparison<'_, '_, I>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        ImageComparison {
            comparison: self,
            images,
            recording: None,
            out: None,
        }
    }
}

/// A comparison of the answers for certain images, which has not started.
#[derive(Debug)]
#[must_use = "a comparison does nothing until `run` or `start` is called"]
pub struct ImageComparison<'c, 'r, I, R = io::Empty, W = io::Sink> {
    comparison: &'c Comparison,
    images: I,
    recording: Option<&'r mut Recording<R>>,
    out: Option<W>,
}

impl<'c, 'r, I, R, W> ImageComparison<'c, 'r, I, R, W>
where
    I: IntoIterator<Item: Into<NamedImage>>,
    R: Read + Seek,
    W: Write,
{
    /// Compares with the answers of `recording`, if there is one. Its first run is the reference.
    pub fn against<'n, N: Read + Seek>(
        self,
        recording: impl Into<Option<&'n mut Recording<N>>>,
    ) -> ImageComparison<'c, 'n, I, N, W> {
        ImageComparison {
            comparison: self.comparison,
            images: self.images,
            recording: recording.into(),
            out: self.out,
        }
    }

    /// Records the answers of the compared runs on `out`, if there is one.
    pub fn record<N: Write>(self, out: impl Into<Option<N>>) -> ImageComparison<'c, 'r, I, R, N> {
        ImageComparison {
            comparison: self.comparison,
            images: self.images,
            recording: self.recording,
            out: out.into(),
        }
    }

    /// Compares the answers. Returns the report, and the output of the recording or the error that ended it, if there
    /// is a recording. The report is complete in either case.
    ///
    /// # Errors
    ///
    /// The errors of [`Comparison::run`].
    pub async fn run(
        self,
    ) -> Result<(ComparisonReport, Option<Result<W, RecordingError>>), ComparisonError> {
        let is_recorded = self.out.is_some();
        let (report, recorded) = self.start().await?.complete().await?;
        let nothing = is_recorded.then_some(Err(RecordingError::NoRuns));
        Ok((report, recorded.or(nothing)))
    }

    /// Starts a comparison that the caller drives image by image.
    ///
    /// For a program that shows progress or failures, or stops before the last image: an iterator that ends early is no
    /// error, so the caller must not take the report for one on all images.
    ///
    /// ```
    /// # use backend_api::{BackendInfo, Dim, ElementType, MockBackend, TensorSpec};
    /// # use evaluation::Comparison;
    /// # use image_classification::Classifier;
    /// # let classifier = || {
    /// #     let spec = |dims: &[usize]| {
    /// #         TensorSpec::new("x", ElementType::F32, dims.iter().copied().map(Dim::Fixed).collect())
    /// #     };
    /// #     let info = BackendInfo::new("mock", spec(&[1, 3, 8, 8]), spec(&[1, 3]));
    /// #     Classifier::builder(MockBackend::builder().info(info).build()?).build()
    /// #         .map_err(Box::<dyn std::error::Error>::from)
    /// # };
    /// # let (reference, candidate) = (classifier()?, classifier()?);
    /// # let images = [("a.ppm", [&b"P6 8 8 255\n"[..], &[20; 8 * 8 * 3]].concat())];
    /// # let mut seen = Vec::new();
    /// # futures_executor::block_on(async {
    /// let comparison = Comparison::new(reference, [candidate]);
    /// let mut running = comparison.of(images).start().await?;
    /// while let Some(image) = running.next().await? {
    ///     println!("{}: {} failures", image.path.display(), image.failures.len());
    /// #   seen.push(image.path.to_owned());
    /// }
    /// let (report, _) = running.finish().await?;
    /// # assert_eq!(report.images, seen);
    /// # assert_eq!(seen.len(), 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`Comparison::run`].
    pub async fn start(
        self,
    ) -> Result<
        RunningComparison<'r, impl Stream<Item = NamedAnswer> + use<I, R, W>, R, W>,
        ComparisonError,
    > {
        let Self {
            comparison,
            images,
            recording,
            out,
        } = self;
        let recorded = recording
            .as_deref()
            .map_or_else(Vec::new, Recording::entries);
        let compared = |opened: Vec<RunEntry>| {
            let all = recorded.iter().cloned().chain(opened);
            ComparedRuns::new(all.collect(), comparison.reference.as_deref())
        };
        let opened = comparison.runs.entries()?;
        let runs = compared(opened.clone())?;
        let places = match obstacle(&runs, recorded.len(), out.is_some()) {
            None => opened_places(&runs, recorded.len()),
            Some(_) => Vec::new(),
        };
        let digests = Digests {
            file: true,
            tensors: true,
            pixels: recording.is_some() || out.is_some(),
        };
        let mut driver = comparison.runs.start(opened, places, images, digests).await;
        let runs = compared(std::mem::take(&mut driver.entries))?;
        let obstacle = obstacle(&runs, recorded.len(), out.is_some());
        let ready = opened_places(&runs, recorded.len());
        let infos = ready
            .iter()
            .map(|place| &runs.entries()[recorded.len() + place]);
        let infos = infos.filter_map(|entry| entry.info.clone().ok()).collect();
        let recorder = out.filter(|_| !ready.is_empty());
        let recorder = recorder.map(|out| Recorder::start(out, infos));
        let (tolerance, by) = comparison.tolerance.of(&runs);
        Ok(RunningComparison {
            driver,
            accumulator: ComparisonAccumulator::new(runs, tolerance, by, comparison.top),
            recorded: recorded.len(),
            ready,
            obstacle,
            recording,
            recorder,
        })
    }
}

/// Returns the places of the runs that are compared among those that are not recorded.
fn opened_places(runs: &ComparedRuns, recorded: usize) -> Vec<usize> {
    let ready = runs.ready();
    ready
        .filter_map(|place| place.checked_sub(recorded))
        .collect()
}

/// Returns the reason why nothing can be compared.
fn obstacle(runs: &ComparedRuns, recorded: usize, is_recorded: bool) -> Option<&'static str> {
    if opened_places(runs, recorded).is_empty() {
        Some("no run is left to compare")
    } else if runs.ready().count() < 2 && !is_recorded {
        Some("fewer than two runs are left to compare")
    } else {
        None
    }
}

/// A comparison that its caller drives.
#[derive(Debug)]
pub struct RunningComparison<'r, A, R, W: Write> {
    driver: Driver<A>,
    accumulator: ComparisonAccumulator,
    /// The number of recorded runs, which come before the others.
    recorded: usize,
    /// The places of the compared runs among those that are not recorded.
    ready: Vec<usize>,
    obstacle: Option<&'static str>,
    recording: Option<&'r mut Recording<R>>,
    recorder: Option<Result<Recorder<W>, RecordingError>>,
}

impl<A: Stream<Item = NamedAnswer>, R: Read + Seek, W: Write> RunningComparison<'_, A, R, W> {
    /// Returns the runs: the recorded ones, then the others.
    pub fn runs(&self) -> &ComparedRuns {
        self.accumulator.runs()
    }

    /// Returns the reason why nothing can be compared, if there is one. There is no next image then.
    pub fn obstacle(&self) -> Option<&'static str> {
        self.obstacle
    }

    /// Returns notes on runs whose scores the first outputs decided, with the place of each among the runs that are no
    /// recorded ones.
    pub fn notes(&self) -> &[(usize, Vec<Note>)] {
        &self.driver.notes
    }

    /// Compares the answers for the next image, in the order of the images. `None` after the last one.
    ///
    /// # Errors
    ///
    /// If the differences cannot be kept in a temporary file.
    pub async fn next(&mut self) -> Result<Option<AddedImage<'_>>, ComparisonError> {
        if self.obstacle.is_some() {
            return Ok(None);
        }
        let Some((path, outputs)) = self.driver.next().await else {
            return Ok(None);
        };
        let (note, failures) = match outputs {
            Ok(outputs) => (outputs.note, self.add(path.clone(), outputs)?),
            Err(problem) => (None, self.accumulator.add_failed(path.clone(), problem)),
        };
        Ok(Some(AddedImage {
            path,
            note,
            failures,
        }))
    }

    /// Adds the answers for an image.
    fn add(&mut self, path: PathBuf, outputs: ImageOutputs) -> Result<&[Failure], ComparisonError> {
        let digests = self.driver.digests(&outputs, self.ready.first().copied());
        let recorded = match &mut self.recording {
            Some(recording) => self
                .accumulator
                .runs()
                .recorded_outputs(recording, &path, &digests),
            None => Ok(Vec::new()),
        };
        let mut all = match recorded {
            Ok(recorded) => recorded,
            Err(error) => return Ok(self.accumulator.add_failed(path, error.problem())),
        };
        let outputs = self.driver.outputs(outputs, &self.ready);
        self.record(&path, &digests, &outputs);
        all.extend(outputs);
        let image = AnsweredImage {
            digests,
            outputs: all,
        };
        Ok(self.accumulator.add(path, image)?)
    }

    /// Records an image. A disk that is full loses the recording, and nothing else.
    fn record(&mut self, path: &Path, digests: &ImageDigests, outputs: &[Result<Tensor, Problem>]) {
        let Some(Ok(recorder)) = &mut self.recorder else {
            return;
        };
        let outputs: Vec<Option<&Tensor>> = outputs.iter().map(|it| it.as_ref().ok()).collect();
        if let Err(error) = recorder.add(path, digests, &outputs) {
            self.recorder = Some(Err(error));
        }
    }

    /// Returns the report, and the output of the recording or the error that ended it, if there is a recording.
    ///
    /// Recorded images that were not given are a failure of the report. Whether answers depend on the image cannot be
    /// told from one image alone: each run gets an [artificial image](artificial_image) as well.
    ///
    /// # Errors
    ///
    /// If the differences cannot be read back.
    pub async fn finish(
        mut self,
    ) -> Result<(ComparisonReport, Option<Result<W, RecordingError>>), ComparisonError> {
        if self.accumulator.has_one_content() {
            for (place, output) in self.driver.infer(artificial_image()).await {
                let place = self.recorded + place;
                self.accumulator.add_variation(place, &output);
            }
        }
        let unused = self
            .recording
            .as_deref()
            .and_then(Recording::unused_problem);
        if let Some(problem) = unused.filter(|_| self.obstacle.is_none()) {
            self.accumulator.add_failure(problem);
        }
        let recorded = self
            .recorder
            .map(|recorder| recorder.and_then(Recorder::finish));
        Ok((self.accumulator.finish()?, recorded))
    }

    async fn complete(
        mut self,
    ) -> Result<(ComparisonReport, Option<Result<W, RecordingError>>), ComparisonError> {
        while self.next().await?.is_some() {}
        self.finish().await
    }
}
