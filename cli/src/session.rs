//! Open runs, and the images that they answer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use anyhow::Error;
use backend_api::{BackendInfo, ErrorKind, InferBackend};
use bytesize::ByteSize;
use futures_executor::{block_on, block_on_stream};
use futures_util::future::poll_fn;
use futures_util::stream::{self, Stream, StreamExt as _};
use image_classification::{
    Answer, Decoder, Feed, FeedOptions, FeedRun, FittedPreprocessing, ImageError, ImageNote,
    ImageOutputs, ImageSource, Note, OutputReading, Preparation, take_next_answers,
};

use crate::engines;
use crate::errors::{self, Hinted, UnusableInput};
use crate::fields::{self, with_run_parts};
use crate::file_state::{ModelState, check_unchanged};
use crate::image_decoder;
use crate::image_memory;
use crate::inputs::Input;
use crate::interrupt;
use crate::isolated;
use crate::options::{EngineOptions, RunsOptions};
use crate::resolve::Resolver;
use crate::terminal::Messages;
use evaluation::text::printable;
use evaluation::{AddedImage, MOST_RUNS, Problem, Run, run_names};

/// The number of times that the thread lets others run before it sleeps until the next answer. Sleeping and waking take
/// longer than a small model.
const YIELDS: u32 = 8;

/// A run that is open.
pub struct OpenRun {
    /// The run as the user wrote it, with a number if another run has the same text.
    pub name: String,
    pub model: PathBuf,
    /// The local model, with its state at the first reading.
    local_model: Option<(PathBuf, ModelState)>,
    pub backend: Arc<dyn InferBackend>,
    /// The infer requests that the engine runs at a time. An isolated one may take one more, which waits.
    pub running_requests: usize,
    /// The preprocessing, the labels and the score rule. Its notes are already printed.
    pub fitted: FittedPreprocessing,
    /// The preparation of an image as a tensor.
    pub input: Preparation,
}

impl OpenRun {
    /// Opens the engine and resolves the preprocessing. `step` gets the name of each step before it begins.
    pub fn open(
        name: String,
        engine: &EngineOptions,
        resolver: &mut Resolver<'_>,
        messages: &Messages,
        mut step: impl FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        step(engines::first_step(engine.backend))?;
        let local_model = engine.local_model();
        if let Some(model) = local_model {
            step(&format!("Reading the model: {}", model.display()))?;
        }
        let (resolved, state) = resolver.find(local_model, messages)?;
        let local_model = local_model.map(|model| (model.to_owned(), state));
        step("Loading the model to the plugin")?;
        let backend = isolated::open(engine, |note| {
            messages.about(Some(&name), || messages.note(&printable(note)));
        })?;
        check_local_model(local_model.as_ref())?;
        step(&backend.info().description())?;
        let fitted = resolved.fit(backend.info())?;
        let input = fitted.preparation(engine.batch);
        let needed = input.layout.request_bytes(input.batch);
        let budget = image_memory::of_process().budget.bytes();
        check_request(needed, input.batch, engine.batch.is_some(), budget)?;
        messages.notes(&fitted.notes);
        Ok(Self {
            name,
            model: engine.model.clone(),
            local_model,
            input,
            running_requests: isolated::running_requests(engine, backend.info()),
            backend,
            fitted,
        })
    }

    /// Returns the engine's description of itself.
    pub fn info(&self) -> &BackendInfo {
        self.backend.info()
    }

    /// Returns the score rule: the conversion of outputs into scores.
    pub fn reading(&self) -> OutputReading {
        let reading = self.fitted.reading.clone();
        reading.unwrap_or_else(OutputReading::raw)
    }

    /// Returns the backend and the preparation of the run, as a feed takes them.
    pub fn to_feed(&self) -> FeedRun {
        FeedRun {
            backend: Arc::clone(&self.backend),
            preparation: self.input,
        }
    }

