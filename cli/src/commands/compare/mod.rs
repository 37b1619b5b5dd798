//! `classify compare`: the same images through several runs, and whether they agree.

mod bisect;
pub mod external;
mod options;

use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error};
use evaluation::agreement::Verdict;
use evaluation::text::printable;
use evaluation::{ComparedRuns, Comparison, ComparisonReport, Recording, RecordingError};
use futures_executor::block_on;
use image_classification::ScoreKind;

use crate::arrays::ArrayFiles;
use crate::destination::Output;
use crate::errors::{self, Hinted};
use crate::files_read::{FilesRead, Named};
use crate::inputs::Input;
use crate::reports::{self, Destination};
use crate::session::{self, Session};
use crate::terminal::Messages;
pub use external::RecordedFile;
pub use options::CompareOptions;

/// Compares, prints the text report and writes the others.
pub fn run(mut options: CompareOptions, messages: &mut Messages) -> anyhow::Result<Verdict> {
    // Before the work: where reports cannot go, nothing need be computed.
    let (reports, record) = open_outputs(&options)?;
    let recording = options.against.as_deref();
    let recording = recording.map(|path| open_recording(path, options.runs.scores, messages));
    let recording = recording.transpose()?;
    options.runs.note_defaults(messages);
    let recorded = recording.as_ref().map_or(0, |it| it.runs().len());
    let session = Session::open(&options.runs, recorded, messages)?;
    let inputs = std::mem::take(&mut options.runs.inputs.list);
    let recordings = Outputs { recording, record };
    let Compared {
        mut report,
        recorded,
        obstacle,
    } = compare(&session, &options, inputs, recordings, messages)?;
    if let (Some(bisect), None) = (&options.bisect, obstacle) {
        match bisect::run(&report, &session, &options.runs.runs, bisect, messages) {
            Ok(found) => report.bisect = Some(found),
            // The comparison is complete without it.
            Err(error) => messages.run_failed("bisect", &error),
        }
    }
    let recorded = match recorded {
        // The verdict `Recorded` is wrong if the recording was not written.
        Err(error) if report.verdict() == Verdict::Recorded => return Err(error),
        other => other,
    };
    // Write the reports even on failure: they state the reason.
    reports::write_comparison(reports, &report, options.runs.stdout)?;
    recorded?;
    messages.wrote(&outputs(&options));
    match obstacle {
        Some(obstacle) => Err(Hinted::new(obstacle, "fix the errors above").into()),
        None => Ok(report.verdict()),
    }
}

/// The recorded runs, and the destination of a recording.
struct Outputs {
    recording: Option<Recording<RecordedFile>>,
    record: Option<Output>,
}

/// The result of a comparison.
struct Compared {
    report: ComparisonReport,
    /// The error of the recording, which keeps no report from being written.
    recorded: anyhow::Result<()>,
    /// The reason why nothing could be compared.
    obstacle: Option<&'static str>,
}

/// Warns if the reference failed and the other runs are compared with the first one that did not.
fn warn_of_other_reference(runs: &ComparedRuns, name: Option<&str>, messages: &Messages) {
    let entries = runs.entries();
    let requested = name.or_else(|| entries.first().map(|entry| &*entry.name));
    let used = entries.get(runs.reference()).map(|entry| &*entry.name);
    let ready = runs.ready().count();
    if let (Some(requested), Some(used), true) = (requested, used, ready > 1)
        && requested != used
    {
        messages.warning(&format!(
            "the reference {} failed; the other runs are compared with {}",
            printable(requested),
            printable(used)
        ));
    }
}

/// Gives the images to the runs and compares the answers. Prints notes and errors.
fn compare(
    session: &Session,
    options: &CompareOptions,
    inputs: Vec<Input>,
    mut outputs: Outputs,
    messages: &mut Messages,
) -> anyhow::Result<Compared> {
    let comparison = Comparison::of_runs(session.runs())
        .reference(options.runs.reference.clone())
        .tolerance(options.tolerance.clone())
        .top(options.top)
        .feed(session::feed_options(options.runs.jobs))
        .image_problem(errors::image_problem);
    let count = inputs.len();
    let images = session::images(inputs);
    let comparison = comparison
        .of(images)
        .against(outputs.recording.as_mut())
        .record::<Output>(outputs.record.take());
    let mut running = block_on(comparison.start())?;
    session.check_models()?;
    session.note(running.notes(), messages);
    session.report_failures(messages);
    report_rejected(running.runs(), messages);
    warn_of_other_reference(running.runs(), options.runs.reference.as_deref(), messages);
    let entries = running.runs().entries().iter();
    let names: Vec<String> = entries.map(|entry| entry.name.clone()).collect();
    let obstacle = running.obstacle();
    let mut done = 0;
    messages.start_progress(count);
    while let Some(image) = block_on(running.next())? {
        let problems = image.failures.iter().map(|failure| &failure.problem);
        session.check_engines(problems, session::NO_VERDICT)?;
        session::image_done(&image, |run| Some(&names[run]), messages);
        done += 1;
    }
    messages.end_progress();
    messages.end_repeated();
    session::check_all_answered(done, obstacle.map_or(count, |_| 0))?;
    let warnings = label_warnings(running.runs());
    let (report, recorded) = block_on(running.finish())?;
    let recorded = recorded.map_or(Ok(()), |recorded| recorded?.finish());
    for failure in report.failures.iter().filter(|it| it.image.is_none()) {
        messages.problem("recording", &failure.problem);
    }
    for warning in warnings {
        messages.warning(&warning);
    }
    Ok(Compared {
        report,
        recorded,
        obstacle,
    })
}

