//! The choice of the tolerance of a comparison.

use super::runs::ComparedRuns;
use crate::agreement::{Tolerance, ToleranceName};
use crate::share::Share;

/// The choice of the limits of a comparison: those of a named tolerance, in which values may be replaced.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToleranceOptions {
    /// The named tolerance, and the words for its origin in reports. By default it is that of the coarsest precision in
    /// which a run computes or its model holds its weights.
    pub named: Option<(ToleranceName, String)>,
    /// Replaces [`Tolerance::max_delta`].
    pub max_delta: Option<f64>,
    /// Replaces [`Tolerance::min_top1`].
    pub min_top1: Option<Share>,
    /// Replaces [`Tolerance::min_overlap`].
    pub min_overlap: Option<Share>,
}

impl ToleranceOptions {
    /// Returns the tolerance of all pairs of `runs`, and the words for its origin.
    pub fn of(&self, runs: &ComparedRuns) -> (Tolerance, String) {
        let named = self.named.clone();
        let (name, by) = named.unwrap_or_else(|| runs.default_tolerance());
        let mut tolerance = Tolerance::named(name);
        if let Some(max_delta) = self.max_delta {
            tolerance.max_delta = max_delta;
        }
        tolerance.min_top1 = self.min_top1.or(tolerance.min_top1);
        tolerance.min_overlap = self.min_overlap.or(tolerance.min_overlap);
        (tolerance, by)
    }
}