    /// Gives a stream of images to the run, and returns the stream of their answers. If the outputs have to decide the
    /// score rule, the first `deciding` images do.
    pub fn answers<T, S>(
        &self,
        images: S,
        jobs: usize,
        deciding: usize,
    ) -> Answers<T, impl Stream<Item = Answer<T>> + use<T, S>>
    where
        S: Stream<Item = (T, ImageSource)>,
    {
        let feed = Feed::new(vec![self.to_feed()], feed_options(jobs));
        Answers {
            stream: Box::pin(feed.answers_of_stream(images)),
            waiting: VecDeque::new(),
            deciding,
        }
    }

    /// Converts the run for a comparison or an evaluation.
    fn to_run(&self) -> Run {
        let backend = Arc::clone(&self.backend);
        let batch = Some(self.input.batch);
        let run = Run::new(&self.name, backend, self.fitted.clone(), batch);
        match &self.fitted.reading {
            Some(reading) => run.scores_by(fields::origin(&reading.origin)),
            None => run,
        }
    }
}

/// The answers of a run in the order of the images.
pub struct Answers<T, S> {
    stream: Pin<Box<S>>,
    /// The answers that decided the score rule and are not returned yet.
    waiting: VecDeque<Answer<T>>,
    deciding: usize,
}

impl<T, S: Stream<Item = Answer<T>>> Answers<T, S> {
    /// Returns the next answer. If nothing else states the score rule of `run`, the first outputs decide it before one
    /// of them is returned. Errors before the first output are returned at once.
    ///
    /// Calls `flush` before it waits for an answer: results that arrive quickly share a system call, and none is held
    /// back while the thread waits.
    ///
    /// # Errors
    ///
    /// The error of `flush`.
    pub fn next<E>(
        &mut self,
        run: &mut OpenRun,
        messages: &Messages,
        mut flush: impl FnMut() -> Result<(), E>,
    ) -> Result<Option<Answer<T>>, E> {
        let fitted = &mut run.fitted;
        if self.waiting.is_empty() && fitted.reading.is_none() {
            flush()?;
            let noted = fitted.notes.len();
            let mut runs = [fitted];
            let next = take_next_answers(&mut self.stream, &mut runs, self.deciding);
            self.waiting.extend(block_on(next));
            messages.notes(&run.fitted.notes[noted..]);
        }
        if let Some(answer) = self.waiting.pop_front() {
            return Ok(Some(answer));
        }
        let mut is_flushed = false;
        let mut yields = 0;
        block_on(poll_fn(|context| {
            let mut next = self.stream.as_mut().poll_next(context);
            while next.is_pending() && yields < YIELDS {
                yields += 1;
                thread::yield_now();
                next = self.stream.as_mut().poll_next(context);
            }
            if next.is_pending() && !is_flushed {
                is_flushed = true;
                if let Err(error) = flush() {
                    return Poll::Ready(Err(error));
                }
            }
            next.map(Ok)
        }))
    }

    /// Returns the answers of a run whose score rule is known.
    pub fn undecided(self) -> impl Iterator<Item = Answer<T>> {
        block_on_stream(self.stream)
    }
}

fn check_local_model(local_model: Option<&(PathBuf, ModelState)>) -> anyhow::Result<()> {
    local_model.map_or(Ok(()), |(model, state)| check_unchanged(model, state))
}

/// Checks that a request fits into the memory for images, before the first image fails for it. `by_flag` tells that the
/// command line states the batch.
fn check_request(needed: u64, batch: usize, by_flag: bool, budget: u64) -> Result<(), Hinted> {
    if needed <= budget {
        return Ok(());
    }
    let images = match batch {
        1 => "1 image".to_owned(),
        batch => format!("{batch} images"),
    };
    let error = format!(
        "a request of {images} needs {} of memory, but images may take {}",
        ByteSize(needed),
        ByteSize(budget)
    );
    let smaller = match (batch, by_flag) {
        (1, _) => "use a model with a smaller input",
        (_, true) => "pass a smaller --batch",
        (_, false) => "use a model with a smaller batch",
    };
    let size = image_memory::size_for(needed);
    let hint = format!("{smaller}, or pass `--image-memory {size}`");
    Err(Hinted::new(error, hint))
}

