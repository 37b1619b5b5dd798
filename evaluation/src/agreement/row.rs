//! The difference of one image, and the limits that hold for every image.

use image_classification::Ranked;
use serde::{Deserialize, Serialize};

use super::basis::Basis;
use super::difference::{Difference, Values};
use super::tolerance::Tolerance;

/// The difference of one image: all that is kept of an image and two runs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Row {
    /// The place of the image in the order of the inputs, from 0.
    pub image: usize,
    /// The difference of the two answers.
    pub difference: Difference,
    /// The best class of the reference and of the run, where they are finite.
    pub best: Option<[Ranked; 2]>,
}

impl Row {
    /// Returns the sort key of bad images: an image that is not finite, then one beyond the limits, then another best class, then
    /// the largest difference. Larger is worse.
    pub(super) fn badness(&self, tolerance: &Tolerance, basis: Basis) -> (u8, f64, f64) {
        match &self.difference {
            Difference::NotFinite { .. } => (4, 0.0, 0.0),
            Difference::Finite(values) => {
                let beyond = u8::from(!self.within(tolerance, basis));
                let other = u8::from(!values.top1_match);
                let number = |number: Option<f64>| number.unwrap_or(0.0);
                (
                    beyond * 2 + other,
                    number(values.max_delta),
                    number(values.relative_error),
                )
            }
        }
    }

    /// Returns the numbers, if both answers are finite.
    pub fn values(&self) -> Option<&Values> {
        match &self.difference {
            Difference::Finite(values) => Some(values),
            Difference::NotFinite { .. } => None,
        }
    }

    /// Returns whether this image alone is within the limits that hold for every image.
    pub fn within(&self, tolerance: &Tolerance, basis: Basis) -> bool {
        self.values().is_some_and(|values| {
            !values.is_too_far(tolerance, basis)
                && !values.has_other_outputs(tolerance, basis)
                && (!tolerance.same_order || values.ordered_match_but_ties)
        })
    }
}

impl Values {
    /// Returns whether |Δp| is beyond its limit.
    pub(super) fn is_too_far(&self, tolerance: &Tolerance, basis: Basis) -> bool {
        basis.has_probabilities()
            && self
                .max_delta
                .is_some_and(|delta| delta > tolerance.max_delta)
    }

    /// Returns whether the outputs' relative error is beyond its limit.
    pub(super) fn has_other_outputs(&self, tolerance: &Tolerance, basis: Basis) -> bool {
        let error = self.relative_error;
        basis.has_outputs() && error.is_some_and(|error| error > tolerance.max_relative_error)
    }
}
