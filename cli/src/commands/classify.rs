//! `classify`: the best classes of each image.

use std::path::{Path, PathBuf};

use backend_api::Error;
use futures_util::stream::{self, Stream, StreamExt as _};
use image_classification::{Answer, FittedPreprocessing};

use crate::destination::Output;
use crate::engines;
use crate::errors;
use crate::fields::with_flags;
use crate::files_read::FilesRead;
use crate::interrupt;
use crate::isolated;
use crate::options::{ClassifyOptions, OutputOptions, note_defaults};
use crate::process;
use crate::resolve::{self, Resolver};
use crate::same_answers::SameAnswers;
use crate::session::{self, Answers, OpenRun};
use crate::terminal::Messages;
use crate::writers::{Classified, ResultContext, Writer};
use evaluation::text::{counted, printable};

/// Classifies the inputs and prints the results in their order.
pub fn run(mut options: ClassifyOptions, messages: &mut Messages) -> anyhow::Result<()> {
    let mut writer = open_writer(&options)?;
    note_defaults(std::iter::once(&options.engine), &options.inputs, messages);
    // As OpenVINO's sample does.
    let mut run = open_run(&options, messages, |step| writer.step(step))?;
    let inputs = std::mem::take(&mut options.inputs.list);
    let count = inputs.len();
    let list = options.list.take();
    let list_state = list.as_ref().map(|list| list.state.clone());
    let images = match list {
        Some(list) => session::images_of_stream(list.into_inputs()).left_stream(),
        None => stream::iter(session::images(inputs)).right_stream(),
    };
    let info = run.info();
    let own = Some(&info.output).filter(|output| options.output.saves(&output.name));
    writer.expect(own.into_iter().chain(&info.extra_outputs))?;
    note_engine(&run, &options, messages);
    writer.step("Starting inference in asynchronous mode")?;
    messages.start_progress(count);
    let answers = run.answers(images, options.jobs, FittedPreprocessing::FIRST_IMAGES);
    let (done, failure) = classify(&mut run, answers, &options, &mut writer, messages)?;
    if let Some(list) = &list_state {
        messages.note_or_briefly(list.skipped(false), list.skipped(true));
    }
    messages.summary(done);
    let output = writer.into_output()?;
    process::leak(run);
    let count = match list_state {
        Some(list) => list.count()?,
        None => Some(count),
    };
    let path = options.output.path.as_deref();
    let path = path.filter(|_| matches!(output, Output::File(_)));
    finish(output, done, count, failure)?;
    if let Some(path) = path {
        let done = counted(done, "result");
        messages.done(&format!("wrote {done} to {}", path.display()));
    }
    Ok(())
}

/// Returns the files that no output may replace.
pub(super) fn files_read(options: &ClassifyOptions) -> FilesRead<'_> {
    FilesRead::of_engine(&options.engine, &options.inputs, &options.preprocess)
}

/// Opens the destination of the results before the work: where results cannot go, none need be computed.
fn open_writer(options: &ClassifyOptions) -> anyhow::Result<Writer> {
    let path = options.output.path.as_deref();
    let path = path.filter(|path| *path != Path::new("-"));
    let outputs: Vec<_> = path.map(|path| ("--output", path)).into_iter().collect();
    files_read(options).check(&outputs)?;
    let destination = Output::open("--output", path)?;
    Writer::new(destination, &options.output, options.quiet)
}

