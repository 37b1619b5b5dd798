//! The lines of a recording.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::provenance::RunInfo;

/// The share of the largest value by which two answers to the same bytes may differ: an engine may add up in another order
/// each time.
const ROUNDING: f32 = 1e-3;

/// The `kind` in the header.
pub(super) const KIND: &str = "classify-recording";

#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    pub schema_version: u32,
    pub kind: String,
    pub runs: Vec<RunInfo>,
    /// The labels of each run, which recordings of evaluations have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Option<Vec<String>>>,
    /// The synsets of these labels, where they have some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synsets: Vec<Option<Vec<String>>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Image {
    pub path: String,
    pub sha256: Digest,
    pub tensor_sha256: Digest,
    /// SHA-256 of the resized pixels, the same for models that take them in different forms. Version 0.1.0 did not
    /// write it.
    #[serde(default)]
    pub pixels_sha256: Option<Digest>,
    /// For each run the raw output, or `null` if it failed. Values that are not finite are `null`.
    pub outputs: Vec<Option<Vec<Option<f32>>>>,
}

impl Image {
    /// Returns whether the tensors are the same, and the outputs alike where both have one.
    pub fn has_answers_of(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.tensor_sha256, it.pixels_sha256);
        let mut outputs = self.outputs.iter().zip(&other.outputs);
        parts(self) == parts(other)
            && outputs.all(|pair| match pair {
                (Some(one), Some(other)) => are_alike(one, other),
                _ => true,
            })
    }

    /// Returns whether a run has no output here, but one in `earlier`.
    pub fn fails_unlike(&self, earlier: &Self) -> bool {
        let mut outputs = self.outputs.iter().zip(&earlier.outputs);
        outputs.any(|(here, earlier)| here.is_none() && earlier.is_some())
    }
}

/// Returns whether the values differ by rounding alone.
fn are_alike(one: &[Option<f32>], other: &[Option<f32>]) -> bool {
    let largest = one
        .iter()
        .flatten()
        .fold(0.0, |most: f32, value| most.max(value.abs()));
    let mut values = one.iter().zip(other);
    one.len() == other.len()
        && values.all(|pair| match pair {
            (Some(one), Some(other)) => (one - other).abs() <= ROUNDING * largest,
            (one, other) => one == other,
        })
}

#[derive(Serialize, Deserialize)]
pub(super) struct Footer {
    #[serde(rename = "pictures")]
    pub images: usize,
}