/// Prints the errors of the runs that cannot be compared with the reference.
pub fn report_rejected(runs: &ComparedRuns, messages: &mut Messages) {
    for (place, error) in runs.rejected() {
        let name = printable(&runs.entries()[*place].name);
        messages.rejected(&name, error);
    }
}

/// Returns warnings of different labels: the same place in two outputs means different things.
pub fn label_warnings(runs: &ComparedRuns) -> Vec<String> {
    let name = |run: usize| &runs.entries()[run].name;
    let differences = runs.label_differences().into_iter();
    let warnings = differences.map(|(run, difference, first)| {
        printable(&format!(
            "{} has {}: classes are compared by their place in the output",
            name(run),
            difference.text(name(first))
        ))
    });
    warnings.collect()
}

/// Opens the files of reports and of the recording, unless one would replace a file that is read.
fn open_outputs(options: &CompareOptions) -> anyhow::Result<(Vec<Destination>, Option<Output>)> {
    let record = options.record.as_deref();
    if record == Some(Path::new("-")) {
        let error = "--record needs a file: the report goes to stdout";
        return Err(Hinted::new(error, "name a file, such as `--record runs.jsonl`").into());
    }
    files_read(options).check(&outputs(options))?;
    let reports = reports::open(&options.runs.reports)?;
    let record = record.map(|path| Output::open("--record", Some(path)));
    Ok((reports, record.transpose()?))
}

/// Returns the files that a comparison reads.
pub fn files_read(options: &CompareOptions) -> FilesRead<'_> {
    let against = options.against.as_deref();
    let bisect = options.bisect.as_ref();
    let arrays = against.map(files_in).unwrap_or_default().into_iter();
    let read = FilesRead::of_runs(&options.runs)
        .with("a recording", against)
        .with(
            "the image to bisect on",
            bisect.and_then(|bisect| bisect.image.as_deref()),
        );
    arrays.fold(read, |read, array| read.with("an array", Some(array)))
}

/// Returns the files that a comparison writes.
pub fn outputs(options: &CompareOptions) -> Vec<Named<'_>> {
    reports::outputs(&options.runs.reports, options.record.as_deref())
}

/// Returns the files in a directory of arrays; none for a file.
fn files_in(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Opens recorded runs, whose kind of scores is `scores`: a recording, or outputs that another program computed, in an archive or a directory.
pub fn open_recording(
    path: &Path,
    scores: ScoreKind,
    messages: &Messages,
) -> anyhow::Result<Recording<RecordedFile>> {
    let open = || {
        if path.is_dir() {
            return external::read(path, ArrayFiles::directory(path), messages);
        }
        let mut file = model_file::open_regular(path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => RecordingError::NotARecording.into(),
            _ => Error::new(error),
        })?;
        let mut magic = Vec::new();
        file.by_ref().take(6).read_to_end(&mut magic)?;
        file.rewind()?;
        if magic.starts_with(b"PK") {
            return external::read(path, ArrayFiles::npz(path, file)?, messages);
        }
        if magic == b"\x93NUMPY" {
            let error = "it is a single array, but the images have to be named as well";
            let hint = "write an npz, or name a directory with images.npy and logits.npy";
            return Err(Hinted::new(error, hint).into());
        }
        Ok(Recording::read(RecordedFile::Lines(file))?)
    };
    let recording = open().map(|recording| recording.with_scores(scores));
    recording.with_context(|| format!("cannot compare against {}", path.display()))
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
        let error = open_recording(&pipe, ScoreKind::Auto, &Messages::new(true)).unwrap_err();
        assert!(
            format!("{error:#}").contains("not a classify recording"),
            "{error:#}"
        );
    }
}
