//! The text on stdout.

use std::fmt::Write as _;
use std::io::Write;

use evaluation::accuracy::{Counts, MultiLabel, SingleLabel};
use evaluation::agreement::{Basis, Gate, Verdict};
use evaluation::{ComparedPair, ComparisonReport, EvaluationReport, percent};

use super::Exporter;
use super::wording::{ComparisonText as _, EvaluationText as _, LISTED, verdict};
use super::{bisection, changes};
use evaluation::text::{counted, printable};

/// Text for people.
pub struct Text;

impl Exporter for Text {
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
        Ok(out.write_all(comparison_text(comparison).as_bytes())?)
    }

    fn evaluation(&self, evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()> {
        Ok(out.write_all(evaluation_text(evaluation).as_bytes())?)
    }
}

fn comparison_text(comparison: &ComparisonReport) -> String {
    let mut text = String::new();
    for (index, run) in comparison.runs.iter().enumerate() {
        let kind = if index == comparison.reference {
            "reference"
        } else {
            "run"
        };
        let name = printable(&run.name);
        let what = match &run.info {
            Ok(info) => printable(&info.description()),
            Err(_) => FAILED.to_owned(),
        };
        let _ = writeln!(text, "{kind:<10} {name}: {what}");
        if let Ok(info) = &run.info {
            let _ = writeln!(text, "           {}", printable(&info.model_description()));
        }
    }
    let _ = writeln!(text, "input      {}", comparison.preprocessing());
    let _ = writeln!(
        text,
        "tensors    {}; SHA-256 of all {}",
        counted(comparison.images.len(), "image"),
        comparison.tensors
    );
    for note in comparison.tensor_notes() {
        let _ = writeln!(text, "           {note}");
    }
    let _ = writeln!(
        text,
        "tolerance  {} ({})",
        comparison.tolerance,
        printable(&comparison.tolerance_by)
    );
    if let Some(duplicates) = comparison.duplicates.line(&comparison.images) {
        let _ = writeln!(text, "duplicates {duplicates}");
    }
    for pair in comparison.against_reference() {
        pair_text(comparison, pair, &mut text);
    }
    for pair in comparison
        .pairs
        .iter()
        .filter(|pair| pair.reference != comparison.reference)
    {
        let verdict = if pair.verdict == Verdict::Agree {
            "agree"
        } else {
            "do not agree"
        };
        let _ = writeln!(
            text,
            "\n{} and {} {verdict}",
            comparison.name(pair.reference),
            comparison.name(pair.run)
        );
    }
    if let Some(majority) = comparison.majority_line() {
        let _ = writeln!(text, "\nmajority   {majority}");
    }
    if let Some(bisect) = &comparison.bisect {
        let _ = write!(text, "\n{}", bisection::text(bisect));
    }
    let _ = writeln!(text, "\n{}", comparison.summary());
    text
}

/// The text of a run that was not used. Its error, which may have many lines, is on stderr, with its hint.
const FAILED: &str = "FAILED; its error is on stderr";

fn pair_text(comparison: &ComparisonReport, compared: &ComparedPair, text: &mut String) {
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
        "\n{} against {}, the {} best classes; {}",
        comparison.name(*run),
        comparison.name(*reference),
        comparison.top,
        match pair.basis {
            Basis::Logits => "probabilities and logits",
            Basis::Probabilities => "probabilities",
            Basis::Outputs => "unchanged outputs",
            Basis::ClassIds => "class ids alone",
        }
    );
    for (name, value) in pair.rates() {
        let _ = writeln!(text, "  {name:<26}{value}");
    }
    let _ = writeln!(
        text,
        "  {:<26}{:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "mean", "p50", "p90", "p99", "max"
    );
    for (_, name, d) in distributions {
        let _ = writeln!(
            text,
            "  {name:<26}{:>10.3e} {:>10.3e} {:>10.3e} {:>10.3e} {:>10.3e}",
            d.mean, d.p50, d.p90, d.p99, d.max
        );
    }
    let _ = writeln!(text, "  worst images");
    for worst in &pair.worst {
        let _ = writeln!(
            text,
            "    {}: {}",
            comparison.path(worst.row.image),
            comparison.row(&worst.row)
        );
    }
    for gate in gates {
        gate_text(gate, text);
    }
}

fn evaluation_text(evaluation: &EvaluationReport) -> String {
    let mut text = String::new();
    for (index, run) in evaluation.runs.iter().enumerate() {
        let what = match &run.results {
            Ok(found) => format!(
                "{}\n  {}",
                printable(&found.info.description()),
                printable(&found.info.model_description())
            ),
            Err(_) => FAILED.to_owned(),
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
    if evaluation.evaluated().next().is_some() {
        let _ = write!(text, "\n  {:<24}", "");
        for (index, ..) in evaluation.evaluated() {
            let _ = write!(text, "{:<width$}", evaluation.title(index));
        }
        text.push('\n');
    }
    for (name, values) in table {
        let cells: Vec<String> = values
            .iter()
            .map(|value| format!("{value:<width$}"))
            .collect();
        let cells = cells.concat();
        let _ = writeln!(text, "{}", format!("  {name:<24}{cells}").trim_end());
    }
    for (index, ..) in evaluation.evaluated() {
        text += &changes::text(evaluation, index);
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
    let _ = writeln!(text, "\n{title}, classes by accuracy");
    for (class_id, of) in counts.least_right(LISTED) {
        let class = evaluation.class(run, class_id);
        let _ = writeln!(text, "  {:>4} of {:>4} {class}", of.top1, of.images);
    }
    rest_text(counts.classes.len(), text);
    for (truth, answer, count) in counts.confusions(LISTED) {
        let (truth, answer) = (evaluation.class(run, truth), evaluation.class(run, answer));
        let _ = writeln!(text, "  {count:>4} x {truth} was classified as {answer}");
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
            "  {:>5} %, {} true positives, {} false positives, {} false negatives: {}",
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
    let word = verdict(gate);
    let _ = writeln!(text, "  {word} {}: {}", gate.name, gate.found);
    if let Some(remark) = &gate.remark {
        let _ = writeln!(text, "         {remark}");
    }
}
