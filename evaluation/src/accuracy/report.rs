//! The result of an evaluation, and its reports.

mod json;
mod junit;
mod markdown;
mod text;

use std::io::Write;
use std::path::PathBuf;

use image_classification::Labels;

use super::compare::Failure;
use super::{Document, html};
use crate::facts::{Machine, RunFacts};
use crate::messages::{counted, printable};
use evaluation::Duplicates;
use evaluation::accuracy::{
    Accuracy, Calibrated, Counts, LabelDifference, MultiLabel, SingleLabel,
};
use evaluation::agreement::{Gate, Verdict};
use evaluation::statistics::{mcnemar, too_few_for_drop};
use evaluation::{Share, percent};

/// The most confusions and classes that are listed for people.
const LISTED: usize = 10;

/// The limits of the gates.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    pub min_top1: Option<Share>,
    pub max_drop: Option<Share>,
    pub min_truth: Option<Share>,
}

/// A run, or the reason why it was not evaluated.
pub struct Evaluated {
    pub name: String,
    pub found: Result<Found, String>,
}

/// The results of a run.
pub struct Found {
    pub facts: RunFacts,
    pub accuracy: Accuracy,
    /// The number of images on which the reference alone was right, and this run alone.
    pub only: [usize; 2],
    pub wrong: Vec<Wrong>,
    /// The names of the run's own classes.
    pub labels: Option<Labels>,
    /// The difference from the labels of the reference.
    pub label_difference: Option<LabelDifference>,
}

/// A wrong answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub image: usize,
    pub truth: Vec<usize>,
    /// The best class, or the classes that a multi-label model gives.
    pub answer: Vec<usize>,
}

/// The result of an evaluation.
pub struct Evaluation {
    pub runs: Vec<Evaluated>,
    /// The place of the reference.
    pub reference: usize,
    pub images: Vec<PathBuf>,
    /// The number of images that have ground truth and an answer of every run that was evaluated.
    pub counted: usize,
    /// Images that the ground truth does not mention.
    pub missing: Vec<usize>,
    /// Entries of the ground truth without an image.
    pub surplus: Vec<PathBuf>,
    pub duplicates: Duplicates,
    pub failures: Vec<Failure>,
    /// The values of K of top-K accuracy.
    pub top: Vec<usize>,
    pub limits: Limits,
    pub machine: Machine,
}

impl Evaluation {
    /// Each run that was evaluated, with its place.
    pub fn evaluated(&self) -> impl Iterator<Item = (usize, &Evaluated, &Found)> {
        self.runs.iter().enumerate().filter_map(|(index, run)| {
            let found = run.found.as_ref().ok()?;
            Some((index, run, found))
        })
    }

    fn reference(&self) -> Option<&Found> {
        self.runs[self.reference].found.as_ref().ok()
    }

