//! The report as test cases.

use std::io::Write;

use evaluation::EvaluationReport;

use super::super::junit::{Case, Junit, Totals};
use super::EvaluationText as _;

/// Writes a suite for each run, one for the images and one for failures.
pub fn report(evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut report = Junit::start(out, "classify evaluate")?;
    if let Some(gate) = evaluation.truth_gate() {
        let totals = Totals {
            tests: 1,
            failures: usize::from(!gate.passed),
            errors: 0,
        };
        report.suite("ground truth", totals, [Ok(Case::gate(&gate))])?;
    }
    for (index, run, _) in evaluation.evaluated() {
        let gates = evaluation.gates(index);
        let values = evaluation.values(index);
        let totals = Totals {
            tests: gates.len() + values.len(),
            failures: gates.iter().filter(|gate| !gate.passed).count(),
            errors: 0,
        };
        let gates = gates.iter().map(|gate| Ok(Case::gate(gate)));
        let values = values.into_iter().map(|(name, value)| {
            Ok(Case {
                output: Some(value),
                ..Case::new(name, None)
            })
        });
        report.suite(&run.name, totals, gates.chain(values))?;
    }
    let runs = evaluation.runs.iter().filter_map(|run| {
        let error = run.results.as_ref().err()?;
        Some(Ok(Case::error(run.name.clone(), error.clone())))
    });
    let failures = evaluation.failures.iter().map(|failure| {
        let name = failure
            .image
            .map_or_else(String::new, |image| evaluation.path(image));
        Ok(Case::error(name, failure.problem.message.clone()))
    });
    let errors = runs.clone().count() + evaluation.failures.len();
    if errors > 0 {
        let totals = Totals {
            tests: errors,
            errors,
            failures: 0,
        };
        report.suite("could not evaluate", totals, runs.chain(failures))?;
    }
    Ok(report.finish()?)
}
