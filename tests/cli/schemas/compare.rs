//! The report of `compare`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shared::{Duplicate, Facts, Failure, Gate, Machine, Rate, Verdict};

/// The report of `classify compare`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareReport {
    /// 1.
    pub schema_version: u32,
    /// `compare`.
    pub kind: String,
    pub verdict: Verdict,
    /// The verdict and its reason on one line, for people.
    pub summary: String,
    /// The machine that compared.
    pub machine: Machine,
    /// The number of best classes that were compared.
    pub top: usize,
    /// The runs that receive the same pixels in another form.
    pub tensor_notes: Vec<String>,
    pub tolerance: Tolerance,
    /// The source of the tolerance.
    pub tolerance_by: String,
    /// SHA-256 of the SHA-256 of all tensors, in order.
    pub tensors_sha256: String,
    /// The number of images.
    pub pictures: usize,
    /// The number of images that at least two runs answered.
    pub compared: usize,
    pub runs: Vec<Run>,
    /// The largest group of three or more runs that agree with each other.
    pub majority: Option<Majority>,
    pub duplicates: Vec<Duplicate>,
    pub failures: Vec<Failure>,
    /// The search of `--bisect`: the section on it in `docs/compare.md`.
    pub bisect: Option<BTreeMap<String, Value>>,
    /// The pairs of runs, those with the reference first.
    pub pairs: Vec<Pair>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub name: String,
    /// True for the reference.
    pub reference: bool,
    /// `null` for a run that failed.
    pub facts: Option<Facts>,
    /// The reason why a run has no answers.
    pub error: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Majority {
    /// `all`, `most` or `none`.
    pub found: String,
    /// The runs outside of the majority.
    pub off: Vec<String>,
}

/// The conditions of agreement. A limit that is `null` is not checked.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// `f32`, `f16`, `bf16` or `int8`.
    pub name: String,
    /// On every image: max |p − q|.
    pub max_delta: f64,
    /// On every image: ‖x − y‖₂ / ‖x‖₂.
    pub max_relative_error: f64,
    pub same_order: bool,
    pub tie: f64,
    pub best_tie: f64,
    pub min_top1: Option<f64>,
    pub min_overlap: Option<f64>,
}

/// Two runs, compared over all images.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The name of one run.
    pub reference: String,
    /// The name of the other run.
    pub run: String,
    pub verdict: Verdict,
    pub tolerance: Tolerance,
    /// The values that are compared: `logits`, `probabilities`, `outputs` or `class-ids`.
    pub basis: String,
    pub gates: Vec<Gate>,
    pub top1_match: Rate,
    pub top1_match_but_ties: Rate,
    pub ordered_match: Rate,
    pub ordered_match_but_ties: Rate,
    pub identical_text: Rate,
    /// The mean share of common classes, from 0 to 1.
    pub overlap: f64,
    /// The number of images with NaN or infinities.
    pub not_finite: usize,
    /// The distributions of the numbers of `pictures`, by their keys.
    pub distributions: BTreeMap<String, Distribution>,
    /// The worst images: places in the inputs, from 0.
    pub worst: Vec<usize>,
    pub pictures: Vec<Picture>,
}

/// A distribution. An infinite number is `null`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
}

/// A class with its score.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ranked {
    pub class_id: usize,
    pub score: Option<f64>,
}

/// The differences of one image. Numbers that the basis lacks are `null`, and infinite ones too.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    pub path: String,
    /// True if the image is within all limits.
    pub within: bool,
    /// The best class of the reference.
    pub reference: Option<Ranked>,
    /// The best class of the run.
    pub run: Option<Ranked>,
    pub overlap: Option<f64>,
    /// The same as `informative`, by its name in version 0.1.0.
    pub telling: Option<bool>,
    pub top1_match: Option<bool>,
    pub top1_match_but_ties: Option<bool>,
    pub ordered_match: Option<bool>,
    pub ordered_match_but_ties: Option<bool>,
    /// True if the classes of the reference differ in score.
    pub informative: Option<bool>,
    /// The number of best classes that both have.
    pub shared: Option<usize>,
    /// The number of best classes.
    pub of: Option<usize>,
    /// The rank of the reference's best class in the run, from 1.
    pub rank: Option<usize>,
    pub max_delta: Option<f64>,
    pub max_logit_delta: Option<f64>,
    pub mean_logit_delta: Option<f64>,
    pub relative_error: Option<f64>,
    pub cosine: Option<f64>,
    /// 1 − `cosine`.
    pub cosine_distance: Option<f64>,
    /// In nats.
    pub kl_divergence: Option<f64>,
    /// The numbers of values that are not finite, instead of all differences.
    pub not_finite: Option<NotFinite>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotFinite {
    pub reference: usize,
    pub run: usize,
}
