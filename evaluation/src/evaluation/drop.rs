//! The drop of a run's accuracy against the reference, on the images that both answered.

use super::changes::Changes;
use super::limits::DropRule;
use crate::accuracy::Criterion;
use crate::agreement::Gate;
use crate::share::{Share, percent};
use crate::statistics::{drop_interval, too_few_for_drop};
use crate::text::counted;

/// The drop of the accuracy of a run against the reference. A negative drop is a gain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccuracyDrop {
    /// The rule by which answers are right.
    pub criterion: Criterion,
    /// The number of images on which the reference alone is right, and the run alone.
    pub right_alone: [usize; 2],
    /// The number of images that both answered.
    pub images: usize,
    /// The drop as a share of the images; 0 without images.
    pub share: f64,
    /// The lower end of the 95 % interval of the paired difference.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

impl AccuracyDrop {
    pub(super) fn new(changes: &Changes) -> Self {
        let [reference, run] = changes.right_alone();
        let images = changes.images;
        let [low, high] = drop_interval(reference, run, images);
        Self {
            criterion: changes.criterion,
            right_alone: [reference, run],
            images,
            share: (reference as f64 - run as f64) / images.max(1) as f64,
            low,
            high,
        }
    }

    /// Returns whether the observed drop is at most `most`, exactly.
    pub fn is_within(&self, most: Share) -> bool {
        let [reference, run] = self.right_alone;
        most.allows_drop((reference, self.images), (run, self.images))
    }

    /// Returns whether the observed drop is larger than `most`, but the interval holds `most`: the images show no
    /// larger drop.
    pub fn is_within_noise(&self, most: Share) -> bool {
        !self.is_within(most) && self.low <= most.value()
    }

    /// Returns the gate on a drop that shows nothing, for the reason `doubt`. It does not pass.
    pub(super) fn open_gate(&self, accuracies: &str, doubt: &str) -> Gate {
        let found = match self.images {
            0 => format!("no verdict on the drop: {doubt}"),
            _ => format!("{accuracies}; no verdict on the drop: {doubt}"),
        };
        Gate {
            is_open: true,
            ..Gate::new(Gate::MAX_DROP, false, found)
        }
    }

    /// Returns the gate on the drop. `accuracies` describes both accuracies.
    pub(super) fn gate(&self, most: Share, rule: DropRule, accuracies: &str) -> Gate {
        let is_within = self.is_within(most);
        let passed = match rule {
            DropRule::Shown => is_within || self.is_within_noise(most),
            DropRule::Observed => is_within,
            DropRule::Possible => is_within && self.high <= most.value(),
        };
        let [reference, run] = self.right_alone;
        let remark = if is_within {
            too_few_for_drop(reference, run, self.images, most)
        } else if self.is_within_noise(most) {
            Some(format!(
                "the drop is above the limit, but within the noise of {}: the 95 % interval begins at {} %",
                counted(self.images, "image"),
                percent(self.low)
            ))
        } else {
            None
        };
        let limit = most.to_string();
        let limit = limit.trim_end_matches(" %");
        let unit = if limit == "1" { "point" } else { "points" };
        let found = format!("{accuracies}, a drop of {self}, at most {limit} {unit}");
        Gate {
            remark,
            margin: Some(most.value() - self.share),
            ..Gate::new(Gate::MAX_DROP, passed, found)
        }
    }
}

impl std::fmt::Display for AccuracyDrop {
    /// Formats the drop: `4.2 points (95 %: -9.1 to 18.7)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} points (95 %: {} to {})",
            percent(self.share),
            percent(self.low),
            percent(self.high)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::changes::ChangedAnswer;
    use super::*;

    fn drop(reference: usize, run: usize, images: usize) -> AccuracyDrop {
        let mut changes = Changes::default();
        for image in 0..images {
            let right = [
                image < reference,
                (reference..reference + run).contains(&image),
            ];
            let changed = ChangedAnswer {
                image,
                truth: vec![0],
                answer: None,
                reference_answer: None,
                score: None,
                reference_score: None,
                given: None,
            };
            changes.add(right, changed, Default::default);
        }
        AccuracyDrop::new(&changes)
    }

    /// Checks the table of `docs/compare.md`.
    #[test]
    fn each_rule_asks_for_its_evidence() {
        let rules = [DropRule::Shown, DropRule::Observed, DropRule::Possible];
        for (counts, most, passed, has_remark) in [
            // One image of 24: no evidence of a drop.
            ((1, 0, 24), 0, [true, false, false], true),
            // No difference on 24 images excludes no drop of 1 %, but one of 14 %.
            ((0, 0, 24), 1, [true, true, false], true),
            ((0, 0, 24), 14, [true, true, true], false),
            // Ten lost images and none gained show a drop.
            ((10, 0, 100), 0, [false, false, false], false),
            ((10, 0, 100), 5, [false, false, false], false),
            ((10, 0, 100), 6, [true, false, false], true),
            ((10, 0, 100), 10, [true, true, false], true),
            ((10, 0, 100), 18, [true, true, true], false),
            // A gain.
            ((0, 10, 100), 0, [true, true, true], false),
            ((24, 0, 24), 100, [true, true, true], false),
        ] {
            let (reference, run, images) = counts;
            let drop = drop(reference, run, images);
            let gates = rules.map(|rule| drop.gate(Share::percent(most), rule, "top-1"));
            let found = gates.each_ref().map(|gate| gate.passed);
            assert_eq!(found, passed, "{counts:?}, {most} %: {drop}");
            let end = if most == 1 { "point" } else { "points" };
            let end = format!(", at most {most} {end}");
            assert!(gates[0].found.ends_with(&end), "{gates:?}");
            assert_eq!(gates[0].remark.is_some(), has_remark, "{gates:?}");
        }
    }

    #[test]
    fn a_drop_without_images_shows_nothing() {
        let none = drop(0, 0, 0);
        assert_eq!((none.share, none.low, none.high), (0.0, -1.0, 1.0));
    }
}
