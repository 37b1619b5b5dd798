//! `classify compare`: the same images through several runs, and whether they agree.

mod bisect;

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Error};
use backend_api::Tensor;
use evaluation::agreement::{Tolerance, ToleranceName, Verdict};
use evaluation::{
    AnsweredImage, ComparedRuns, ComparisonAccumulator, ImageDigests, Recorder, Recording,
    RecordingError, Share, artificial_image,
};
use image_classification::Digests;

use crate::args::{CompareArgs, ReportPath};
use crate::destination::Output;
use crate::errors::{self, Hinted};
use crate::files_read::FilesRead;
use crate::options::RunsOptions;
use crate::provenance;
use crate::reports::{self, Destination};
use crate::session::{self, Answered, OpenRun, Outputs, Session};
use crate::terminal::Messages;
use evaluation::text::printable;

/// Compares, prints the text report and writes the others.
pub fn run(args: CompareArgs, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let limits = Limits::new(&args);
    let CompareArgs {
        runs,
        top,
        record,
        against,
        bisect,
        bisect_image,
        bisect_looks,
        ..
    } = args;
    let options = RunsOptions::try_from(runs)?;
    if bisect {
        can_bisect(&options, against.as_deref(), bisect_image.as_deref())?;
    }
    if options.runs.len() < 2 && record.is_none() && against.is_none() {
        return Err(Hinted::new(
            "there is one run, but a comparison needs two",
            "name another run, such as `classify compare openvino onnx`, or --against a recording",
        )
        .into());
    }
    // Before the work: where reports cannot go, nothing need be computed.
    let read = FilesRead::of_runs(
        &options,
        &[
            ("a recording", against.as_deref()),
            ("the image to bisect on", bisect_image.as_deref()),
        ],
    );
    let (reports, record) = open_outputs(&options.reports, record.as_deref(), &read)?;
    let recording = against.as_deref().map(open_recording).transpose()?;
    options.note_defaults(messages);

    let opened = Session::open(&options, messages)?;
    let mut entries = recording
        .as_ref()
        .map_or_else(Vec::new, |recording| recording.entries(options.scores));
    let recorded_runs = entries.len();
    entries.extend(provenance::entries(&opened)?);
    let compared = ComparedRuns::new(entries, options.reference.as_deref())?;
    opened.report_failures(messages);
    report_rejected(&compared, messages);
    let (tolerance, tolerance_by) = limits.tolerance(&compared);
    let mut fold = Fold {
        live: compared
            .ready()
            .filter_map(|place| {
                let (_, run) = &opened.entries[place.checked_sub(recorded_runs)?];
                Some((place, run.as_ref().ok()?))
            })
            .collect(),
        names: compared
            .entries()
            .iter()
            .map(|entry| printable(&entry.name))
            .collect(),
        accumulator: ComparisonAccumulator::new(compared, tolerance, tolerance_by, top),
        recording,
        recorder: None,
        record_error: None,
    };
    fold.start_recorder(record)?;
    // Whoever reads the reports learns why.
    let nothing = fold.nothing_to_compare();
    let mut inputs = options.inputs.list;
    if nothing.is_some() {
        inputs.clear();
    }
    let live: Vec<&OpenRun> = fold.live.iter().map(|(_, run)| *run).collect();
    let digests = Digests {
        file: true,
        tensor: true,
        pixels: fold.recorder.is_some() || fold.recording.is_some(),
    };
    session::answer(
        &live,
        inputs,
        options.jobs,
        digests,
        messages,
        |answered, messages| fold.take(answered, messages),
    )?;
    // What goes wrong with it keeps no report from being written.
    let recorded = fold.finish_recorder();
    fold.add_variations();
    if nothing.is_none() {
        fold.check_unused(messages);
    }
    fold.warn_of_labels(messages);
    let mut comparison = fold.accumulator.finish()?;
    if bisect && nothing.is_none() {
        let asked = bisect::Options {
            image: bisect_image.as_deref(),
            tolerance: limits.node,
            looks: bisect_looks,
        };
        match bisect::run(&comparison, &opened, &options.runs, &asked, messages) {
            Ok(found) => comparison.bisect = Some(found),
            Err(error) => {
                // What is known is known without it.
                messages.run_failed("bisect", &error);
            }
        }
    }
    reports::write_comparison(reports, &comparison)?;
    recorded?;
    if let Some(nothing) = nothing {
        return Err(Hinted::new(nothing, "fix the errors above").into());
    }
    Ok(comparison.verdict())
}

