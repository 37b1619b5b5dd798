//! The lines of a recording.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::provenance::RunInfo;

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
    /// Returns whether the tensors and the outputs are the same.
    pub fn has_answers_of(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.tensor_sha256, it.pixels_sha256);
        parts(self) == parts(other) && self.outputs == other.outputs
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Footer {
    #[serde(rename = "pictures")]
    pub images: usize,
}
