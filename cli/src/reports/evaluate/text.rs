//! The report on stdout.

use std::fmt::Write as _;

use evaluation::EvaluationReport;

use super::{EvaluationText as _, LISTED};
use crate::messages::printable;
use evaluation::accuracy::{Counts, MultiLabel, SingleLabel};
use evaluation::agreement::Gate;
use evaluation::percent;

/// Returns the report on stdout.
pub fn report(evaluation: &EvaluationReport) -> String {
    let mut text = String::new();
    for (index, run) in evaluation.runs.iter().enumerate() {
        let what = match &run.results {
            Ok(found) => format!(
                "{}\n  {}",
                printable(&found.info.description()),
                printable(&found.info.model_description())
            ),
            Err(error) => format!("FAILED: {error}"),
        };
        let _ = writeln!(text, "{}: {what}", evaluation.title(index));
        if let Some(labels) = evaluation.labels_line(index) {
            let _ = writeln!(text, "  labels: {labels}");
        }
    }
    if let Some(duplicates) = evaluation.duplicates.line(&evaluation.images) {
        let _ = writeln!(text, "duplicates: {duplicates}");
    }
    let table = evaluation.side_by_side();
    let values = table.iter().flat_map(|(_, values)| values);
    let titles = evaluation
        .evaluated()
        .map(|(index, ..)| evaluation.title(index));
    let longest = titles
        .map(|title| title.chars().count())
        .chain(values.map(|value| value.chars().count()));
    let width = longest.max().unwrap_or(0) + 2;
    let _ = write!(text, "\n  {:<24}", "");
    for (index, ..) in evaluation.evaluated() {
        let _ = write!(text, "{:<width$}", evaluation.title(index));
    }
    text.push('\n');
    for (name, values) in table {
        let cells: Vec<String> = values
            .iter()
            .map(|value| format!("{value:<width$}"))
            .collect();
        let cells = cells.concat();
        let _ = writeln!(text, "{}", format!("  {name:<24}{cells}").trim_end());
    }
    for (index, _, found) in evaluation.evaluated() {
        match &found.accuracy.counts {
            Counts::SingleLabel(counts) => single_label_text(evaluation, index, counts, &mut text),
            Counts::MultiLabel(counts) => multi_label_text(evaluation, index, counts, &mut text),
        }
        for gate in evaluation.gates(index) {
            gate_text(&gate, &mut text);
        }
    }
    if let Some(gate) = evaluation.truth_gate() {
        text.push('\n');
        gate_text(&gate, &mut text);
    }
    let _ = writeln!(text, "\n{}", evaluation.summary());
    text
}

fn single_label_text(
    evaluation: &EvaluationReport,
    run: usize,
    counts: &SingleLabel,
    text: &mut String,
) {
    let title = evaluation.title(run);
    let _ = writeln!(text, "\n{title}, classes by the share that is right");
    for (class_id, of) in counts.least_right(LISTED) {
        let class = evaluation.class(run, class_id);
        let _ = writeln!(text, "  {:>4} of {:>4} {class}", of.top1, of.images);
    }
    rest_text(counts.classes.len(), text);
    for (truth, answer, count) in counts.confusions(LISTED) {
        let (truth, answer) = (evaluation.class(run, truth), evaluation.class(run, answer));
        let _ = writeln!(text, "  {count:>4} times {truth} was taken for {answer}");
    }
}

fn multi_label_text(
    evaluation: &EvaluationReport,
    run: usize,
    counts: &MultiLabel,
    text: &mut String,
) {
    let title = evaluation.title(run);
    let _ = writeln!(text, "\n{title}, classes by F1");
    for (class_id, of) in counts.least_right(LISTED) {
        let _ = writeln!(
            text,
            "  {:>5} %, {} right, {} wrongly given, {} missed: {}",
            percent(of.quality().f1),
            of.true_positives,
            of.false_positives,
            of.false_negatives,
            evaluation.class(run, class_id)
        );
    }
    rest_text(counts.classes.len(), text);
}

fn rest_text(classes: usize, text: &mut String) {
    if classes > LISTED {
        let rest = classes - LISTED;
        let _ = writeln!(text, "  {rest} more classes are in the JSON report");
    }
}

fn gate_text(gate: &Gate, text: &mut String) {
    let word = if gate.passed { "passed" } else { "FAILED" };
    let _ = writeln!(text, "  {word} {}: {}", gate.name, gate.found);
    if let Some(remark) = &gate.remark {
        let _ = writeln!(text, "         {remark}");
    }
}
