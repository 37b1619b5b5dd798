//! The rule by which an answer is right.

use serde::Serialize;

use super::score::{Accuracy, Counts};
use crate::statistics::Rate;

/// The rule by which two runs are compared on an image: each answer is right or wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum Criterion {
    /// The best class is one of the right ones.
    #[default]
    #[serde(rename = "top1")]
    Top1,
    /// Exactly the right classes reach the threshold.
    #[serde(rename = "exact-match")]
    ExactMatch,
}

impl Criterion {
    /// Returns the rule that fits both runs: the exact match of two multi-label models. A model whose classes exclude each
    /// other has no threshold, so that the best class alone can be compared with its answers.
    pub const fn of(is_multi_label: [bool; 2]) -> Self {
        match is_multi_label {
            [true, true] => Self::ExactMatch,
            _ => Self::Top1,
        }
    }

    /// Returns the name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Top1 => "top-1",
            Self::ExactMatch => "exact match",
        }
    }

    /// Returns the share of images on which the answer is right.
    pub fn rate(self, accuracy: &Accuracy) -> Rate {
        match (self, &accuracy.counts) {
            (Self::ExactMatch, Counts::MultiLabel(counts)) => counts.exact_match(),
            _ => accuracy.top(1),
        }
    }
}
