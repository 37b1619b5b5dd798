//! The result of an evaluation.

use std::fmt;
use std::path::PathBuf;

use image_classification::Labels;

use super::chance::Chance;
use super::changes::Changes;
use super::drop::AccuracyDrop;
use super::limits::{DropRule, GateLimits, LeastTruth};
use super::listed::ListedAnswer;
use super::shift::IdShift;
use crate::accuracy::{Accuracy, Counts, Criterion, LabelDifference, TruthSummary};
use crate::agreement::{Gate, Verdict};
use crate::duplicates::Duplicates;
use crate::failure::Failure;
use crate::provenance::{Machine, RunInfo};
use crate::share::percent;
use crate::text::{counted, failed_runs, grouped, printable};

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
    /// The answers of the reference, as far as chance could give them.
    pub(super) chance: Chance,
    /// The wrong answers.
    pub wrong: Vec<WrongAnswer>,
    /// The wrong answers with the largest scores, at most [`LISTED`](Self::LISTED), the largest first.
    pub surest_wrong: Vec<ListedAnswer>,
    /// The names of the run's own classes.
    pub labels: Option<Labels>,
    /// A shift of the ids of the ground truth that would make most answers right, where hardly any is.
    pub id_shift: Option<IdShift>,
    /// The difference from the labels of the reference.
    pub label_difference: Option<LabelDifference>,
}

impl RunResults {
    /// The number of wrong answers that are kept with their best classes.
    pub const LISTED: usize = 24;
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

/// The most failed gates whose findings are in the line of the verdict.
const MOST_FINDINGS: usize = 3;

/// The result of an evaluation: `Display` writes the verdict on one line, `Serialize` the report whose schema
/// `docs/compare.md` documents.
#[derive(Debug)]
pub struct EvaluationReport {
    /// The runs.
    pub runs: Vec<EvaluatedRun>,
    /// The place of the reference.
    pub reference: usize,
    /// The form of the ground truth, and its extent for the images.
    pub ground_truth: TruthSummary,
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
        let metrics = self.limits.metrics.iter();
        let mut gates = Vec::new();
        let top1 = results.accuracy.top(1);
        if let Some(least) = self.limits.min_top1 {
            gates.push(Gate::of_share("min-top1", "top-1", top1, least));
        }
        if let (Some(most), Some(reference), Some(drop)) = (
            self.limits.max_drop,
            self.reference_results(),
            self.drop(run),
        ) {
            let criterion = drop.criterion;
            let run = criterion.rate(&results.accuracy);
            let reference = criterion.rate(&reference.accuracy);
            let accuracies = format!(
                "{} {}/{}, {} % against {}/{}, {} %",
                criterion.name(),
                grouped(run.count),
                grouped(run.of),
                percent(run.share),
                grouped(reference.count),
                grouped(reference.of),
                percent(reference.share)
            );
            let gate = drop.gate(most, self.limits.drop_rule, &accuracies);
            // A drop that is too large has its own evidence.
            let doubt = gate.passed.then(|| self.drop_doubt(results)).flatten();
            gates.push(match doubt {
                Some(doubt) => drop.open_gate(&accuracies, &doubt),
                None => gate,
            });
        }
        gates.extend(metrics.map(|limit| limit.gate(results)));
        gates
    }

    /// Returns the drop of a run's accuracy against the reference. `None` for the reference, and without one.
    pub fn drop(&self, run: usize) -> Option<AccuracyDrop> {
        self.reference_results()?;
        let results = self.runs[run].results.as_ref().ok()?;
        (run != self.reference).then(|| AccuracyDrop::new(&results.changes))
    }

    /// Returns whether a limit on the answers is set, but images without ground truth, which no limit allows, leave it
    /// open.
    pub fn lacks_truth(&self) -> bool {
        let limits = &self.limits;
        limits.judges_answers() && limits.min_truth.is_none() && !self.missing.is_empty()
    }

    /// Returns the reason why a drop of a run shows nothing: no image was compared, or the right answers of the reference
    /// may be chance. `None` if it shows something.
    fn drop_doubt(&self, results: &RunResults) -> Option<String> {
        if results.changes.images == 0 {
            return Some("there is no image that both runs answered".to_owned());
        }
        let shift = self.reference_results()?.id_shift;
        let shift = shift.map(|shift| {
            format!(
                "the ids of the ground truth are off by one: the reference would be right on {} of {} with another offset",
                grouped(shift.right),
                counted(shift.images, "image")
            )
        });
        shift.or_else(|| results.chance.doubt())
    }

    /// Returns whether the limit on the drop is open for a run: nothing shows that it holds.
    pub fn lacks_evidence(&self) -> bool {
        self.all_gates().any(|(_, gate)| gate.is_open)
    }

    /// Returns whether a metric with a limit has no value for a run.
    fn lacks_metric(&self) -> bool {
        let limits = &self.limits.metrics;
        let lacks = |(_, _, results): (usize, &EvaluatedRun, &RunResults)| {
            limits.iter().any(|limit| limit.value(results).is_err())
        };
        self.evaluated().any(lacks)
    }

