//! The JSON report: `docs/compare.md` and `docs/evaluate.md`.

use std::io::{self, Write};

use evaluation::{ComparisonReport, EvaluationReport};
use serde::Serialize;

use super::Exporter;

/// All results, for machines.
pub struct Json;

impl Exporter for Json {
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
        write(comparison, out)
    }

    fn evaluation(&self, evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()> {
        write(evaluation, out)
    }
}

fn write(results: &impl Serialize, out: &mut dyn Write) -> anyhow::Result<()> {
    // Of an error of the system, `serde_json` hides the kind, which has the hint.
    serde_json::to_writer_pretty(&mut *out, results).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}
