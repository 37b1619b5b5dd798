//! The same images through 1 or more runs: a bounded stream of answers in the order of the inputs.

mod few;
mod options;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backend_api::{
    CallerSpan, Error, ErrorKind, InferBackend, InferOutput, InferRequest, NamedTensor, Tensor,
};
use futures_util::stream::{self, Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use smallvec::smallvec;

use self::few::{Chunks, Few, join_few};
use crate::preparation::{ImageBuffers, ImageError, ImageFile, ImageSource, Preparation};
use crate::threads::{DecodingThreads, JobError, Place};
use crate::{Decoder, ImageMemory, ImageNote};

pub use self::options::{Digests, FeedOptions};

/// Feeds images to runs, several images and requests at a time.
///
/// Threads of the feed read, decode and preprocess images; the runs infer the tensors. Runs with the same
/// [`Preparation`] share one tensor. A run whose preparation has a batch takes that many consecutive images in one
/// request. The number of images in flight is bounded, so memory does not grow with the number of images, and
/// buffers are used again. An image that fails takes no other with it.
///
/// The streams need no particular executor. Dropping one cancels its unanswered images.
///
/// ```
/// use std::sync::Arc;
/// use backend_api::{BackendInfo, Dim, ElementType, MockBackend, Tensor, TensorSpec};
/// use image_classification::{
///     ColorOrder, Feed, FeedOptions, FeedRun, Image, PreprocessOverrides, ResolvedPreprocessing,
/// };
///
/// let input = TensorSpec::new("input", ElementType::F32, [1, 3, 8, 8].map(Dim::Fixed).into());
/// let output = TensorSpec::new("output", ElementType::F32, [1, 3].map(Dim::Fixed).into());
/// let info = BackendInfo::new("mock", input, output);
/// let overrides = PreprocessOverrides {
///     color: Some(ColorOrder::Rgb),
///     scale: Some([255.0; 3]),
///     ..PreprocessOverrides::default()
/// };
/// // `ResolvedPreprocessing::find` reads the model and the files next to it.
/// let fitted = ResolvedPreprocessing::from_overrides(&overrides)?.fit(&info)?;
/// let backend = MockBackend::builder()
///     .info(info)
///     .respond(|_, _| Tensor::new([1, 3], vec![0.1_f32, 0.7, 0.2]))
///     .build()?;
/// let run = FeedRun { backend: Arc::new(backend), preparation: fitted.preparation(None) };
/// let feed = Feed::new(vec![run], FeedOptions::default());
/// let grey = Image::from_rgb(4, 4, vec![127; 48]).ok_or("48 bytes")?;
/// for answer in feed.blocking_answers([("grey", grey.into())]) {
///     let output = answer.result?.runs.remove(0)?;
///     assert_eq!(output.tensor.as_slice(), Some(&[0.1_f32, 0.7, 0.2][..]));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Feed {
    shared: Arc<Shared>,
}

/// A backend and the tensors that it takes.
#[derive(Debug, Clone)]
pub struct FeedRun {
    /// The backend.
    pub backend: Arc<dyn InferBackend>,
    /// The way from an image to the tensor.
    pub preparation: Preparation,
}

/// The SHA-256 digests of an image, those that [`Digests`] asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputDigests {
    /// The bytes of the file. An image that was given decoded has the digest of its size and its pixels.
    pub file: Option<[u8; 32]>,
    /// The tensor of each run, for this image alone.
    pub tensors: Vec<[u8; 32]>,
    /// The resized pixels of the first run, before values and layout: the same for models that take them in different
    /// forms.
    pub pixels: Option<[u8; 32]>,
}

/// A SHA-256.
type Sha = [u8; 32];

/// The answers for an input.
#[derive(Debug)]
pub struct Answer<T> {
    /// The caller's name for the input.
    pub input: T,
    /// The outputs, or the reason why the image has none.
    pub result: Result<ImageOutputs, ImageError>,
}

/// The outputs of all runs for one image.
#[derive(Debug)]
pub struct ImageOutputs {
    /// The digests that the options ask for.
    pub digests: InputDigests,
    /// The time for reading, decoding and preprocessing.
    pub prepare: Duration,
    /// The remark on the image that its user should know.
    pub note: Option<ImageNote>,
    /// The output of each run, in their order. Images of one request share its error.
    pub runs: Vec<Result<RunOutput, Arc<Error>>>,
}