    /// Returns the number of images that have ground truth.
    pub fn with_truth(&self) -> usize {
        self.images.len() - self.missing.len()
    }

    /// Returns the gate of the images, which belongs to no single run. Without a limit it is there only if images
    /// [lack](Self::lacks_truth) ground truth.
    pub fn truth_gate(&self) -> Option<Gate> {
        let lacks_truth = self.lacks_truth().then_some(LeastTruth::ALL);
        let least = self.limits.min_truth.or(lacks_truth)?;
        let (count, of) = (self.with_truth(), self.images.len());
        let found = format!(
            "ground truth for {} of {}, {} %, at least {least}",
            grouped(count),
            counted(of, "image"),
            percent(count as f64 / of.max(1) as f64)
        );
        Some(Gate::new("min-truth", least.is_reached(count, of), found))
    }

    /// Returns the gate of the images, and the gates of all runs, each with the place of its run.
    pub fn all_gates(&self) -> impl Iterator<Item = (Option<usize>, Gate)> {
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
        let is_open = self.counted == 0 || self.lacks_truth() || self.lacks_metric();
        if failed || !self.failures.is_empty() || is_open {
            Verdict::CouldNotCompare
        } else {
            // An open gate has failed no run, but other gates may have.
            let failed = self.all_gates().filter(|(_, gate)| !gate.passed);
            let mut failed = failed.peekable();
            if failed.peek().is_none() {
                Verdict::Agree
            } else if failed.all(|(_, gate)| gate.is_open) {
                Verdict::CouldNotCompare
            } else {
                Verdict::Disagree
            }
        }
    }

    /// Returns the verdict and its reason on one line: the findings of the failed gates or, if all gates passed, that of
    /// the gate whose value is closest to its limit. It always names the number of images behind the verdict.
    pub fn summary(&self) -> String {
        let found = |(run, gate): (Option<usize>, Gate)| match run {
            Some(run) => format!("{}: {}", printable(&self.runs[run].name), gate.found),
            None => gate.found,
        };
        let failed = self.all_gates().filter(|(_, gate)| !gate.passed);
        let mut failed: Vec<String> = failed.map(found).collect();
        if failed.len() > MOST_FINDINGS {
            let more = counted(failed.len() - MOST_FINDINGS, "more gate");
            failed.truncate(MOST_FINDINGS);
            failed.push(format!("{more} failed"));
        }
        let margin = |gate: &Gate| gate.margin.unwrap_or(f64::INFINITY);
        let gates = self.all_gates();
        let closest = gates.min_by(|(_, a), (_, b)| margin(a).total_cmp(&margin(b)));
        self.line(failed, closest.map(found), true)
    }

    /// Returns the verdict and its reason on one line, with numbers of gates and runs instead of findings: for reports
    /// that have a line for each of them.
    pub fn headline(&self) -> String {
        let count = |is_open: bool| {
            let gates = self.all_gates();
            let gates = gates.filter(|(_, gate)| !gate.passed && gate.is_open == is_open);
            gates.count()
        };
        let gates = counted(self.all_gates().count(), "gate");
        let words = [(count(false), "failed"), (count(true), "left open")];
        let words = words.into_iter().filter(|(count, _)| *count > 0);
        let words = words.map(|(count, word)| format!("{count} of {gates} {word}"));
        self.line(words.collect(), None, false)
    }

