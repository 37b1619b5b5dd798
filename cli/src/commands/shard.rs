//! A shard of `classify`, `compare` or `evaluate`: it writes a part, which `classify merge` joins with the others.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evaluation::answers::{AnswerWriter, InferredImage, StoredImage, StoredRuns};
use evaluation::text::printable;
use evaluation::{ComparedRuns, Problem, RunEntry};
use futures_executor::block_on;
use futures_util::stream;
use image_classification::FittedPreprocessing;

use super::classify::{self, files_read, note_engine, open_run};
use super::compare::{self, CompareOptions};
use super::evaluate::{self, EvaluateOptions};
use crate::args::{CompareArgs, EvaluateArgs};
use crate::destination::Output;
use crate::errors::{self, Hinted};
use crate::files_read::FilesRead;
use crate::interrupt;
use crate::options::{ClassifyOptions, RunsOptions, ShardOptions, note_defaults};
use crate::process;
use crate::session::{self, Session};
use crate::shards::{self, Entries, FLAG, ImagesState, OpenShard, PartRun, PartState};
use crate::terminal::Messages;
use crate::writers::Writer;

/// Classifies the images of a shard. Images that fail are rows of the part.
pub fn classify(
    mut options: ClassifyOptions,
    shard: &ShardOptions,
    messages: &mut Messages,
) -> anyhow::Result<()> {
    let mut entries = Entries::find(&shard.input)?;
    options.inputs = std::mem::take(&mut entries.found);
    let engine = std::iter::once(&options.engine);
    let files = shards::files(engine, &options.preprocess, std::iter::empty())?;
    let read = files_read(&options);
    let (shard, images) = OpenShard::open(shard, "classify", entries, files, read)?;
    note_defaults(std::iter::once(&options.engine), &options.inputs, messages);
    if is_complete(&shard, messages)? {
        return Ok(());
    }
    let output = Output::open(FLAG, Some(&shard.part()))?;
    let mut writer = Writer::new(output, &options.output, options.quiet)?;
    let mut run = open_run(&options, messages, |_| Ok(()))?;
    shards::check_reading(&run)?;
    note_engine(&run, &options, messages);
    let images = stream::iter(session::images(images));
    let answers = run.answers(images, options.jobs, FittedPreprocessing::FIRST_IMAGES);
    let (done, failure) = classify::classify(&mut run, answers, &options, &mut writer, messages)?;
    if let Some(failure) = failure {
        // No part: another run of the shard may reach the engine.
        return Err(session::engine_failed(failure, session::SHARD_AGAIN).into());
    }
    let output = writer.into_output()?;
    let runs = vec![PartRun::new(run.info())];
    process::leak(run);
    end(&shard.state, done, messages)?;
    let failed = messages.errors() as u64;
    let is_kept = shard.finish(output, done as u64, failed, runs)?;
    note_end(&shard, is_kept, done, messages);
    Ok(())
}

/// Stores the answers of runs for the images of a shard, for a comparison.
pub fn compare(args: CompareArgs, messages: &mut Messages) -> anyhow::Result<()> {
    let mut options = CompareOptions::try_from(args)?;
    let reference = options.runs.reference.clone();
    let compared = |entries: &[RunEntry], messages: &mut Messages| {
        let runs = ComparedRuns::new(entries.to_vec(), reference.as_deref())?;
        compare::report_rejected(&runs, messages);
        let ready: Vec<usize> = runs.ready().collect();
        if ready.len() < 2 {
            let error = "fewer than two runs are left to compare";
            return Err(Hinted::new(error, "fix the errors above").into());
        }
        Ok(ready)
    };
    answers(
        "compare",
        &mut options.runs,
        &Truth::None,
        compared,
        messages,
    )
}

/// Stores the answers of runs for the images of a shard, for an evaluation.
pub fn evaluate(args: EvaluateArgs, messages: &mut Messages) -> anyhow::Result<()> {
    let mut options = EvaluateOptions::try_from(args)?;
    if !options.truth.is_independent() {
        let error = "the shards of an evaluation need ground truth that is named";
        let hint = "pass `--truth FILE`, `--truth-folders` or `--truth-webdataset`";
        return Err(Hinted::new(error, hint).into());
    }
    let truth = match options.truth.file.take() {
        Some(file) => {
            // A file that cannot be used is an error now and not at the end.
            options.truth.read_file(&file)?;
            let shard = options.runs.shard.as_mut();
            shard.expect("a shard").given.truth = Some(file.clone());
            Truth::File(file)
        }
        None if options.truth.is_webdataset => Truth::Members,
        None => Truth::None,
    };
    let judged = |entries: &[RunEntry], _: &mut Messages| Ok((0..entries.len()).collect());
    answers("evaluate", &mut options.runs, &truth, judged, messages)
}

/// The ground truth of a shard.
enum Truth {
    /// None is needed: the names of directories are it, or nothing is judged.
    None,
    File(PathBuf),
    /// Members of archives, which are stored with the answers.
    Members,
}

