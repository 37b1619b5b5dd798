//! The result of an evaluation.

use std::fmt;
use std::path::PathBuf;

use image_classification::Labels;

use super::changes::Changes;
use crate::accuracy::{Accuracy, LabelDifference};
use crate::agreement::{Gate, Verdict};
use crate::duplicates::Duplicates;
use crate::failure::Failure;
use crate::provenance::{Machine, RunInfo};
use crate::share::{Share, percent};
use crate::statistics::too_few_for_drop;
use crate::text::{counted, printable};

/// The limits of an evaluation. A limit that is `None` is not checked.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GateLimits {
    /// The least top-1 accuracy of every run.
    pub min_top1: Option<Share>,
    /// The largest drop of the top-1 accuracy of a run against the reference's.
    pub max_drop: Option<Share>,
    /// The least share of images that have ground truth.
    pub min_truth: Option<Share>,
}

/// A run of an evaluation.
#[derive(Debug)]
pub struct EvaluatedRun {
    /// The name of the run, as the caller writes it.
    pub name: String,
    /// The results, or the reason why the run was not evaluated.
    pub results: Result<RunResults, String>,
}

/// The results of a run.
#[derive(Debug)]
pub struct RunResults {
    /// The run.
    pub info: RunInfo,
    /// The counts.
    pub accuracy: Accuracy,
    /// The images on which only one of this run and the reference is right.
    pub changes: Changes,
    /// The wrong answers.
    pub wrong: Vec<WrongAnswer>,
    /// The names of the run's own classes.
    pub labels: Option<Labels>,
    /// The difference from the labels of the reference.
    pub label_difference: Option<LabelDifference>,
}

/// A wrong answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongAnswer {
    /// The place of the image.
    pub image: usize,
    /// The right classes.
    pub truth: Vec<usize>,
    /// The best class, or the classes that a multi-label model gives.
    pub answer: Vec<usize>,
}

/// The result of an evaluation: `Display` writes the verdict on one line, `Serialize` the report whose schema
/// `docs/compare.md` documents.
#[derive(Debug)]
pub struct EvaluationReport {
    /// The runs.
    pub runs: Vec<EvaluatedRun>,
    /// The place of the reference.
    pub reference: usize,
    /// The paths or names of the images.
    pub images: Vec<PathBuf>,
    /// The number of images that have ground truth and an answer of every run that was evaluated.
    pub counted: usize,
    /// The images that the ground truth does not mention.
    pub missing: Vec<usize>,
    /// The entries of the ground truth without an image.
    pub surplus: Vec<PathBuf>,
    /// The images with the content of an earlier one.
    pub duplicates: Duplicates,
    /// The answers that are missing.
    pub failures: Vec<Failure>,
    /// The values of K of top-K accuracy.
    pub top: Vec<usize>,
    /// The limits.
    pub limits: GateLimits,
    /// The machine that evaluated.
    pub machine: Machine,
}

impl EvaluationReport {
    /// Returns each run that was evaluated, with its place.
    pub fn evaluated(&self) -> impl Iterator<Item = (usize, &EvaluatedRun, &RunResults)> {
        self.runs.iter().enumerate().filter_map(|(index, run)| {
            let results = run.results.as_ref().ok()?;
            Some((index, run, results))
        })
    }

    /// Returns the results of the reference, if it was evaluated.
    pub fn reference_results(&self) -> Option<&RunResults> {
        self.runs.get(self.reference)?.results.as_ref().ok()
    }

    /// Returns the place of the run with which labels are compared: the reference, or the first run if that
    /// failed.
    pub fn labels_reference(&self) -> Option<usize> {
        match self.reference_results() {
            Some(_) => Some(self.reference),
            None => Some(self.evaluated().next()?.0),
        }
    }

    /// Returns the gates of a run.
    pub fn gates(&self, run: usize) -> Vec<Gate> {
        let Ok(results) = &self.runs[run].results else {
            return Vec::new();
        };
        let mut gates = Vec::new();
        let top1 = results.accuracy.top(1);
        if let Some(least) = self.limits.min_top1 {
            gates.push(Gate::of_share("min-top1", "top-1", top1, least));
        }
        if let (Some(most), Some(reference)) = (self.limits.max_drop, self.reference_results())
            && run != self.reference
        {
            let reference = reference.accuracy.top(1);
            let drop = reference.share - top1.share;
            let only = results.changes.right_alone();
            let text = format!(
                "top-1 {}/{}, {} % against {}/{}, {} %, a drop of {} points, at most {}",
                top1.count,
                top1.of,
                percent(top1.share),
                reference.count,
                reference.of,
                percent(reference.share),
                percent(drop),
                most.to_string().trim_end_matches(" %"),
            );
            let passed = most.allows_drop((reference.count, reference.of), (top1.count, top1.of));
            let remark = too_few_for_drop(only[0], only[1], top1.of, most);
            gates.push(Gate {
                remark: remark.filter(|_| passed),
                ..Gate::new(Gate::MAX_DROP, passed, text)
            });
        }
        gates
    }

