//! The formats of a comparison for people, and JUnit.

use std::fmt::Write as _;
use std::io::Write;

use evaluation::agreement::{Basis, Difference, Row, Verdict};
use evaluation::{ComparedPair, ComparisonReport};
use image_classification::Ranked;

use super::junit::{Case, Junit, Totals};
use super::{Document, bisect, cell, class, failures_table, html};
use crate::messages::{counted, printable};

/// Words of a comparison for people.
pub trait ComparisonText {
    /// `281 tabby cat 0.9812`.
    fn class(&self, ranked: Ranked) -> String;
    /// Describes the best classes and the difference of one image.
    fn row(&self, row: &Row) -> String;
    /// Returns the report on stdout.
    fn text(&self) -> String;
}

impl ComparisonText for ComparisonReport {
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
                        format!("|Δp| {delta:.3e}, |Δlogit| {logit:.3e}: {classes}")
                    }
                    (Some(delta), None) => format!("|Δp| {delta:.3e}: {classes}"),
                    (None, _) => classes,
                }
            }
            (Difference::NotFinite { reference, run }, _) => {
                format!("not finite: {reference} values of the reference, {run} of the run")
            }
            (Difference::Finite(_), None) => String::new(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (index, run) in self.runs.iter().enumerate() {
            let kind = if index == self.reference {
                "reference"
            } else {
                "run"
            };
            let name = printable(&run.name);
            let what = match &run.info {
                Ok(info) => info.description(),
                Err(error) => format!("FAILED: {error}"),
            };
            let _ = writeln!(text, "{kind:<10} {name}: {}", printable(&what));
            if let Ok(info) = &run.info {
                let _ = writeln!(text, "           {}", printable(&info.model_description()));
            }
        }
        let _ = writeln!(text, "input      {}", self.preprocessing());
        let _ = writeln!(
            text,
            "tensors    {}; SHA-256 of all {}",
            counted(self.images.len(), "image"),
            self.tensors
        );
        for note in self.tensor_notes() {
            let _ = writeln!(text, "           {note}");
        }
        let _ = writeln!(
            text,
            "tolerance  {} ({})",
            self.tolerance,
            printable(&self.tolerance_by)
        );
        if let Some(duplicates) = self.duplicates.line(&self.images) {
            let _ = writeln!(text, "duplicates {duplicates}");
        }
        for pair in self.against_reference() {
            pair_text(self, pair, &mut text);
        }
        for pair in self
            .pairs
            .iter()
            .filter(|pair| pair.reference != self.reference)
        {
            let verdict = if pair.verdict == Verdict::Agree {
                "agree"
            } else {
                "do not agree"
            };
            let _ = writeln!(
                text,
                "\n{} and {} {verdict}",
                self.name(pair.reference),
                self.name(pair.run)
            );
        }
        if let Some(majority) = self.majority_line() {
            let _ = writeln!(text, "\nmajority   {majority}");
        }
        if let Some(bisect) = &self.bisect {
            let _ = write!(text, "\n{}", bisect::text(bisect));
        }
        let _ = writeln!(text, "\n{}", self.summary());
        text
    }
}

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
            Basis::Outputs => "outputs as they are",
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
        let word = if gate.passed { "passed" } else { "FAILED" };
        let _ = writeln!(text, "  {word} {}: {}", gate.name, gate.found);
        if let Some(remark) = &gate.remark {
            let _ = writeln!(text, "         {remark}");
        }
    }
}

impl Document for ComparisonReport {
    fn json(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        Ok(serde_json::to_writer_pretty(out, self)?)
    }

