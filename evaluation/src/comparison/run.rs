//! Comparisons of classifiers.

use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures_util::stream::{self, StreamExt as _};
use image_classification::{Classifier, Digests, Feed, FeedOptions, ImageOutputs, ScoreKind};

use super::accumulator::{AnsweredImage, ComparisonAccumulator};
use super::error::ComparisonError;
use super::report::ComparisonReport;
use super::runs::ComparedRuns;
use crate::agreement::Tolerance;
use crate::classifiers::{
    ClassifierRuns, NamedImage, artificial_image, image_digests, run_outputs,
};
use crate::failure::Problem;
use crate::recording::{Recorder, Recording, RecordingError};

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
    runs: ClassifierRuns,
    tolerance: Option<Tolerance>,
    top: usize,
    feed: FeedOptions,
}

impl Comparison {
    /// A comparison of `candidates` with `reference`.
    pub fn new(reference: Classifier, candidates: impl IntoIterator<Item = Classifier>) -> Self {
        Self {
            runs: ClassifierRuns::new(std::iter::once(reference).chain(candidates)),
            tolerance: None,
            top: 10,
            feed: FeedOptions::default(),
        }
    }

    /// Sets the limits of differences. Default: the limits of the coarsest precision in which a classifier
    /// computes or its model holds its weights.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Tolerance) -> Self {
        self.tolerance = Some(tolerance);
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
        self.feed = options;
        self
    }

    /// Compares the answers for `images`. An image that fails is a failure of the result; the others are compared.
    ///
    /// # Errors
    ///
    /// If the files of a model cannot be read, or the differences cannot be kept in a temporary file.
    pub async fn run<I>(&self, images: I) -> Result<ComparisonReport, ComparisonError>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        let (report, _) = self.drive(images, NOTHING_RECORDED, NO_OUTPUT).await?;
        Ok(report)
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

    /// Compares the answers for `images`, and writes the recording of the compared classifiers to `out`. Returns the
    /// report, and
    /// `out` or the error that ended the recording. The report is complete in either case.
    ///
    /// # Errors
    ///
    /// The errors of [`run`](Self::run).
    pub async fn record<I, W: Write>(
        &self,
        images: I,
        out: W,
    ) -> Result<(ComparisonReport, Result<W, RecordingError>), ComparisonError>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        let (report, recorded) = self.drive(images, NOTHING_RECORDED, Some(out)).await?;
        Ok((report, recorded.expect("`out` was given")))
    }

    /// Compares the answers for `images` with recorded ones. The first recorded run is the reference.
    ///
    /// # Errors
    ///
    /// The errors of [`run`](Self::run).
    pub async fn run_against<I, R: Read + Seek>(
        &self,
        recording: &mut Recording<R>,
        images: I,
    ) -> Result<ComparisonReport, ComparisonError>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        let (report, _) = self.drive(images, Some(recording), NO_OUTPUT).await?;
        Ok(report)
    }

    async fn drive<I, R: Read + Seek, W: Write>(
        &self,
        images: I,
        mut recording: Option<&mut Recording<R>>,
        out: Option<W>,
    ) -> Result<(ComparisonReport, Option<Result<W, RecordingError>>), ComparisonError>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        let digests = Digests {
            file: true,
            tensor: true,
            pixels: recording.is_some() || out.is_some(),
        };
        let feed = self.runs.feed(self.feed.clone(), digests);
        let inputs = images.into_iter().map(|image| {
            let NamedImage { name, source } = image.into();
            (name, source)
        });
        let mut answers = pin!(feed.answers(inputs));
        let (entries, first) = self.runs.describe(&mut answers).await?;
        let mut answers = stream::iter(first).chain(answers);
        let mut accumulator = self.accumulator(entries, recording.as_deref())?;
        let infos = accumulator.runs().entries().iter();
        let infos = infos.filter_map(|entry| entry.info.clone().ok()).collect();
        let mut recorder = out.map(|out| Recorder::start(out, infos));
        while let Some(answer) = answers.next().await {
            let path = answer.input;
            match answer.result {
                Ok(outputs) => {
                    if let Some(Ok(open)) = &mut recorder
                        && let Err(error) = record(open, accumulator.runs(), &path, &outputs)
                    {
                        recorder = Some(Err(error));
                    }
                    add(&mut accumulator, recording.as_deref_mut(), path, outputs)?;
                }
                Err(error) => accumulator.add_failed(path, Problem::from(&error)),
            }
        }
        self.add_variations(&mut accumulator, &feed).await;
        if let Some(problem) = recording.as_deref().and_then(Recording::unused_problem) {
            accumulator.add_failure(problem);
        }
        let recorded = recorder.map(|recorder| recorder.and_then(Recorder::finish));
        Ok((accumulator.finish()?, recorded))
    }

    fn accumulator<R: Read + Seek>(
        &self,
        entries: Vec<crate::provenance::RunEntry>,
        recording: Option<&Recording<R>>,
    ) -> Result<ComparisonAccumulator, ComparisonError> {
        let mut all =
            recording.map_or_else(Vec::new, |recording| recording.entries(ScoreKind::Auto));
        all.extend(entries);
        let runs = ComparedRuns::new(all, None)?;
        let (default, by) = runs.default_tolerance();
        let (tolerance, by) = match self.tolerance {
            Some(tolerance) => (tolerance, "the caller".to_owned()),
            None => (Tolerance::named(default), by),
        };
        Ok(ComparisonAccumulator::new(runs, tolerance, by, self.top))
    }

    /// Adds each classifier's answer for an artificial image to what is known of how answers vary, if there is one image
    /// alone.
    async fn add_variations(&self, accumulator: &mut ComparisonAccumulator, feed: &Feed) {
        if !accumulator.has_one_content() {
            return;
        }
        let image = [(PathBuf::new(), artificial_image().into())];
        let mut answers = pin!(feed.answers(image));
        let Some(Ok(outputs)) = answers.next().await.map(|answer| answer.result) else {
            return;
        };
        for (run, output) in classifier_outputs(accumulator, outputs) {
            if let Ok(output) = output {
                accumulator.add_variation(run, &output);
            }
        }
    }
}

