//! The JSON report of a comparison: `docs/compare.md` names its keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use image_classification::Ranked;
use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use super::report::{ComparedPair, ComparisonReport};
use crate::agreement::{Basis, Difference, Gate, Majority, Pair, Row, Tolerance, Values, Verdict};
use crate::bisect::Bisection;
use crate::digest::Digest;
use crate::duplicates::DuplicateJson;
use crate::failure::FailureJson;
use crate::provenance::{Machine, RunInfo};
use crate::statistics::{Distribution, Rate};

/// The report of a comparison.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct ComparisonJson<'a> {
    /// 1.
    schema_version: u32,
    /// `compare`.
    kind: &'static str,
    /// The verdict on all runs.
    verdict: Verdict,
    /// The verdict and its reason on one line, for people.
    summary: String,
    /// The machine that compared.
    machine: &'a Machine,
    /// The number of best classes that were compared.
    top: usize,
    /// The runs that take the same pixels in another form.
    tensor_notes: Vec<String>,
    /// The conditions of agreement.
    tolerance: Tolerance,
    /// The source of the tolerance.
    tolerance_by: &'a str,
    /// SHA-256 of the SHA-256 of all tensors, in order.
    #[cfg_attr(feature = "schemars", schemars(with = "String"))]
    tensors_sha256: Digest,
    /// The number of images.
    #[serde(rename = "pictures")]
    images: usize,
    /// The number of images that at least two runs answered.
    compared: usize,
    /// The runs.
    runs: Vec<RunJson<'a>>,
    /// The largest group of three or more runs that agree with each other.
    majority: Option<MajorityJson<'a>>,
    /// The images with the content of an earlier one.
    duplicates: Vec<DuplicateJson<'a>>,
    /// The answers that are missing.
    failures: Vec<FailureJson<'a>>,
    /// The result of the bisection.
    bisect: Option<&'a Bisection>,
    /// The pairs of runs, those with the reference first. Their images are read one after the other.
    pairs: Vec<PairJson<'a>>,
}

/// A run.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct RunJson<'a> {
    /// The name of the run.
    name: &'a str,
    /// True for the reference.
    reference: bool,
    /// The engine, the model and the preprocessing. `None` for a run that failed.
    facts: Option<&'a RunInfo>,
    /// The reason why a run has no answers.
    error: Option<&'a str>,
}

/// The largest group of runs that agree.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct MajorityJson<'a> {
    /// `all`, `most` or `none`.
    found: &'static str,
    /// The runs outside of the majority.
    off: Vec<&'a str>,
}

/// Two runs, compared over all images.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct PairJson<'a> {
    /// The name of one run.
    reference: &'a str,
    /// The name of the other run.
    run: &'a str,
    /// The verdict on the pair.
    verdict: Verdict,
    /// The conditions of agreement of the pair.
    tolerance: Tolerance,
    /// The values that are compared.
    basis: Basis,
    /// The limits with their results.
    gates: &'a [Gate],
    /// The images with the same best class.
    top1_match: Rate,
    /// The same, but two best classes that tie in both answers count as equal.
    top1_match_but_ties: Rate,
    /// The images with the same best classes in the same order.
    ordered_match: Rate,
    /// The same, but classes that tie in the reference count as equal.
    ordered_match_but_ties: Rate,
    /// The images whose printed scores are the same.
    identical_text: Rate,
    /// The mean share of common classes, from 0 to 1.
    overlap: f64,
    /// The number of images with NaN or infinities.
    not_finite: usize,
    /// The distributions of the numbers of `pictures`, by their keys.
    distributions: BTreeMap<&'static str, Distribution>,
    /// The worst images: places in the inputs, from 0.
    worst: Vec<usize>,
    /// The images.
    #[serde(rename = "pictures")]
    #[cfg_attr(feature = "schemars", schemars(with = "Vec<ImageJson>"))]
    images: ImagesJson<'a>,
}

/// The differences of one image. Numbers that the basis lacks are `null`, and infinite ones too.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct ImageJson<'a> {
    /// The path of the image.
    path: Cow<'a, str>,
    /// True if the image is within all limits.
    within: bool,
    /// The best class of the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<Ranked>,
    /// The best class of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Ranked>,
    /// The share of the best classes that both have, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    overlap: Option<f64>,
    /// The same as `informative`, by its name in version 0.1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    telling: Option<bool>,
    #[serde(flatten)]
    values: Option<&'a Values>,
    /// The numbers of values that are not finite, instead of all differences.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_finite: Option<NotFiniteJson>,
}

/// The numbers of NaN and infinities in two outputs.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct NotFiniteJson {
    /// The number in the reference's output.
    reference: usize,
    /// The number in the run's output.
    run: usize,
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
                .map(|(key, _, distribution)| (*key, *distribution))
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
    fn image<'r>(&'r self, row: &'r Row) -> ImageJson<'r> {
        let values = row.values();
        ImageJson {
            path: self.comparison.images[row.image].to_string_lossy(),
            within: row.within(&self.pair.tolerance, self.pair.basis),
            reference: row.best.map(|[one, _]| one),
            run: row.best.map(|[_, other]| other),
            overlap: values.map(Values::overlap),
            // The name in version 0.1.0.
            telling: values.map(|values| values.informative),
            values,
            not_finite: match row.difference {
                Difference::Finite(_) => None,
                Difference::NotFinite { reference, run } => Some(NotFiniteJson { reference, run }),
            },
        }
    }
}

#[cfg(feature = "schemars")]
impl schemars::JsonSchema for ComparisonReport {
    fn schema_name() -> Cow<'static, str> {
        "CompareReport".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        ComparisonJson::json_schema(generator)
    }
}

impl Serialize for ComparisonReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let majority = self.majority.as_ref().map(|majority| {
            let off = match majority {
                Majority::Most { others } => others.clone(),
                _ => Vec::new(),
            };
            MajorityJson {
                found: match majority {
                    Majority::All => "all",
                    Majority::Most { .. } => "most",
                    Majority::None => "none",
                },
                off: off.iter().map(|run| &*self.runs[*run].name).collect(),
            }
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
                .map(|(index, run)| RunJson {
                    name: &run.name,
                    reference: index == self.reference,
                    facts: run.info.as_ref().ok(),
                    error: run.info.as_ref().err().map(String::as_str),
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