/// Returns the options of a feed in this process.
pub fn feed_options(jobs: usize) -> FeedOptions {
    let mut options = FeedOptions::new(jobs, image_memory::of_process().clone());
    options.decoder = image_decoder::of_process();
    options
}

/// Returns the images of `inputs`, until a signal arrives.
pub fn images(
    inputs: impl IntoIterator<Item = Input>,
) -> impl Iterator<Item = (PathBuf, ImageSource)> {
    let inputs = interrupt::take_until_interrupted(inputs.into_iter());
    inputs.map(image)
}

/// Returns the images of a stream of inputs, until a signal arrives.
pub fn images_of_stream(
    inputs: impl Stream<Item = Input>,
) -> impl Stream<Item = (PathBuf, ImageSource)> {
    interrupt::until_interrupted(inputs).map(image)
}

fn image(input: Input) -> (PathBuf, ImageSource) {
    let Input {
        path,
        member,
        problem,
    } = input;
    let source = match (problem, member) {
        (Some(problem), _) => ImageSource::Failed(Box::new(UnusableInput(problem))),
        (None, None) => path.clone().into(),
        (None, Some(member)) => ImageSource::Section {
            path: member.archive.to_path_buf(),
            offset: member.offset,
            length: member.bytes,
        },
    };
    (path, source)
}

/// The runs of a command. Each is open or has the error of opening it.
pub struct Session {
    pub entries: Vec<(String, Result<OpenRun, Error>)>,
    /// True if the runs have different models.
    several_models: bool,
}

impl Session {
    /// Opens all runs, one after the other, next to `recorded` ones. If one cannot be opened, the others are still opened.
    ///
    /// # Errors
    ///
    /// If there are too many runs, or flags contradict each other.
    pub fn open(
        options: &RunsOptions,
        recorded: usize,
        messages: &Messages,
    ) -> anyhow::Result<Self> {
        let runs = &options.runs;
        let count = runs.len() + recorded;
        if count > MOST_RUNS {
            let those = match recorded {
                0 => String::new(),
                recorded => format!(" with the {recorded} recorded ones"),
            };
            let error =
                format!("there are {count} runs{those}, but a command takes at most {MOST_RUNS}");
            return Err(Hinted::new(error, "name fewer runs").into());
        }
        let limits = runs.iter().find_map(|(_, engine)| engine.isolation);
        isolated::start_decoder(limits, options.jobs)?;
        let overrides = options.preprocess.overrides(options.scores)?;
        let mut resolver = Resolver::new(&overrides);
        // Runs of one model have the same notes.
        let several_models = runs
            .windows(2)
            .any(|pair| pair[0].1.model != pair[1].1.model);
        let texts: Vec<&String> = runs.iter().map(|(text, _)| text).collect();
        let open = |(name, (_, engine)): (String, &(String, EngineOptions))| {
            let silently = |_: &str| Ok(());
            let open = || OpenRun::open(name.clone(), engine, &mut resolver, messages, silently);
            let run = messages.about(several_models.then_some(&*name), open);
            if let Ok(run) = &run {
                messages.about(Some(&name), || {
                    for note in &run.info().notes {
                        messages.note(&printable(&with_run_parts(note)));
                    }
                });
            }
            (name, run)
        };
        Ok(Self {
            entries: run_names(&texts).into_iter().zip(runs).map(open).collect(),
            several_models,
        })
    }

    /// Prints the error of each run that could not be opened.
    pub fn report_failures(&self, messages: &mut Messages) {
        let failed = self.entries.iter().filter_map(|(name, run)| {
            let error = run.as_ref().err()?;
            Some((printable(name), error))
        });
        messages.runs_failed(&failed.collect::<Vec<_>>());
    }

