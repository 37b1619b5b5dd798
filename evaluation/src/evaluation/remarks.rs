//! Remarks on runs that whoever reads a report has to know.

use serde::Serialize;

use super::report::EvaluationReport;
use crate::provenance::RunInfo;
use crate::text::grouped;

/// A remark on a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Remark {
    /// The name of the run.
    pub run: String,
    /// The remark. It names fields of options in backticks.
    pub text: String,
}

impl EvaluationReport {
    /// Returns the remarks on all runs.
    pub fn remarks(&self) -> Vec<Remark> {
        let mut remarks = Vec::new();
        let reference = self.reference_results().map(|results| &results.info);
        for (place, run, results) in self.evaluated() {
            let mut add = |text: String| {
                remarks.push(Remark {
                    run: run.name.clone(),
                    text,
                });
            };
            if let Some(shift) = results.id_shift {
                add(format!(
                    "{} of {} answers are right, but {} would be with `label_offset = {}`; check whether the ground truth \
                     counts classes from 1, or the model has a background class",
                    grouped(shift.right_as_given),
                    grouped(shift.images),
                    grouped(shift.right),
                    shift.label_offset
                ));
            }
            let are_swapped = place != self.reference
                && reference.is_some_and(is_quantized)
                && !is_quantized(&results.info);
            if are_swapped {
                add(
                    "the reference is quantized and this run is not: a drop of the quantized model would count as a \
                     gain; if the runs are swapped, name the other one first"
                        .to_owned(),
                );
            }
        }
        remarks
    }
}

fn is_quantized(info: &RunInfo) -> bool {
    info.quantization().is_some()
}
