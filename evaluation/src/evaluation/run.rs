//! Evaluations of classifiers.

use std::pin::pin;

use futures_util::stream::{self, StreamExt as _};
use image_classification::{Classifier, Digests, FeedOptions};

use super::accumulator::{EvaluationAccumulator, EvaluationOptions};
use super::error::EvaluationError;
use super::report::EvaluationReport;
use crate::accuracy::GroundTruth;
use crate::classifiers::{ClassifierRuns, NamedImage, image_digests, run_outputs};
use crate::failure::Problem;

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
    runs: ClassifierRuns,
    truth: GroundTruth,
    options: EvaluationOptions,
    feed: FeedOptions,
}

impl Evaluation {
    /// An evaluation of `classifiers` by `truth`. The first is the reference, unless the options name another.
    pub fn new(classifiers: impl IntoIterator<Item = Classifier>, truth: GroundTruth) -> Self {
        Self {
            runs: ClassifierRuns::new(classifiers),
            truth,
            options: EvaluationOptions::default(),
            feed: FeedOptions::default(),
        }
    }

    /// Sets the options: the limits, the values of K, the threshold.
    #[must_use]
    pub fn options(mut self, options: EvaluationOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the number of decoding threads and their memory.
    #[must_use]
    pub fn feed(mut self, options: FeedOptions) -> Self {
        self.feed = options;
        self
    }

    /// Judges the answers for `images`, whose names the ground truth mentions. An image that fails is a failure of the
    /// result; the others are judged.
    ///
    /// # Errors
    ///
    /// If the files of a model cannot be read, or no classifier has the name of the reference.
    pub async fn run<I>(self, images: I) -> Result<EvaluationReport, EvaluationError>
    where
        I: IntoIterator<Item: Into<NamedImage>>,
    {
        let digests = Digests {
            file: true,
            tensor: true,
            pixels: false,
        };
        let feed = self.runs.feed(self.feed, digests);
        let inputs = images.into_iter().map(|image| {
            let NamedImage { name, source } = image.into();
            (name, source)
        });
        let mut answers = pin!(feed.answers(inputs));
        let (entries, first) = self.runs.describe(&mut answers).await?;
        let mut answers = stream::iter(first).chain(answers);
        let mut accumulator = EvaluationAccumulator::new(entries, self.truth, self.options, &[])?;
        while let Some(answer) = answers.next().await {
            match answer.result {
                Ok(outputs) => {
                    let file = image_digests(&outputs).file;
                    let mut outputs: Vec<_> = run_outputs(outputs).into_iter().map(Some).collect();
                    let ready = accumulator.ready().map(|place| outputs[place].take());
                    let ready = ready.flatten().collect();
                    accumulator.add(answer.input, file, ready);
                }
                Err(error) => {
                    accumulator.add_failed(answer.input, Problem::from(&error));
                }
            }
        }
        Ok(accumulator.finish())
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
}
