//! `classify evaluate`: the same images through one or more runs, against ground truth.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use evaluation::accuracy::{GroundTruth, Metric};
use evaluation::agreement::Verdict;
use evaluation::text::{counted, printable};
use evaluation::{
    Bound, Evaluation, EvaluationAccumulator, EvaluationOptions, EvaluationReport, GateLimits,
    MetricLimit, Recording, RecordingWriter, Recordings, RunInfo,
};
use futures_executor::block_on;
use image_classification::ScoreKind;

use crate::args::EvaluateArgs;
use crate::commands::compare::{RecordedFile, open_recording};
use crate::commands::evaluate_truth::{TruthOptions, WrittenClasses};
use crate::destination::Output;
use crate::errors::{self, Hinted};
use crate::files_read::{FilesRead, Named};
use crate::input::Input;
use crate::options::RunsOptions;
use crate::reports::{self, AnswerRows, Destination, EvaluationText as _, Stdout};
use crate::session::{self, Session};
use crate::terminal::Messages;

/// Evaluates, prints the text report and writes the others.
pub fn run(mut options: EvaluateOptions, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let files = open_files(&options, messages)?;
    options.runs.note_defaults(messages);
    check_inputs(&options.runs.inputs.list, messages)?;
    let images = options.images();
    let written = options.take_written();
    let truth = options.truth.read(&images, &written)?;
    let summary = truth.summary(&images);
    messages.note(&match &options.truth.file {
        Some(file) => {
            let file = printable(&file.to_string_lossy());
            format!("ground truth: {file}, {summary}")
        }
        None => format!("ground truth: {summary}"),
    });
    let inputs = options.runs.inputs.list.iter();
    let failed = inputs.map(|input| input.problem.is_some());
    options.warn_missing(&images, failed, &truth, messages);
    let recorded = files.recording.as_ref();
    let recorded = recorded.map_or(0, |it| it.runs().len());
    let session = Session::open(&options.runs, recorded, messages)?;
    session.report_failures(messages);
    let inputs = std::mem::take(&mut options.runs.inputs.list);
    let (report, reports, recorded) =
        evaluate(&session, &options, truth, images, inputs, files, messages)?;
    warn(&report, messages);
    // Whoever reads the reports learns that nothing was evaluated, and why.
    let verdict = finish(reports, &report, options.runs.stdout)?;
    recorded?;
    messages.wrote(&outputs(&options));
    Ok(verdict)
}

/// Reports the inputs, if none of them can be read. They would be said to lack ground truth.
fn check_inputs(inputs: &[Input], messages: &mut Messages) -> anyhow::Result<()> {
    let missing =
        |input: &Input| input.member.is_none() && fs::symlink_metadata(&input.path).is_err();
    if inputs
        .iter()
        .any(|input| input.problem.is_none() && !missing(input))
    {
        return Ok(());
    }
    for input in inputs {
        let path = printable(&input.path.to_string_lossy());
        let absent = || anyhow!("there is no such file or directory");
        let problem = input.problem.as_ref();
        match problem {
            Some(problem) => messages.input_failed(&path, problem),
            None => messages.input_failed(&path, &absent()),
        }
    }
    Err(Hinted::new("no image can be read", "fix the errors above").into())
}

/// Writes the reports. Returns the verdict.
pub fn finish(
    reports: Vec<Destination>,
    report: &EvaluationReport,
    stdout: Stdout,
) -> anyhow::Result<Verdict> {
    reports::write_evaluation(reports, report, stdout)?;
    if report
        .evaluated()
        .all(|(.., results)| results.info.recorded)
    {
        return Err(Hinted::new("no run is left to evaluate", "fix the errors above").into());
    }
    Ok(report.verdict())
}

/// Opens a recording, whose images are known by their files.
fn open_own_recording(
    path: &Path,
    scores: ScoreKind,
    messages: &Messages,
) -> anyhow::Result<Recording<RecordedFile>> {
    let recording = open_recording(path, scores, messages)?;
    if recording.runs().iter().any(|run| run.source.is_some()) {
        let error = format!("cannot evaluate the outputs in {}", path.display());
        let hint = "give a recording of `evaluate --record`; `compare --against` takes outputs of other programs";
        return Err(Hinted::new(error, hint).into());
    }
    Ok(recording)
}