    /// Returns the verdict and its reason on one line. `failed` describes the failed gates, `closest` the gate that
    /// passed with the least margin.
    fn line(&self, failed: Vec<String>, closest: Option<String>, has_reasons: bool) -> String {
        let (word, mut parts) = match self.verdict() {
            Verdict::Agree if !self.limits.judges_answers() && self.limits.min_truth.is_none() => {
                let none = "no gate was requested";
                ("EVALUATED", vec![none.to_owned()])
            }
            // An evaluation has no recordings.
            Verdict::Agree | Verdict::Recorded => {
                let few = if self.is_unproven() {
                    " (too few images to establish that)"
                } else {
                    ""
                };
                let runs = (0..self.runs.len()).filter(|_| has_reasons);
                let noise = runs.filter_map(|run| self.noise(run));
                let noise: Vec<String> = noise.collect();
                // The noise has the number already.
                let closest = closest.filter(|_| noise.is_empty());
                let hold = match (self.all_gates().count(), &closest) {
                    (0, _) => "all gates hold".to_owned(),
                    (1, None) => "the gate holds".to_owned(),
                    (1, Some(only)) => only.clone(),
                    (2, _) => "both gates hold".to_owned(),
                    (gates, _) => format!("all {gates} gates hold"),
                };
                let closest = closest.filter(|only| *only != hold);
                let mut parts = vec![format!("{hold}{few}")];
                parts.extend(closest.map(|closest| format!("the closest is {closest}")));
                parts.extend(self.judged_by());
                parts.extend(noise);
                ("PASSED", parts)
            }
            Verdict::Disagree => ("FAILED", failed),
            Verdict::CouldNotCompare => {
                let errors = self.runs.iter().filter_map(|run| {
                    let error = run.results.as_ref().err()?;
                    Some((&*run.name, &**error))
                });
                let runs = errors.clone().count();
                let first = errors.clone().next().filter(|_| has_reasons);
                let runs_failed = failed_runs(runs, self.runs.len(), first);
                let whole = self.failures.iter().filter(|it| it.image.is_none());
                let whole: Vec<String> = whole.map(|it| it.problem.message.clone()).collect();
                let answers = self.failures.len() - whole.len();
                let answers_failed = format!("{} failed", counted(answers, "answer"));
                let has_failures = runs > 0 || answers > 0;
                let text = match (runs, answers) {
                    (_, 0) => runs_failed,
                    (0, _) => answers_failed,
                    _ => format!("{answers_failed}; {runs_failed}"),
                };
                let has_other_reason = self.lacks_truth()
                    || (self.counted > 0 && (self.lacks_metric() || self.lacks_evidence()));
                let has_other_reason = has_other_reason || !whole.is_empty();
                let text = (has_failures || !has_other_reason).then_some(text);
                let parts = text.into_iter().chain(whole).chain(failed).collect();
                ("COULD NOT EVALUATE", parts)
            }
        };
        parts.extend(self.other_models());
        let (of, missing) = (self.images.len(), self.missing.len());
        let has_verdict = self.verdict() != Verdict::CouldNotCompare;
        // The gate of the images has the numbers already.
        let is_said = self.lacks_truth() && self.counted == self.with_truth();
        let coverage = if missing == 0 || !has_verdict {
            if of > 0 && !is_said {
                parts.push(format!(
                    "{} of {} counted",
                    grouped(self.counted),
                    counted(of, "image")
                ));
            }
            String::new()
        } else {
            format!(
                " on {} of {}; {} {} no ground truth",
                grouped(self.counted),
                counted(of, "image"),
                grouped(missing),
                if missing == 1 { "has" } else { "have" }
            )
        };
        if !self.surplus.is_empty() {
            let (surplus, entries) = match self.surplus.len() {
                1 => ("1".to_owned(), "entry"),
                surplus => (grouped(surplus), "entries"),
            };
            parts.push(format!(
                "{surplus} {entries} of the ground truth without an image"
            ));
        }
        format!("{word}{coverage}: {}", parts.join("; "))
    }

    /// Returns whether all gates hold, but the images are too few to establish one of them.
    pub fn is_unproven(&self) -> bool {
        self.verdict() == Verdict::Agree && self.all_gates().any(|(_, gate)| gate.remark.is_some())
    }

    /// Names the metric of each gate whose name leaves it open, where a run is of a multi-label model: there is more than
    /// one way to count its right answers.
    fn judged_by(&self) -> Option<String> {
        let is_multi_label = |results: &RunResults| {
            let counts = &results.accuracy.counts;
            matches!(counts, Counts::MultiLabel(_))
        };
        if !self
            .evaluated()
            .any(|(.., results)| is_multi_label(results))
        {
            return None;
        }
        let mut metrics = Vec::new();
        if self.limits.min_top1.is_some() {
            metrics.push(format!("min-top1 by {}", Criterion::Top1.name()));
        }
        for criterion in [Criterion::ExactMatch, Criterion::Top1] {
            let drops = self.evaluated().filter_map(|(run, ..)| self.drop(run));
            let mut of_drops = drops.map(|drop| drop.criterion);
            if self.limits.max_drop.is_some() && of_drops.any(|of_drop| of_drop == criterion) {
                metrics.push(format!("{} by {}", Gate::MAX_DROP, criterion.name()));
            }
        }
        (!metrics.is_empty()).then(|| metrics.join(", "))
    }

    /// Names the runs whose model is another file than that of every recorded run.
    fn other_models(&self) -> Option<String> {
        let infos: Vec<&RunInfo> = self
            .evaluated()
            .map(|(.., results)| &results.info)
            .collect();
        let (recorded, own): (Vec<&RunInfo>, _) = infos.into_iter().partition(|it| it.recorded);
        let first = recorded.first()?;
        let is_other = |own: &&RunInfo| !recorded.iter().any(|info| info.has_model_of(own));
        let other: Option<&RunInfo> = own.into_iter().find(is_other);
        other.map(|own| {
            let [own, first] = [&own.model, &first.model].map(|model| printable(model));
            format!("the model {own} is another file than the recorded {first}")
        })
    }

    /// Describes a drop that is above its limit, but passed because of the few images.
    fn noise(&self, run: usize) -> Option<String> {
        let (most, drop) = (self.limits.max_drop?, self.drop(run)?);
        let passed = self.limits.drop_rule == DropRule::Shown && drop.is_within_noise(most);
        passed.then(|| {
            format!(
                "{}: a drop of {drop} is above {most}, but within the noise of {}",
                printable(&self.runs[run].name),
                counted(drop.images, "image")
            )
        })
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
