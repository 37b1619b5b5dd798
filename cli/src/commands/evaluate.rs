//! `classify evaluate`: the same images through one or more runs, against ground truth.

use std::path::{Path, PathBuf};

use evaluation::accuracy::GroundTruth;
use evaluation::agreement::Verdict;
use evaluation::text::{counted, printable};
use evaluation::{
    Evaluation, EvaluationAccumulator, EvaluationOptions, EvaluationReport, GateLimits, RunInfo,
};
use futures_executor::block_on;
use image_classification::read_file;

use crate::args::EvaluateArgs;
use crate::errors::{self, Hinted};
use crate::files_read::FilesRead;
use crate::inputs::Input;
use crate::options::RunsOptions;
use crate::reports::{self, Destination, EvaluationText as _};
use crate::session::{self, Session};
use crate::terminal::Messages;

/// Evaluates, prints the text report and writes the others.
pub fn run(args: EvaluateArgs, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let mut options = EvaluateOptions::try_from(args)?;
    let reports = open_reports(&options)?;
    options.runs.note_defaults(messages);
    let images = options.images();
    let written = options.take_written();
    let truth = options.ground_truth(&images, &written)?;
    options.warn_missing(&images, &truth, messages);
    let session = Session::open(&options.runs, messages)?;
    session.report_failures(messages);
    let inputs = std::mem::take(&mut options.runs.inputs.list);
    let report = evaluate(&session, &options, truth, images, inputs, messages)?;
    warn(&report, messages);
    // Whoever reads the reports learns that nothing was evaluated, and why.
    finish(reports, &report)
}

/// Writes the reports. Returns the verdict.
pub fn finish(reports: Vec<Destination>, report: &EvaluationReport) -> anyhow::Result<Verdict> {
    reports::write_evaluation(reports, report)?;
    if report.runs.iter().all(|run| run.results.is_err()) {
        return Err(Hinted::new("no run is left to evaluate", "fix the errors above").into());
    }
    Ok(report.verdict())
}

/// The options of `evaluate`.
pub struct EvaluateOptions {
    pub runs: RunsOptions,
    /// The file with the ground truth.
    pub truth: Option<PathBuf>,
    /// True if members of archives are the ground truth. Otherwise, without a file, the names of directories are it.
    pub is_webdataset: bool,
    pub evaluation: EvaluationOptions,
    /// True if the command line has a threshold.
    has_threshold: bool,
}

impl TryFrom<EvaluateArgs> for EvaluateOptions {
    type Error = anyhow::Error;

    fn try_from(args: EvaluateArgs) -> anyhow::Result<Self> {
        let runs = RunsOptions::try_from(args.runs)?;
        if args.max_drop.is_some() && runs.runs.len() < 2 {
            return Err(Hinted::new(
                "--max-drop compares with the reference run, but there is one run",
                "name the reference first, such as `classify evaluate onnx openvino@bf16`",
            )
            .into());
        }
        Ok(Self {
            truth: args.truth,
            is_webdataset: args.truth_webdataset,
            has_threshold: args.threshold.is_some(),
            evaluation: EvaluationOptions {
                reference: runs.reference.clone(),
                label_offset: args.label_offset,
                threshold: args.threshold.unwrap_or(EvaluationOptions::THRESHOLD),
                top: args.top,
                limits: GateLimits {
                    min_top1: args.min_top1,
                    max_drop: args.max_drop,
                    drop_rule: args.drop_rule.map(Into::into).unwrap_or_default(),
                    min_truth: args.min_truth,
                },
            },
            runs,
        })
    }
}

impl EvaluateOptions {
    /// Returns the paths of the images.
    fn images(&self) -> Vec<PathBuf> {
        let inputs = self.runs.inputs.list.iter();
        inputs.map(|input| input.path.clone()).collect()
    }