/// The options of `evaluate`.
pub struct EvaluateOptions {
    pub runs: RunsOptions,
    pub truth: TruthOptions,
    /// The file to record the runs in.
    pub record: Option<PathBuf>,
    /// The recording to compare with.
    against: Option<PathBuf>,
    pub evaluation: EvaluationOptions,
    /// True if the command line has a threshold.
    has_threshold: bool,
}

impl TryFrom<EvaluateArgs> for EvaluateOptions {
    type Error = anyhow::Error;

    fn try_from(args: EvaluateArgs) -> anyhow::Result<Self> {
        let directories = args.runs.input.input.clone();
        let runs = RunsOptions::try_from(args.runs)?;
        if args.max_drop.is_some() && args.against.is_none() && runs.runs.len() < 2 {
            return Err(Hinted::new(
                "--max-drop compares with the reference run, but there is one run",
                "name the reference first, such as `classify evaluate onnx openvino@bf16`",
            )
            .into());
        }
        Ok(Self {
            truth: TruthOptions::new(
                args.truth,
                args.truth_columns,
                args.truth_folders,
                args.truth_webdataset,
                &directories,
            )?,
            record: args.record,
            against: args.against,
            has_threshold: args.threshold.is_some(),
            evaluation: EvaluationOptions {
                reference: runs.reference.clone(),
                label_offset: args.label_offset,
                threshold: args.threshold.unwrap_or(EvaluationOptions::THRESHOLD),
                top: args.top,
                other_model: args.other_model,
                limits: GateLimits {
                    min_top1: args.min_top1,
                    max_drop: args.max_drop,
                    drop_rule: args.drop_rule.map(Into::into).unwrap_or_default(),
                    min_truth: args.min_truth,
                    metrics: metric_limits(args.metric_min, args.metric_max)?,
                },
            },
            runs,
        })
    }
}

/// Returns the limits of both flags, in their order.
///
/// # Errors
///
/// For a minimum of a metric that is better the smaller it is.
fn metric_limits(
    least: Vec<MetricLimit>,
    most: Vec<MetricLimit>,
) -> anyhow::Result<Vec<MetricLimit>> {
    if let Some(limit) = least
        .iter()
        .find(|it| it.metric == Metric::CalibrationError)
    {
        return Err(Hinted::new(
            format!(
                "--metric-min {0}={1}: a smaller {0} is better, so it needs a maximum",
                limit.metric, limit.value
            ),
            format!("pass `--metric-max {}={}`", limit.metric, limit.value),
        )
        .into());
    }
    let most = most.into_iter().map(|limit| MetricLimit {
        bound: Bound::AtMost,
        ..limit
    });
    Ok(least.into_iter().chain(most).collect())
}

impl EvaluateOptions {
    /// Returns the paths of the images.
    fn images(&self) -> Vec<PathBuf> {
        let inputs = self.runs.inputs.list.iter();
        inputs.map(|input| input.path.clone()).collect()
    }

    /// Warns of images without ground truth before work starts: gates may need all of them.
    /// Images of `failed` have their own errors.
    pub fn warn_missing(
        &self,
        images: &[PathBuf],
        failed: impl Iterator<Item = bool> + Clone,
        truth: &GroundTruth,
        messages: &Messages,
    ) {
        let images_that_remain = images.iter().zip(failed).filter(|(_, failed)| !failed);
        let missing = images_that_remain
            .map(|(image, _)| image)
            .filter(|image| truth.written(image).is_none());
        let Some(first) = missing.clone().next() else {
            return;
        };
        let limits = &self.evaluation.limits;
        let consequence = if limits.judges_answers() && limits.min_truth.is_none() {
            "without them the gates have no verdict, unless `--min-truth` allows fewer images"
        } else {
            "they do not count"
        };
        messages.warning(&format!(
            "the ground truth does not mention {} of {}, the first is {}; {consequence}",
            missing.count(),
            counted(images.len(), "image"),
            printable(&first.to_string_lossy())
        ));
    }
}

