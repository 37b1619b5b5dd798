//! Words and rows of results that several formats share.

use std::path::Path;

use evaluation::accuracy::{Calibrated, Counts, Criterion, MultiLabel, SingleLabel};
use evaluation::agreement::{Difference, Gate, Row};
use evaluation::statistics::mcnemar;
use evaluation::{
    ChangedAnswer, ComparisonReport, EvaluatedRun, EvaluationReport, Failure, Mistake, Remark,
    RunInfo, RunResults, percent,
};
use image_classification::{Labels, Ranked};

use evaluation::text::{grouped, number, printable};

use crate::fields::with_flags;

/// The most confusions and classes that are listed for people.
pub const LISTED: usize = 10;
/// The most classes of an image in reports for people.
const FEW_CLASSES: usize = 5;
/// The most characters of a label in reports for people.
const LABEL: usize = 200;
/// The most failures that a report for people lists; reports for machines have all.
pub const FAILURES: usize = 100;

/// Returns the beginning of a name, with at most `most` characters.
pub fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    let start: String = name.chars().take(most - 1).collect();
    format!("{}…", start.trim_end_matches([' ', ',']))
}

/// Returns the class with its label: `281 tabby cat`. A label that is longer than anyone reads is shortened; JSON and CSV
/// have all of it.
pub fn class(labels: Option<&Labels>, class_id: usize) -> String {
    labels.and_then(|labels| labels.get(class_id)).map_or_else(
        || class_id.to_string(),
        |label| format!("{class_id} {}", shortened(&printable(label), LABEL)),
    )
}

/// One and several images.
pub const MORE_IMAGES: [&str; 2] = ["image", "images"];
/// One and several classes.
pub const MORE_CLASSES: [&str; 2] = ["class", "classes"];

/// Tells the number of entries that are not listed: `1 more image; a JSON report lists all`.
pub fn more(count: usize, [one, several]: [&str; 2]) -> String {
    let what = if count == 1 { one } else { several };
    format!("{} more {what}; a JSON report lists all", grouped(count))
}

/// Returns the verdict of a gate.
pub fn verdict(gate: &Gate) -> &'static str {
    match gate {
        Gate { passed: true, .. } => "passed",
        Gate { is_open: true, .. } => "OPEN",
        _ => "FAILED",
    }
}

/// Joins the finding of a gate and its remark.
pub fn found(found: &str, remark: Option<&str>) -> String {
    remark.map_or_else(|| found.to_owned(), |remark| format!("{found}; {remark}"))
}

/// A failure as reports for people have it.
pub struct FailureRow {
    /// The path of the image; empty for a failure that is not about one image.
    pub image: String,
    /// The name of the run; empty for a failure that is not about one run.
    pub run: String,
    /// The stable name of the kind of problem.
    pub code: &'static str,
    pub message: String,
}

impl FailureRow {
    /// Returns the path of the image, or the kind of problem where the failure is not about one image.
    pub fn name(&self) -> &str {
        if self.image.is_empty() {
            self.code
        } else {
            &self.image
        }
    }
}

/// Returns the failures, with their images by `path` and their runs by `name`.
fn failure_rows<'a>(
    failures: &'a [Failure],
    path: impl Fn(usize) -> String + 'a,
    name: impl Fn(usize) -> String + 'a,
) -> impl Iterator<Item = FailureRow> + 'a {
    failures.iter().map(move |failure| FailureRow {
        image: failure.image.map_or_else(String::new, &path),
        run: failure.run.map_or_else(String::new, &name),
        code: failure.problem.code,
        message: failure.problem.message.clone(),
    })
}

/// Words of a comparison for people.
pub trait ComparisonText {
    /// Formats a class with its score: `281 tabby cat 0.9812`.
    fn class(&self, ranked: Ranked) -> String;
    /// Describes the best classes and the difference of one image.
    fn row(&self, row: &Row) -> String;
    /// Returns all failures.
    fn failure_rows(&self) -> impl Iterator<Item = FailureRow>;
}