/// The output of one run for one image.
#[derive(Debug)]
pub struct RunOutput {
    /// The output that holds the scores, of this image alone.
    pub tensor: Tensor,
    /// The backend's [`extra_outputs`](backend_api::BackendInfo::extra_outputs), of this image alone.
    pub extra: Vec<NamedTensor>,
    /// The time from submitting the request to its result; waiting for a slot is part of it.
    pub infer: Duration,
}

impl Feed {
    /// Returns a feed for `runs`. Its threads start when there are images.
    pub fn new(runs: Vec<FeedRun>, options: FeedOptions) -> Self {
        let FeedOptions {
            jobs,
            memory,
            decoder,
            digests,
            timeout,
        } = options;
        let jobs = jobs.max(1);
        let mut run_groups: Vec<RunGroup> = Vec::new();
        for (index, run) in runs.iter().enumerate() {
            let same = |run_group: &&mut RunGroup| run_group.preparation == run.preparation;
            match run_groups.iter_mut().find(same) {
                Some(run_group) => run_group.runs.push(index),
                None => run_groups.push(RunGroup::new(run.preparation, index)),
            }
        }
        let group = run_groups.iter().map(RunGroup::batch).max().unwrap_or(1);
        // Enough images in flight to keep every slot and every decoding thread busy.
        let groups = |run: &FeedRun| {
            let requests = group.div_ceil(run.preparation.batch.max(1));
            run.backend.info().slots.div_ceil(requests)
        };
        let slots = runs.iter().map(groups).max().unwrap_or(1);
        Self {
            shared: Arc::new(Shared {
                window: slots + (2 * jobs).div_ceil(group),
                group,
                preparations: run_groups
                    .iter()
                    .map(|run_group| run_group.preparation)
                    .collect(),
                run_groups,
                runs,
                memory,
                decoder,
                digests,
                timeout,
                buffers: Spares::default(),
                threads: DecodingThreads::new(jobs),
            }),
        }
    }

    /// Returns the answers for `inputs`, in their order. Each input is the caller's name for it and the image.
    ///
    /// Inputs are taken from the iterator only as far as they are needed, when the stream is polled.
    pub fn answers<T, I>(&self, inputs: I) -> impl Stream<Item = Answer<T>> + use<T, I>
    where
        I: IntoIterator<Item = (T, ImageSource)>,
    {
        self.answers_of_stream(stream::iter(inputs))
    }

    /// Returns the answers for a stream of `inputs`, as [`answers`](Self::answers) does. A batch does not wait for
    /// inputs that are not there yet.
    pub fn answers_of_stream<T, S>(&self, inputs: S) -> impl Stream<Item = Answer<T>> + use<T, S>
    where
        S: Stream<Item = (T, ImageSource)>,
    {
        let shared = Arc::clone(&self.shared);
        let (group, window) = (shared.group, shared.window);
        inputs
            .ready_chunks(group)
            .map(move |group| Arc::clone(&shared).answer(group))
            .buffered(window)
            .flat_map(stream::iter)
    }

    /// Returns the answers for `inputs` to a program without an executor, as [`answers`](Self::answers) does.
    pub fn blocking_answers<T, I>(&self, inputs: I) -> impl Iterator<Item = Answer<T>> + use<T, I>
    where
        I: IntoIterator<Item = (T, ImageSource)>,
    {
        futures_executor::block_on_stream(Box::pin(self.answers(inputs)))
    }
}

/// Values for reuse: at most as many as were in flight at a time.
struct Spares<T>(Mutex<Vec<T>>);

impl<T> Spares<T> {
    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, values: impl IntoIterator<Item = T>) {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.extend(values);
    }
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// The runs that share a preparation, and so take the same tensors.
struct RunGroup {
    preparation: Preparation,
    /// The indices of the runs.
    runs: Vec<usize>,
    /// Tensors of single images.
    images: Spares<Tensor>,
    /// Tensors of batches.
    batches: Spares<Tensor>,
}

impl RunGroup {
    fn new(preparation: Preparation, run: usize) -> Self {
        Self {
            preparation,
            runs: vec![run],
            images: Spares::default(),
            batches: Spares::default(),
        }
    }

    fn batch(&self) -> usize {
        self.preparation.batch.max(1)
    }

    /// Returns the spare tensors for requests.
    fn requests(&self) -> &Spares<Tensor> {
        if self.batch() == 1 {
            &self.images
        } else {
            &self.batches
        }
    }

    /// An engine that writes into its input would give the others another image.
    fn is_shared(&self) -> bool {
        self.runs.len() > 1
    }
}

