//! GitHub's workflow commands: lines that a job prints to annotate its run with the verdict and the worst images.
//!
//! The format is that of "Workflow commands for GitHub Actions": `::error title=TITLE::MESSAGE`.

use std::io::Write;

use evaluation::agreement::{Gate, Verdict};
use evaluation::text::printable;
use evaluation::{ComparisonReport, EvaluationReport};

use super::wording::{ComparisonText as _, EvaluationText as _, FailureRow, found};
use super::{Exporter, changes};

/// The annotations of a job on GitHub.
pub struct Annotations;

/// The most errors, and the most warnings, of one step that GitHub shows. The verdict is one of the errors.
const SHOWN: usize = 10;

impl Exporter for Annotations {
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut lines = Lines::new("classify compare");
        lines.verdict(comparison.verdict(), &comparison.summary());
        lines.failures(comparison.failure_rows());
        for compared in comparison.against_reference() {
            let (run, pair) = (comparison.name(compared.run), &compared.pair);
            for gate in compared.gates.iter().filter(|gate| !gate.passed) {
                lines.gate(&run, gate);
            }
            for worst in &pair.worst {
                if !worst.row.within(&pair.tolerance, pair.basis) {
                    let title = format!("{run}: {}", comparison.path(worst.row.image));
                    lines.error(&title, &comparison.row(&worst.row));
                }
            }
        }
        lines.write(out)
    }

    fn evaluation(&self, evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut lines = Lines::new("classify evaluate");
        lines.verdict(evaluation.verdict(), &evaluation.summary());
        lines.failures(evaluation.failure_rows());
        if let Some(gate) = evaluation.truth_gate().filter(|gate| !gate.passed) {
            lines.gate("ground truth", &gate);
        }
        for (run, remark) in evaluation.remark_rows() {
            lines.warning(&format!("{run}: remark"), &remark);
        }
        for (index, run, _) in evaluation.evaluated() {
            let gates = evaluation.gates(index);
            let failed: Vec<&Gate> = gates.iter().filter(|gate| !gate.passed).collect();
            for gate in &failed {
                lines.gate(&run.name, gate);
            }
            for (name, answer) in changes::new_errors(evaluation, index).take(SHOWN) {
                let title = format!("{}: {name}", run.name);
                if failed.is_empty() {
                    lines.warning(&title, &answer);
                } else {
                    lines.error(&title, &answer);
                }
            }
        }
        lines.write(out)
    }
}

/// The lines of a report, the most important ones first.
struct Lines {
    command: &'static str,
    errors: Vec<String>,
    warnings: Vec<String>,
    notice: Option<String>,
}

impl Lines {
    fn new(command: &'static str) -> Self {
        Self {
            command,
            errors: Vec::new(),
            warnings: Vec::new(),
            notice: None,
        }
    }

    fn verdict(&mut self, verdict: Verdict, summary: &str) {
        match verdict {
            Verdict::Disagree | Verdict::CouldNotCompare => self.error(self.command, summary),
            _ => self.notice = Some(line("notice", self.command, summary)),
        }
    }

    fn failures(&mut self, failures: impl Iterator<Item = FailureRow>) {
        for failure in failures.take(SHOWN) {
            self.error(failure.name(), &failure.message);
        }
    }

    fn gate(&mut self, run: &str, gate: &Gate) {
        self.error(
            &format!("{run}: gate {}", gate.name),
            &found(&gate.found, gate.remark.as_deref()),
        );
    }

    fn error(&mut self, title: &str, message: &str) {
        push(&mut self.errors, "error", title, message);
    }

    fn warning(&mut self, title: &str, message: &str) {
        push(&mut self.warnings, "warning", title, message);
    }

    fn write(self, out: &mut dyn Write) -> anyhow::Result<()> {
        for line in self.notice.iter().chain(&self.errors).chain(&self.warnings) {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

fn push(lines: &mut Vec<String>, kind: &str, title: &str, message: &str) {
    if lines.len() < SHOWN {
        lines.push(line(kind, title, message));
    }
}

/// Returns one command. Names of files and labels are data: they can neither end the command nor begin another one.
fn line(kind: &str, title: &str, message: &str) -> String {
    let message = printable(message).replace('%', "%25");
    let title = printable(title)
        .replace('%', "%25")
        .replace(':', "%3A")
        .replace(',', "%2C");
    format!("::{kind} title={title}::{message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_the_command() {
        let line = line("error", "a,b::c\n%.jpg", "100 % wrong\n::error::x");
        assert!(!line.contains('\n'), "{line}");
        let (properties, message) = line[2..].split_once("::").unwrap();
        assert_eq!(properties, r"error title=a%2Cb%3A%3Ac\n%25.jpg");
        assert_eq!(message, r"100 %25 wrong\n::error::x");
    }

    #[test]
    fn the_verdict_is_first_and_github_shows_every_line() {
        let mut lines = Lines::new("classify compare");
        lines.verdict(Verdict::Disagree, "DISAGREE: onnx differs");
        for index in 0..20 {
            lines.error(&format!("{index}.jpg"), "wrong");
            lines.warning(&format!("{index}.jpg"), "perhaps");
        }
        let mut out = Vec::new();
        lines.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("::error title=classify compare::DISAGREE"),
            "{text}"
        );
        assert_eq!(
            text.lines()
                .filter(|line| line.starts_with("::error"))
                .count(),
            SHOWN
        );
        assert_eq!(
            text.lines()
                .filter(|line| line.starts_with("::warning"))
                .count(),
            SHOWN
        );
    }
}
