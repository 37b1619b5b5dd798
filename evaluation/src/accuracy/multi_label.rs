//! The counts of a multi-label model, of which any number of classes may be right.

use std::collections::BTreeMap;

use image_classification::Scores;

use crate::statistics::Rate;

/// Decisions about one class, or about all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decisions {
    /// The class is given, and it is right.
    pub true_positives: usize,
    /// The class is given, but it is not right.
    pub false_positives: usize,
    /// The class is right, but it is not given.
    pub false_negatives: usize,
}

/// Precision, recall and their harmonic mean; 0 without cases.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Quality {
    /// The share of given classes that are right.
    pub precision: f64,
    /// The share of right classes that are given.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
}

impl Decisions {
    /// Returns the number of images that show the class.
    pub const fn images(self) -> usize {
        self.true_positives + self.false_negatives
    }

    /// Returns precision, recall and F1.
    pub fn quality(self) -> Quality {
        let right = self.true_positives;
        let share = |of: usize| {
            if of == 0 {
                0.0
            } else {
                right as f64 / of as f64
            }
        };
        Quality {
            precision: share(right + self.false_positives),
            recall: share(right + self.false_negatives),
            f1: 2.0 * share(2 * right + self.false_positives + self.false_negatives),
        }
    }
}

/// The counts over all images.
#[derive(Debug)]
pub struct MultiLabel {
    /// The least score of the classes that the model gives.
    pub threshold: f64,
    images: usize,
    exact: usize,
    /// The classes that an image shows or that the model gives for one.
    pub classes: BTreeMap<usize, Decisions>,
}

impl MultiLabel {
    /// Counts of zero images.
    pub const fn new(threshold: f64) -> Self {
        Self {
            threshold,
            images: 0,
            exact: 0,
            classes: BTreeMap::new(),
        }
    }

    /// Counts an answer for an image that shows the classes `truth`, ascending. Returns the classes that the model
    /// gives, if they differ.
    pub fn add(&mut self, truth: &[usize], scores: &Scores) -> Option<Vec<usize>> {
        let scores = scores.values().iter().enumerate();
        let given: Vec<usize> = scores
            .filter(|(_, score)| **score >= self.threshold)
            .map(|(class_id, _)| class_id)
            .collect();
        for class_id in &given {
            let class = self.classes.entry(*class_id).or_default();
            if truth.contains(class_id) {
                class.true_positives += 1;
            } else {
                class.false_positives += 1;
            }
        }
        for class_id in truth.iter().filter(|class_id| !given.contains(class_id)) {
            let class = self.classes.entry(*class_id).or_default();
            class.false_negatives += 1;
        }
        self.images += 1;
        let is_exact = given == truth;
        self.exact += usize::from(is_exact);
        (!is_exact).then_some(given)
    }

    /// Returns the smallest distance of a score from the threshold on its right side. `None` without scores.
    pub(super) fn margin(&self, truth: &[usize], scores: &Scores) -> Option<f64> {
        let scores = scores.values().iter().enumerate();
        let margins = scores.map(|(class_id, score)| {
            let above = score - self.threshold;
            if truth.contains(&class_id) {
                above
            } else {
                -above
            }
        });
        margins.reduce(f64::min)
    }

    /// Returns the share of images for which the model gives exactly the right classes.
    pub fn exact_match(&self) -> Rate {
        Rate::new(self.exact, self.images)
    }

    /// Returns the decisions about all classes together.
    pub fn total(&self) -> Decisions {
        let mut total = Decisions::default();
        for class in self.classes.values() {
            total.true_positives += class.true_positives;
            total.false_positives += class.false_positives;
            total.false_negatives += class.false_negatives;
        }
        total
    }

    /// Returns the mean over the classes that an image shows or that the model gives for one.
    pub fn mean(&self) -> Quality {
        let count = self.classes.len().max(1) as f64;
        let mean = |value: fn(Quality) -> f64| {
            let values = self.classes.values().map(|class| value(class.quality()));
            values.sum::<f64>() / count
        };
        Quality {
            precision: mean(|quality| quality.precision),
            recall: mean(|quality| quality.recall),
            f1: mean(|quality| quality.f1),
        }
    }

    /// Returns the classes with the smallest F1, with their counts.
    pub fn least_right(&self, most: usize) -> Vec<(usize, Decisions)> {
        let mut all: Vec<_> = self.classes.iter().map(|(id, of)| (*id, *of)).collect();
        all.sort_by(|(_, a), (_, b)| a.quality().f1.total_cmp(&b.quality().f1));
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests {
    use backend_api::Tensor;
    use image_classification::{Interpretation, Scoring};

    use super::*;

    /// Numbers of scikit-learn's `precision_recall_fscore_support` with `zero_division=0` and the labels 0 to 3, of
    /// which every one has a truth or an answer, and of `accuracy_score`, by hand.
    #[test]
    fn numbers_are_those_of_the_formulas() {
        let mut counts = MultiLabel::new(0.5);
        let mut add = |truth: &[usize], values: [f32; 5]| {
            let output = Tensor::new([1, 5], values.to_vec()).unwrap();
            let scores = Interpretation::plain(Scoring::Independent).scores(&output);
            counts.add(truth, &scores.unwrap())
        };
        // A score at the threshold is given.
        assert_eq!(add(&[0, 2], [0.9, 0.1, 0.5, 0.0, 0.0]), None);
        assert_eq!(add(&[0], [0.4, 0.6, 0.1, 0.0, 0.0]), Some(vec![1]));
        assert_eq!(add(&[], [0.7, 0.1, 0.1, 0.1, 0.1]), Some(vec![0]));
        assert_eq!(add(&[3], [0.1, 0.1, 0.1, 0.1, 0.1]), Some(vec![]));
        assert_eq!(add(&[], [0.1, 0.1, 0.1, 0.1, 0.1]), None);
        assert_eq!(
            (counts.exact_match().count, counts.exact_match().of),
            (2, 5)
        );
        // True and false positives and false negatives: 2, 2, 2.
        let near = |found: Quality, right: [f64; 3]| {
            let found = [found.precision, found.recall, found.f1];
            let mut pairs = found.iter().zip(right);
            assert!(pairs.all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
        };
        near(counts.total().quality(), [0.5, 0.5, 0.5]);
        // By class: 0 has 1/2, 1/2, 1/2; 1 has 0, 0, 0; 2 has 1, 1, 1; 3 has 0, 0, 0. Class 4 has no case.
        near(counts.mean(), [0.375, 0.375, 0.375]);
        let least: Vec<usize> = counts.least_right(9).iter().map(|(id, _)| *id).collect();
        assert_eq!(least, [1, 3, 0, 2]);
    }
}