struct Shared {
    runs: Vec<FeedRun>,
    run_groups: Vec<RunGroup>,
    /// The preparations of `run_groups`, in the same order.
    preparations: Vec<Preparation>,
    /// The number of images that are answered together: the largest batch.
    group: usize,
    /// The number of groups in flight.
    window: usize,
    memory: ImageMemory,
    decoder: Decoder,
    digests: Digests,
    timeout: Option<Duration>,
    buffers: Spares<ImageBuffers>,
    threads: DecodingThreads,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("runs", &self.runs)
            .field("window", &self.window)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// An image whose tensors are ready.
struct Prepared {
    /// One for each run group.
    tensors: Few<HashedTensor>,
    digests: InputDigests,
    elapsed: Duration,
    note: Option<ImageNote>,
}

/// A tensor, with its digest if that is requested or compared afterwards.
struct HashedTensor {
    tensor: Tensor,
    digest: Option<Sha>,
}

/// The output of a run for an image. The images of a request share its error.
type RunResult = Result<RunOutput, Arc<Error>>;

impl Shared {
    async fn answer<T>(self: Arc<Self>, mut group: Vec<(T, ImageSource)>) -> Few<Answer<T>> {
        match group.pop() {
            Some((input, source)) if group.is_empty() => {
                let result = self.answer_one(source).await;
                smallvec![Answer { input, result }]
            }
            last => {
                let (inputs, sources): (Vec<T>, Vec<ImageSource>) =
                    group.into_iter().chain(last).unzip();
                let prepared = sources.into_iter().map(|source| self.prepare(source));
                let results = self.infer_all(join_few(prepared).await).await;
                let answer = |(input, result)| Answer { input, result };
                inputs.into_iter().zip(results).map(answer).collect()
            }
        }
    }

    /// Prepares and infers an image that is a group of its own. The thread that prepares it submits the request, if a
    /// slot is free. So the thread that awaits the answers is woken only for the outputs.
    async fn answer_one(self: &Arc<Self>, source: ImageSource) -> Result<ImageOutputs, ImageError> {
        if let ImageSource::Failed(error) = source {
            return Err(ImageError::Source(error));
        }
        let shared = Arc::clone(self);
        let span = CallerSpan::current();
        let work = move || {
            let prepared = shared.prepare_here(source);
            let infer = async move { shared.infer_all(smallvec![prepared]).await.swap_remove(0) };
            span.surround(infer)
        };
        let answered = self.threads.begin(Place::Last, work).await;
        answered.unwrap_or_else(|error| Err(not_prepared(error)))
    }

    /// Returns the outputs for the images of a group, or their errors.
    async fn infer_all(
        self: &Arc<Self>,
        prepared: Few<Result<Prepared, ImageError>>,
    ) -> Few<Result<ImageOutputs, ImageError>> {
        let mut tensors: Few<Few<HashedTensor>> =
            self.run_groups.iter().map(|_| Few::new()).collect();
        let mut results: Few<Result<ImageOutputs, ImageError>> = Few::new();
        for prepared in prepared {
            results.push(prepared.map(|prepared| {
                for (all, tensor) in tensors.iter_mut().zip(prepared.tensors) {
                    all.push(tensor);
                }
                ImageOutputs {
                    digests: prepared.digests,
                    prepare: prepared.elapsed,
                    note: prepared.note,
                    runs: Vec::with_capacity(self.runs.len()),
                }
            }));
        }
        let mut requests: Few<(usize, Few<HashedTensor>)> = Few::new();
        for (run_group, tensors) in tensors.into_iter().enumerate() {
            let chunks = Chunks {
                values: tensors.into_iter(),
                size: self.run_groups[run_group].batch(),
            };
            requests.extend(chunks.map(|images| (run_group, images)));
        }
        let requests = requests
            .into_iter()
            .map(|(run_group, images)| self.infer(run_group, images));
        // The results of each run, in the order of the images.
        let mut of_runs: Few<Few<RunResult>> = self.runs.iter().map(|_| Few::new()).collect();
        for (run, of_images) in join_few(requests).await.into_iter().flatten() {
            of_runs[run].extend(of_images);
        }
        for of_images in of_runs {
            let mut of_images = of_images.into_iter();
            for outputs in results.iter_mut().flatten() {
                let result = of_images.next();
                outputs
                    .runs
                    .push(result.expect("each run answers each ready image"));
            }
        }
        results
    }

    async fn prepare(self: &Arc<Self>, source: ImageSource) -> Result<Prepared, ImageError> {
        if let ImageSource::Failed(error) = source {
            return Err(ImageError::Source(error));
        }
        let shared = Arc::clone(self);
        let work = move || shared.prepare_here(source);
        let prepared = self.threads.run(Place::Last, work).await;
        prepared.unwrap_or_else(|error| Err(not_prepared(error)))
    }