impl ComparisonText for ComparisonReport {
    fn failure_rows(&self) -> impl Iterator<Item = FailureRow> {
        failure_rows(
            &self.failures,
            |image| self.path(image),
            |run| self.name(run),
        )
    }

    fn class(&self, ranked: Ranked) -> String {
        let class = class(self.labels.as_ref(), ranked.class_id);
        format!("{class} {:.4}", ranked.score)
    }

    fn row(&self, row: &Row) -> String {
        match (&row.difference, row.best) {
            (Difference::Finite(values), Some([one, other])) => {
                let classes = if one.class_id == other.class_id {
                    format!("{}, {:.4}", self.class(one), other.score)
                } else {
                    format!("{}, but {}", self.class(one), self.class(other))
                };
                match (values.max_delta, values.max_logit_delta) {
                    (Some(delta), Some(logit)) => {
                        format!(
                            "|Δp| {}, |Δlogit| {}: {classes}",
                            number(delta),
                            number(logit)
                        )
                    }
                    (Some(delta), None) => format!("|Δp| {}: {classes}", number(delta)),
                    (None, _) => classes,
                }
            }
            (Difference::NotFinite { reference, run }, _) => {
                format!("not finite: {reference} values of the reference, {run} of the run")
            }
            (Difference::Finite(_), None) => String::new(),
        }
    }
}

/// Returns the number of gates that a run has failed. An open one shows nothing.
fn failed_gates(report: &EvaluationReport, run: usize) -> usize {
    let gates = report.gates(run).into_iter();
    gates.filter(|gate| !gate.passed && !gate.is_open).count()
}

/// Returns the command that finds the cause of worse answers of ONNX models.
fn bisection_hint(report: &EvaluationReport) -> Option<String> {
    let is_onnx = |info: &RunInfo| {
        let extension = Path::new(&info.model).extension();
        info.source.is_none() && extension.is_some_and(|it| it.eq_ignore_ascii_case("onnx"))
    };
    let is_quantized = |info: &RunInfo| info.quantized_nodes.is_some_and(|[count, _]| count > 0);
    let reference = &report.reference_results()?.info;
    let failed = |run: usize| failed_gates(report, run);
    let is_worse = |(run, _, found): &(usize, &EvaluatedRun, &RunResults)| {
        *run != report.reference
            && is_onnx(&found.info)
            // Another preprocessing is the cause, and the bisection rejects it.
            && found.info.preprocessing == reference.preprocessing
            && (found.changes.right_alone()[0] > 0 || failed(*run) > failed(report.reference))
    };
    let worse: Vec<_> = report.evaluated().filter(is_worse).collect();
    if worse.is_empty() || !is_onnx(reference) {
        return None;
    }
    let mut infos = worse.iter().map(|(.., found)| &found.info);
    let what = if is_quantized(reference) || infos.any(is_quantized) {
        "nodes that add the error"
    } else {
        "first node that differs"
    };
    Some(format!("classify compare … --bisect names the {what}"))
}

/// Words of an evaluation for people.
pub trait EvaluationText {
    /// Formats a class with the run's own label: `281 tabby cat`.
    fn class(&self, run: usize, class_id: usize) -> String;
    /// Formats the first classes with the run's own labels: `281 tabby cat and 282 tiger cat and 3 more`.
    fn classes(&self, run: usize, class_ids: &[usize]) -> String;
    /// Formats the answer of a run that is wrong where the reference is right: the wrong class, or the mistakes of a
    /// multi-label model: `without 281 tabby cat, with 7 cock`.
    fn answer(&self, run: usize, changed: &ChangedAnswer) -> String;
    /// Formats a mistake of the run: the wrong class, or `without` or `with` a class of a multi-label model.
    fn mistake(&self, run: usize, mistake: Mistake) -> String;
    /// Describes the difference of the run's labels from those of the reference on one line.
    fn labels_line(&self, run: usize) -> Option<String>;
    /// Returns whether an image counts for a run. Otherwise there is no result: 0 of 0 is no accuracy.
    fn has_counts(&self) -> bool;
    /// Returns names and values of the results of a run.
    fn values(&self, run: usize) -> Vec<(String, String)>;
    /// Returns names of the results, each with its value for every run that was evaluated.
    fn side_by_side(&self) -> Vec<(String, Vec<String>)>;
    /// Returns the next step: ground truth for a verdict or, of runs with ONNX models, the command that finds out why a run
    /// has new errors or fails a gate.
    fn hint(&self) -> Option<String>;
    /// Returns the remarks on runs, each with the name of its run.
    fn remark_rows(&self) -> Vec<(String, String)>;
    /// Returns the run as it was written; where there are several, the reference is marked.
    fn title(&self, index: usize) -> String;
    /// Returns all failures.
    fn failure_rows(&self) -> impl Iterator<Item = FailureRow>;
}

