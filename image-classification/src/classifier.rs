//! A backend with the preprocessing, the labels and the scores of its model.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backend_api::{InferBackend, ModelSource, NamedTensor};
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::{
    Feed, FeedOptions, FeedRun, FittedPreprocessing, ImageError, ImageOutputs, ImageSource,
    Interpretation, Labels, PreprocessOverrides, Ranked, ResolveError, ResolvedPreprocessing,
    Scores, ScoresError, take_next_answers,
};

/// Classifies images: from a file, its bytes or its pixels to the scores of the model's classes.
///
/// Clones share the backend and the decoding threads. No particular executor is needed.
///
/// ```
/// use image_classification::Classifier;
/// # use backend_api::{BackendInfo, Dim, ElementType, MockBackend, Tensor, TensorSpec};
/// # let directory = tempfile::tempdir()?;
/// # let model = directory.path().join("model.onnx");
/// # std::fs::write(&model, [8, 10, 58, 0])?;
/// # std::fs::write(directory.path().join("model.labels"), "cat\ndog\n")?;
/// # let spec = |name, dims: &[usize]| {
/// #     TensorSpec::new(name, ElementType::F32, dims.iter().copied().map(Dim::Fixed).collect())
/// # };
/// # let backend = MockBackend::builder()
/// #     .info(BackendInfo::new("mock", spec("input", &[1, 3, 8, 8]), spec("output", &[1, 2])))
/// #     .respond(|_, _| Tensor::new([1, 2], vec![0.25_f32, 0.75]))
/// #     .build()?;
/// # let bytes = [&b"P6 8 8 255\n"[..], &[255; 8 * 8 * 3]].concat();
/// # let mut lines = Vec::new();
///
/// // `backend` is any engine that has opened `model`, and `bytes` the file of an image.
/// let classifier = Classifier::discover(backend, &model)?;
/// let classification = classifier.classify_blocking(&bytes)?;
/// for class in classification.top(5) {
///     println!("{} {:.4}", class.label, class.score);
/// #   lines.push(format!("{} {:.4}", class.label, class.score));
/// }
/// # assert_eq!(lines, ["dog 0.7500", "cat 0.2500"]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Classifier {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    backend: Arc<dyn InferBackend>,
    feed: Feed,
    /// The preprocessing that the model and the files next to it state.
    fitted: FittedPreprocessing,
    /// Continues with the score rule, which the first outputs may have to decide.
    decided: OnceLock<FittedPreprocessing>,
    labels: Option<Arc<Labels>>,
}

/// The options of a [`Classifier`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ClassifierBuilder {
    backend: Arc<dyn InferBackend>,
    model: Option<ModelSource>,
    overrides: PreprocessOverrides,
    feed: FeedOptions,
    timeout: Option<Duration>,
}

