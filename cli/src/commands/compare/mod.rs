//! `classify compare`: the same images through several runs, and whether they agree.

mod accumulator;
mod bisect;
mod options;

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Error};
use evaluation::agreement::Verdict;
use evaluation::{Recording, RecordingError};

use crate::args::CompareArgs;
use crate::destination::Output;
use crate::errors::Hinted;
use crate::files_read::FilesRead;
use crate::reports::{self, Destination};
use crate::session::Session;
use crate::terminal::Messages;
use accumulator::Accumulator;
use options::CompareOptions;

/// Compares, prints the text report and writes the others.
pub fn run(args: CompareArgs, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let mut options = CompareOptions::try_from(args)?;
    // Before the work: where reports cannot go, nothing need be computed.
    let (reports, record) = open_outputs(&options)?;
    let recording = options.against.as_deref().map(open_recording).transpose()?;
    options.runs.note_defaults(messages);
    let session = Session::open(&options.runs, messages)?;
    let mut accumulator = Accumulator::start(&session, &options, recording, record, messages)?;
    let nothing = accumulator.nothing;
    if nothing.is_none() {
        let inputs = std::mem::take(&mut options.runs.inputs.list);
        accumulator.answer(inputs, options.runs.jobs, messages)?;
    }
    // An error of the recording keeps no report from being written.
    let recorded = accumulator.finish_recording();
    let mut comparison = accumulator.finish(messages)?;
    if let (Some(bisect), None) = (&options.bisect, nothing) {
        match bisect::run(&comparison, &session, &options.runs.runs, bisect, messages) {
            Ok(found) => comparison.bisect = Some(found),
            // The comparison is complete without it.
            Err(error) => messages.run_failed("bisect", &error),
        }
    }
    // Whoever reads the reports learns why nothing was compared.
    reports::write_comparison(reports, &comparison)?;
    recorded?;
    match nothing {
        Some(nothing) => Err(Hinted::new(nothing, "fix the errors above").into()),
        None => Ok(comparison.verdict()),
    }
}

/// Opens the files of reports and of the recording, unless one would replace a file that is read.
fn open_outputs(options: &CompareOptions) -> anyhow::Result<(Vec<Destination>, Option<Output>)> {
    let record = options.record.as_deref();
    if record == Some(Path::new("-")) {
        let error = "--record needs a file: the report goes to stdout";
        return Err(Hinted::new(error, "name a file, such as `--record runs.jsonl`").into());
    }
    let bisect = options.bisect.as_ref();
    let read = FilesRead::of_runs(
        &options.runs,
        &[
            ("a recording", options.against.as_deref()),
            (
                "the image to bisect on",
                bisect.and_then(|bisect| bisect.image.as_deref()),
            ),
        ],
    );
    let outputs = reports::files(&options.runs.reports);
    let outputs = outputs.chain(record.map(|path| ("--record", path)));
    read.check(&outputs.collect::<Vec<_>>())?;
    let reports = reports::open(&options.runs.reports)?;
    let record = record.map(|path| Output::open("--record", Some(path)));
    Ok((reports, record.transpose()?))
}

fn open_recording(path: &Path) -> anyhow::Result<Recording<File>> {
    let open = || {
        let file = model_file::open_regular(path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => RecordingError::NotARecording.into(),
            _ => Error::new(error),
        })?;
        anyhow::Ok(Recording::read(file)?)
    };
    open().with_context(|| format!("cannot compare against {}", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_no_recording_and_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        let error = open_recording(&pipe).unwrap_err();
        assert!(
            format!("{error:#}").contains("not a classify recording"),
            "{error:#}"
        );
    }
}
