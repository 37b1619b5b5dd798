//! A shard of `classify`, `compare` or `evaluate`: it writes a part, which `classify merge` joins with the others.

use futures_util::stream;
use image_classification::FittedPreprocessing;

use super::classify::{self, files_read, note_engine, open_run};
use crate::destination::Output;
use crate::errors::Hinted;
use crate::files_read::FilesRead;
use crate::interrupt;
use crate::options::{ClassifyOptions, note_defaults};
use crate::process;
use crate::session;
use crate::shards::{self, Entries, FLAG, ImagesState, OpenShard, PartRun, ShardOptions};
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
    let (shard, images) = OpenShard::open(shard, "classify", entries, files)?;
    note_defaults(std::iter::once(&options.engine), &options.inputs, messages);
    if is_complete(&shard, messages)? {
        return Ok(());
    }
    let output = open_part(&shard, &files_read(&options))?;
    let mut writer = Writer::new(output, &options.output, options.quiet);
    let mut run = open_run(&options, messages, |_| Ok(()))?;
    shards::check_reading(&run)?;
    note_engine(&run, &options, messages);
    let images = stream::iter(session::images(images));
    let answers = run.answers(images, options.jobs, FittedPreprocessing::FIRST_IMAGES);
    let done = classify::classify(&mut run, answers, &options, &mut writer, messages)?;
    let output = writer.into_output()?;
    let runs = vec![PartRun::new(run.info())];
    process::leak(run);
    end(&shard.state, done, messages)?;
    shard.finish(output, done as u64, messages.errors() as u64, runs)?;
    note_failures(done, messages);
    Ok(())
}

/// Returns whether the part of a shard is complete already, and says so.
fn is_complete(shard: &OpenShard, messages: &Messages) -> anyhow::Result<bool> {
    let Some(manifest) = shard.directory.manifest(shard.shard.index)? else {
        return Ok(false);
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

/// Opens the file of a part.
fn open_part(shard: &OpenShard, read: &FilesRead<'_>) -> anyhow::Result<Output> {
    let part = shard.part();
    read.check(&[(FLAG, &part)])?;
    Output::open(FLAG, Some(&part))
}

/// Checks that all images of a shard were found and are done.
fn end(state: &ImagesState, done: usize, messages: &Messages) -> anyhow::Result<()> {
    messages.end_progress();
    messages.note_or_briefly(state.skipped(false), state.skipped(true));
    let is_complete = state.finish()? == Some(done as u64);
    interrupt::check_stream(done, is_complete, "image").map_err(|interrupted| {
        interrupted.with_hint("run the shard again: a part appears when it is complete")
    })?;
    if !is_complete {
        // No signal, and yet images are missing.
        let hint = "this is a defect of the program: report it with the command line";
        return Err(Hinted::new("not every image of the shard was answered", hint).into());
    }
    Ok(())
}

fn note_failures(done: usize, messages: &Messages) {
    messages.summary(done);
    if messages.errors() > 0 {
        messages.note("the shard is complete: rows of images that failed hold their errors");
    }
}
