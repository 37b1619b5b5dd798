//! The JSON report of a comparison: `docs/compare.md` names its keys.

use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::report::{ComparedPair, ComparisonReport};
use crate::agreement::{Basis, Difference, Gate, Majority, Pair, Row, Tolerance, Verdict};
use crate::bisect::Bisection;
use crate::digest::Digest;
use crate::provenance::Machine;
use crate::statistics::Rate;

/// The report for machines. Its images are read one after the other.
#[derive(Serialize)]
struct ComparisonJson<'a> {
    schema_version: u32,
    kind: &'static str,
    verdict: Verdict,
    summary: String,
    machine: &'a Machine,
    top: usize,
    /// The runs that take the same pixels in another form.
    tensor_notes: Vec<String>,
    tolerance: Tolerance,
    tolerance_by: &'a str,
    tensors_sha256: Digest,
    #[serde(rename = "pictures")]
    images: usize,
    compared: usize,
    runs: Vec<Value>,
    majority: Option<Value>,
    duplicates: Vec<Value>,
    failures: Vec<Value>,
    bisect: Option<&'a Bisection>,
    pairs: Vec<PairJson<'a>>,
}

#[derive(Serialize)]
struct PairJson<'a> {
    reference: &'a str,
    run: &'a str,
    verdict: Verdict,
    tolerance: Tolerance,
    basis: Basis,
    gates: &'a [Gate],
    top1_match: Rate,
    top1_match_but_ties: Rate,
    ordered_match: Rate,
    ordered_match_but_ties: Rate,
    identical_text: Rate,
    overlap: f64,
    not_finite: usize,
    distributions: Map<String, Value>,
    /// Places in the inputs.
    worst: Vec<usize>,
    #[serde(rename = "pictures")]
    images: ImagesJson<'a>,
}

impl<'a> PairJson<'a> {
    fn new(comparison: &'a ComparisonReport, compared: &'a ComparedPair) -> Self {
        let ComparedPair {
            reference,
            run,
            pair,
            gates,
            verdict,
            distributions,
        } = compared;
        Self {
            reference: &comparison.runs[*reference].name,
            run: &comparison.runs[*run].name,
            verdict: *verdict,
            tolerance: pair.tolerance,
            basis: pair.basis,
            gates,
            top1_match: pair.top1_match(),
            top1_match_but_ties: pair.top1_match_but_ties(),
            ordered_match: pair.ordered_match(),
            ordered_match_but_ties: pair.ordered_match_but_ties(),
            identical_text: pair.identical_text(),
            overlap: pair.overlap(),
            not_finite: pair.not_finite(),
            distributions: distributions
                .iter()
                .map(|(key, _, distribution)| ((*key).to_owned(), json!(distribution)))
                .collect(),
            worst: pair.worst.iter().map(|worst| worst.row.image).collect(),
            images: ImagesJson { comparison, pair },
        }
    }
}

struct ImagesJson<'a> {
    comparison: &'a ComparisonReport,
    pair: &'a Pair,
}

impl Serialize for ImagesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.pair.rows.len()))?;
        for row in self.pair.rows.iter() {
            let row = row.map_err(S::Error::custom)?;
            list.serialize_element(&self.image(&row))?;
        }
        list.end()
    }
}

impl ImagesJson<'_> {
    fn image(&self, row: &Row) -> Value {
        let mut value = json!({
            "path": self.comparison.images[row.image].to_string_lossy(),
            "within": row.within(&self.pair.tolerance, self.pair.basis),
        });
        if let Some([one, other]) = row.best {
            value["reference"] = json!(one);
            value["run"] = json!(other);
        }
        match &row.difference {
            Difference::Finite(values) => {
                value["overlap"] = json!(values.overlap());
                // The name in version 0.1.0.
                value["telling"] = json!(values.informative);
                if let (Value::Object(value), Value::Object(values)) = (&mut value, json!(values)) {
                    value.extend(values);
                }
            }
            Difference::NotFinite { reference, run } => {
                value["not_finite"] = json!({ "reference": reference, "run": run });
            }
        }
        value
    }
}

impl Serialize for ComparisonReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let majority = self.majority.as_ref().map(|majority| {
            let off = match majority {
                Majority::Most { others } => others.clone(),
                _ => Vec::new(),
            };
            json!({
                "found": match majority {
                    Majority::All => "all",
                    Majority::Most { .. } => "most",
                    Majority::None => "none",
                },
                "off": off.iter().map(|run| self.runs[*run].name.clone()).collect::<Vec<_>>(),
            })
        });
        let report = ComparisonJson {
            schema_version: 1,
            kind: "compare",
            verdict: self.verdict(),
            summary: self.summary(),
            machine: &self.machine,
            top: self.top,
            tensor_notes: self.tensor_notes(),
            tolerance: self.tolerance,
            tolerance_by: &self.tolerance_by,
            tensors_sha256: self.tensors,
            images: self.images.len(),
            compared: self.compared,
            runs: self
                .runs
                .iter()
                .enumerate()
                .map(|(index, run)| {
                    json!({
                        "name": run.name,
                        "reference": index == self.reference,
                        "facts": run.info.as_ref().ok(),
                        "error": run.info.as_ref().err(),
                    })
                })
                .collect(),
            pairs: self
                .pairs
                .iter()
                .map(|pair| PairJson::new(self, pair))
                .collect(),
            majority,
            duplicates: self.duplicates.json(&self.images),
            failures: self
                .failures
                .iter()
                .map(|failure| failure.json(&self.images, |run| &self.runs[run].name))
                .collect(),
            bisect: self.bisect.as_ref(),
        };
        report.serialize(serializer)
    }
}