/// Opens the engine and resolves the preprocessing. `step` is told each step before it begins.
pub(super) fn open_run(
    options: &ClassifyOptions,
    messages: &Messages,
    step: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<OpenRun> {
    isolated::start_decoder(options.engine.isolation, options.jobs)?;
    let overrides = options.preprocess.overrides(options.scores)?;
    OpenRun::open(
        String::new(),
        &options.engine,
        &mut Resolver::new(&overrides),
        messages,
        step,
    )
}

/// Writes the best classes of each input. Returns the number of inputs that are done, and the reason if the engine failed
/// for good before all were.
pub(super) fn classify(
    run: &mut OpenRun,
    mut answers: Answers<PathBuf, impl Stream<Item = Answer<PathBuf>>>,
    options: &ClassifyOptions,
    writer: &mut Writer,
    messages: &mut Messages,
) -> anyhow::Result<(usize, Option<Error>)> {
    let OutputOptions { top, threshold, .. } = options.output;
    let name = run.info().output.name.clone();
    let device = run.info().executed_devices();
    let saved_as = Some(&*name).filter(|name| options.output.saves(name));
    let mut reading = run.reading();
    let mut same = SameAnswers::default();
    let mut is_decided = run.fitted.reading.is_some();
    if is_decided {
        note_settings(run, options, messages);
    }
    let is_progress_shown = messages.shows_progress();
    let mut done = 0;
    let mut failure = None;
    while let Some(answer) = answers.next(run, messages, || writer.flush())? {
        failure = session::failure_of(&run.backend, &answer.result);
        if failure.is_some() {
            break;
        }
        if !is_decided && run.fitted.reading.is_some() {
            is_decided = true;
            reading = run.reading();
            note_settings(run, options, messages);
        }
        let interpretation = reading.interpretation;
        let context = ResultContext {
            info: run.info(),
            device: &device,
            model: &run.model,
            labels: run.fitted.labels.as_ref().map(|labels| &labels.value),
            reading: &reading,
        };
        let Answer {
            input: path,
            result,
        } = answer;
        let named = || printable(&path.to_string_lossy());
        if let Ok(outputs) = &result
            && outputs.note.is_some()
        {
            // stdout and stderr are often the same terminal.
            writer.flush()?;
            session::note_image(&named(), outputs.note, messages);
        }
        let result = result.map_err(errors::image_error).and_then(|outputs| {
            if let Some(Ok(output)) = outputs.runs.first() {
                same.add(&path, &output.tensor, &interpretation);
            }
            Classified::new(outputs, interpretation, top, threshold, saved_as)
        });
        if let Err(error) = &result {
            writer.flush()?;
            messages.input_failed(&named(), error);
        }
        messages.advance(|| {
            writer.result(&context, &path, result.as_ref())?;
            // The bar must not be drawn before the result.
            if is_progress_shown {
                writer.flush()
            } else {
                Ok(())
            }
        })?;
        done += 1;
    }
    writer.flush()?;
    if !is_decided {
        note_settings(run, options, messages);
    }
    messages.end_progress();
    if let Some(warning) = same.warning() {
        messages.warning(&warning);
    }
    Ok((done, failure))
}

/// Prints every setting and its origin, if `verbose`.
pub(super) fn note_settings(run: &OpenRun, options: &ClassifyOptions, messages: &Messages) {
    if options.verbose {
        for line in resolve::lines(&run.fitted) {
            messages.note(&line);
        }
    }
}

/// Prints the notes of the engine, and with `verbose` its library.
pub(super) fn note_engine(run: &OpenRun, options: &ClassifyOptions, messages: &Messages) {
    if options.verbose
        && let Some(library) = &run.info().library
    {
        let origin = engines::library_origin(&options.engine, library);
        let found = format!("engine: {} ({origin})", library.path.display());
        messages.note(&printable(&found));
    }
    for note in &run.info().notes {
        messages.note(&printable(&with_flags(note)));
    }
}

/// Gives the file of the results its name, before the next signal may stop everything. `count` is `None` for a list
/// whose end was not reached. `failure` is the reason if the engine failed for good.
fn finish(
    output: Output,
    done: usize,
    count: Option<usize>,
    failure: Option<Error>,
) -> anyhow::Result<()> {
    let is_complete = count.is_some_and(|count| done >= count);
    let is_cut_short = interrupt::signal().is_some() || failure.is_some();
    let hint = if is_complete || !is_cut_short {
        output.finish()?;
        String::new()
    } else {
        let others = match count {
            Some(count) => counted(count - done, "image"),
            None => "images".to_owned(),
        };
        let others = format!("pass the remaining {others} to continue");
        match output.finish_part()? {
            None => others,
            Some(path) => format!("the results are in {}; {others}", path.display()),
        }
    };
    if let Some(failure) = failure {
        return Err(session::engine_failed(failure, &hint).into());
    }
    let checked = match count {
        Some(count) => interrupt::check(done, count, "image"),
        None => interrupt::check_stream(done, is_complete, "image"),
    };
    checked.map_err(|interrupted| interrupted.with_hint(hint).into())
}
