//! Open runs, and the images that they answer.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Error;
use backend_api::{BackendInfo, InferBackend, Tensor};
use bytesize::ByteSize;
use image_classification::{
    Digests, Feed, FeedOptions, FeedRun, FirstOutputs, Image, ImageError, ImageOutputs,
    ImageSource, Labels, OutputReading, Preparation, PreprocessOverrides,
};

use crate::engines;
use crate::errors::Hinted;
use crate::image_memory;
use crate::inputs::Input;
use crate::interrupt;
use crate::options::{EngineOptions, RunsOptions};
use crate::resolve;
use crate::terminal::Messages;
use evaluation::Digest;
use evaluation::text::printable;

/// The most runs at a time. All of their models are in memory.
const MOST_RUNS: usize = 16;

/// A run that is open.
pub struct OpenRun {
    /// The run as it was written; the second of the same text has ` (2)` behind it.
    pub name: String,
    pub model: PathBuf,
    pub backend: Arc<dyn InferBackend>,
    /// The way from an image to its tensor.
    pub input: Preparation,
    /// The names of its classes.
    pub labels: Option<Labels>,
    /// The rule that makes scores of its outputs.
    pub reading: OutputReading,
    /// The number of classes, if it is fixed.
    pub classes: Option<usize>,
    /// The number of values that it gives for an image, if that is fixed.
    pub values: Option<usize>,
    /// Every setting with its value and origin, a line each.
    pub settings: Vec<String>,
}

impl OpenRun {
    /// Opens the engine and resolves the preprocessing. `jobs` threads decode the first of the `inputs` where only
    /// they decide how outputs are read. `step` is told each step before it begins.
    pub fn open(
        name: String,
        engine: &EngineOptions,
        preprocess: &PreprocessOverrides,
        (inputs, jobs): (&[Input], usize),
        messages: &Messages,
        mut step: impl FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        step(engines::first_step(engine.backend))?;
        step(&format!("Reading the model: {}", engine.model.display()))?;
        let resolved = resolve::find(&engine.model, preprocess, messages)?;
        step("Loading the model to the plugin")?;
        let backend = engines::open(engine)?;
        step(&backend.info().description())?;
        let mut fitted = resolved.fit(backend.info())?;
        let input = fitted.preparation(engine.batch);
        let needed = input.layout.request_bytes(input.batch);
        check_request(
            needed,
            input.batch,
            image_memory::of_process().budget.bytes(),
        )?;
        if fitted.reading.is_none() {
            let run = FeedRun {
                backend: Arc::clone(&backend),
                preparation: input,
            };
            fitted.read_outputs(first_outputs(run, inputs, jobs).outputs());
        }
        messages.notes(&fitted.notes);
        Ok(Self {
            name,
            model: engine.model.clone(),
            backend,
            input,
            settings: resolve::lines(&fitted),
            values: fitted.values,
            classes: fitted.classes,
            reading: fitted.reading.unwrap_or_else(OutputReading::raw),
            labels: fitted.labels.map(|labels| labels.value),
        })
    }

    /// The engine's description of itself.
    pub fn info(&self) -> &BackendInfo {
        self.backend.info()
    }

    /// Returns what a feed needs of the run.
    pub fn to_feed(&self) -> FeedRun {
        FeedRun {
            backend: Arc::clone(&self.backend),
            preparation: self.input,
        }
    }
}

/// Checks that a request fits into the memory for images, before the first image fails for it.
fn check_request(needed: u64, batch: usize, budget: u64) -> Result<(), Hinted> {
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
    let hint = format!(
        "use a model with a smaller batch, or pass `--image-memory {}`",
        image_memory::size_for(needed)
    );
    Err(Hinted::new(error, hint))
}

/// Returns the outputs of the first images that can be read and inferred.
fn first_outputs(run: FeedRun, inputs: &[Input], jobs: usize) -> FirstOutputs {
    let feed = Feed::new(vec![run], feed_options(jobs));
    // Images that fail get their own error later.
    let readable = inputs.iter().filter(|input| input.problem.is_none());
    let mut sources = readable.map(|input| ((), input.path.as_path().into()));
    let mut first = FirstOutputs::default();
    loop {
        let next = sources.by_ref().take(first.missing());
        let next: Vec<((), ImageSource)> = next.collect();
        if next.is_empty() {
            return first;
        }
        for answer in feed.blocking_answers(next) {
            first.add(&answer.result, 0);
        }
    }
}

/// Returns the options of a feed in this process.
pub fn feed_options(jobs: usize) -> FeedOptions {
    FeedOptions::new(jobs, image_memory::of_process().clone())
}

/// The runs of a command, each open or with the reason why not.
pub struct Session {
    pub entries: Vec<(String, Result<OpenRun, Error>)>,
}