impl ClassifierBuilder {
    /// Discovers the preprocessing and the labels in `model` and the files next to it. Without this, in the file of
    /// [`BackendInfo::model`](backend_api::BackendInfo::model); a backend without a file leaves all values to the
    /// [`overrides`](Self::overrides).
    pub fn model(mut self, model: impl Into<ModelSource>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Sets the values that override the model's: preprocessing, labels, the kind of scores.
    pub fn overrides(mut self, overrides: PreprocessOverrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// Sets the number of decoding threads and their memory.
    pub fn feed(mut self, options: FeedOptions) -> Self {
        self.feed = options;
        self
    }

    /// Sets the maximum time of an infer request: see [`FeedOptions::timeout`]. It replaces the one of
    /// [`feed`](Self::feed), whichever is called first. An image whose request takes longer fails with the code
    /// `deadline-exceeded`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use image_classification::Classifier;
    /// # use backend_api::{BackendInfo, Dim, ElementType, MockBackend, Tensor, TensorSpec};
    /// # let spec = |dims: &[usize]| {
    /// #     TensorSpec::new("x", ElementType::F32, dims.iter().copied().map(Dim::Fixed).collect())
    /// # };
    /// # let backend = MockBackend::builder()
    /// #     .info(BackendInfo::new("mock", spec(&[1, 3, 8, 8]), spec(&[1, 3])))
    /// #     .build()?;
    ///
    /// let classifier = Classifier::builder(backend)
    ///     .timeout(Duration::from_secs(5))
    ///     .build()?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Returns the classifier.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] for a source that cannot be used, and for values that do not fit the model.
    pub fn build(self) -> Result<Classifier, ResolveError> {
        let opened = || self.backend.info().model.clone().map(ModelSource::from);
        let resolved = match self.model.or_else(opened) {
            Some(model) => ResolvedPreprocessing::find(model, &self.overrides)?,
            None => ResolvedPreprocessing::from_overrides(&self.overrides)?,
        };
        let fitted = resolved.fit(self.backend.info())?;
        let run = FeedRun {
            backend: Arc::clone(&self.backend),
            preparation: fitted.preparation(None),
        };
        let labels = fitted.labels.as_ref();
        let labels = labels.map(|labels| Arc::new(labels.value.clone()));
        let mut feed = self.feed;
        feed.timeout = self.timeout.or(feed.timeout);
        let decided = OnceLock::new();
        if fitted.reading.is_some() {
            let _ = decided.set(fitted.clone());
        }
        Ok(Classifier {
            shared: Arc::new(Shared {
                backend: self.backend,
                feed: Feed::new(vec![run], feed),
                fitted,
                decided,
                labels,
            }),
        })
    }
}

impl Classifier {
    /// Returns a classifier with the preprocessing and the labels that `model` and the files next to it state.
    /// `backend` has opened the same model.
    ///
    /// # Errors
    ///
    /// The errors are those of [`ClassifierBuilder::build`].
    pub fn discover(
        backend: impl InferBackend,
        model: impl Into<ModelSource>,
    ) -> Result<Self, ResolveError> {
        Self::builder(backend).model(model).build()
    }

    /// Returns a builder, for programs that decide some values themselves.
    ///
    /// ```
    /// use image_classification::{Classifier, ColorOrder, PreprocessOverrides, ScoreKind};
    /// # use backend_api::{BackendInfo, Dim, ElementType, MockBackend, Tensor, TensorSpec};
    /// # let spec = |dims: &[usize]| {
    /// #     TensorSpec::new("x", ElementType::F32, dims.iter().copied().map(Dim::Fixed).collect())
    /// # };
    /// # let backend = MockBackend::builder()
    /// #     .info(BackendInfo::new("mock", spec(&[1, 3, 8, 8]), spec(&[1, 3])))
    /// #     .build()?;
    ///
    /// let classifier = Classifier::builder(backend)
    ///     .overrides(PreprocessOverrides {
    ///         color: Some(ColorOrder::Rgb),
    ///         mean: Some([123.675, 116.28, 103.53]),
    ///         scale: Some([58.395, 57.12, 57.375]),
    ///         resize: Some("crop:0.875".parse()?),
    ///         interpolation: Some("bicubic".parse()?),
    ///         scores: ScoreKind::Softmax,
    ///         ..PreprocessOverrides::default()
    ///     })
    ///     .build()?;
    /// assert!(classifier.preprocessing().resolved.assumed.is_empty());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(backend: impl InferBackend) -> ClassifierBuilder {
        ClassifierBuilder {
            backend: Arc::new(backend),
            model: None,
            overrides: PreprocessOverrides::default(),
            feed: FeedOptions::default(),
            timeout: None,
        }
    }

    /// Returns the backend.
    pub fn backend(&self) -> &dyn InferBackend {
        &*self.shared.backend
    }

    /// Returns the run of a [`Feed`], for programs that give images to several classifiers at a time.
    pub fn to_feed(&self) -> FeedRun {
        FeedRun {
            backend: Arc::clone(&self.shared.backend),
            preparation: self.shared.fitted.preparation(None),
        }
    }

    /// Returns the preprocessing, the labels and the score rule, each with its origin and with notes on
    /// unstated values.
    ///
    /// Some models do not state the kind of their outputs. The outputs of the first images that are given together
    /// decide it once, for all clones: at most [`FIRST_IMAGES`](FittedPreprocessing::FIRST_IMAGES) images in
    /// [`classify_all`](Self::classify_all), and one image in [`classify`](Self::classify) and
    /// [`classify_stream`](Self::classify_stream). [`FirstOutputs`](crate::FirstOutputs) defines which images count.
    /// After that this has a [`reading`](FittedPreprocessing::reading). More images make the decision safer: a program
    /// that classifies single images sets `scores`, or gives a few images to `classify_all` first.
    pub fn preprocessing(&self) -> &FittedPreprocessing {
        let decided = self.shared.decided.get();
        decided.unwrap_or(&self.shared.fitted)
    }

    /// Classifies an image: `&[u8]` and `Vec<u8>` are the bytes of a file, `&Path` and `PathBuf` name it, and an
    /// [`Image`](crate::Image) is decoded already.
    ///
    /// The image is decoded on a thread of the classifier. Dropping the future cancels the inference. Several images
    /// are faster with [`classify_all`](Self::classify_all), or with several of these futures at a time.
    ///
    /// # Errors
    ///
    /// [`ClassifyError`].
    pub fn classify<I>(
        &self,
        image: I,
    ) -> impl Future<Output = Result<Classification, ClassifyError>> + Send + use<I>
    where
        I: Into<ImageSource>,
    {
        let results = self.classify_all([image.into()]);
        async move {
            let mut results = pin!(results);
            results.next().await.expect("a result for each image")
        }
    }

    /// Classifies an image, as [`classify`](Self::classify) does, for a program without an executor.
    ///
    /// # Errors
    ///
    /// [`ClassifyError`].
    pub fn classify_blocking(
        &self,
        image: impl Into<ImageSource>,
    ) -> Result<Classification, ClassifyError> {
        futures_executor::block_on(self.classify(image))
    }

    /// Classifies images. The results have the order of the images, and an image that fails takes no other with it.
    ///
    /// A bounded number of images is in flight, enough to keep all decoding threads and infer requests busy. Images are
    /// taken from the iterator when the stream is polled. Dropping the stream cancels the in-flight images.
    ///
    /// ```
    /// # use backend_api::{BackendInfo, Dim, ElementType, MockBackend, Tensor, TensorSpec};
    /// # let spec = |dims: &[usize]| {
    /// #     TensorSpec::new("x", ElementType::F32, dims.iter().copied().map(Dim::Fixed).collect())
    /// # };
    /// # let backend = MockBackend::builder()
    /// #     .info(BackendInfo::new("mock", spec(&[1, 3, 8, 8]), spec(&[1, 3])))
    /// #     .respond(|_, _| Tensor::new([1, 3], vec![0.1_f32, 0.7, 0.2]))
    /// #     .build()?;
    /// # let classifier = image_classification::Classifier::builder(backend).build()?;
    /// # let directory = tempfile::tempdir()?;
    /// # let paths = [directory.path().join("a.ppm"), directory.path().join("none.ppm")];
    /// # std::fs::write(&paths[0], [&b"P6 8 8 255\n"[..], &[255; 8 * 8 * 3]].concat())?;
    /// # let mut seen = Vec::new();
    /// use futures_util::StreamExt as _;
    ///
    /// # futures_executor::block_on(async {
    /// let mut results = std::pin::pin!(classifier.classify_all(paths.clone()));
    /// for path in &paths {
    ///     match results.next().await.expect("a result for each image") {
    ///         Ok(classification) => println!("{path:?}: {:?}", classification.best()),
    ///         Err(error) => eprintln!("{path:?}: {error}"),
    ///     }
    /// }
    /// # seen.push(results.next().await.is_none());
    /// # });
    /// # assert_eq!(seen, [true]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn classify_all<I>(
        &self,
        images: I,
    ) -> impl Stream<Item = Result<Classification, ClassifyError>> + use<I>
    where
        I: IntoIterator<Item: Into<ImageSource>>,
    {
        self.classifications(stream::iter(images), FittedPreprocessing::FIRST_IMAGES)
    }

