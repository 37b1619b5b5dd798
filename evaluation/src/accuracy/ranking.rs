//! Scores of all images, for the metrics that depend on their order.

use image_classification::{Scores, Scoring};

/// The most scores that are kept, 8 bytes each.
const MOST_SCORES: usize = 32 << 20;

/// The scores of all images: of class 1 for a model of two classes, of all classes for a multi-label model.
///
/// This is the only part of an evaluation whose memory grows with the product of images and classes. Beyond 32 Mi scores
/// (256 MiB) none are kept, and the metrics have no value.
#[derive(Debug, Default)]
pub struct Ranking {
    /// The number of scores for an image.
    width: usize,
    scores: Vec<f64>,
    /// For each score, whether its class is right.
    positives: Vec<bool>,
    is_full: bool,
}

impl Ranking {
    /// Adds an image of the classes `truth`, if its scores are those of two classes or of a multi-label model.
    pub(super) fn add(&mut self, truth: &[usize], scores: &Scores) {
        let values = scores.values();
        let scoring = scores.scoring();
        let width = match (scoring.is_multi_label(), values.len()) {
            (true, width) => width,
            (false, 2) if scoring != Scoring::ClassIds => 1,
            _ => return,
        };
        self.is_full |= self.scores.len() + width > MOST_SCORES;
        if self.is_full {
            // A part of the images would be another set of images.
            self.scores = Vec::new();
            self.positives = Vec::new();
            return;
        }
        self.width = width;
        if scoring.is_multi_label() {
            self.scores.extend_from_slice(values);
            let is_right = |class: usize| truth.contains(&class);
            self.positives.extend((0..width).map(is_right));
        } else {
            // Raw values have no common zero: their difference tells the classes apart.
            let score = if scoring == Scoring::Raw {
                values[1] - values[0]
            } else {
                values[1]
            };
            self.scores.push(score);
            self.positives.push(truth.contains(&1));
        }
    }

    /// Returns whether there were too many scores to keep.
    pub const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Returns the scores of a column, the largest first, each with whether the class is right.
    fn sorted(&self, column: usize) -> Vec<(f64, bool)> {
        let scores = self
            .scores
            .iter()
            .copied()
            .zip(self.positives.iter().copied());
        let column = scores.skip(column).step_by(self.width.max(1));
        let mut sorted: Vec<(f64, bool)> = column.collect();
        sorted.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        sorted
    }

    /// Returns the area under the ROC curve: the share of pairs of an image of class 1 and one of class 0 in which the
    /// first has the larger score; equal scores count half. `None` without such a pair.
    pub fn roc_auc(&self) -> Option<f64> {
        let sorted = self.sorted(0);
        let positives = sorted.iter().filter(|(_, is_right)| *is_right).count();
        let negatives = sorted.len() - positives;
        // Twice the number of pairs in order, so that halves are whole.
        let (mut above, mut pairs) = (0_u128, 0_u128);
        for tied in sorted.chunk_by(|(a, _), (b, _)| a == b) {
            let right = tied.iter().filter(|(_, is_right)| *is_right).count() as u128;
            let wrong = tied.len() as u128 - right;
            pairs += wrong * (2 * above + right);
            above += right;
        }
        let all = 2 * positives as u128 * negatives as u128;
        (all > 0).then(|| pairs as f64 / all as f64)
    }

    /// Returns the average precision of a class: the sum over thresholds of precision times the gain of recall, without
    /// interpolation. `None` if no image shows the class.
    pub fn average_precision(&self, class: usize) -> Option<f64> {
        if class >= self.width {
            return None;
        }
        let sorted = self.sorted(class);
        let positives = sorted.iter().filter(|(_, is_right)| *is_right).count();
        let (mut right, mut given, mut sum) = (0, 0, 0.0);
        for tied in sorted.chunk_by(|(a, _), (b, _)| a == b) {
            let gained = tied.iter().filter(|(_, is_right)| *is_right).count();
            right += gained;
            given += tied.len();
            sum += gained as f64 * (right as f64 / given as f64);
        }
        (positives > 0).then(|| sum / positives as f64)
    }

    /// Returns the mean of the average precision over the classes that an image shows. `None` without one.
    pub fn mean_average_precision(&self) -> Option<f64> {
        let classes = (0..self.width).filter_map(|class| self.average_precision(class));
        let values: Vec<f64> = classes.collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}
