//! The result of a bisection.

use serde::Serialize;

use super::noise::NodeNoise;

/// The result of the search.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Bisection {
    /// The image.
    #[serde(rename = "picture")]
    pub image: String,
    /// The name of the reference.
    pub reference: String,
    /// The name of the other run.
    pub run: String,
    /// Limit of a node's relative difference. If `noise` is present, limit of √(added noise).
    pub tolerance: f64,
    /// The number of nodes of the reference's model.
    pub nodes: usize,
    /// The number of those with a counterpart in the run's model.
    pub matched: usize,
    /// The number of looks.
    pub looks: usize,
    /// The most looks that were allowed.
    pub most_looks: usize,
    /// The first node that differs; `None` if the outputs do not differ, or if it is not known.
    pub first: Option<usize>,
    /// True if all nodes before `first` that lead to the output were looked at, and `first` alone.
    pub certain: bool,
    /// The nodes that were looked at, in topological order.
    pub looked_at: Vec<LookedAt>,
    /// The nodes before `first` (all, if it is `None`) that lead to the output and were not looked at.
    pub unknown: Vec<Unknown>,
    /// The nodes of the run's model without a counterpart that lead to its output, and to `first` if that is known.
    pub only_in_run: Vec<Unknown>,
    /// By how much exposing values changed the model's own output at most: of the reference and the run.
    #[cfg_attr(feature = "schemars", schemars(with = "[Option<f64>; 2]"))]
    pub output_changed: [f64; 2],
    /// max |x − y| / max |x| of the outputs without looking.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    pub output_error: f64,
    /// The nodes that add the most error, the worst first, if one of the models is quantized and the other is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<Vec<NodeNoise>>,
    /// The nodes that `noise` leaves out because the error that they add is not known.
    pub unranked: Vec<Unknown>,
    /// True if the outputs differ within the tolerance, or if the runs agree and no node is known to differ.
    pub nothing_to_find: bool,
}

/// A node that was looked at.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct LookedAt {
    /// Its place in the reference's file, from 0.
    pub index: usize,
    /// The place of its counterpart in the run's file.
    pub run_index: Option<usize>,
    /// The name of the node or of its first output.
    pub name: String,
    /// The node's operator.
    pub operator: String,
    /// The output that differs most, of those that something reads.
    pub value: String,
    /// The shape of that output.
    pub shape: Vec<usize>,
    /// Least and largest value of the reference and of the run.
    #[cfg_attr(feature = "schemars", schemars(with = "[[Option<f64>; 2]; 2]"))]
    pub ranges: [[f64; 2]; 2],
    /// max |x − y|.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    pub max_error: f64,
    /// max |x − y| / max |x|.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    pub relative_error: f64,
    /// Σ (x − y)² / Σ x². `None` for integers and for values of which none is above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
    /// True if the node is beyond the limit: by its relative difference, or by √(added noise) if `bisect.noise` is present.
    pub differs: bool,
    /// The reason why the node could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A node that could not be inspected.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Unknown {
    /// The node's place in the file, from 0.
    pub index: usize,
    /// The name of the node or of its first output.
    pub name: String,
    /// The node's operator.
    pub operator: String,
    /// The reason.
    pub reason: String,
}