    /// Classifies the images of a stream as they come, as [`classify_all`](Self::classify_all) does.
    pub fn classify_stream<S>(
        &self,
        images: S,
    ) -> impl Stream<Item = Result<Classification, ClassifyError>> + use<S>
    where
        S: Stream<Item: Into<ImageSource>>,
    {
        self.classifications(images, 1)
    }

    /// Classifies images. If no source states the score rule, the first `deciding` outputs decide it.
    fn classifications<S>(
        &self,
        images: S,
        deciding: usize,
    ) -> impl Stream<Item = Result<Classification, ClassifyError>> + use<S>
    where
        S: Stream<Item: Into<ImageSource>>,
    {
        let images = images.map(|image| ((), image.into()));
        let answers = Box::pin(self.shared.feed.answers_of_stream(images));
        let state = (Arc::clone(&self.shared), answers, VecDeque::new());
        stream::unfold(
            state,
            move |(shared, mut answers, mut waiting)| async move {
                if waiting.is_empty() && shared.decided.get().is_none() {
                    // They decide together, before any of them is scored.
                    let mut fitted = shared.fitted.clone();
                    let mut runs = [&mut fitted];
                    let first = take_next_answers(&mut answers, &mut runs, deciding).await;
                    waiting.extend(first);
                    shared.decide(fitted);
                }
                let answer = match waiting.pop_front() {
                    Some(answer) => answer,
                    None => answers.next().await?,
                };
                let result = shared.classification(answer.result);
                Some((result, (shared, answers, waiting)))
            },
        )
    }