impl EvaluateOptions {
    /// Returns the classes that archives have for their images. An image whose classes cannot be used fails. Without a
    /// flag they are used if all images have some.
    fn take_written(&mut self) -> Vec<WrittenClasses> {
        let has_classes = |image: &Input| {
            let member = image.member.as_ref();
            member.is_some_and(|member| member.truth.is_some())
        };
        let list = &self.runs.inputs.list;
        self.truth.is_webdataset |=
            !self.truth.is_named() && !list.is_empty() && list.iter().all(has_classes);
        let images = self.runs.inputs.list.iter_mut();
        let is_used = self.truth.is_webdataset;
        let written = images.filter(|_| is_used).filter_map(|image| {
            let classes = take_classes(image)?;
            Some((image.path.clone(), classes))
        });
        written.collect()
    }

    /// Returns whether the ground truth may be that of a model without a class for the background. `classes` are those of
    /// the runs.
    pub fn may_lack_background(
        &self,
        mut classes: impl Iterator<Item = Option<usize>>,
        truth: &GroundTruth,
        images: &[PathBuf],
    ) -> bool {
        self.evaluation.label_offset == 0
            && classes.any(|classes| classes == Some(1001))
            && has_ids_below_1000(truth, images)
    }
}

/// Prints the runs that cannot be judged, and notes on the others.
pub fn note_runs(
    accumulator: &EvaluationAccumulator,
    options: &EvaluateOptions,
    may_lack_background: bool,
    messages: &mut Messages,
) {
    let entries = accumulator.entries();
    for (place, error) in accumulator.rejected() {
        messages.rejected(&printable(&entries[*place].name), error);
    }
    let infos = entries.iter().filter_map(|entry| entry.info.as_ref().ok());
    let infos: Vec<&RunInfo> = infos.collect();
    if options.has_threshold && !infos.is_empty() && !infos.iter().any(|it| is_multi_label(it)) {
        messages.note("--threshold has no effect: in every run one class is right at a time");
    }
    let limits = &options.evaluation.limits;
    let has_exact_match = limits
        .metrics
        .iter()
        .any(|limit| limit.metric == Metric::ExactMatch);
    if limits.min_top1.is_some() && !has_exact_match && infos.iter().any(|it| is_multi_label(it)) {
        messages.note(
            "--min-top1 judges the best class of a multi-label model alone; to require exactly the right classes, pass \
             `--metric-min exact-match=SHARE`",
        );
    }
    if may_lack_background && infos.iter().any(|info| info.classes == Some(1001)) {
        messages.note(
            "a model has 1001 classes, and the ground truth no id above 999; if class 0 of the model is the background, \
             pass `--label-offset 1`",
        );
    }
}

/// Returns the classes that an archive has for an image. If they cannot be used, the image fails.
pub fn take_classes(image: &mut Input) -> Option<Vec<String>> {
    match image.member.as_mut()?.truth.take()? {
        Ok(classes) => Some(classes),
        Err(reason) => {
            let error = format!("its ground truth in the archive cannot be used: {reason}");
            let hint = "correct the sample in the archive";
            image.problem = Some(Hinted::new(error, hint).into());
            None
        }
    }
}

/// The open files of an evaluation.
struct Files {
    recording: Option<Recording<RecordedFile>>,
    reports: Vec<Destination>,
    rows: Vec<AnswerRows>,
    record: Option<RecordingWriter<Output>>,
}

/// Returns the files that an evaluation reads.
pub fn files_read(options: &EvaluateOptions) -> FilesRead<'_> {
    FilesRead::of_runs(&options.runs)
        .with("the ground truth", options.truth.file.as_deref())
        .with("a recording", options.against.as_deref())
}

/// Returns the files that an evaluation writes.
pub fn outputs(options: &EvaluateOptions) -> Vec<Named<'_>> {
    reports::outputs(&options.runs.reports, options.record.as_deref())
}

/// Opens the recording, and the files of reports and of a new recording, unless one would replace a file that is read.
fn open_files(options: &EvaluateOptions, messages: &Messages) -> anyhow::Result<Files> {
    let record = options.record.as_deref();
    if record == Some(Path::new("-")) {
        let error = "--record needs a file: the report goes to stdout";
        return Err(Hinted::new(error, "name a file, such as `--record runs.jsonl`").into());
    }
    files_read(options).check(&outputs(options))?;
    let (rows, others) = reports::split_rows(&options.runs.reports);
    let rows = reports::open_rows(&rows, options.runs.stdout.format)?;
    let record = record.map(|path| Output::open("--record", Some(path)));
    let recording = options.against.as_deref();
    let recording = recording.map(|path| open_own_recording(path, options.runs.scores, messages));
    Ok(Files {
        recording: recording.transpose()?,
        reports: reports::open(&others)?,
        rows,
        record: record.transpose()?.map(RecordingWriter::new),
    })
}

