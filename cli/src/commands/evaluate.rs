//! `classify evaluate`: the same pictures through one or more runs, against ground truth.

use std::path::{Path, PathBuf};

use backend_api::Tensor;
use image_classification::Interpretation;

use crate::accuracy::{Accuracy, Match, Truth};
use crate::agreement::Verdict;
use crate::args::EvaluateArgs;
use crate::facts::{Machine, RunFacts};
use crate::messages::{self, Hinted, Messages, printable};
use crate::options::RunsOptions;
use crate::reports;
use crate::reports::compare::Failure;
use crate::reports::evaluate::{Evaluated, Evaluation, Limits};
use crate::runs::{self, Answered, Run, Runs};

/// Evaluates, prints the text report and writes the others.
pub fn run(args: EvaluateArgs, messages: &mut Messages) -> anyhow::Result<Verdict> {
    let EvaluateArgs {
        runs,
        truth,
        truth_folders: _,
        label_offset,
        mut top,
        min_top1,
        max_drop,
    } = args;
    top.sort_unstable();
    top.dedup();
    let limits = Limits { min_top1, max_drop };
    let options = RunsOptions::try_from(runs)?;
    if limits.max_drop.is_some() && options.runs.len() < 2 {
        return Err(Hinted::new(
            "--max-drop compares with the reference run, but there is one run",
            "name the reference first, such as `classify evaluate onnx openvino@bf16`",
        )
        .into());
    }
    let (reports, _) = options.open_outputs(None, &[("the ground truth", truth.as_deref())])?;
    options.say_what_is_not_said(messages);
    let machine = Machine::this();
    let opened = Runs::open(
        &options.runs,
        &options.recipe,
        options.scores,
        &options.inputs.list,
        messages,
    )?;
    for (name, run) in &opened.entries {
        if let Err(error) = run {
            messages.run_failed(&printable(name), error);
        }
    }
    let ready: Vec<(usize, &Run)> = opened.ready().collect();
    let reference = match &options.reference {
        None => ready.first().map_or(0, |(index, _)| *index),
        Some(wanted) => {
            let place = opened.entries.iter().position(|(name, _)| name == wanted);
            place.ok_or_else(|| {
                Hinted::new(
                    format!("the reference `{wanted}` is none of the runs"),
                    "write it as the run is written",
                )
            })?
        }
    };
    let labels = ready.iter().find_map(|(_, run)| run.labels.clone());
    let mut truth = match &truth {
        Some(path) => Truth::read(path, labels.clone(), label_offset)?,
        None => Truth::folders(labels.clone(), label_offset),
    };

    let live: Vec<&Run> = ready.iter().map(|(_, run)| *run).collect();
    let mut fold = Fold {
        accuracies: live.iter().map(|_| Accuracy::default()).collect(),
        only: vec![[0; 2]; live.len()],
        reference: ready.iter().position(|(index, _)| *index == reference),
        places: ready.iter().map(|(index, _)| *index).collect(),
        pictures: Vec::new(),
        wrong: live.iter().map(|_| Vec::new()).collect(),
        missing: Vec::new(),
        failures: Vec::new(),
        most: top.last().copied().unwrap_or(1),
        interpretations: live.iter().map(|run| run.reading.interpretation).collect(),
    };
    // Whoever reads the reports learns that nothing was evaluated, and why.
    let mut inputs = options.inputs.list;
    if live.is_empty() {
        inputs.clear();
    }
    runs::answer(
        &live,
        inputs,
        options.jobs,
        false,
        messages,
        |answered, messages| {
            fold.take(&mut truth, answered, messages);
            Ok(())
        },
    )?;
    if fold.missing.len() == fold.pictures.len() && !live.is_empty() {
        return Err(Hinted::new(
            format!(
                "the ground truth mentions none of the pictures ({})",
                fold.pictures.len()
            ),
            "its names must be those of the pictures, or the ends of their paths",
        )
        .into());
    }
    if !fold.missing.is_empty() {
        messages.warning(&format!(
            "the ground truth does not mention {} of {} pictures, the first is {}; they do not count",
            fold.missing.len(),
            fold.pictures.len(),
            printable(&fold.pictures[fold.missing[0]].to_string_lossy())
        ));
    }
    let surplus: Vec<PathBuf> = truth
        .surplus()
        .iter()
        .map(|path| (*path).to_owned())
        .collect();
    if let Some(first) = surplus.first()
        && !live.is_empty()
    {
        messages.warning(&format!(
            "{} entries of the ground truth have no picture, the first is {}",
            surplus.len(),
            printable(&first.to_string_lossy())
        ));
    }

    let mut accuracies = fold.accuracies.into_iter().zip(fold.only).zip(fold.wrong);
    let runs = opened
        .entries
        .iter()
        .map(|(name, run)| {
            let found = match run {
                Ok(run) => {
                    let ((accuracy, only), wrong) = accuracies.next().expect("one for each run");
                    Ok((RunFacts::of(run, &machine)?, accuracy, only, wrong))
                }
                Err(error) => Err(messages::chain(error)),
            };
            anyhow::Ok(Evaluated {
                name: name.clone(),
                found,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let evaluation = Evaluation {
        runs,
        reference,
        pictures: fold.pictures,
        missing: fold.missing,
        surplus,
        failures: fold.failures,
        top,
        limits,
        labels,
        machine,
        is_probability: live
            .iter()
            .all(|run| run.reading.interpretation.scoring.is_distribution()),
    };
    reports::write(reports, &evaluation, &evaluation.text())?;
    if live.is_empty() {
        return Err(Hinted::new("no run is left to evaluate", "mend what is said above").into());
    }
    Ok(evaluation.verdict())
}

/// What is known so far.
struct Fold {
    accuracies: Vec<Accuracy>,
    /// How often the reference alone was right, and each run alone.
    only: Vec<[usize; 2]>,
    /// Among those that are open.
    reference: Option<usize>,
    /// The places of those that are open among all.
    places: Vec<usize>,
    pictures: Vec<PathBuf>,
    /// For each run the pictures that are wrong: which, the truth, the answer.
    wrong: Vec<Vec<(usize, usize, usize)>>,
    missing: Vec<usize>,
    failures: Vec<Failure>,
    most: usize,
    interpretations: Vec<Interpretation>,
}

impl Fold {
    fn take(&mut self, truth: &mut Truth, answered: Answered, messages: &mut Messages) {
        let Answered { path, result } = answered;
        let picture = self.pictures.len();
        self.pictures.push(path.clone());
        let named = printable(&path.to_string_lossy());
        let outputs = match result {
            Ok(outputs) => outputs.tensors,
            Err(error) => {
                messages.input_failed(&named, &error);
                self.failures.push(Failure::picture(picture, &error));
                return;
            }
        };
        let mut right = Vec::new();
        for (index, output) in outputs.into_iter().enumerate() {
            let found = output.and_then(|output| self.score(index, picture, &path, truth, &output));
            match found {
                Ok(None) => {
                    self.missing.push(picture);
                    return;
                }
                Ok(Some(is_right)) => right.push(Some(is_right)),
                Err(error) => {
                    right.push(None);
                    messages.input_failed(&named, &error);
                    self.failures
                        .push(Failure::run(picture, self.places[index], &error));
                }
            }
        }
        let Some(Some(reference)) = self.reference.map(|reference| right[reference]) else {
            return;
        };
        for (only, right) in self.only.iter_mut().zip(right) {
            match (reference, right) {
                (true, Some(false)) => only[0] += 1,
                (false, Some(true)) => only[1] += 1,
                _ => {}
            }
        }
    }

    /// Whether the best class is right; `None` for a picture without ground truth.
    fn score(
        &mut self,
        run: usize,
        picture: usize,
        path: &Path,
        truth: &mut Truth,
        output: &Tensor,
    ) -> anyhow::Result<Option<bool>> {
        let scores = self.interpretations[run].scores(output)?;
        let Match::Class(class) = truth.of(path, scores.values().len())? else {
            return Ok(None);
        };
        let top = scores.top(self.most);
        let right = self.accuracies[run].add(class, &top).rank == Some(1);
        if !right {
            self.wrong[run].push((picture, class, top[0].class_id));
        }
        Ok(Some(right))
    }
}
