//! The report for pull requests and job summaries.

use std::fmt::Write as _;

use evaluation::EvaluationReport;

use super::super::{cell, failures_table};
use super::{EvaluationText as _, LISTED};
use evaluation::accuracy::{Counts, MultiLabel, SingleLabel};
use evaluation::agreement::Gate;
use evaluation::percent;

/// Returns the whole report.
pub fn report(evaluation: &EvaluationReport) -> String {
    let mut text = format!(
        "### classify evaluate\n\n**{}**\n",
        cell(evaluation.summary())
    );
    let _ = writeln!(text, "\n| run | engine |\n|---|---|");
    for (index, run) in evaluation.runs.iter().enumerate() {
        let what = match &run.results {
            Ok(found) => cell(found.info.description()),
            Err(error) => format!("**FAILED**: {}", cell(error)),
        };
        let labels = evaluation.labels_line(index);
        let labels =
            labels.map_or_else(String::new, |labels| format!("; labels: {}", cell(labels)));
        let _ = writeln!(
            text,
            "| {} | {what}{labels} |",
            cell(evaluation.title(index))
        );
    }
    let titles: Vec<String> = evaluation
        .evaluated()
        .map(|(index, ..)| cell(evaluation.title(index)))
        .collect();
    let _ = writeln!(
        text,
        "\n| | {} |\n|---|{}",
        titles.join(" | "),
        "---|".repeat(titles.len())
    );
    for (name, values) in evaluation.side_by_side() {
        let cells: Vec<String> = values.iter().map(cell).collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    if let Some(gate) = evaluation.truth_gate() {
        add_gate("images", &gate, &mut text);
    }
    if let Some(duplicates) = evaluation.duplicates.line(&evaluation.images) {
        let _ = writeln!(text, "\nDuplicates: {}.", cell(duplicates));
    }
    for (index, _, found) in evaluation.evaluated() {
        for gate in evaluation.gates(index) {
            add_gate(&cell(evaluation.title(index)), &gate, &mut text);
        }
        match &found.accuracy.counts {
            Counts::SingleLabel(counts) => add_single_label(evaluation, index, counts, &mut text),
            Counts::MultiLabel(counts) => add_multi_label(evaluation, index, counts, &mut text),
        }
    }
    text += &failures_table(evaluation.failures.iter().map(|failure| {
        let image = failure
            .image
            .map_or_else(String::new, |image| evaluation.path(image));
        (image, failure.problem.message.clone())
    }));
    let _ = writeln!(text, "\n{}", cell(evaluation.machine.description()));
    text
}

fn add_gate(title: &str, gate: &Gate, text: &mut String) {
    let word = if gate.passed { "passed" } else { "**FAILED**" };
    let remark = gate
        .remark
        .as_ref()
        .map_or_else(String::new, |remark| format!("; {remark}"));
    let _ = writeln!(
        text,
        "\n{title} {}: {word}, {}",
        gate.name,
        cell(format!("{}{remark}", gate.found))
    );
}

fn add_single_label(
    evaluation: &EvaluationReport,
    run: usize,
    counts: &SingleLabel,
    text: &mut String,
) {
    let title = cell(evaluation.title(run));
    let class = |class_id| cell(evaluation.class(run, class_id));
    let confusions = counts.confusions(LISTED);
    if !confusions.is_empty() {
        let _ = writeln!(text, "\n| {title} | was taken for | times |\n|---|---|---|");
    }
    for (truth, answer, count) in confusions {
        let _ = writeln!(text, "| {} | {} | {count} |", class(truth), class(answer));
    }
    let _ = writeln!(text, "\n| {title}: class | right | images |\n|---|---|---|");
    for (class_id, of) in counts.least_right(LISTED) {
        let class = class(class_id);
        let _ = writeln!(text, "| {class} | {} | {} |", of.top1, of.images);
    }
}

fn add_multi_label(
    evaluation: &EvaluationReport,
    run: usize,
    counts: &MultiLabel,
    text: &mut String,
) {
    let _ = writeln!(
        text,
        "\n| {}: class | F1 | right | wrongly given | missed |\n|---|---|---|---|---|",
        cell(evaluation.title(run))
    );
    for (class_id, of) in counts.least_right(LISTED) {
        let _ = writeln!(
            text,
            "| {} | {} % | {} | {} | {} |",
            cell(evaluation.class(run, class_id)),
            percent(of.quality().f1),
            of.true_positives,
            of.false_positives,
            of.false_negatives
        );
    }
}