impl EvaluationText for EvaluationReport {
    fn failure_rows(&self) -> impl Iterator<Item = FailureRow> {
        let name = |run: usize| printable(&self.runs[run].name);
        failure_rows(&self.failures, |image| self.path(image), name)
    }

    fn class(&self, run: usize, class_id: usize) -> String {
        let found = self.runs[run].results.as_ref().ok();
        class(found.and_then(|found| found.labels.as_ref()), class_id)
    }

    fn classes(&self, run: usize, class_ids: &[usize]) -> String {
        let classes = class_ids.iter().take(FEW_CLASSES);
        let mut classes: Vec<String> = classes.map(|class_id| self.class(run, *class_id)).collect();
        let rest = class_ids.len() - classes.len();
        if rest > 0 {
            let class = if rest == 1 { "class" } else { "classes" };
            classes.push(format!("{} further {class}", grouped(rest)));
        }
        match &*classes {
            [] => "no class".to_owned(),
            [only] => only.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        }
    }

    fn answer(&self, run: usize, changed: &ChangedAnswer) -> String {
        if changed.given.is_none() {
            return self.classes(run, changed.answers());
        }
        let (mut missed, mut added) = (Vec::new(), Vec::new());
        for mistake in changed.mistakes() {
            match mistake {
                Mistake::Answer(_) => {}
                Mistake::Missed(class_id) => missed.push(class_id),
                Mistake::Added(class_id) => added.push(class_id),
            }
        }
        let parts = [("without", missed), ("with", added)].into_iter();
        let parts = parts.filter(|(_, class_ids)| !class_ids.is_empty());
        let parts = parts.map(|(word, ids)| format!("{word} {}", self.classes(run, &ids)));
        parts.collect::<Vec<_>>().join(", ")
    }

    fn mistake(&self, run: usize, mistake: Mistake) -> String {
        match mistake {
            Mistake::Answer(class_id) => self.class(run, class_id),
            Mistake::Missed(class_id) => format!("without {}", self.class(run, class_id)),
            Mistake::Added(class_id) => format!("with {}", self.class(run, class_id)),
        }
    }

    fn labels_line(&self, run: usize) -> Option<String> {
        let results = self.runs[run].results.as_ref().ok()?;
        let reference = printable(&self.runs[self.labels_reference()?].name);
        Some(results.label_difference?.text(&reference))
    }

    fn has_counts(&self) -> bool {
        let mut runs = self.evaluated();
        runs.any(|(.., found)| found.accuracy.images > 0)
    }

