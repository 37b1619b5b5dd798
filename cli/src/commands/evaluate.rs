//! `classify evaluate`: the same images through one or more runs, against ground truth.

use std::path::{Path, PathBuf};

use evaluation::accuracy::GroundTruth;
use evaluation::agreement::Verdict;
use evaluation::text::{counted, printable};
use evaluation::{EvaluationAccumulator, EvaluationOptions, EvaluationReport, GateLimits};
use image_classification::{Digests, read_file};

use crate::args::EvaluateArgs;
use crate::errors::{self, Hinted};
use crate::files_read::FilesRead;
use crate::inputs::Input;
use crate::options::RunsOptions;
use crate::provenance;
use crate::reports::{self, Destination, EvaluationText as _};
use crate::session::{self, OpenRun, Outputs, Session};
use crate::terminal::Messages;

/// Evaluates, prints the text report and writes the others.
pub fn run(args: EvaluateArgs, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let mut options = EvaluateOptions::try_from(args)?;
    let reports = open_reports(&options)?;
    options.runs.note_defaults(messages);
    let images = options.images();
    let truth = options.ground_truth(&images)?;
    let session = Session::open(&options.runs, messages)?;
    session.report_failures(messages);
    let mut accumulator = Accumulator::start(&session, &options, truth, &images, messages)?;
    let is_empty = accumulator.open.is_empty();
    if !is_empty {
        let inputs = std::mem::take(&mut options.runs.inputs.list);
        accumulator.answer(inputs, options.runs.jobs, messages)?;
    }
    let evaluation = accumulator.evaluation.finish();
    warn(&evaluation, messages);
    // Whoever reads the reports learns that nothing was evaluated, and why.
    reports::write_evaluation(reports, &evaluation)?;
    if is_empty {
        return Err(Hinted::new("no run is left to evaluate", "fix the errors above").into());
    }
    Ok(evaluation.verdict())
}

/// The options of `evaluate`.
struct EvaluateOptions {
    runs: RunsOptions,
    /// The file with the ground truth. Without one the names of directories are it.
    truth: Option<PathBuf>,
    evaluation: EvaluationOptions,
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
            has_threshold: args.threshold.is_some(),
            evaluation: EvaluationOptions {
                reference: runs.reference.clone(),
                label_offset: args.label_offset,
                threshold: args.threshold.unwrap_or(EvaluationOptions::THRESHOLD),
                top: args.top,
                limits: GateLimits {
                    min_top1: args.min_top1,
                    max_drop: args.max_drop,
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

    /// Returns the ground truth of the images.
    fn ground_truth(&self, images: &[PathBuf]) -> anyhow::Result<GroundTruth> {
        let truth = match &self.truth {
            Some(path) => read_truth(path)?,
            None => GroundTruth::folders(),
        };
        truth.check_images(images)?;
        Ok(truth)
    }
}

/// Opens the files of reports, unless one would replace a file that is read.
fn open_reports(options: &EvaluateOptions) -> anyhow::Result<Vec<Destination>> {
    let truth = options.truth.as_deref();
    let read = FilesRead::of_runs(&options.runs, &[("the ground truth", truth)]);
    read.check(&reports::files(&options.runs.reports).collect::<Vec<_>>())?;
    reports::open(&options.runs.reports)
}

/// Reads a file of ground truth.
fn read_truth(path: &Path) -> anyhow::Result<GroundTruth> {
    let read = || {
        let bytes = read_file(path, GroundTruth::MOST_BYTES)?;
        Ok(GroundTruth::read(&*bytes)?)
    };
    read().map_err(|error: anyhow::Error| {
        error.context(format!("cannot use the ground truth {}", path.display()))
    })
}

/// An evaluation under way.
struct Accumulator<'a> {
    evaluation: EvaluationAccumulator,
    /// The names of all runs.
    names: Vec<String>,
    /// The runs that are open and evaluated.
    open: Vec<&'a OpenRun>,
}

impl<'a> Accumulator<'a> {
    /// Starts the evaluation of the runs. Prints the errors of runs that cannot be evaluated.
    fn start(
        session: &'a Session,
        options: &EvaluateOptions,
        truth: GroundTruth,
        images: &[PathBuf],
        messages: &mut Messages,
    ) -> anyhow::Result<Self> {
        let may_lack_background = options.evaluation.label_offset == 0
            && session.ready().any(|(_, run)| has_background(run))
            && has_ids_below_1000(&truth, images);
        let entries = provenance::entries(session)?;
        let names: Vec<String> = entries.iter().map(|entry| printable(&entry.name)).collect();
        let evaluation =
            EvaluationAccumulator::new(entries, truth, options.evaluation.clone(), images)?;
        for (place, error) in evaluation.rejected() {
            messages.rejected(&names[*place], error);
        }
        let open = evaluation.ready();
        let open = open.filter_map(|place| session.entries[place].1.as_ref().ok());
        let open: Vec<&OpenRun> = open.collect();
        let is_multi_label = |run: &&OpenRun| run.reading.interpretation.scoring.is_multi_label();
        if options.has_threshold && !open.is_empty() && !open.iter().any(is_multi_label) {
            messages.note("--threshold has no effect: in every run one class is right at a time");
        }
        if may_lack_background && open.iter().any(|run| has_background(run)) {
            messages.note(
                "a model has 1001 classes, and the ground truth no id above 999; if class 0 of the model is the \
                 background, pass `--label-offset 1`",
            );
        }
        Ok(Self {
            evaluation,
            names,
            open,
        })
    }

