//! The limits of an evaluation.

use std::fmt;
use std::str::FromStr;

use super::metric_limit::MetricLimit;
use crate::share::Share;
use crate::text::counted;

/// The limits of an evaluation. A limit that is `None` is not checked, except for `min_truth`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GateLimits {
    /// The least top-1 accuracy of every run, including multi-label models.
    pub min_top1: Option<Share>,
    /// The largest drop of the accuracy of a run against the reference's: of top-1 or, of two multi-label models, of the
    /// exact match.
    pub max_drop: Option<Share>,
    /// The evidence with which `max_drop` fails. By default a shown drop.
    pub drop_rule: DropRule,
    /// The least number or share of images that have ground truth. `None`: with another limit all images need ground
    /// truth, or there is no verdict; without one it is not checked.
    pub min_truth: Option<LeastTruth>,
    /// Limits on metrics of every run.
    pub metrics: Vec<MetricLimit>,
}

impl GateLimits {
    /// Returns whether a limit on the answers is set.
    pub fn judges_answers(&self) -> bool {
        self.min_top1.is_some() || self.max_drop.is_some() || !self.metrics.is_empty()
    }
}

/// The evidence with which the gate on the drop fails. The 95 % interval is that of the paired difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DropRule {
    /// Fails if the interval lies above the limit: the images show a larger drop.
    #[default]
    Shown,
    /// Fails if the observed drop is above the limit, even by one image.
    Observed,
    /// Fails if the interval reaches above the limit: the images do not exclude a larger drop.
    Possible,
}

/// The least number of images that have ground truth: a share of them (`0.95`, `95%`, `100%`), or a whole number from 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeastTruth {
    /// A share of all images.
    Share(Share),
    /// A number of images.
    Images(usize),
}

impl LeastTruth {
    /// All images.
    pub const ALL: Self = Self::Share(Share::percent(100));

    /// Returns whether `count` of `of` images are enough.
    pub fn is_reached(self, count: usize, of: usize) -> bool {
        match self {
            Self::Share(share) => share.is_reached(count, of),
            Self::Images(least) => count >= least,
        }
    }
}

impl From<Share> for LeastTruth {
    fn from(share: Share) -> Self {
        Self::Share(share)
    }
}

impl FromStr for LeastTruth {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().parse() {
            Ok(1) => Err("1 may mean one image or all of them; write 100% for all"),
            Ok(images) if images > 1 => Ok(Self::Images(images)),
            _ if text.trim().parse() == Ok(1.0) => {
                Err("1.0 may mean one image or all of them; write 100% for all")
            }
            _ => text.parse().map(Self::Share).map_err(|_| {
                "expected a percentage such as 95%, a share below 1 such as 0.95, or a number of images from 2"
            }),
        }
    }
}

impl fmt::Display for LeastTruth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => share.fmt(f),
            Self::Images(least) => f.write_str(&counted(*least, "image")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_from_2_is_a_number_of_images() {
        for (text, shown, reached) in [
            ("100%", "100 %", [false, true]),
            ("95%", "95 %", [false, true]),
            ("0.5", "50 %", [false, true]),
            ("0", "0 %", [true, true]),
            ("2", "2 images", [true, true]),
            ("10", "10 images", [false, true]),
            (" 11 ", "11 images", [false, false]),
        ] {
            let least: LeastTruth = text.parse().unwrap();
            let found = [2, 10].map(|count| least.is_reached(count, 10));
            assert_eq!((&*least.to_string(), found), (shown, reached), "{text}");
        }
        for text in ["", "1", "1.0", "1.5", "-2", "200%", "2.0", "many"] {
            assert!(text.parse::<LeastTruth>().is_err(), "{text}");
        }
    }
}
