//! Types that both reports have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The verdict.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// One run was recorded, nothing was compared.
    Recorded,
    /// All gates hold.
    Agree,
    /// A gate does not hold.
    Disagree,
    /// Something could not be compared or evaluated.
    CouldNotCompare,
}

/// A machine, as far as answers depend on it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The version of the program.
    pub classify_version: String,
    pub os: String,
    pub arch: String,
    pub cpu: Option<String>,
    pub cpu_flags: Vec<String>,
    pub cores: usize,
}

/// A limit, and whether it holds.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// A stable name: `max-delta`, `min-top1`, …
    pub name: String,
    pub passed: bool,
    /// The value that was found and its limit, for people.
    pub found: String,
    /// A remark for people, such as too few images to establish the limit.
    pub remark: Option<String>,
}

/// A share of images with its 95 % interval, by Wilson.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The number of images that count.
    pub count: usize,
    /// The number of all images.
    pub of: usize,
    /// `count / of`, from 0 to 1; 0 of 0 is 0.
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

/// An image with the content of an earlier one.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Duplicate {
    pub path: String,
    pub same_as: String,
}

/// An answer that is missing.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// `null` if the failure is not about one image.
    pub path: Option<String>,
    /// `null` if the failure concerns all runs.
    pub run: Option<String>,
    /// A stable name of the kind of problem.
    pub code: String,
    /// The error, for people.
    pub message: String,
}

/// Facts about a run: the engine, the model and the machine.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    pub name: String,
    /// `openvino`, `onnx`, `rten` or `remote`.
    pub backend: String,
    pub engine: String,
    pub engine_version: String,
    pub requested_device: String,
    /// The device that executes.
    pub device: String,
    /// The precision of the arithmetic.
    pub precision: String,
    pub requested_precision: String,
    /// The means that keep the engine in a process of its own.
    pub isolation: Option<String>,
    /// The path of the model, or another name.
    pub model: String,
    /// SHA-256 of the model's files, in lower-case hex.
    pub model_sha256: Option<String>,
    /// The preprocessing, as pairs of a setting and its value.
    pub input: Vec<[String; 2]>,
    pub classes: Option<usize>,
    pub interpretation: Option<Interpretation>,
    /// The source of the scoring.
    pub scores_by: String,
    /// The kind of values in the output, if the model states it.
    pub output: Option<String>,
    pub multi_label: bool,
    /// The number of output values for each image.
    pub values: Option<usize>,
    /// The output that holds the scores, for a model with several.
    pub output_name: Option<String>,
    /// The coarsest precision of the stored weights.
    pub stored_precision: Option<String>,
    /// The nodes with weights that take quantized values, and all nodes with weights.
    pub quantized_nodes: Option<[usize; 2]>,
    pub machine: Machine,
    /// True for a run of a recording.
    pub recorded: bool,
}

/// The rule that makes scores of outputs.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interpretation {
    /// `softmax`, `sigmoid`, …: the table in `docs/compare.md`.
    pub scoring: String,
    pub quantization: Option<Quantization>,
    /// True if the first images told the rule.
    pub inferred: bool,
}

/// The quantization of an integer output: scale × (q − `zero_point`).
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    pub scale: f64,
    pub zero_point: i32,
}