    /// Prepares an image on this thread.
    fn prepare_here(&self, source: ImageSource) -> Result<Prepared, ImageError> {
        let start = Instant::now();
        let buffers = self.buffers.take().unwrap_or_default();
        let mut file = ImageFile::read(
            source,
            &self.preparations,
            &self.memory,
            &self.decoder,
            buffers,
        )?;
        let mut tensors = Few::new();
        let mut note = None;
        for run_group in &self.run_groups {
            let image = file.image(&run_group.preparation)?;
            note = image.note();
            let tensor = run_group
                .preparation
                .single_image_tensor(run_group.images.take(), image)?;
            let is_compared = run_group.is_shared() && run_group.batch() == 1;
            let digest = (self.digests.tensors || is_compared).then(|| sha256(&tensor));
            tensors.push(HashedTensor { tensor, digest });
        }
        let digests = self.digests(&mut file, &tensors)?;
        self.buffers.put([file.into_buffers()]);
        Ok(Prepared {
            tensors,
            digests,
            elapsed: start.elapsed(),
            note,
        })
    }

    /// Returns the digests that are wanted.
    fn digests(
        &self,
        file: &mut ImageFile,
        tensors: &[HashedTensor],
    ) -> Result<InputDigests, ImageError> {
        let wanted = self.digests;
        let mut found = InputDigests::default();
        if wanted.file {
            found.file = Some(file_digest(file)?);
        }
        if wanted.tensors {
            let group_of = |run| {
                let mut groups = self.run_groups.iter();
                groups.position(|group| group.runs.contains(&run))
            };
            let groups = (0..self.runs.len()).filter_map(group_of);
            found.tensors = groups.filter_map(|group| tensors[group].digest).collect();
        }
        if let Some(first) = self.preparations.first().filter(|_| wanted.pixels) {
            found.pixels = Some(sha256(&first.pixels(file.image(first)?)?));
        }
        Ok(found)
    }

    /// Returns the results of each run of a group for the images of a request, with the index of the run.
    async fn infer(
        self: &Arc<Self>,
        run_group: usize,
        images: Few<HashedTensor>,
    ) -> Few<(usize, Few<RunResult>)> {
        let count = images.len();
        let outputs = self.request(run_group, images).await;
        let runs = self.run_groups[run_group].runs.iter().copied();
        let failed = |error: &Arc<Error>| (0..count).map(|_| Err(Arc::clone(error))).collect();
        match outputs {
            Ok(outputs) => {
                let results = outputs.into_iter().map(|outputs| match outputs {
                    // The places behind the images are filled up.
                    Ok(outputs) => outputs.into_iter().take(count).map(Ok).collect(),
                    Err(error) => failed(&error),
                });
                runs.zip(results).collect()
            }
            Err(error) => {
                let error = Arc::new(error);
                runs.map(|run| (run, failed(&error))).collect()
            }
        }
    }

    /// Returns the outputs of each run of a group for a request of `images`.
    async fn request(
        self: &Arc<Self>,
        run_group: usize,
        images: Few<HashedTensor>,
    ) -> Result<Few<Outputs>, Error> {
        let HashedTensor { tensor, digest } = self.join(run_group, images).await?;
        let tensor = Arc::new(tensor);
        let run_group = &self.run_groups[run_group];
        let outputs = run_group.runs.iter().map(|run| {
            let mut request = InferRequest::new(0, Arc::clone(&tensor));
            if let Some(timeout) = self.timeout {
                request = request.with_timeout(timeout);
            }
            infer_one(&*self.runs[*run].backend, run_group.batch(), request)
        });
        let outputs = join_few(outputs).await;
        if run_group.is_shared() {
            self.check_unchanged(&tensor, digest).await?;
        }
        // The backends have let go of it: rule 1 of the contract. After a timeout, an engine may still have it.
        run_group.requests().put(Arc::into_inner(tensor));
        Ok(outputs)
    }