    /// Prints notes on runs. Each comes with the index of its run in `entries`.
    pub fn note(&self, notes: &[(usize, Vec<Note>)], messages: &Messages) {
        for (place, notes) in notes {
            let name = &self.entries[*place].0;
            messages.about(self.several_models.then_some(name), || {
                messages.notes(notes);
            });
        }
    }

    /// Infers the first images with each run whose score rule only its outputs can decide.
    pub fn decide_readings(&mut self, options: &RunsOptions, messages: &Messages) {
        for (name, run) in &mut self.entries {
            let Ok(run) = run else { continue };
            if run.fitted.reading.is_none() {
                let inputs = options.inputs.list.iter();
                let readable =
                    inputs.filter(|input| input.problem.is_none() && input.member.is_none());
                let images: Vec<_> = readable
                    .map(|input| (input.path.clone(), input.path.as_path().into()))
                    .collect();
                messages.about(self.several_models.then_some(&**name), || {
                    // The measurement infers them again.
                    let most = FittedPreprocessing::FIRST_IMAGES;
                    let mut answers = run.answers(stream::iter(images), options.jobs, most);
                    let nothing = || Ok::<(), Infallible>(());
                    while run.fitted.reading.is_none() {
                        let Ok(answer) = answers.next(run, messages, nothing);
                        if answer.is_none() {
                            break;
                        }
                    }
                });
            }
        }
    }

    /// Converts the runs for a comparison or an evaluation.
    pub fn runs(&self) -> Vec<Run> {
        let runs = self.entries.iter().map(|(name, run)| match run {
            Ok(run) => run.to_run(),
            Err(error) => Run::failed(name, errors::chain(error)),
        });
        runs.collect()
    }

    /// Checks that no model changed since the engines opened it, because a report has the digests of the models.
    ///
    /// # Errors
    ///
    /// If a model changed.
    pub fn check_models(&self) -> anyhow::Result<()> {
        let mut runs = self.ready();
        runs.try_for_each(|run| check_local_model(run.local_model.as_ref()))
    }

    /// Checks that no engine failed for good, so that the remaining images are not tried one by one. `problems` are
    /// those of an image.
    ///
    /// # Errors
    ///
    /// The engine's reason.
    pub fn check_engines<'a>(
        &self,
        problems: impl IntoIterator<Item = &'a Problem>,
        hint: &str,
    ) -> anyhow::Result<()> {
        let mut codes = problems.into_iter().map(|problem| problem.code);
        if !codes.any(may_be_of_all) {
            return Ok(());
        }
        let failure = self.ready().find_map(|run| run.backend.failure());
        let failure = failure.or_else(|| image_decoder::failure(&image_decoder::of_process()));
        failure.map_or(Ok(()), |failure| Err(engine_failed(failure, hint).into()))
    }

    /// Returns the runs that are open.
    pub fn ready(&self) -> impl Iterator<Item = &OpenRun> {
        self.entries.iter().filter_map(|(_, run)| run.as_ref().ok())
    }
}

/// The next step after [`Session::check_engines`], if a verdict was requested.
pub const NO_VERDICT: &str = "no verdict is given for a part of the images";
/// The next step after [`Session::check_engines`], for a shard.
pub const SHARD_AGAIN: &str = "run the shard again: a part appears when it is complete";

/// Returns the error that ends the work because an engine failed for good. `hint` is the step after that of the engine.
pub fn engine_failed(failure: backend_api::Error, hint: &str) -> Hinted {
    let failure = Error::from(failure);
    let text = format!("the engine failed for good: {}", errors::chain(&failure));
    let first = errors::hint(&failure).map_or_else(String::new, |first| format!("{first}; "));
    Hinted::new(text, first + hint)
}

/// Returns the reason why the remaining images would fail like this one.
pub fn failure_of(
    backend: &dyn InferBackend,
    result: &Result<ImageOutputs, ImageError>,
) -> Option<backend_api::Error> {
    failure_with(backend, result, image_decoder::of_process)
}