/// Stores the answers of the runs that `stored` chooses.
fn answers(
    command: &str,
    options: &mut RunsOptions,
    truth: &Truth,
    stored: impl FnOnce(&[RunEntry], &mut Messages) -> anyhow::Result<Vec<usize>>,
    messages: &mut Messages,
) -> anyhow::Result<()> {
    let shard = options.shard.take().expect("the command line has a shard");
    let truth_file = match truth {
        Truth::File(file) => Some(&**file),
        Truth::None | Truth::Members => None,
    };
    let mut entries = Entries::find(&shard.input)?;
    options.inputs = std::mem::take(&mut entries.found);
    let engines = options.runs.iter().map(|(_, engine)| engine);
    let files = shards::files(engines, &options.preprocess, truth_file.into_iter())?;
    let read = FilesRead::of_runs(options).with("the ground truth", truth_file);
    let (shard, images) = OpenShard::open(&shard, command, entries, files, read)?;
    options.note_defaults(messages);
    if is_complete(&shard, messages)? {
        return Ok(());
    }
    let output = Output::open(FLAG, Some(&shard.part()))?;
    let session = open_runs(options, messages)?;
    let runs = StoredRuns::new(session.runs())
        .feed(session::feed_options(options.jobs))
        .image_problem(errors::image_problem);
    let entries = runs.entries()?;
    let stored = stored(&entries, messages)?;
    // The classes of the images that are in flight.
    let written: Arc<Mutex<VecDeque<Option<Vec<String>>>>> = Arc::default();
    let taken = Arc::clone(&written);
    let has_members = matches!(truth, Truth::Members);
    let images = images.map(move |mut image| {
        if has_members {
            let classes = evaluate::take_classes(&mut image);
            lock(&taken).push_back(classes);
        }
        image
    });
    let images = session::images(images);
    let mut running = block_on(runs.start(entries, stored, images, command == "compare"));
    session.check_models()?;
    let mut writer = AnswerWriter::start(output, running.entries(), running.stored())?;
    let (mut done, mut failed) = (0, 0);
    while let Some(InferredImage { mut image, note }) = block_on(running.next()) {
        let path = printable(&image.path.to_string_lossy());
        session::note_image(&path, note, messages);
        let name = |index: usize| printable(&running.entries()[running.stored()[index]].name);
        let failures = failures(&image, path, name);
        let problems = failures.iter().map(|(_, problem)| *problem);
        session.check_engines(problems, session::SHARD_AGAIN)?;
        failed += u64::from(image.has_failed());
        for (what, problem) in failures {
            messages.problem(&what, problem);
        }
        image.truth = lock(&written).pop_front().flatten();
        writer.add(&image)?;
        done += 1;
    }
    end(&shard.state, done, messages)?;
    let output = writer.finish(&block_on(running.artificial()))?;
    let runs = session.ready().map(|run| PartRun::new(run.info()));
    let is_kept = shard.finish(output, done as u64, failed, runs.collect())?;
    process::leak(session);
    note_end(&shard, is_kept, done, messages);
    Ok(())
}

/// Opens all runs of a shard: another machine may have what is missing here.
fn open_runs(options: &RunsOptions, messages: &mut Messages) -> anyhow::Result<Session> {
    let session = Session::open(options, 0, messages)?;
    session.report_failures(messages);
    if session.ready().count() < session.entries.len() {
        let hint = "fix the errors above, and run the shard again";
        return Err(Hinted::new("not all runs can be opened", hint).into());
    }
    session.ready().try_for_each(shards::check_reading)?;
    Ok(session)
}

/// Returns the failures for an image, each with the printed path and the name of the run.
fn failures(
    image: &StoredImage,
    path: String,
    name: impl Fn(usize) -> String,
) -> Vec<(String, &Problem)> {
    match &image.answers {
        Err(problem) => vec![(path, problem)],
        Ok(answers) => {
            let outputs = answers.outputs.iter().enumerate();
            let failures = outputs.filter_map(|(index, output)| {
                Some((format!("{path}: {}", name(index)), output.as_ref().err()?))
            });
            failures.collect()
        }
    }
}

fn lock<T>(written: &Mutex<T>) -> MutexGuard<'_, T> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns whether the part of a shard is complete already, and says so.
fn is_complete(shard: &OpenShard, messages: &Messages) -> anyhow::Result<bool> {
    let index = shard.shard.index;
    let manifest = match shard.directory.state(index)? {
        PartState::Complete(manifest) => manifest,
        PartState::Incomplete { damage } => {
            if let Some(damage) = damage {
                messages.note(&format!(
                    "{} cannot be read ({}), so the shard runs again",
                    shard.directory.job.manifest_name(index),
                    printable(&damage)
                ));
            }
            return Ok(false);
        }
    };
    let failed = match manifest.failed {
        0 => String::new(),
        failed => format!(" ({failed} of its images failed; remove it to try them again)"),
    };
    messages.note(&format!(
        "shard {} is complete{failed}: {}",
        shard.shard,
        shard.part().display()
    ));
    Ok(true)
}

/// Checks that all images of a shard were found and are done.
fn end(state: &ImagesState, done: usize, messages: &Messages) -> anyhow::Result<()> {
    messages.end_progress();
    messages.note_or_briefly(state.skipped(false), state.skipped(true));
    let is_complete = state.finish()? == Some(done as u64);
    interrupt::check_stream(done, is_complete, "image")
        .map_err(|interrupted| interrupted.with_hint(session::SHARD_AGAIN))?;
    if !is_complete {
        // No signal, and yet images are missing.
        let hint = "this is a defect of the program: report it with the command line";
        return Err(Hinted::new("not every image of the shard was answered", hint).into());
    }
    Ok(())
}

fn note_end(shard: &OpenShard, is_kept: bool, done: usize, messages: &Messages) {
    messages.summary(done);
    if !is_kept {
        let shard = shard.shard;
        messages.note(&format!(
            "another process has completed shard {shard} in the meantime: its part stays"
        ));
    } else if messages.errors() > 0 {
        messages.note("the shard is complete: rows of images that failed hold their errors");
    }
}