const NOTHING_RECORDED: Option<&mut Recording<io::Empty>> = None;
const NO_OUTPUT: Option<io::Sink> = None;

/// Records the answers of the compared classifiers for an image.
fn record<W: Write>(
    recorder: &mut Recorder<W>,
    runs: &ComparedRuns,
    path: &Path,
    outputs: &ImageOutputs,
) -> Result<(), RecordingError> {
    let tensors = runs.ready().map(|place| {
        let output = outputs.runs[place].as_ref();
        output.ok().map(|output| &output.tensor)
    });
    recorder.add(path, &image_digests(outputs), &tensors.collect::<Vec<_>>())
}

/// Adds the answers for an image.
fn add<R: Read + Seek>(
    accumulator: &mut ComparisonAccumulator,
    recording: Option<&mut Recording<R>>,
    path: PathBuf,
    outputs: ImageOutputs,
) -> Result<(), ComparisonError> {
    let digests = image_digests(&outputs);
    let recorded = match recording {
        Some(recording) => accumulator.runs().recorded_outputs(recording, &digests),
        None => Ok(Vec::new()),
    };
    match recorded {
        Ok(mut all) => {
            let classifiers = classifier_outputs(accumulator, outputs);
            all.extend(classifiers.into_iter().map(|(_, output)| output));
            let image = AnsweredImage {
                digests,
                outputs: all,
            };
            accumulator.add(path, image)?;
        }
        Err(error) => accumulator.add_failed(path, error.problem()),
    }
    Ok(())
}

/// The outputs of the classifiers that are compared, with their places among all runs: behind the recorded ones.
fn classifier_outputs(
    accumulator: &ComparisonAccumulator,
    outputs: ImageOutputs,
) -> Vec<(usize, Result<backend_api::Tensor, Problem>)> {
    let runs = accumulator.runs();
    let recorded = runs.entries().len() - outputs.runs.len();
    let outputs = run_outputs(outputs).into_iter().enumerate();
    let outputs = outputs.map(|(place, output)| (recorded + place, output));
    outputs
        .filter(|(place, _)| runs.entries()[*place].info.is_ok())
        .collect()
}
