//! The counts of one run.

use std::collections::BTreeMap;

use image_classification::{Ranked, Scores, Scoring};
use serde::Serialize;

use super::calibration::Calibration;
use super::multi_label::{Decisions, MultiLabel};
use super::ranking::Ranking;
use crate::statistics::{Rate, mean_of_shares};

/// The judgement of one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The rank of the first right class, from 1, if it is among the inspected ranks.
    pub rank: Option<usize>,
    /// The classes that the run gives for the image, if they differ from the ground truth.
    pub wrong: Option<Vec<usize>>,
    /// The best class. `None` for an answer without classes.
    pub best: Option<usize>,
    /// The score of the best class. `None` for class ids.
    pub best_score: Option<f64>,
    /// The largest probability of a right class. `None` for raw outputs and class ids.
    pub score: Option<f64>,
    /// The smallest distance of a score from the threshold, on its right side: at least it for a right class, below it for
    /// another one. It is negative if a class is on the wrong side. `None` unless the model is a multi-label one.
    pub margin: Option<f64>,
}

impl Judged {
    /// Returns whether the best class is right.
    pub fn is_right(&self) -> bool {
        self.rank == Some(1)
    }
}

/// The counts of all images.
#[derive(Debug)]
pub struct Accuracy {
    /// The number of images.
    pub images: usize,
    /// The number of images whose first right class has each rank, from 1.
    ranks: Vec<usize>,
    /// The least number of classes that an answer ranks, where that is not all of them.
    least_ranked: Option<usize>,
    /// The counts that depend on the kind of the model.
    pub counts: Counts,
    /// The scores, for metrics that depend on their order.
    pub ranking: Ranking,
}

/// The counts that depend on the kind of the model.
#[derive(Debug)]
pub enum Counts {
    /// One class of an image is right.
    SingleLabel(SingleLabel),
    /// Any number of classes of an image are right.
    MultiLabel(MultiLabel),
}

/// A class, over all its images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OfClass {
    /// The number of images that show the class.
    #[serde(rename = "pictures")]
    pub images: usize,
    /// The number of those with the right best class.
    pub top1: usize,
}

/// The counts of a model whose classes exclude each other.
#[derive(Debug, Default)]
pub struct SingleLabel {
    /// The classes that images show, by their ids.
    pub classes: BTreeMap<usize, OfClass>,
    /// The number of times that one class (first) was taken for another.
    confusions: BTreeMap<(usize, usize), usize>,
    /// `None` where scores are not a distribution.
    pub calibration: Option<Box<Calibration>>,
}

impl Accuracy {
    /// Counts of zero images. `threshold` is the least score of the classes that a multi-label model gives.
    pub fn new(scoring: Scoring, threshold: f64) -> Self {
        let counts = if scoring.is_multi_label() {
            Counts::MultiLabel(MultiLabel::new(threshold))
        } else {
            Counts::SingleLabel(SingleLabel {
                calibration: scoring.is_distribution().then(Box::default),
                ..SingleLabel::default()
            })
        };
        Self {
            images: 0,
            ranks: Vec::new(),
            least_ranked: None,
            counts,
            ranking: Ranking::default(),
        }
    }

    /// Counts an answer for an image of the classes `truth`, ascending. Ranks beyond `most` do not count.
    pub fn add(&mut self, truth: &[usize], scores: &Scores, most: usize) -> Judged {
        let top = scores.top(most);
        self.images += 1;
        if scores.scoring() == Scoring::ClassIds {
            let ranked = scores.values().len();
            self.least_ranked = Some(self.least_ranked.map_or(ranked, |least| least.min(ranked)));
        }
        let rank = top
            .iter()
            .position(|ranked| truth.contains(&ranked.class_id))
            .map(|place| place + 1);
        if let Some(rank) = rank {
            if self.ranks.len() < rank {
                self.ranks.resize(rank, 0);
            }
            self.ranks[rank - 1] += 1;
        }
        self.ranking.add(truth, scores);
        let (wrong, margin) = match &mut self.counts {
            Counts::SingleLabel(counts) => (counts.add(truth, &top, scores), None),
            Counts::MultiLabel(counts) => (counts.add(truth, scores), counts.margin(truth, scores)),
        };
        Judged {
            rank,
            wrong,
            best: top.first().map(|ranked| ranked.class_id),
            best_score: best_score(&top, scores),
            score: right_score(truth, scores),
            margin,
        }
    }