    /// Returns the tensor of a request. The last batch, or one with bad images, is filled up with its first image.
    async fn join(
        self: &Arc<Self>,
        run_group: usize,
        mut images: Few<HashedTensor>,
    ) -> Result<HashedTensor, Error> {
        if self.run_groups[run_group].batch() == 1 {
            return Ok(images.swap_remove(0));
        }
        let shared = Arc::clone(self);
        // Megabytes are copied: not on the thread that hands the requests out.
        let join = move || {
            let run_group = &shared.run_groups[run_group];
            let tensors = images.iter().map(|image| &image.tensor);
            let first = std::iter::repeat(&images[0].tensor);
            let parts: Vec<&Tensor> = tensors.chain(first).take(run_group.batch()).collect();
            let tensor = Tensor::concat_in(run_group.batches.take(), &parts)?;
            run_group
                .images
                .put(images.into_iter().map(|image| image.tensor));
            let digest = run_group.is_shared().then(|| sha256(&tensor));
            Ok(HashedTensor { tensor, digest })
        };
        let joined = self.threads.run(Place::First, join).await;
        joined.unwrap_or_else(|error| Err(defect("joining the images to a batch failed", error)))
    }

    /// Checks that no engine wrote into its input, which would have given the others another image.
    async fn check_unchanged(
        &self,
        tensor: &Arc<Tensor>,
        digest: Option<Sha>,
    ) -> Result<(), Error> {
        let tensor = Arc::clone(tensor);
        let hash = self
            .threads
            .run(Place::First, move || sha256(&tensor))
            .await;
        let hash = hash.map_err(|error| defect("checking the tensor failed", error))?;
        if Some(hash) == digest {
            return Ok(());
        }
        let message = "the tensor was changed while the engines read it; this is a defect";
        Err(Error::new(ErrorKind::InferenceFailed, message))
    }
}

/// The outputs of a run for the images of a request, or the error that they share.
type Outputs = Result<Few<RunOutput>, Arc<Error>>;

/// Submits a request and waits for its outputs, one for each place of the batch.
async fn infer_one(backend: &dyn InferBackend, batch: usize, request: InferRequest) -> Outputs {
    let start = Instant::now();
    let outputs = async {
        let output = backend.submit(request).await?.await?;
        split(output, batch, start)
    };
    outputs.await.map_err(Arc::new)
}

/// Returns the outputs of each image of a batch, for a request that was submitted at `start`.
fn split(output: InferOutput, batch: usize, start: Instant) -> Result<Few<RunOutput>, Error> {
    let InferOutput { tensor, extra, .. } = output;
    if batch == 1 {
        let infer = start.elapsed();
        return Ok(smallvec![RunOutput {
            tensor,
            extra,
            infer,
        }]);
    }
    let parts = |name: &str, tensor: &Tensor| {
        let shape = tensor.shape();
        if shape.first() == Some(&batch) {
            return tensor.split();
        }
        Err(Error::new(
            ErrorKind::ModelUnsupported,
            format!("the model's output {name}{shape:?} has no part for each image of a batch of {batch}"),
        )
        .with_hint("use `batch = 1`"))
    };
    let scores = parts("", &tensor)?;
    let mut extra_of: Vec<Vec<NamedTensor>> = scores.iter().map(|_| Vec::new()).collect();
    for NamedTensor { name, tensor } in extra {
        let parts = parts(&format!("{name:?} "), &tensor)?;
        for (of_image, tensor) in extra_of.iter_mut().zip(parts) {
            of_image.push(NamedTensor {
                name: name.clone(),
                tensor,
            });
        }
    }
    let infer = start.elapsed();
    let outputs = scores.into_iter().zip(extra_of);
    let output = |(tensor, extra)| RunOutput {
        tensor,
        extra,
        infer,
    };
    Ok(outputs.map(output).collect())
}

fn not_prepared(error: JobError) -> ImageError {
    match error {
        JobError::Panicked => ImageError::Panicked,
        JobError::NoThread(error) => ImageError::Threads(error),
    }
}

fn defect(message: &str, error: JobError) -> Error {
    match error {
        JobError::Panicked => {
            Error::new(ErrorKind::Panicked, message).with_hint("report this as a defect")
        }
        JobError::NoThread(error) => {
            Error::new(ErrorKind::ResourceExhausted, message).with_source(error)
        }
    }
}

/// Returns the digest of an image's file, or of its size and pixels if it was given decoded.
fn file_digest(file: &mut ImageFile) -> Result<Sha, ImageError> {
    if !file.bytes().is_empty() {
        return Ok(Sha256::digest(file.bytes()).into());
    }
    let image = file.whole()?;
    let size = [image.width(), image.height()].map(u32::to_le_bytes);
    let pixels = Sha256::new().chain_update(size.concat());
    Ok(pixels.chain_update(image.rgb()).finalize().into())
}

fn sha256(tensor: &Tensor) -> Sha {
    Sha256::digest(tensor.as_bytes()).into()
}

#[cfg(test)]
mod tests;
