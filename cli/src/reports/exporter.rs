//! The interface of a format of reports.

use std::io::Write;

use evaluation::{ComparisonReport, EvaluationReport};

/// A format of reports.
pub trait Exporter {
    /// Writes the results of `compare`.
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()>;
    /// Writes the results of `evaluate`.
    fn evaluation(&self, evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()>;
}