    fn values(&self, run: usize) -> Vec<(String, String)> {
        let Ok(found) = &self.runs[run].results else {
            return Vec::new();
        };
        let accuracy = &found.accuracy;
        let tops = self.top(accuracy);
        let tops = tops.map(|k| (format!("top-{k}"), accuracy.top(k).to_string()));
        let mut values = Vec::new();
        match &accuracy.counts {
            Counts::SingleLabel(counts) => {
                values.extend(tops);
                single_label_values(counts, &mut values);
            }
            Counts::MultiLabel(counts) => {
                let precision = accuracy.ranking.mean_average_precision();
                multi_label_values(counts, precision, &mut values);
                values.extend(tops);
            }
        }
        if let Some(drop) = self.drop(run).filter(|drop| drop.images > 0) {
            let criterion = drop.criterion;
            values.push((format!("drop of {}", criterion.name()), drop.to_string()));
            let [reference, own] = drop.right_alone;
            let by = match criterion {
                Criterion::Top1 => "",
                Criterion::ExactMatch => "exactly ",
            };
            values.push((
                "against the reference".to_owned(),
                format!(
                    "{by}right alone {}, the reference alone {}, McNemar p {}",
                    grouped(own),
                    grouped(reference),
                    match mcnemar(reference, own) {
                        p if p < 0.001 => "< 0.001".to_owned(),
                        p => format!("= {}", number(p)),
                    }
                ),
            ));
        }
        values
    }

    fn side_by_side(&self) -> Vec<(String, Vec<String>)> {
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

    fn hint(&self) -> Option<String> {
        if self.lacks_truth() {
            let hint = "add the missing ground truth, or allow fewer images with --min-truth";
            return Some(hint.to_owned());
        }
        let shift = self.evaluated().find_map(|(.., found)| found.id_shift);
        if let Some(shift) = shift {
            return Some(format!("try --label-offset {}", shift.label_offset));
        }
        let has_pairs = |(run, _, found): (usize, &EvaluatedRun, &RunResults)| {
            run != self.reference && found.changes.images > 0
        };
        if !self.lacks_evidence() || !self.evaluated().any(has_pairs) {
            return bisection_hint(self);
        }
        let truth = "check that the ground truth is for these images and this model (--truth, --truth-columns, \
                     --truth-folders, --labels), and --label-offset";
        let mut runs = self.evaluated().map(|(run, ..)| run);
        let bisection = runs.any(|run| failed_gates(self, run) > 0);
        let bisection = bisection.then(|| bisection_hint(self)).flatten();
        Some(bisection.map_or_else(
            || truth.to_owned(),
            |bisection| format!("{truth}; {bisection}"),
        ))
    }

    fn remark_rows(&self) -> Vec<(String, String)> {
        let row = |remark: Remark| (printable(&remark.run), printable(&with_flags(&remark.text)));
        self.remarks().into_iter().map(row).collect()
    }

    fn title(&self, index: usize) -> String {
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
        values.push(("calibration error".to_owned(), number(error)));
        values.push((
            "same, if calibrated".to_owned(),
            format!("mean {}, 95th percentile {}", number(mean), number(p95)),
        ));
    }
}

fn multi_label_values(
    counts: &MultiLabel,
    mean_average_precision: Option<f64>,
    values: &mut Vec<(String, String)>,
) {
    let mut add = |name: &str, value: String| values.push((name.to_owned(), value));
    add("exact match", counts.exact_match().to_string());
    add("threshold", counts.threshold.to_string());
    if let Some(value) = mean_average_precision {
        add("mean average precision", format!("{} %", percent(value)));
    }
    let total = counts.total();
    let (right, micro, macro_) = (total.true_positives, total.quality(), counts.mean());
    let of = |share: f64, of: usize| {
        let (share, right, of) = (percent(share), grouped(right), grouped(of));
        format!("{share} % ({right}/{of})")
    };
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
        _ => format!("{} classes", grouped(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_labels_are_shortened_for_people() {
        let labels = Labels::from_names(vec!["é".repeat(10_000), "cat".to_owned()]);
        let long = class(Some(&labels), 0);
        assert_eq!(long, format!("0 {}…", "é".repeat(LABEL - 1)));
        assert_eq!(class(Some(&labels), 1), "1 cat");
    }

    #[test]
    fn one_more_entry_is_singular() {
        assert_eq!(
            more(1, MORE_CLASSES),
            "1 more class; a JSON report lists all"
        );
        assert_eq!(
            more(2, MORE_IMAGES),
            "2 more images; a JSON report lists all"
        );
    }
}