    /// The gates of a run.
    pub fn gates(&self, run: usize) -> Vec<Gate> {
        let Ok(found) = &self.runs[run].found else {
            return Vec::new();
        };
        let mut gates = Vec::new();
        let top1 = found.accuracy.top(1);
        if let Some(least) = self.limits.min_top1 {
            gates.push(Gate::of_share("min-top1", "top-1", top1, least));
        }
        if let (Some(most), Some(reference)) = (self.limits.max_drop, self.reference())
            && run != self.reference
        {
            let reference = reference.accuracy.top(1);
            let drop = reference.share - top1.share;
            let only = found.only;
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
                ..Gate::new("max-drop", passed, text)
            });
        }
        gates
    }

    /// The number of images that have ground truth.
    pub fn with_truth(&self) -> usize {
        self.images.len() - self.missing.len()
    }

    /// The gate of the images, which is none of a single run.
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

    /// The gates of all runs, and that of the images.
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

    /// The verdict on all runs.
    pub fn verdict(&self) -> Verdict {
        let failed = self.runs.iter().any(|run| run.found.is_err());
        if failed || !self.failures.is_empty() || self.counted == 0 {
            Verdict::CouldNotCompare
        } else if self.all_gates().all(|(_, gate)| gate.passed) {
            Verdict::Agree
        } else {
            Verdict::Disagree
        }
    }

    /// Returns the last line. It always names the number of images that the verdict stands on.
    pub fn verdict_line(&self) -> String {
        let failed: Vec<String> = self
            .all_gates()
            .filter(|(_, gate)| !gate.passed)
            .map(|(run, gate)| match run {
                Some(run) => format!("{}: {}", printable(&self.runs[run].name), gate.found),
                None => gate.found,
            })
            .collect();
        let (word, mut parts) = match self.verdict() {
            Verdict::Agree if self.limits == Limits::default() => {
                let none = "no gate was asked for (--min-top1, --max-drop, --min-truth)";
                ("EVALUATED", vec![none.to_owned()])
            }
            // An evaluation records nothing.
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
                let runs = self.runs.iter().filter(|run| run.found.is_err()).count();
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

    /// `281 tabby cat`, by the run's own labels.
    pub fn class(&self, run: usize, class_id: usize) -> String {
        let found = self.runs[run].found.as_ref().ok();
        super::class(found.and_then(|found| found.labels.as_ref()), class_id)
    }

    /// `281 tabby cat and 282 tiger cat`, by the run's own labels.
    pub fn classes(&self, run: usize, class_ids: &[usize]) -> String {
        let classes: Vec<String> = class_ids
            .iter()
            .map(|class_id| self.class(run, *class_id))
            .collect();
        match &*classes {
            [] => "no class".to_owned(),
            _ => classes.join(" and "),
        }
    }

    pub fn path(&self, image: usize) -> String {
        printable(&self.images[image].to_string_lossy())
    }

    /// The difference of the run's labels from those of the reference, or of the first run if that failed, on one
    /// line.
    pub fn labels_line(&self, run: usize) -> Option<String> {
        let found = self.runs[run].found.as_ref().ok()?;
        let first = self.evaluated().next()?.0;
        let reference = self.reference().map_or(first, |_| self.reference);
        let reference = printable(&self.runs[reference].name);
        Some(found.label_difference?.text(&reference))
    }

    /// Names and values of the results of a run.
    pub fn values(&self, run: usize) -> Vec<(String, String)> {
        let Ok(found) = &self.runs[run].found else {
            return Vec::new();
        };
        let accuracy = &found.accuracy;
        let mut values: Vec<(String, String)> = self
            .top(accuracy)
            .map(|k| (format!("top-{k}"), accuracy.top(k).to_string()))
            .collect();
        match &accuracy.counts {
            Counts::SingleLabel(counts) => single_label_values(counts, &mut values),
            Counts::MultiLabel(counts) => multi_label_values(counts, &mut values),
        }
        if run != self.reference && self.reference().is_some() {
            let [reference, own] = found.only;
            values.push((
                "against the reference".to_owned(),
                format!(
                    "right alone {own}, the reference alone {reference}, McNemar p {}",
                    match mcnemar(reference, own) {
                        p if p < 0.001 => "< 0.001".to_owned(),
                        p => format!("= {p:.3}"),
                    }
                ),
            ));
        }
        values
    }

    /// The values of K that the run's answers have ranks for.
    fn top<'a>(&'a self, accuracy: &'a Accuracy) -> impl Iterator<Item = usize> + 'a {
        self.top.iter().copied().filter(|k| accuracy.ranks(*k))
    }

    /// Names of the results, each with its value for every run that was evaluated.
    pub fn side_by_side(&self) -> Vec<(String, Vec<String>)> {
        let runs: Vec<_> = self
            .evaluated()
            .map(|(index, ..)| self.values(index))
            .collect();
        let mut names: Vec<&String> = Vec::new();
        for (name, _) in runs.iter().flatten() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let value = |run: &[(String, String)], name: &String| {
            let found = run.iter().find(|(own, _)| own == name);
            found.map_or_else(String::new, |(_, value)| value.clone())
        };
        names
            .into_iter()
            .map(|name| {
                (
                    name.clone(),
                    runs.iter().map(|run| value(run, name)).collect(),
                )
            })
            .collect()
    }

    /// The run as it was written; where there are several, the reference is marked.
    pub fn title(&self, index: usize) -> String {
        let is_reference = index == self.reference && self.runs.len() > 1;
        let reference = if is_reference { " (reference)" } else { "" };
        format!("{}{reference}", printable(&self.runs[index].name))
    }
}

fn single_label_values(counts: &SingleLabel, values: &mut Vec<(String, String)>) {
    if let Some([low, high]) = counts.mean_per_class_interval() {
        values.push((
            "mean per class".to_owned(),
            format!(
                "{} % of {} (95 %: {} to {})",
                percent(counts.mean_per_class()),
                classes(counts.classes.len()),
                percent(low),
                percent(high)
            ),
        ));
    }
    if let Some(calibration) = &counts.calibration
        && let Some(Calibrated { mean, p95 }) = calibration.calibrated()
    {
        let error = calibration.error();
        values.push(("calibration error".to_owned(), format!("{error:.4}")));
        values.push((
            "same, if calibrated".to_owned(),
            format!("mean {mean:.4}, 95th percentile {p95:.4}"),
        ));
    }
}

fn multi_label_values(counts: &MultiLabel, values: &mut Vec<(String, String)>) {
    let mut add = |name: &str, value: String| values.push((name.to_owned(), value));
    add("threshold", counts.threshold.to_string());
    add("exact match", counts.exact_match().to_string());
    let total = counts.total();
    let (right, micro, macro_) = (total.true_positives, total.quality(), counts.mean());
    let of = |share: f64, of: usize| format!("{} % ({right}/{of})", percent(share));
    add(
        "precision, micro",
        of(micro.precision, right + total.false_positives),
    );
    add(
        "recall, micro",
        of(micro.recall, right + total.false_negatives),
    );
    add("F1, micro", format!("{} %", percent(micro.f1)));
    let over = classes(counts.classes.len());
    for (name, value) in [
        ("precision, macro", macro_.precision),
        ("recall, macro", macro_.recall),
        ("F1, macro", macro_.f1),
    ] {
        add(name, format!("{} % of {over}", percent(value)));
    }
}

fn classes(count: usize) -> String {
    match count {
        1 => "1 class".to_owned(),
        _ => format!("{count} classes"),
    }
}

impl Document for Evaluation {
    fn json(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        Ok(serde_json::to_writer_pretty(out, &json::report(self))?)
    }

    fn markdown(&self) -> String {
        markdown::report(self)
    }

    fn junit(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        junit::report(self, out)
    }

    fn html(&self) -> anyhow::Result<String> {
        html::evaluation(self)
    }
}