    /// Gives the images to the open runs, and accumulates their answers.
    fn answer(
        &mut self,
        inputs: Vec<Input>,
        jobs: usize,
        messages: &mut Messages,
    ) -> anyhow::Result<()> {
        let digests = Digests {
            file: true,
            ..Digests::default()
        };
        let open = self.open.clone();
        session::answer(
            &open,
            inputs,
            jobs,
            digests,
            messages,
            |path, outputs, messages| {
                self.add(path, outputs, messages);
                Ok(())
            },
        )
    }

    /// Adds the answers for an image, and prints what is wrong with them.
    fn add(&mut self, path: PathBuf, outputs: anyhow::Result<Outputs>, messages: &mut Messages) {
        let named = printable(&path.to_string_lossy());
        let failures = match outputs {
            Ok(outputs) => {
                let tensors = outputs.tensors.into_iter();
                let tensors = tensors.map(|output| output.map_err(|error| errors::problem(&error)));
                let file = outputs.digests.file.expect("evaluate requests it");
                self.evaluation.add(path, file, tensors.collect())
            }
            Err(error) => self.evaluation.add_failed(path, errors::problem(&error)),
        };
        for failure in failures {
            match failure.run {
                Some(run) if self.open.len() > 1 => {
                    let name = &self.names[run];
                    messages.problem(&format!("{named}: {name}"), &failure.problem);
                }
                _ => messages.problem(&named, &failure.problem),
            }
        }
    }
}

/// Returns whether the classes of a run may be the 1000 of `ImageNet` and a background.
fn has_background(run: &OpenRun) -> bool {
    run.classes == Some(1001)
}

/// Returns whether all classes of the images are ids below 1000.
fn has_ids_below_1000(truth: &GroundTruth, images: &[PathBuf]) -> bool {
    let mut classes = images
        .iter()
        .filter_map(|image| truth.written(image))
        .flatten();
    classes.all(|class| class.parse().is_ok_and(|id: u32| id < 1000))
}

/// Warns of images and entries that do not count, and of different labels.
fn warn(evaluation: &EvaluationReport, messages: &Messages) {
    if let Some(first) = evaluation.missing.first() {
        messages.warning(&format!(
            "the ground truth does not mention {} of {}, the first is {}; they do not count",
            evaluation.missing.len(),
            counted(evaluation.images.len(), "image"),
            evaluation.path(*first)
        ));
    }
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