    /// Classifies images, as [`classify_all`](Self::classify_all) does, for a program without an executor.
    pub fn classify_all_blocking<I>(
        &self,
        images: I,
    ) -> impl Iterator<Item = Result<Classification, ClassifyError>> + use<I>
    where
        I: IntoIterator<Item: Into<ImageSource>>,
    {
        futures_executor::block_on_stream(Box::pin(self.classify_all(images)))
    }
}

impl Shared {
    /// Keeps the score rule, if the first outputs decided it.
    fn decide(&self, fitted: FittedPreprocessing) {
        if fitted.reading.is_some() {
            // Another thread may have decided before.
            let _ = self.decided.set(fitted);
        }
    }

    fn classification(
        &self,
        outputs: Result<ImageOutputs, ImageError>,
    ) -> Result<Classification, ClassifyError> {
        let output = outputs?.runs.swap_remove(0).map_err(ClassifyError::Infer)?;
        let fitted = self.decided.get().unwrap_or(&self.fitted);
        let reading = fitted.reading.as_ref();
        let interpretation = reading.map_or(Interpretation::RAW, |reading| reading.interpretation);
        Ok(Classification {
            scores: interpretation.scores(&output.tensor)?,
            extra: output.extra,
            labels: self.labels.clone(),
        })
    }
}

/// The scores of an image's classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    scores: Scores,
    extra: Vec<NamedTensor>,
    labels: Option<Arc<Labels>>,
}

impl Classification {
    /// Returns the `k` best classes, the best first; of equal scores the smaller id. Fewer if there are fewer.
    pub fn top(&self, k: usize) -> Vec<ScoredClass<'_>> {
        let ranked = self.scores.top(k).into_iter();
        let class = |ranked: Ranked| ScoredClass {
            id: ranked.class_id,
            label: match self.label(ranked.class_id) {
                Some(label) => label.into(),
                None => ranked.class_id.to_string().into(),
            },
            score: ranked.score,
        };
        ranked.map(class).collect()
    }

    /// Returns the best class. `None` only if a model that gives class ids gave none.
    pub fn best(&self) -> Option<ScoredClass<'_>> {
        self.top(1).pop()
    }

    /// Returns the scores of all classes, and their rule.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// Returns the backend's [`extra_outputs`](backend_api::BackendInfo::extra_outputs) for the image: features, maps.
    pub fn extra_outputs(&self) -> &[NamedTensor] {
        &self.extra
    }

    /// Returns the name of a class, if the model has one for it.
    pub fn label(&self, id: usize) -> Option<&str> {
        self.labels.as_ref()?.get(id)
    }
}

/// A class and its score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredClass<'a> {
    /// The place of the class in the model's output.
    pub id: usize,
    /// The name of the class, or its id where the model has no name for it.
    pub label: Cow<'a, str>,
    /// The score: a probability, unless [`Scores::scoring`] is another rule.
    pub score: f32,
}

/// The reason why an image has no classes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassifyError {
    /// The image cannot be prepared.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The engine failed. The images of one request share the error.
    #[error(transparent)]
    Infer(Arc<backend_api::Error>),
    /// The output has no scores.
    #[error(transparent)]
    Scores(#[from] ScoresError),
}

impl ClassifyError {
    /// Returns a stable name for reports, in kebab case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Image(error) => error.code(),
            Self::Infer(error) => error.kind().as_str(),
            Self::Scores(error) => error.code(),
        }
    }

    /// Returns the next step for the user, if one is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Image(error) => error.hint(),
            Self::Infer(error) => error.hint(),
            Self::Scores(error) => Some(error.hint()),
        }
    }
}

#[cfg(test)]
mod tests;