fn failure_with(
    backend: &dyn InferBackend,
    result: &Result<ImageOutputs, ImageError>,
    decoder: impl FnOnce() -> Decoder,
) -> Option<backend_api::Error> {
    match result {
        Ok(outputs) => {
            let mut errors = outputs.runs.iter().filter_map(|run| run.as_ref().err());
            let is_of_all = errors.any(|error| may_be_of_all(error.kind().as_str()));
            is_of_all.then(|| backend.failure()).flatten()
        }
        Err(ImageError::Decoder(error)) if may_be_of_all(error.kind().as_str()) => {
            image_decoder::failure(&decoder())
        }
        Err(_) => None,
    }
}

/// Returns whether all further images may fail with this code. Other codes concern one image: an image that crashed the
/// engine keeps its row, and the next run starts after it.
fn may_be_of_all(code: &str) -> bool {
    let kinds = [
        ErrorKind::EngineUnavailable,
        ErrorKind::DeadlineExceeded,
        ErrorKind::ResourceExhausted,
    ];
    kinds.iter().any(|kind| kind.as_str() == code)
}

/// Checks that all images were answered.
///
/// # Errors
///
/// [`Interrupted`](interrupt::Interrupted), because readers would take a verdict on a part of the images for a verdict
/// on all of them.
pub fn check_all_answered(done: usize, of: usize) -> anyhow::Result<()> {
    interrupt::check(done, of, "image").map_err(|interrupted| {
        let hint = format!("{NO_VERDICT}; run the command again");
        interrupted.with_hint(hint).into()
    })
}

/// Prints the note on an image, if there is one.
pub fn note_image(path: &str, note: Option<ImageNote>, messages: &Messages) {
    if let Some(note) = note {
        messages.note(&format!("{path}: {note}"));
    }
}

/// Prints the note on an image and its failures, and counts it as done. `name` returns the name of a run, or `None` if
/// there is only one run.
pub fn image_done<'a>(
    image: &AddedImage<'_>,
    name: impl Fn(usize) -> Option<&'a str>,
    messages: &mut Messages,
) {
    if image.note.is_some() || !image.failures.is_empty() {
        print_about(image, name, messages);
    }
    messages.advance(|| ());
}