impl Session {
    /// Opens all runs, one after the other. One that cannot be opened does not keep the others from working.
    ///
    /// # Errors
    ///
    /// If there are too many, or flags contradict each other.
    pub fn open(options: &RunsOptions, messages: &Messages) -> anyhow::Result<Self> {
        let runs = &options.runs;
        if runs.len() > MOST_RUNS {
            let error = format!(
                "there are {} runs, but at most {MOST_RUNS} can be compared",
                runs.len()
            );
            return Err(Hinted::new(error, "compare fewer at a time").into());
        }
        let preprocess = options.preprocess.overrides(options.scores)?;
        let inputs = (&*options.inputs.list, options.jobs);
        // Runs of one model have the same to say of it.
        let several_models = runs
            .windows(2)
            .any(|pair| pair[0].1.model != pair[1].1.model);
        let open = |(place, (text, engine)): (usize, &(String, EngineOptions))| {
            let earlier = runs[..place].iter().filter(|(other, _)| other == text);
            let name = match earlier.count() {
                0 => text.clone(),
                earlier => format!("{text} ({})", earlier + 1),
            };
            let silently = |_: &str| Ok(());
            let open = || {
                OpenRun::open(
                    name.clone(),
                    engine,
                    &preprocess,
                    inputs,
                    messages,
                    silently,
                )
            };
            let run = messages.about(several_models.then_some(&*name), open);
            if let Ok(run) = &run {
                messages.about(Some(&name), || {
                    for note in &run.info().notes {
                        messages.note(&printable(note));
                    }
                });
            }
            (name, run)
        };
        Ok(Self {
            entries: runs.iter().enumerate().map(open).collect(),
        })
    }

    /// Prints the error of each run that could not be opened.
    pub fn report_failures(&self, messages: &mut Messages) {
        for (name, run) in &self.entries {
            if let Err(error) = run {
                messages.run_failed(&printable(name), error);
            }
        }
    }

    /// Returns the runs that are open, with their places among all.
    pub fn ready(&self) -> impl Iterator<Item = (usize, &OpenRun)> {
        let runs = self.entries.iter().enumerate();
        runs.filter_map(|(index, (_, run))| Some((index, run.as_ref().ok()?)))
    }
}

/// Returns the output of a run for an image that is no input.
pub fn infer_image(run: &OpenRun, image: Image) -> anyhow::Result<Tensor> {
    let feed = Feed::new(vec![run.to_feed()], feed_options(1));
    let mut answers = feed.blocking_answers([((), image.into())]);
    let answer = answers.next().expect("one for each input");
    Ok(answer.result?.runs.swap_remove(0)?.tensor)
}

/// The outputs of all runs for one image.
pub struct Outputs {
    /// The requested digests.
    pub digests: Digests<Option<Digest>>,
    /// The output of each run, in their order.
    pub tensors: Vec<Result<Tensor, Error>>,
}

impl From<ImageOutputs> for Outputs {
    fn from(outputs: ImageOutputs) -> Self {
        let ImageOutputs { digests, runs, .. } = outputs;
        Self {
            digests: digests.map(|digest| digest.map(Digest::from)),
            tensors: runs.into_iter().map(|output| Ok(output?.tensor)).collect(),
        }
    }
}

/// Gives every image to every run and calls `add` with their outputs, or with the reason why the image has none, in the
/// order of the inputs.
///
/// # Errors
///
/// The errors of `add`, which end the feed; [`Interrupted`](interrupt::Interrupted), because a verdict on a part of the
/// images would be taken for one on all of them.
pub fn answer(
    runs: &[&OpenRun],
    inputs: Vec<Input>,
    jobs: usize,
    digests: Digests<bool>,
    messages: &mut Messages,
    mut add: impl FnMut(PathBuf, Result<Outputs, Error>, &mut Messages) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut options = feed_options(jobs);
    options.digests = digests;
    let of = inputs.len();
    let done = feed(runs, inputs, options, messages, |path, result, messages| {
        add(path, result.map(Outputs::from), messages)?;
        messages.advance(|| ());
        Ok(())
    })?;
    interrupt::check(done, of, "image").map_err(|interrupted| {
        let hint = "no verdict is given for a part of the images; run the command again";
        interrupted.with_hint(hint).into()
    })
}

/// Gives the images to the runs until a signal comes, and calls `answered` with each result. Returns the number of images
/// that were answered.
pub fn feed(
    runs: &[&OpenRun],
    inputs: Vec<Input>,
    options: FeedOptions,
    messages: &mut Messages,
    mut answered: impl FnMut(PathBuf, Result<ImageOutputs, Error>, &mut Messages) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    messages.start_progress(inputs.len());
    let runs = runs.iter().map(|run| run.to_feed()).collect();
    let feed = Feed::new(runs, options);
    let inputs = interrupt::take_until_interrupted(inputs.into_iter());
    let inputs = inputs.map(|Input { path, problem }| match problem {
        None => (path.clone(), path.into()),
        Some(problem) => (path, ImageSource::Failed(Box::new(Problem(problem)))),
    });
    let mut done = 0;
    for answer in feed.blocking_answers(inputs) {
        if let Ok(outputs) = &answer.result
            && let Some(note) = outputs.note
        {
            let path = answer.input.to_string_lossy();
            messages.note(&format!("{}: {note}", printable(&path)));
        }
        answered(answer.input, answer.result.map_err(error), messages)?;
        done += 1;
    }
    messages.end_progress();
    Ok(done)
}

/// The error of an input that was found out before, on its way through the feed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Problem(Error);

/// Returns the error of an input.
fn error(error: ImageError) -> Error {
    match error {
        ImageError::Source(source) => match source.downcast::<Problem>() {
            Ok(problem) => problem.0,
            Err(source) => Error::from_boxed(source),
        },
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_beyond_the_memory_for_images_is_refused() {
        check_request(100, 1, 100).unwrap();
        let error = Error::from(check_request(5 << 20, 8, 2 << 20).unwrap_err());
        let text = format!("{error} {:?}", crate::errors::hint(&error));
        assert!(
            text.contains("a request of 8 images needs 5.0 MiB"),
            "{text}"
        );
        assert!(text.contains("images may take 2.0 MiB"), "{text}");
        assert!(text.contains("`--image-memory 6M`"), "{text}");
    }
}
