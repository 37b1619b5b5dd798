//! `classify evaluate`: the same images through one or more runs, against ground truth.

use std::path::{Path, PathBuf};

use evaluation::accuracy::GroundTruth;
use evaluation::agreement::Verdict;
use evaluation::{EvaluationAccumulator, EvaluationOptions, EvaluationReport, GateLimits};
use image_classification::{Digests, read_file};

use crate::args::EvaluateArgs;
use crate::errors::{self, Hinted};
use crate::files_read::FilesRead;
use crate::options::RunsOptions;
use crate::provenance;
use crate::reports::{self, EvaluationText as _};
use crate::session::{self, Answered, OpenRun, Session};
use crate::terminal::Messages;
use evaluation::text::printable;

/// Evaluates, prints the text report and writes the others.
pub fn run(args: EvaluateArgs, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let EvaluateArgs {
        runs,
        truth,
        truth_folders: _,
        label_offset,
        top,
        threshold,
        min_top1,
        max_drop,
        min_truth,
    } = args;
    let options = RunsOptions::try_from(runs)?;
    if max_drop.is_some() && options.runs.len() < 2 {
        return Err(Hinted::new(
            "--max-drop compares with the reference run, but there is one run",
            "name the reference first, such as `classify evaluate onnx openvino@bf16`",
        )
        .into());
    }
    let read = FilesRead::of_runs(&options, &[("the ground truth", truth.as_deref())]);
    read.check(&reports::files(&options.reports).collect::<Vec<_>>())?;
    let reports = reports::open(&options.reports)?;
    options.note_defaults(messages);
    let truth = match &truth {
        Some(path) => read_truth(path)?,
        None => GroundTruth::folders(),
    };
    let images = options.inputs.list.iter();
    let images: Vec<PathBuf> = images.map(|input| input.path.clone()).collect();
    truth.check_images(&images)?;
    let mut ids = images
        .iter()
        .filter_map(|image| truth.written(image))
        .flatten();
    let has_ids_below_1000 = ids.all(|class| class.parse().is_ok_and(|id: u32| id < 1000));
    let opened = Session::open(&options, messages)?;
    let mut inputs = options.inputs.list;
    opened.report_failures(messages);
    let mut accumulator = EvaluationAccumulator::new(
        provenance::entries(&opened)?,
        truth,
        EvaluationOptions {
            reference: options.reference,
            label_offset,
            threshold: threshold.unwrap_or(EvaluationOptions::THRESHOLD),
            top,
            limits: GateLimits {
                min_top1,
                max_drop,
                min_truth,
            },
        },
        &images,
    )?;
    for (place, error) in accumulator.rejected() {
        let name = printable(&opened.entries[*place].0);
        messages.rejected(&name, error);
    }
    let live = accumulator.ready();
    let live = live.filter_map(|place| opened.entries[place].1.as_ref().ok());
    let live: Vec<&OpenRun> = live.collect();
    let is_multi_label = |run: &&OpenRun| run.reading.interpretation.scoring.is_multi_label();
    if threshold.is_some() && !live.is_empty() && !live.iter().any(is_multi_label) {
        messages.note("--threshold has no effect: in every run one class is right at a time");
    }
    let lacks_background = label_offset == 0 && has_ids_below_1000;
    if lacks_background && live.iter().any(|run| run.classes == Some(1001)) {
        messages.note(
            "a model has 1001 classes, and the ground truth no id above 999; if class 0 of the model is the \
             background, pass `--label-offset 1`",
        );
    }
    // Whoever reads the reports learns that nothing was evaluated, and why.
    if live.is_empty() {
        inputs.clear();
    }
    let names: Vec<String> = opened
        .entries
        .iter()
        .map(|(name, _)| printable(name))
        .collect();
    let several = live.len() > 1;
    let digests = Digests {
        file: true,
        ..Digests::default()
    };
    session::answer(
        &live,
        inputs,
        options.jobs,
        digests,
        messages,
        |answered, messages| {
            take(&mut accumulator, answered, &names, several, messages);
            Ok(())
        },
    )?;
    let evaluation = accumulator.finish();
    warn(&evaluation, messages);
    reports::write_evaluation(reports, &evaluation)?;
    if live.is_empty() {
        return Err(Hinted::new("no run is left to evaluate", "fix the errors above").into());
    }
    Ok(evaluation.verdict())
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

/// Adds the answers for an image, and prints what is wrong with them.
fn take(
    accumulator: &mut EvaluationAccumulator,
    answered: Answered,
    names: &[String],
    several: bool,
    messages: &mut Messages,
) {
    let Answered { path, result } = answered;
    let named = printable(&path.to_string_lossy());
    let failures = match result {
        Ok(outputs) => {
            let tensors = outputs.tensors.into_iter();
            let tensors = tensors.map(|output| output.map_err(|error| errors::problem(&error)));
            let file = outputs.digests.file.expect("evaluate asks for it");
            accumulator.add(path, file, tensors.collect())
        }
        Err(error) => accumulator.add_failed(path, errors::problem(&error)),
    };
    for failure in failures {
        match failure.run {
            Some(run) if several => {
                messages.problem(&format!("{named}: {}", names[run]), &failure.problem);
            }
            _ => messages.problem(&named, &failure.problem),
        }
    }
}

/// Warns of images and entries that do not count, and of different labels.
fn warn(evaluation: &EvaluationReport, messages: &Messages) {
    if let Some(first) = evaluation.missing.first() {
        messages.warning(&format!(
            "the ground truth does not mention {} of {} images, the first is {}; they do not count",
            evaluation.missing.len(),
            evaluation.images.len(),
            evaluation.path(*first)
        ));
    }
    if let Some(first) = evaluation.surplus.first() {
        messages.warning(&format!(
            "{} entries of the ground truth have no image, the first is {}",
            evaluation.surplus.len(),
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