fn print_about<'a>(
    image: &AddedImage<'_>,
    name: impl Fn(usize) -> Option<&'a str>,
    messages: &mut Messages,
) {
    let path = printable(&image.path.to_string_lossy());
    note_image(&path, image.note, messages);
    for failure in image.failures {
        messages.image_problem(&path, failure.run.and_then(&name), &failure.problem);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use backend_api::{Dim, ElementType, MockBackend, Tensor, TensorSpec};
    use image_classification::{InputDigests, PreprocessOverrides, ResolvedPreprocessing, Scoring};

    use super::*;

    #[test]
    fn images_that_decide_scores_are_inferred_once() {
        let directory = tempfile::tempdir().unwrap();
        let spec = |dims: &[usize]| {
            let dims = dims.iter().copied().map(Dim::Fixed).collect();
            TensorSpec::new("x", ElementType::F32, dims)
        };
        let info = BackendInfo::new("mock", spec(&[1, 3, 2, 2]), spec(&[1, 3]));
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let backend = MockBackend::builder().info(info.clone());
        let backend = backend.respond(move |_, input| {
            count.fetch_add(1, Ordering::SeqCst);
            let grey = input.as_slice::<f32>().unwrap()[0];
            Tensor::new([1, 3], vec![grey, 0.0, -1.0])
        });
        let resolved = ResolvedPreprocessing::from_overrides(&PreprocessOverrides::default());
        let fitted = resolved.unwrap().fit(&info).unwrap();
        let mut run = OpenRun {
            name: "mock".to_owned(),
            model: PathBuf::new(),
            local_model: None,
            backend: Arc::new(backend.build().unwrap()),
            running_requests: 1,
            input: fitted.preparation(None),
            fitted,
        };
        let images = (0..20_u8).map(|grey| {
            let path = directory.path().join(format!("{grey}.ppm"));
            std::fs::write(&path, [&b"P6 2 2 255\n"[..], &[grey; 12]].concat()).unwrap();
            (path.clone(), ImageSource::from(path))
        });
        let messages = Messages::new(true);
        let most = FittedPreprocessing::FIRST_IMAGES;
        let mut answers = run.answers(stream::iter(images), 1, most);
        for grey in 0..20 {
            let next = answers.next(&mut run, &messages, || Ok::<(), Infallible>(()));
            let answer = next.unwrap().unwrap();
            assert_eq!(run.reading().interpretation.scoring, Scoring::Softmax);
            let output = answer.result.unwrap().runs.swap_remove(0).unwrap();
            assert_eq!(output.tensor.to_f32()[0], grey as f32);
        }
        assert_eq!(requests.load(Ordering::SeqCst), 20);
    }

    /// A backend that failed for good.
    #[derive(Debug)]
    struct Gone {
        pool: MockBackend,
        reason: ErrorKind,
    }

    backend_api::pooled!(Gone, |backend| Some(api_error(backend.reason)));

    impl Gone {
        fn new() -> Self {
            Self {
                pool: MockBackend::builder().build().unwrap(),
                reason: ErrorKind::EngineUnavailable,
            }
        }
    }

    fn api_error(kind: ErrorKind) -> backend_api::Error {
        backend_api::Error::new(kind, "planned")
    }

    #[test]
    fn errors_of_all_images_end_the_work_and_errors_of_one_do_not() {
        let (gone, here) = (Gone::new(), || Decoder::Here);
        let lives = MockBackend::builder().build().unwrap();
        let of_run = |kind| {
            Ok(ImageOutputs {
                digests: InputDigests::default(),
                prepare: Duration::ZERO,
                note: None,
                runs: vec![Err(Arc::new(api_error(kind)))],
            })
        };
        let of_decoder = |kind| Err(ImageError::Decoder(api_error(kind)));
        for (kind, is_of_all) in [
            (ErrorKind::EngineUnavailable, true),
            // The last request to servers that are gone.
            (ErrorKind::DeadlineExceeded, true),
            (ErrorKind::ResourceExhausted, true),
            // The image was in the engine, whose end later images found.
            (ErrorKind::EngineCrashed, false),
            (ErrorKind::InferenceFailed, false),
            (ErrorKind::OutputMismatch, false),
        ] {
            let result = of_run(kind);
            assert_eq!(failure_with(&gone, &result, here).is_some(), is_of_all);
            assert!(failure_with(&lives, &result, here).is_none());
            let result = of_decoder(kind);
            let dead = || Decoder::Backend(Arc::new(Gone::new()));
            let failure = failure_with(&lives, &result, dead);
            assert_eq!(failure.is_some(), is_of_all);
            assert!(failure_with(&gone, &result, here).is_none());
        }
        assert!(failure_with(&gone, &Err(ImageError::Panicked), here).is_none());
    }

    #[test]
    fn a_request_beyond_the_memory_for_images_is_refused() {
        check_request(100, 1, false, 100).unwrap();
        for (batch, by_flag, images, smaller) in [
            (8, true, "8 images", "pass a smaller --batch"),
            (8, false, "8 images", "use a model with a smaller batch"),
            (1, true, "1 image", "use a model with a smaller input"),
        ] {
            let refused = check_request(5 << 20, batch, by_flag, 2 << 20);
            let error = Error::from(refused.unwrap_err());
            assert_eq!(
                error.to_string(),
                format!(
                    "a request of {images} needs 5.0 MiB of memory, but images may take 2.0 MiB"
                )
            );
            let hint = format!("{smaller}, or pass `--image-memory 6M`");
            assert_eq!(errors::hint(&error), Some(hint));
        }
    }
}
