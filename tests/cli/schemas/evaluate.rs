//! The report of `evaluate`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{Duplicate, Facts, Failure, Gate, Machine, Rate, Verdict};

/// The report of `classify evaluate`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateReport {
    /// 1.
    pub schema_version: u32,
    /// `evaluate`.
    pub kind: String,
    pub verdict: Verdict,
    /// The verdict and its reason on one line, for people.
    pub summary: String,
    pub machine: Machine,
    pub ground_truth: GroundTruth,
    /// The number of images.
    pub pictures: usize,
    /// The number of images that count: all runs answered, and there is ground truth.
    pub counted: usize,
    /// The images with ground truth.
    pub with_truth: usize,
    /// The images without ground truth.
    pub without_truth: Vec<String>,
    /// The entries of the ground truth without an image.
    pub without_picture: Vec<String>,
    pub duplicates: Vec<Duplicate>,
    /// The gates that are not about one run.
    pub gates: Vec<Gate>,
    pub runs: Vec<Run>,
    pub failures: Vec<Failure>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroundTruth {
    /// The form that was recognised.
    pub form: String,
    pub classes: usize,
    pub pictures: usize,
}

/// A run. One that failed has `name`, `reference` and `error` only.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub name: String,
    /// True for the reference.
    pub reference: bool,
    pub error: Option<String>,
    pub facts: Option<Facts>,
    pub labels: Option<LabelsOfRun>,
    /// The number of images that count.
    pub pictures: Option<usize>,
    /// The metrics of `docs/evaluate.md` by their names.
    pub metrics: Option<BTreeMap<String, Option<f64>>>,
    /// Top-K accuracy by K.
    pub top: Option<BTreeMap<String, Rate>>,
    /// The mean of the accuracy of each class, from 0 to 1.
    pub mean_per_class: Option<f64>,
    pub intervals: Option<Intervals>,
    pub multi_label: Option<MultiLabel>,
    pub classes: Option<Vec<OfClass>>,
    pub confusions: Option<Vec<Confusion>>,
    pub expected_calibration_error: Option<f64>,
    pub calibrated_expected_calibration_error: Option<Calibrated>,
    /// 15 bins of equal width, by the best score.
    pub calibration: Option<Vec<Bin>>,
    /// The images with a wrong answer.
    pub wrong: Option<Vec<Wrong>>,
    pub against_reference: Option<AgainstReference>,
    pub gates: Option<Vec<Gate>>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelsOfRun {
    pub count: Option<usize>,
    /// The difference from the labels of the reference: `order`, `names`, `number` or `presence`.
    pub difference: Option<String>,
}

/// 95 % intervals, `[low, high]`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Intervals {
    pub mean_per_class: Option<[f64; 2]>,
}

/// Numbers from 0 to 1.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiLabel {
    /// The least score of a class that is an answer.
    pub threshold: f64,
    pub exact_match: Rate,
    pub micro: Quality,
    #[serde(rename = "macro")]
    pub macro_: Quality,
}

/// A class. `top1` is of models with one right class, the counts of decisions of multi-label ones.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfClass {
    pub class_id: usize,
    pub label: Option<String>,
    /// The number of images of the class.
    pub pictures: usize,
    /// The number of them whose best class is right.
    pub top1: Option<usize>,
    pub true_positives: Option<usize>,
    pub false_positives: Option<usize>,
    pub false_negatives: Option<usize>,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// The right class.
    pub class_id: usize,
    /// The answer.
    pub taken_for: usize,
    pub count: usize,
}

/// The error that a calibrated model with the same confidences would show.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    pub mean: f64,
    /// The 95th percentile.
    pub p95: f64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// The number of answers.
    pub pictures: usize,
    /// The number of right answers.
    pub right: usize,
    /// The mean of the best scores, from 0 to 1; `null` without answers.
    pub confidence: Option<f64>,
}

/// A wrong answer: `class_id` and `answer` for one right class, `class_ids` and `answers` for multi-label models.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    pub path: String,
    pub class_id: Option<usize>,
    pub answer: Option<usize>,
    pub class_ids: Option<Vec<usize>>,
    pub answers: Option<Vec<usize>>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgainstReference {
    /// The number of images that only the run gets right.
    pub right_alone: usize,
    /// The number of images that only the reference gets right.
    pub reference_right_alone: usize,
    /// The p of McNemar's exact test.
    pub mcnemar_p: f64,
    /// The number of compared images.
    pub pictures: usize,
    pub drop: Option<Drop>,
    pub new_errors: Vec<Changed>,
    pub corrected: Vec<Changed>,
    pub classes: Vec<ChangedClass>,
}

/// The drop of top-1 accuracy as a share of images, with its 95 % interval.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drop {
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

/// An image on which only one of two runs is right.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Changed {
    pub path: String,
    /// The right class.
    pub class_id: Option<usize>,
    /// The right classes, for multi-label models.
    pub class_ids: Option<Vec<usize>>,
    /// The answer of the run.
    pub answer: Answers,
    pub reference_answer: Answers,
    /// The probability of the right class in the run.
    pub score: Option<f64>,
    pub reference_score: Option<f64>,
}

/// The best class, or the classes of a multi-label model.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Answers {
    One(Option<usize>),
    Several(Vec<usize>),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedClass {
    pub class_id: usize,
    pub label: Option<String>,
    /// The number of images that only the reference gets right.
    pub lost: usize,
    /// The number of images that only the run gets right.
    pub gained: usize,
}