    /// Returns the number of images that have ground truth.
    pub fn with_truth(&self) -> usize {
        self.images.len() - self.missing.len()
    }

    /// Returns the gate of the images, which belongs to no single run.
    pub fn truth_gate(&self) -> Option<Gate> {
        let least = self.limits.min_truth?;
        let (count, of) = (self.with_truth(), self.images.len());
        let found = format!(
            "ground truth for {count} of {}, {} %, at least {least}",
            counted(of, "image"),
            percent(count as f64 / of.max(1) as f64)
        );
        Some(Gate::new("min-truth", least.is_reached(count, of), found))
    }

    /// The gates of all runs, and the gate of the images.
    fn all_gates(&self) -> impl Iterator<Item = (Option<usize>, Gate)> {
        let truth = self.truth_gate().map(|gate| (None, gate));
        let runs = 0..self.runs.len();
        let runs = runs.flat_map(|run| {
            self.gates(run)
                .into_iter()
                .map(move |gate| (Some(run), gate))
        });
        truth.into_iter().chain(runs)
    }

    /// Returns the verdict on all runs.
    pub fn verdict(&self) -> Verdict {
        let failed = self.runs.iter().any(|run| run.results.is_err());
        if failed || !self.failures.is_empty() || self.counted == 0 {
            Verdict::CouldNotCompare
        } else if self.all_gates().all(|(_, gate)| gate.passed) {
            Verdict::Agree
        } else {
            Verdict::Disagree
        }
    }

    /// Returns the verdict and its reason on one line. It always names the number of images behind the verdict.
    pub fn summary(&self) -> String {
        let failed: Vec<String> = self
            .all_gates()
            .filter(|(_, gate)| !gate.passed)
            .map(|(run, gate)| match run {
                Some(run) => format!("{}: {}", printable(&self.runs[run].name), gate.found),
                None => gate.found,
            })
            .collect();
        let (word, mut parts) = match self.verdict() {
            Verdict::Agree if self.limits == GateLimits::default() => {
                let none = "no gate was requested";
                ("EVALUATED", vec![none.to_owned()])
            }
            // An evaluation has no recordings.
            Verdict::Agree | Verdict::Recorded => {
                let few = if self.all_gates().any(|(_, gate)| gate.remark.is_some()) {
                    " (too few images to establish that)"
                } else {
                    ""
                };
                ("PASSED", vec![format!("all gates hold{few}")])
            }
            Verdict::Disagree => ("FAILED", failed),
            Verdict::CouldNotCompare => {
                let runs = self.runs.iter().filter(|run| run.results.is_err()).count();
                let text = format!(
                    "{runs} of {} runs and {} answers failed",
                    self.runs.len(),
                    self.failures.len()
                );
                let parts = [vec![text], failed].concat();
                ("COULD NOT EVALUATE", parts)
            }
        };
        let (of, missing) = (self.images.len(), self.missing.len());
        let coverage = if missing == 0 {
            if of > 0 {
                parts.push(format!(
                    "{} of {} counted",
                    self.counted,
                    counted(of, "image")
                ));
            }
            String::new()
        } else {
            format!(
                " on {} of {}; {missing} {} no ground truth",
                self.counted,
                counted(of, "image"),
                if missing == 1 { "has" } else { "have" }
            )
        };
        if !self.surplus.is_empty() {
            parts.push(format!(
                "{} of the ground truth without an image",
                self.surplus.len()
            ));
        }
        format!("{word}{coverage}: {}", parts.join("; "))
    }

    /// Returns whether all runs were evaluated and all limits hold.
    pub fn passed(&self) -> bool {
        self.verdict() == Verdict::Agree
    }

    /// Returns the values of K that a run's answers have ranks for.
    pub fn top<'a>(&'a self, accuracy: &'a Accuracy) -> impl Iterator<Item = usize> + 'a {
        self.top.iter().copied().filter(|k| accuracy.ranks(*k))
    }

    /// Returns the path of an image, safe to print.
    pub fn path(&self, image: usize) -> String {
        printable(&self.images[image].to_string_lossy())
    }
}

impl fmt::Display for EvaluationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())
    }
}