    /// Returns the share of images with a right class among the best `k`.
    pub fn top(&self, k: usize) -> Rate {
        Rate::new(self.ranks.iter().take(k).sum(), self.images)
    }

    /// Returns whether answers rank `k` classes.
    pub fn ranks(&self, k: usize) -> bool {
        self.least_ranked.is_none_or(|least| k <= least)
    }
}

/// Returns the score of the best class, if classes have scores.
fn best_score(top: &[Ranked], scores: &Scores) -> Option<f64> {
    let has_scores = scores.scoring() != Scoring::ClassIds;
    let best = top.first().filter(|_| has_scores)?;
    scores.values().get(best.class_id).copied()
}

/// Returns the largest probability of a right class, if scores are probabilities.
fn right_score(truth: &[usize], scores: &Scores) -> Option<f64> {
    let scoring = scores.scoring();
    if !scoring.is_distribution() && !scoring.is_multi_label() {
        return None;
    }
    let of_right = truth.iter().filter_map(|class| scores.values().get(*class));
    of_right.copied().reduce(f64::max)
}

impl SingleLabel {
    fn add(&mut self, truth: &[usize], top: &[Ranked], scores: &Scores) -> Option<Vec<usize>> {
        let (&truth, best) = truth.first().zip(top.first())?;
        let right = truth == best.class_id;
        let class = self.classes.entry(truth).or_default();
        class.images += 1;
        class.top1 += usize::from(right);
        if let Some(calibration) = &mut self.calibration {
            calibration.add(right, scores.values()[best.class_id]);
        }
        if right {
            return None;
        }
        *self.confusions.entry((truth, best.class_id)).or_default() += 1;
        Some(vec![best.class_id])
    }

    /// Returns the decisions about each class that an image shows or that is an answer, by their ids.
    pub fn decisions(&self) -> BTreeMap<usize, Decisions> {
        let mut decisions: BTreeMap<usize, Decisions> = BTreeMap::new();
        for (id, of) in &self.classes {
            decisions.entry(*id).or_default().true_positives += of.top1;
        }
        for ((truth, answer), count) in &self.confusions {
            decisions.entry(*truth).or_default().false_negatives += count;
            decisions.entry(*answer).or_default().false_positives += count;
        }
        decisions
    }

    /// Returns the mean over classes of the share of their images that are right: small classes count as much as
    /// large ones.
    pub fn mean_per_class(&self) -> f64 {
        let shares = self
            .classes
            .values()
            .map(|class| class.top1 as f64 / class.images as f64);
        if self.classes.is_empty() {
            0.0
        } else {
            shares.sum::<f64>() / self.classes.len() as f64
        }
    }

    /// Returns the 95 % interval of the mean over classes. `None` without images.
    pub fn mean_per_class_interval(&self) -> Option<[f64; 2]> {
        let counts = |class: &OfClass| (class.top1, class.images);
        mean_of_shares(self.classes.values().map(counts))
    }

    /// Returns the classes with the smallest share of right answers, with their counts.
    pub fn least_right(&self, most: usize) -> Vec<(usize, OfClass)> {
        let mut all: Vec<_> = self.classes.iter().map(|(id, of)| (*id, *of)).collect();
        all.sort_by(|(_, a), (_, b)| {
            // Shares, without dividing.
            (a.top1 * b.images).cmp(&(b.top1 * a.images))
        });
        all.truncate(most);
        all
    }