/// Gives the images to the runs and judges the answers. Prints notes and errors.
fn evaluate(
    session: &Session,
    options: &EvaluateOptions,
    truth: GroundTruth,
    images: Vec<PathBuf>,
    inputs: Vec<Input>,
    files: Files,
    messages: &mut Messages,
) -> anyhow::Result<(EvaluationReport, Vec<Destination>, anyhow::Result<()>)> {
    let Files {
        mut recording,
        reports,
        mut rows,
        mut record,
    } = files;
    let classes = session.ready().map(|run| run.fitted.classes);
    let may_lack_background = options.may_lack_background(classes, &truth, &images);
    let evaluation = Evaluation::of_runs(session.runs(), truth)
        .options(options.evaluation.clone())
        .images(images)
        .feed(session::feed_options(options.runs.jobs))
        .image_problem(errors::image_problem);
    let count = inputs.len();
    let mut recordings = Recordings::default();
    if let Some(recording) = &mut recording {
        recordings = recordings.against(recording);
    }
    if let Some(record) = &mut record {
        recordings = recordings.record(record);
    }
    let images = session::images(inputs);
    let mut running = block_on(evaluation.start_recorded(images, recordings))?;
    session.check_models()?;
    session.note(running.notes(), messages);
    let accumulator = running.accumulator();
    note_runs(accumulator, options, may_lack_background, messages);
    let entries = accumulator.entries();
    let infos = entries.iter().filter_map(|entry| entry.info.as_ref().ok());
    let infos: Vec<&RunInfo> = infos.collect();
    let evaluated = infos.len();
    let own = infos.iter().filter(|info| !info.recorded).count();
    let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
    let name = |run: usize| (evaluated > 1).then_some(&*names[run]);
    let mut done = 0;
    messages.start_progress(count);
    while let Some(image) = block_on(running.next()) {
        let problems = image.failures.iter().map(|failure| &failure.problem);
        session.check_engines(problems, session::NO_VERDICT)?;
        session::image_done(&image, name, messages);
        let accumulator = running.accumulator();
        for rows in &mut rows {
            rows.write(accumulator.rows(), accumulator.entries())?;
        }
        done += 1;
    }
    messages.end_progress();
    messages.end_repeated();
    session::check_all_answered(done, if own == 0 { 0 } else { count })?;
    for rows in rows {
        rows.finish()?;
    }
    let report = running.finish();
    for failure in report.failures.iter().filter(|it| it.image.is_none()) {
        messages.problem("recording", &failure.problem);
    }
    let recorded = record.map_or(Ok(()), |record| record.finish()?.finish());
    Ok((report, reports, recorded))
}

/// Returns whether several classes may be right for an image at a time.
fn is_multi_label(info: &RunInfo) -> bool {
    let interpretation = info.interpretation;
    interpretation.is_some_and(|interpretation| interpretation.scoring.is_multi_label())
}

/// Returns whether all classes of the images are ids below 1000.
fn has_ids_below_1000(truth: &GroundTruth, images: &[PathBuf]) -> bool {
    let mut classes = images
        .iter()
        .filter_map(|image| truth.written(image))
        .flatten();
    classes.all(|class| class.parse().is_ok_and(|id: u32| id < 1000))
}

/// Warns of entries that do not count, and of different labels.
pub fn warn(evaluation: &EvaluationReport, messages: &Messages) {
    if let Some(first) = evaluation.surplus.first() {
        let surplus = evaluation.surplus.len();
        messages.warning(&format!(
            "the ground truth names {} that {} not given, the first is {}",
            counted(surplus, "image"),
            if surplus == 1 { "was" } else { "were" },
            printable(&first.to_string_lossy())
        ));
    }
    for (run, text) in evaluation.remark_rows() {
        messages.warning(&format!("{run}: {text}"));
    }
    for (index, run) in evaluation.runs.iter().enumerate() {
        if let Some(difference) = evaluation.labels_line(index) {
            messages.warning(&format!(
                "{}: {difference}; each run is judged by its own classes",
                printable(&run.name)
            ));
        }
    }
}
