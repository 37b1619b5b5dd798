//! The Markdown report: a summary for a pull request or a job.

use std::fmt::{self, Write as _};
use std::io::Write;

use evaluation::accuracy::{Counts, MultiLabel, SingleLabel};
use evaluation::agreement::Gate;
use evaluation::{ComparedPair, ComparisonReport, EvaluationReport, percent};

use super::Exporter;
use super::gates::gate_rows;
use super::named::{Comparison, Evaluation};
use super::wording::{
    ComparisonText as _, EvaluationText as _, FAILURES, FailureRow, LISTED, MORE_CLASSES, found,
    more, verdict,
};
use super::{bisection, changes};
use evaluation::text::{grouped, number, printable};

/// A summary in Markdown.
pub struct Markdown;

impl Exporter for Markdown {
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let comparison = &Comparison::comparison(comparison);
        Ok(out.write_all(comparison_text(comparison).as_bytes())?)
    }

    fn evaluation(&self, evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let evaluation = &Evaluation::evaluation(evaluation);
        Ok(out.write_all(evaluation_text(evaluation).as_bytes())?)
    }
}

fn comparison_text(comparison: &Comparison) -> String {
    let mut text = format!(
        "### classify compare\n\n**{}**\n",
        cell(comparison.shortened(comparison.summary()))
    );
    add_runs(comparison, &mut text);
    for compared in comparison.against_reference() {
        add_pair(comparison, compared, &mut text);
    }
    if let Some(duplicates) = comparison.duplicates.line(&comparison.images) {
        let _ = writeln!(text, "\nDuplicates: {}.", cell(duplicates));
    }
    if let Some(majority) = comparison.majority_line() {
        let _ = writeln!(
            text,
            "\nMajority: {}.",
            cell(comparison.shortened(majority))
        );
    }
    if let Some(bisect) = &comparison.bisect {
        let _ = writeln!(
            text,
            "\n```text\n{}```",
            comparison
                .shortened(bisection::text(bisect))
                .replace('`', "'")
        );
    }
    text += &failures_table(comparison.failure_rows(), comparison.failures.len());
    let _ = writeln!(text, "\n{}", cell(comparison.machine.description()));
    text
}

/// Adds the table of all runs, with their full names.
fn add_runs(comparison: &Comparison, text: &mut String) {
    let _ = writeln!(
        text,
        "\n| run | engine | SHA-256 of the model |\n|---|---|---|"
    );
    for (index, run) in comparison.runs.iter().enumerate() {
        let reference = if index == comparison.reference {
            " (reference)"
        } else {
            ""
        };
        let (what, digest, output) = match &run.info {
            Ok(info) => (
                info.description(),
                info.model_sha256,
                info.output_name.as_deref(),
            ),
            Err(error) => (error.clone(), None, None),
        };
        let digest = digest.map_or_else(String::new, |digest| digest.to_string());
        let mut model = short(&digest).to_owned();
        if let Some(output) = output {
            model = cell(format!("{model}, output {output}"));
        }
        let _ = writeln!(
            text,
            "| {}{reference} | {} | {} |",
            cell(&run.name),
            cell(what),
            model
        );
    }
}

fn add_pair(comparison: &Comparison, compared: &ComparedPair, text: &mut String) {
    let ComparedPair {
        reference,
        run,
        pair,
        gates,
        distributions,
        ..
    } = compared;
    let _ = writeln!(
        text,
        "\n#### {} against {}\n\nTolerance {}.\n\n| gate | | found |\n|---|---|---|",
        cell(comparison.name(*run)),
        cell(comparison.name(*reference)),
        cell(pair.tolerance)
    );
    for gate in gates {
        let word = marked(gate);
        let found = cell(found(&gate.found, gate.remark.as_deref()));
        let _ = writeln!(text, "| {} | {word} | {found} |", gate.name);
    }
    let _ = writeln!(text, "\n| | value |\n|---|---|");
    for (name, value) in pair.rates() {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    for (_, name, d) in distributions {
        let _ = writeln!(
            text,
            "| {} | p50 {}, p99 {}, max {} |",
            cell(name),
            number(d.p50),
            number(d.p99),
            number(d.max)
        );
    }
    let _ = writeln!(text, "\n| worst images | |\n|---|---|");
    for worst in &pair.worst {
        let _ = writeln!(
            text,
            "| {} | {} |",
            cell(comparison.path(worst.row.image)),
            cell(comparison.row(&worst.row))
        );
    }
}

fn evaluation_text(evaluation: &Evaluation) -> String {
    let mut text = format!(
        "### classify evaluate\n\n**{}**\n",
        cell(evaluation.shortened(evaluation.headline()))
    );
    add_gates(evaluation, &mut text);
    if let Some(hint) = evaluation.hint() {
        let _ = writeln!(text, "\nHint: {}", cell(hint));
    }
    for (run, remark) in evaluation.remark_rows() {
        let _ = writeln!(text, "\nRemark: {}: {}.", cell(run), cell(remark));
    }
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
            cell(evaluation.report.title(index))
        );
    }
    if evaluation.has_counts() {
        add_values(evaluation, &mut text);
    }
    for (index, ..) in evaluation.evaluated() {
        text += &changes::markdown(evaluation, index, |text| cell(text));
    }
    if let Some(duplicates) = evaluation.duplicates.line(&evaluation.images) {
        let _ = writeln!(text, "\nDuplicates: {}.", cell(duplicates));
    }
    for (index, _, found) in evaluation.evaluated() {
        match &found.accuracy.counts {
            Counts::SingleLabel(counts) => add_single_label(evaluation, index, counts, &mut text),
            Counts::MultiLabel(counts) => add_multi_label(evaluation, index, counts, &mut text),
        }
    }
    text += &failures_table(evaluation.failure_rows(), evaluation.failures.len());
    let _ = writeln!(text, "\n{}", cell(evaluation.machine.description()));
    text
}