    /// Returns the most frequent confusions: the class, the class it was taken for, the number of times.
    pub fn confusions(&self, most: usize) -> Vec<(usize, usize, usize)> {
        let mut all: Vec<_> = self
            .confusions
            .iter()
            .map(|((truth, answer), count)| (*truth, *answer, *count))
            .collect();
        all.sort_by_key(|(truth, answer, count)| (std::cmp::Reverse(*count), *truth, *answer));
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests {
    use backend_api::Tensor;
    use image_classification::Interpretation;

    use super::*;

    fn scores(scoring: Scoring, values: &[f32]) -> Scores {
        let output = Tensor::new([1, values.len()], values.to_vec()).unwrap();
        Interpretation::plain(scoring).scores(&output).unwrap()
    }

    fn single_label(accuracy: &Accuracy) -> Option<&SingleLabel> {
        match &accuracy.counts {
            Counts::SingleLabel(counts) => Some(counts),
            Counts::MultiLabel(_) => None,
        }
    }

    #[test]
    fn answers_are_counted() {
        let mut accuracy = Accuracy::new(Scoring::Probability, 0.5);
        let mut add = |truth: usize, values: [f32; 6]| {
            let judged = accuracy.add(&[truth], &scores(Scoring::Probability, &values), 2);
            (judged.rank, judged.wrong)
        };
        let [three, one] = [
            [0.0, 0.1, 0.0, 0.9, 0.0, 0.0],
            [0.0, 0.6, 0.0, 0.4, 0.0, 0.0],
        ];
        assert_eq!(add(3, three), (Some(1), None));
        assert_eq!(add(3, one), (Some(2), Some(vec![1])));
        assert_eq!(add(5, one), (None, Some(vec![1])));
        assert_eq!(add(5, three), (None, Some(vec![3])));
        let counts = [1, 2, 5].map(|k| accuracy.top(k).count);
        assert_eq!((counts, accuracy.top(5).of), ([1, 2, 2], 4));
        let counts = single_label(&accuracy).unwrap();
        assert!((counts.mean_per_class() - 0.25).abs() < 1e-12);
        assert_eq!(counts.confusions(9), [(3, 1, 1), (5, 1, 1), (5, 3, 1)]);
        let least: Vec<usize> = counts.least_right(9).iter().map(|(id, _)| *id).collect();
        assert_eq!(least, [5, 3]);
    }

    #[test]
    fn confidences_are_not_rounded_to_single_precision() {
        let mut accuracy = Accuracy::new(Scoring::Softmax, 0.5);
        accuracy.add(&[0], &scores(Scoring::Softmax, &[1.0, 0.0]), 1);
        let bins = single_label(&accuracy).unwrap().calibration.as_ref();
        let confidence: f64 = bins.unwrap().bins.iter().map(|bin| bin.confidence).sum();
        assert!((confidence - 1.0 / (1.0 + (-1.0_f64).exp())).abs() < 1e-15);
    }

    #[test]
    fn class_ids_have_ranks_but_no_calibration() {
        let mut accuracy = Accuracy::new(Scoring::ClassIds, 0.5);
        let judged = accuracy.add(&[6], &scores(Scoring::ClassIds, &[6.0, 900.0]), 5);
        assert_eq!((judged.rank, judged.wrong), (Some(1), None));
        assert!(accuracy.ranks(2) && !accuracy.ranks(3));
        assert!(single_label(&accuracy).unwrap().calibration.is_none());
    }

    #[test]
    fn only_distributions_have_a_calibration() {
        let has = |scoring| {
            let accuracy = Accuracy::new(scoring, 0.5);
            let single = single_label(&accuracy);
            single.is_some_and(|counts| counts.calibration.is_some())
        };
        assert!(has(Scoring::Softmax) && has(Scoring::PositiveLogit));
        assert!(!has(Scoring::Raw) && !has(Scoring::ClassIds) && !has(Scoring::Sigmoid));
    }
}