    fn markdown(&self) -> String {
        let mut text = format!("### classify compare\n\n**{}**\n", cell(self.summary()));
        let _ = writeln!(
            text,
            "\n| run | engine | SHA-256 of the model |\n|---|---|---|"
        );
        for (index, run) in self.runs.iter().enumerate() {
            let reference = if index == self.reference {
                " (reference)"
            } else {
                ""
            };
            let (what, digest) = match &run.info {
                Ok(info) => (info.description(), info.model_sha256),
                Err(error) => (error.clone(), None),
            };
            let model = digest.map_or_else(String::new, |digest| digest.to_string());
            let _ = writeln!(
                text,
                "| {}{reference} | {} | {} |",
                cell(&run.name),
                cell(what),
                short(&model)
            );
        }
        for compared in self.against_reference() {
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
                cell(self.name(*run)),
                cell(self.name(*reference)),
                cell(pair.tolerance)
            );
            for gate in gates {
                let word = if gate.passed { "passed" } else { "**FAILED**" };
                let remark = gate
                    .remark
                    .as_ref()
                    .map_or_else(String::new, |remark| format!("; {remark}"));
                let _ = writeln!(
                    text,
                    "| {} | {word} | {} |",
                    gate.name,
                    cell(format!("{}{remark}", gate.found))
                );
            }
            let _ = writeln!(text, "\n| | value |\n|---|---|");
            for (name, value) in pair.rates() {
                let _ = writeln!(text, "| {name} | {value} |");
            }
            for (_, name, d) in distributions {
                let _ = writeln!(
                    text,
                    "| {} | p50 {:.3e}, p99 {:.3e}, max {:.3e} |",
                    cell(name),
                    d.p50,
                    d.p99,
                    d.max
                );
            }
            let _ = writeln!(text, "\n| worst images | |\n|---|---|");
            for worst in &pair.worst {
                let _ = writeln!(
                    text,
                    "| {} | {} |",
                    cell(self.path(worst.row.image)),
                    cell(self.row(&worst.row))
                );
            }
        }
        if let Some(duplicates) = self.duplicates.line(&self.images) {
            let _ = writeln!(text, "\nDuplicates: {}.", cell(duplicates));
        }
        if let Some(majority) = self.majority_line() {
            let _ = writeln!(text, "\nMajority: {}.", cell(majority));
        }
        if let Some(bisect) = &self.bisect {
            let _ = writeln!(
                text,
                "\n```text\n{}```",
                bisect::text(bisect).replace('`', "'")
            );
        }
        text += &failures_table(self.failures.iter().map(|failure| {
            let image = failure
                .image
                .map_or_else(String::new, |image| self.path(image));
            (image, failure.problem.message.clone())
        }));
        let _ = writeln!(text, "\n{}", cell(self.machine.description()));
        text
    }

    fn junit(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut report = Junit::start(out, "classify compare")?;
        for compared in self.against_reference() {
            let ComparedPair { pair, gates, .. } = compared;
            let name = format!(
                "{} against {}",
                self.name(compared.run),
                self.name(compared.reference)
            );
            let failed_gates = gates.iter().filter(|gate| !gate.passed).count();
            let totals = Totals {
                tests: gates.len() + pair.rows.len(),
                failures: failed_gates + pair.beyond(),
                errors: 0,
            };
            let gates = gates.iter().map(|gate| Ok(Case::gate(gate)));
            let images = pair.rows.iter().map(|row| {
                let row = row?;
                let failed = (!row.within(&pair.tolerance, pair.basis)).then(|| self.row(&row));
                Ok(Case::new(self.path(row.image), failed))
            });
            report.suite(&name, totals, gates.chain(images))?;
        }
        let runs = self.runs.iter().filter_map(|run| {
            let message = run.info.as_ref().err()?;
            Some(Ok(Case::error(run.name.clone(), message.clone())))
        });
        let failures = self.failures.iter().map(|failure| {
            let problem = &failure.problem;
            let name = failure
                .image
                .map_or_else(|| problem.code.to_owned(), |image| self.path(image));
            Ok(Case::error(name, problem.message.clone()))
        });
        let errors = runs.clone().count() + self.failures.len();
        if errors > 0 {
            let totals = Totals {
                tests: errors,
                errors,
                failures: 0,
            };
            report.suite("could not compare", totals, runs.chain(failures))?;
        }
        Ok(report.finish()?)
    }

    fn html(&self) -> anyhow::Result<String> {
        html::comparison(self)
    }
}

/// The first digits of a hash.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
