//! The limits of differences.

use std::fmt;

use super::difference::Tie;
use crate::share::Share;

/// A tolerance by name: the precision in which the less exact of two runs computes. From the most
/// exact to the least.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ToleranceName {
    /// |Δp| ≤ 0.0001, logits within 0.0001, and the same order except for ties, on every image
    F32,
    /// |Δp| ≤ 0.05 and logits within 0.05 on every image, the same best class on 99 %
    F16,
    /// |Δp| ≤ 0.3 and logits within 0.4 on every image, the same best class on 98 %
    Bf16,
    /// |Δp| ≤ 0.3 and logits within 0.5 on every image, the same best class on 95 %
    Int8,
}

impl ToleranceName {
    /// Returns the tolerance for a precision as engines name it; for `f32+bf16`, the tolerance of the coarsest part.
    /// Others (`unknown`) are compared as f32, the strictest.
    pub fn of_precision(precision: &str) -> Self {
        let part = |part: &str| match part {
            "f16" => Self::F16,
            "bf16" => Self::Bf16,
            "i8" | "u8" | "int8" => Self::Int8,
            _ => Self::F32,
        };
        precision.split('+').map(part).max().unwrap_or(Self::F32)
    }
}

impl fmt::Display for ToleranceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

/// The conditions of agreement of two runs. A limit that is `None` is not checked.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Tolerance {
    /// The name of the tolerance that it is based on.
    pub name: ToleranceName,
    /// On every image: max |p − q| over the classes.
    pub max_delta: f64,
    /// On every image, for outputs that are logits or not known to be probabilities: ‖x − y‖₂ / ‖x‖₂.
    pub max_relative_error: f64,
    /// On every image: the k best classes in the same order, but classes whose scores tie in the reference count as
    /// equal.
    pub same_order: bool,
    /// Outputs that are as close as this share of the largest one tie, and probabilities that are as close as ten
    /// times this share of the larger of the two.
    pub tie: f64,
    /// Two best classes that are as close as this in both answers count as the same in the share of images with the
    /// same best class: their probabilities, and their outputs as a share of the largest one. 0 for `f32`.
    pub best_tie: f64,
    /// The share of images with the same best class.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    pub min_top1: Option<Share>,
    /// The mean over the images of the share of the k best classes that both have.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    pub min_overlap: Option<Share>,
}

impl Tolerance {
    /// The tolerance of f32 arithmetic.
    pub const F32: Self = Self::named(ToleranceName::F32);
    /// The tolerance of f16 arithmetic, and of weights stored in f16.
    pub const F16: Self = Self::named(ToleranceName::F16);
    /// The tolerance of bf16 arithmetic.
    pub const BF16: Self = Self::named(ToleranceName::Bf16);
    /// The tolerance of quantized models.
    pub const INT8: Self = Self::named(ToleranceName::Int8);

    /// Returns the tolerance called `name`.
    ///
    /// The limits of `f32` are six times what engines were measured to differ by over 1,000 images of three models
    /// (|Δp| 8.6e-6, logits 1.5e-5), those of `f16` twice the differences by weights stored in f16 (0.022 and 0.023).
    /// The limits of `bf16` are above the worst of 1,000 images of three models (0.24 and 0.29). Its ties, and `int8`,
    /// are conventions. A model's own limits may be stricter. `docs/compare.md` has the measurements.
    pub const fn named(name: ToleranceName) -> Self {
        let (max_delta, max_relative_error, tie, min_top1) = match name {
            // The order gate covers it, and allows two best classes to tie.
            ToleranceName::F32 => (1e-4, 1e-4, 1e-4, None),
            ToleranceName::F16 => (0.05, 0.05, 0.05, Some(Share::percent(99))),
            ToleranceName::Bf16 => (0.3, 0.4, 0.1, Some(Share::percent(98))),
            ToleranceName::Int8 => (0.3, 0.5, 0.5, Some(Share::percent(95))),
        };
        Self {
            name,
            max_delta,
            max_relative_error,
            same_order: matches!(name, ToleranceName::F32),
            tie,
            // Coarser tolerances would let classes tie that are far apart.
            best_tie: match name {
                ToleranceName::F32 => 0.0,
                _ => 0.05,
            },
            min_top1,
            min_overlap: None,
        }
    }

    /// Returns the largest distance of scores that tie.
    pub const fn ties(&self) -> Tie {
        Tie {
            output: self.tie,
            probability: 10.0 * self.tie,
            best: self.best_tie,
        }
    }

    /// Returns the largest difference of a node's output that still counts as equal, as a share of its largest value.
    pub const fn of_node(name: ToleranceName) -> f64 {
        match name {
            ToleranceName::F32 => 1e-4,
            ToleranceName::F16 => 1e-2,
            ToleranceName::Bf16 => 5e-2,
            ToleranceName::Int8 => 0.2,
        }
    }
}

impl fmt::Display for Tolerance {
    /// Describes the tolerance: `f32: |Δp| ≤ 0.0001, same order except for ties`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: |Δp| ≤ {}, logits within {}",
            self.name, self.max_delta, self.max_relative_error
        )?;
        if self.same_order {
            f.write_str(", same order except for ties")?;
        }
        if let Some(top1) = self.min_top1 {
            write!(f, ", same best class on ≥ {top1}")?;
            if self.best_tie > 0.0 {
                f.write_str(", except for ties")?;
            }
        }
        if let Some(overlap) = self.min_overlap {
            write!(f, ", mean overlap ≥ {overlap}")?;
        }
        Ok(())
    }
}