/// Adds the table of the results, a column for each run.
fn add_values(evaluation: &Evaluation, text: &mut String) {
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
}

/// Adds the table of all gates, the failed ones first. The headline has their number alone.
fn add_gates(evaluation: &Evaluation, text: &mut String) {
    let gates = evaluation.all_gates();
    let gates = gates.map(|(run, gate)| {
        let run = run.map_or_else(String::new, |run| evaluation.title(run));
        (run, gate)
    });
    let rows = gate_rows(gates);
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n| gate | run | | found |\n|---|---|---|---|");
    for row in &rows {
        let word = marked(&row.gate);
        let found = cell(found(&row.gate.found, row.remark.as_deref()));
        let name = row.gate.name;
        let _ = writeln!(text, "| {name} | {} | {word} | {found} |", cell(&row.run));
    }
}

/// Returns the verdict of a gate, in bold if it failed.
fn marked(gate: &Gate) -> String {
    let word = verdict(gate);
    if gate.passed {
        word.to_owned()
    } else {
        format!("**{word}**")
    }
}

fn add_single_label(evaluation: &Evaluation, run: usize, counts: &SingleLabel, text: &mut String) {
    let title = cell(evaluation.title(run));
    let class = |class_id| cell(evaluation.class(run, class_id));
    let confusions = counts.confusions(usize::MAX);
    if !confusions.is_empty() {
        let _ = writeln!(
            text,
            "\n| {title} | was classified as | times |\n|---|---|---|"
        );
    }
    for &(truth, answer, count) in confusions.iter().take(LISTED) {
        let count = grouped(count);
        let _ = writeln!(text, "| {} | {} | {count} |", class(truth), class(answer));
    }
    add_rest(
        confusions.len(),
        ["pair of classes", "pairs of classes"],
        3,
        text,
    );
    let _ = writeln!(text, "\n| {title}: class | right | images |\n|---|---|---|");
    for (class_id, of) in counts.least_right(LISTED) {
        let class = class(class_id);
        let [right, images] = [of.top1, of.images].map(grouped);
        let _ = writeln!(text, "| {class} | {right} | {images} |");
    }
    add_rest(counts.least_right(usize::MAX).len(), MORE_CLASSES, 3, text);
}

/// Adds a row with the number of entries that are not listed, if there are any.
fn add_rest(all: usize, what: [&str; 2], columns: usize, text: &mut String) {
    if all > LISTED {
        let cells = "| ".repeat(columns);
        let _ = writeln!(text, "| {} {cells}", more(all - LISTED, what));
    }
}

fn add_multi_label(evaluation: &Evaluation, run: usize, counts: &MultiLabel, text: &mut String) {
    let _ = writeln!(
        text,
        "\n| {}: class | F1 | true positives | false positives | false negatives |\n|---|---|---|---|---|",
        cell(evaluation.title(run))
    );
    for (class_id, of) in counts.least_right(LISTED) {
        let _ = writeln!(
            text,
            "| {} | {} % | {} | {} | {} |",
            cell(evaluation.class(run, class_id)),
            percent(of.quality().f1),
            grouped(of.true_positives),
            grouped(of.false_positives),
            grouped(of.false_negatives)
        );
    }
    add_rest(counts.least_right(usize::MAX).len(), MORE_CLASSES, 5, text);
}

/// Returns the table of failures, image and reason.
fn failures_table(failures: impl Iterator<Item = FailureRow>, count: usize) -> String {
    if count == 0 {
        return String::new();
    }
    let mut text = "\n| failed | reason |\n|---|---|\n".to_owned();
    for failure in failures.take(FAILURES) {
        let _ = writeln!(
            text,
            "| {} | {} |",
            cell(failure.image),
            cell(failure.message)
        );
    }
    if count > FAILURES {
        let _ = writeln!(text, "| {} others | |", grouped(count - FAILURES));
    }
    text
}

/// Returns `text` for a cell of a table: nothing in it is markup.
fn cell(text: impl fmt::Display) -> String {
    let text = printable(&text.to_string());
    let mut escaped = String::new();
    for character in text.chars() {
        if "\\`*_{}[]<>()#+!|~$@&".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Returns the first digits of a hash.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_markup() {
        assert_eq!(cell("a|b<img src=x>"), "a\\|b\\<img src=x\\>");
        assert_eq!(cell("a\nb"), "a\\\\nb");
    }
}
