//! The choice of the tolerance of a comparison.

use super::runs::ComparedRuns;
use crate::agreement::Tolerance;
use crate::share::Share;

/// The choice of the limits of a comparison: those of a tolerance, in which values may be replaced.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToleranceOptions {
    /// The tolerance, and the words for its origin in reports. By default it is that of the coarsest precision in which a
    /// run computes or its model holds its weights.
    pub limits: Option<(Tolerance, String)>,
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
        let (mut tolerance, by) = self.limits.clone().unwrap_or_else(|| {
            let (name, by) = runs.default_tolerance();
            (Tolerance::named(name), by)
        });
        if let Some(max_delta) = self.max_delta {
            tolerance.max_delta = max_delta;
        }
        tolerance.min_top1 = self.min_top1.or(tolerance.min_top1);
        tolerance.min_overlap = self.min_overlap.or(tolerance.min_overlap);
        (tolerance, by)
    }
}

impl From<Tolerance> for ToleranceOptions {
    fn from(tolerance: Tolerance) -> Self {
        Self {
            limits: Some((tolerance, "the caller".to_owned())),
            ..Self::default()
        }
    }
}