    /// Warns of images without ground truth before work starts: gates may need all of them.
    pub fn warn_missing(&self, images: &[PathBuf], truth: &GroundTruth, messages: &Messages) {
        let missing = images.iter().filter(|image| truth.written(image).is_none());
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

    /// Returns the classes that archives have for their images. An image whose classes cannot be used fails.
    fn take_written(&mut self) -> Vec<WrittenClasses> {
        let images = self.runs.inputs.list.iter_mut();
        let is_used = self.is_webdataset;
        let written = images.filter(|_| is_used).filter_map(|image| {
            let classes = take_classes(image)?;
            Some((image.path.clone(), classes))
        });
        written.collect()
    }

    /// Returns the ground truth of the images. `written` are the classes that archives have for them.
    pub fn ground_truth(
        &self,
        images: &[PathBuf],
        written: &[WrittenClasses],
    ) -> anyhow::Result<GroundTruth> {
        let truth = match &self.truth {
            Some(path) => read_truth(path)?,
            None if self.is_webdataset => truth_of(written)?,
            None => GroundTruth::folders(),
        };
        truth.check_images(images)?;
        Ok(truth)
    }
}

impl EvaluateOptions {
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
    if may_lack_background && infos.iter().any(|info| info.classes == Some(1001)) {
        messages.note(
            "a model has 1001 classes, and the ground truth no id above 999; if class 0 of the model is the background, \
             pass `--label-offset 1`",
        );
    }
}

/// Opens the files of reports, unless one would replace a file that is read.
fn open_reports(options: &EvaluateOptions) -> anyhow::Result<Vec<Destination>> {
    let truth = options.truth.as_deref();
    let read = FilesRead::of_runs(&options.runs, &[("the ground truth", truth)]);
    read.check(&reports::files(&options.runs.reports).collect::<Vec<_>>())?;
    reports::open(&options.runs.reports)
}

/// The name of an image and its classes as they are written.
pub type WrittenClasses = (PathBuf, Vec<String>);

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

/// Returns the ground truth that archives have.
fn truth_of(written: &[WrittenClasses]) -> anyhow::Result<GroundTruth> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["path", "label"])?;
    for (image, classes) in written {
        for class in classes {
            table.write_record([&*image.to_string_lossy(), class])?;
        }
    }
    Ok(GroundTruth::read(&*table.into_inner()?)?)
}

/// Reads a file of ground truth.
pub fn read_truth(path: &Path) -> anyhow::Result<GroundTruth> {
    let read = || {
        let bytes = read_file(path, GroundTruth::MOST_BYTES)?;
        Ok(GroundTruth::read(&*bytes)?)
    };
    read().map_err(|error: anyhow::Error| {
        error.context(format!("cannot use the ground truth {}", path.display()))
    })
}

/// Gives the images to the runs and judges the answers. Prints notes and errors.
fn evaluate(
    session: &Session,
    options: &EvaluateOptions,
    truth: GroundTruth,
    images: Vec<PathBuf>,
    inputs: Vec<Input>,
    messages: &mut Messages,
) -> anyhow::Result<EvaluationReport> {
    let classes = session.ready().map(|run| run.fitted.classes);
    let may_lack_background = options.may_lack_background(classes, &truth, &images);
    let evaluation = Evaluation::of_runs(session.runs(), truth)
        .options(options.evaluation.clone())
        .images(images)
        .feed(session::feed_options(options.runs.jobs))
        .image_problem(errors::image_problem);
    let count = inputs.len();
    let mut running = block_on(evaluation.start(session::images(inputs)))?;
    session.check_models()?;
    session.note(running.notes(), messages);
    let accumulator = running.accumulator();
    note_runs(accumulator, options, may_lack_background, messages);
    let entries = accumulator.entries();
    let evaluated = accumulator.ready().count();
    let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
    let name = |run: usize| (evaluated > 1).then_some(&*names[run]);
    let mut done = 0;
    messages.start_progress(count);
    while let Some(image) = block_on(running.next()) {
        session::image_done(&image, name, messages);
        done += 1;
    }
    messages.end_progress();
    session::check_all_answered(done, if evaluated == 0 { 0 } else { count })?;
    Ok(running.finish())
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
    for (index, run) in evaluation.runs.iter().enumerate() {
        if let Some(difference) = evaluation.labels_line(index) {
            messages.warning(&format!(
                "{}: {difference}; each run is judged by its own classes",
                printable(&run.name)
            ));
        }
    }
}