/// The user's limits of differences.
struct Limits {
    name: Option<ToleranceName>,
    max_delta: Option<f64>,
    min_top1: Option<Share>,
    min_overlap: Option<Share>,
    /// The limit for nodes.
    node: Option<f64>,
}

impl Limits {
    fn new(args: &CompareArgs) -> Self {
        Self {
            name: args.tolerance.map(Into::into),
            max_delta: args.max_delta.map(Share::value),
            min_top1: args.min_top1,
            min_overlap: args.min_overlap,
            node: args.bisect_tolerance.map(Share::value),
        }
    }

    /// The tolerance of all pairs, and what decides it.
    fn tolerance(&self, runs: &ComparedRuns) -> (Tolerance, String) {
        let (name, by) = match self.name {
            Some(name) => (name, "--tolerance".to_owned()),
            None => runs.default_tolerance(),
        };
        let mut tolerance = Tolerance::named(name);
        if let Some(max_delta) = self.max_delta {
            tolerance.max_delta = max_delta;
        }
        tolerance.min_top1 = self.min_top1.or(tolerance.min_top1);
        tolerance.min_overlap = self.min_overlap.or(tolerance.min_overlap);
        (tolerance, by)
    }
}

/// Opens the files of reports and of the recording, unless one would replace a file that is read.
fn open_outputs(
    reports: &[ReportPath],
    record: Option<&Path>,
    read: &FilesRead<'_>,
) -> anyhow::Result<(Vec<Destination>, Option<Output>)> {
    if record == Some(Path::new("-")) {
        let error = "--record needs a file: the report goes to stdout";
        return Err(Hinted::new(error, "name a file, such as `--record runs.jsonl`").into());
    }
    let outputs = reports::files(reports).chain(record.map(|path| ("--record", path)));
    read.check(&outputs.collect::<Vec<_>>())?;
    let reports = reports::open(reports)?;
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

fn report_rejected(runs: &ComparedRuns, messages: &mut Messages) {
    for (place, error) in runs.rejected() {
        let name = printable(&runs.entries()[*place].name);
        messages.rejected(&name, error);
    }
}

/// What a bisection needs is known before the work.
fn can_bisect(
    options: &RunsOptions,
    against: Option<&Path>,
    image: Option<&Path>,
) -> anyhow::Result<()> {
    // Opening the model says why it cannot be read.
    let is_onnx = |model: &Path| {
        model_file::format(model).map_or(true, |format| format == model_file::Format::Onnx)
    };
    if let Some((name, engine)) = options
        .runs
        .iter()
        .find(|(_, engine)| !is_onnx(&engine.model))
    {
        return Err(Hinted::new(
            format!(
                "--bisect looks into ONNX models, but that of {name} is {}",
                engine.model.display()
            ),
            "give all runs the ONNX model; OpenVINO reads it too",
        )
        .into());
    }
    if against.is_some() {
        return Err(Hinted::new(
            "--bisect needs both runs, but a recording has no values between nodes",
            "name both runs instead of --against",
        )
        .into());
    }
    match image {
        Some(image) if !image.is_file() => {
            let error = format!("there is no image {}", image.display());
            Err(Hinted::new(error, "name an image for --bisect-image").into())
        }
        _ => Ok(()),
    }
}

/// A comparison under way.
struct Fold<'a> {
    accumulator: ComparisonAccumulator,
    /// The names of all runs.
    names: Vec<String>,
    /// The runs that are open and compared, with their places.
    live: Vec<(usize, &'a OpenRun)>,
    recording: Option<Recording<File>>,
    recorder: Option<Recorder<Output>>,
    /// The error that ended the recording.
    record_error: Option<RecordingError>,
}

impl Fold<'_> {
    fn start_recorder(&mut self, record: Option<Output>) -> anyhow::Result<()> {
        let entries = self.accumulator.runs().entries();
        let infos = self.live.iter();
        let infos = infos.filter_map(|(place, _)| entries[*place].info.clone().ok());
        self.recorder = record
            .filter(|_| !self.live.is_empty())
            .map(|out| Recorder::start(out, infos.collect()))
            .transpose()?;
        Ok(())
    }

    /// Completes the recording, or returns the error that ended it.
    fn finish_recorder(&mut self) -> anyhow::Result<()> {
        match (self.record_error.take(), self.recorder.take()) {
            (Some(error), _) => Err(error.into()),
            (None, Some(recorder)) => recorder.finish()?.finish(),
            (None, None) => Ok(()),
        }
    }

    fn nothing_to_compare(&self) -> Option<&'static str> {
        if self.live.is_empty() {
            Some("no run is left to compare")
        } else if self.accumulator.runs().ready().count() < 2 && self.recorder.is_none() {
            Some("fewer than two runs are left to compare")
        } else {
            None
        }
    }

    fn take(&mut self, answered: Answered, messages: &mut Messages) -> anyhow::Result<()> {
        let Answered { path, result } = answered;
        let named = printable(&path.to_string_lossy());
        let taken = result.and_then(|outputs| {
            let digests = digests(&outputs);
            let recorded = match &mut self.recording {
                Some(recording) => self
                    .accumulator
                    .runs()
                    .recorded_outputs(recording, &digests)?,
                None => Vec::new(),
            };
            Ok((digests, outputs, recorded))
        });
        let (digests, outputs, recorded) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                messages.input_failed(&named, &error);
                self.accumulator.add_failed(path, errors::problem(&error));
                return Ok(());
            }
        };
        self.record(&path, &digests, &outputs);
        let live = outputs.tensors.into_iter();
        let live = live.map(|output| output.map_err(|error| errors::problem(&error)));
        let image = AnsweredImage {
            digests,
            outputs: recorded.into_iter().chain(live).collect(),
        };
        for failure in self.accumulator.add(path, image)? {
            let run = failure.run.map_or("", |run| &self.names[run]);
            messages.problem(&format!("{named}: {run}"), &failure.problem);
        }
        Ok(())
    }

    /// Records an image. A disk that is full loses the recording, and nothing else.
    fn record(&mut self, path: &Path, digests: &ImageDigests, outputs: &Outputs) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        let tensors = outputs.tensors.iter();
        let tensors: Vec<Option<&Tensor>> = tensors.map(|output| output.as_ref().ok()).collect();
        if let Err(error) = recorder.add(path, digests, &tensors) {
            self.record_error = Some(error);
            self.recorder = None;
        }
    }

    /// Adds each engine's answer for a made-up image to what is known of how answers vary, if there is one image alone:
    /// its answers cannot show whether they depend on it.
    fn add_variations(&mut self) {
        if !self.accumulator.has_one_content() {
            return;
        }
        let image = artificial_image();
        for (place, run) in &self.live {
            // A model that fails on noise is judged by the images that there are.
            if let Ok(output) = session::infer_image(run, image.clone()) {
                self.accumulator.add_variation(*place, &output);
            }
        }
    }

    /// Checks that all recorded images were given.
    fn check_unused(&mut self, messages: &mut Messages) {
        if let Some(problem) = self.recording.as_ref().and_then(Recording::unused_problem) {
            messages.problem("recording", &problem);
            self.accumulator.add_failure(problem);
        }
    }

    /// Warns of different labels: the same place in two outputs means different things.
    fn warn_of_labels(&self, messages: &Messages) {
        let runs = self.accumulator.runs();
        let name = |run: usize| &runs.entries()[run].name;
        for (run, difference, first) in runs.label_differences() {
            messages.warning(&printable(&format!(
                "{} has {}: classes are compared by their place in the output",
                name(run),
                difference.text(name(first))
            )));
        }
    }
}

/// The digests of an image, all of which compare asks for.
fn digests(outputs: &Outputs) -> ImageDigests {
    let wanted = "compare asks for it";
    ImageDigests {
        file: outputs.digests.file.expect(wanted),
        tensor: outputs.digests.tensor.expect(wanted),
        pixels: outputs.digests.pixels,
    }
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
