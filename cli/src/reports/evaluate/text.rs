//! The report on stdout.

use std::fmt::Write as _;

use super::{Evaluation, LISTED};
use crate::messages::printable;
use evaluation::accuracy::{Counts, MultiLabel, SingleLabel};
use evaluation::agreement::Gate;
use evaluation::percent;

impl Evaluation {
    /// Returns the report on stdout.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (index, run) in self.runs.iter().enumerate() {
            let what = match &run.found {
                Ok(found) => format!(
                    "{}\n  {}, SHA-256 {}",
                    printable(&found.facts.description()),
                    printable(&found.facts.model),
                    found.facts.model_sha256
                ),
                Err(error) => format!("FAILED: {error}"),
            };
            let _ = writeln!(text, "{}: {what}", self.title(index));
            if let Some(labels) = self.labels_line(index) {
                let _ = writeln!(text, "  labels: {labels}");
            }
        }
        if let Some(duplicates) = self.duplicates.line(&self.images) {
            let _ = writeln!(text, "duplicates: {duplicates}");
        }
        let table = self.side_by_side();
        let values = table.iter().flat_map(|(_, values)| values);
        let titles = self.evaluated().map(|(index, ..)| self.title(index));
        let longest = titles
            .map(|title| title.chars().count())
            .chain(values.map(|value| value.chars().count()));
        let width = longest.max().unwrap_or(0) + 2;
        let _ = write!(text, "\n  {:<24}", "");
        for (index, ..) in self.evaluated() {
            let _ = write!(text, "{:<width$}", self.title(index));
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
        for (index, _, found) in self.evaluated() {
            match &found.accuracy.counts {
                Counts::SingleLabel(counts) => self.single_label_text(index, counts, &mut text),
                Counts::MultiLabel(counts) => self.multi_label_text(index, counts, &mut text),
            }
            for gate in self.gates(index) {
                gate_text(&gate, &mut text);
            }
        }
        if let Some(gate) = self.truth_gate() {
            text.push('\n');
            gate_text(&gate, &mut text);
        }
        let _ = writeln!(text, "\n{}", self.verdict_line());
        text
    }

    fn single_label_text(&self, run: usize, counts: &SingleLabel, text: &mut String) {
        let title = self.title(run);
        let _ = writeln!(text, "\n{title}, classes by the share that is right");
        for (class_id, of) in counts.least_right(LISTED) {
            let class = self.class(run, class_id);
            let _ = writeln!(text, "  {:>4} of {:>4} {class}", of.top1, of.images);
        }
        rest_text(counts.classes.len(), text);
        for (truth, answer, count) in counts.confusions(LISTED) {
            let (truth, answer) = (self.class(run, truth), self.class(run, answer));
            let _ = writeln!(text, "  {count:>4} times {truth} was taken for {answer}");
        }
    }

    fn multi_label_text(&self, run: usize, counts: &MultiLabel, text: &mut String) {
        let title = self.title(run);
        let _ = writeln!(text, "\n{title}, classes by F1");
        for (class_id, of) in counts.least_right(LISTED) {
            let _ = writeln!(
                text,
                "  {:>5} %, {} right, {} wrongly given, {} missed: {}",
                percent(of.quality().f1),
                of.true_positives,
                of.false_positives,
                of.false_negatives,
                self.class(run, class_id)
            );
        }
        rest_text(counts.classes.len(), text);
    }
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
