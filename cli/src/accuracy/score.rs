//! What is counted of one run.

use std::collections::BTreeMap;

use image_classification::Ranked;
use serde::Serialize;

use super::calibration::Calibration;
use crate::statistics::{Rate, mean_of_shares};

/// Whether one picture's answer is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// The rank of the right class, from 1, if it is among those that are looked at.
    pub rank: Option<usize>,
}

/// A class, over all its pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OfClass {
    pub pictures: usize,
    pub top1: usize,
}

/// All that is counted.
#[derive(Debug, Default)]
pub struct Accuracy {
    pub pictures: usize,
    /// How often the right class had each rank, from 1.
    ranks: Vec<usize>,
    pub classes: BTreeMap<usize, OfClass>,
    /// How often one class (first) was taken for another.
    confusions: BTreeMap<(usize, usize), usize>,
    pub calibration: Calibration,
}

impl Accuracy {
    /// Counts an answer: the best classes, best first, for a picture of class `truth`.
    pub fn add(&mut self, truth: usize, top: &[Ranked]) -> Hit {
        self.pictures += 1;
        let rank = top
            .iter()
            .position(|ranked| ranked.class_id == truth)
            .map(|place| place + 1);
        if let Some(rank) = rank {
            if self.ranks.len() < rank {
                self.ranks.resize(rank, 0);
            }
            self.ranks[rank - 1] += 1;
        }
        let right = rank == Some(1);
        let class = self.classes.entry(truth).or_default();
        class.pictures += 1;
        class.top1 += usize::from(right);
        if let Some(best) = top.first() {
            if !right {
                *self.confusions.entry((truth, best.class_id)).or_default() += 1;
            }
            self.calibration.add(right, best.score);
        }
        Hit { rank }
    }

    /// The share of pictures whose right class is among the best `k`.
    pub fn top(&self, k: usize) -> Rate {
        Rate::new(self.ranks.iter().take(k).sum(), self.pictures)
    }

    /// The mean over classes of the share of their pictures that are right: what a class has few of
    /// counts as much as what it has many of.
    pub fn mean_per_class(&self) -> f64 {
        let shares = self
            .classes
            .values()
            .map(|class| class.top1 as f64 / class.pictures as f64);
        if self.classes.is_empty() {
            0.0
        } else {
            shares.sum::<f64>() / self.classes.len() as f64
        }
    }

    /// The 95 % interval of the mean over classes. `None` without images.
    pub fn mean_per_class_interval(&self) -> Option<[f64; 2]> {
        let counts = |class: &OfClass| (class.top1, class.pictures);
        mean_of_shares(self.classes.values().map(counts))
    }

    /// The classes of which the smallest share is right, with what was counted of them.
    pub fn least_right(&self, most: usize) -> Vec<(usize, OfClass)> {
        let mut all: Vec<_> = self.classes.iter().map(|(id, of)| (*id, *of)).collect();
        all.sort_by(|(_, a), (_, b)| {
            // Shares, without dividing.
            (a.top1 * b.pictures).cmp(&(b.top1 * a.pictures))
        });
        all.truncate(most);
        all
    }

    /// The most frequent confusions: the class, what it was taken for, how often.
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
    use super::*;

    fn top(classes: &[(usize, f32)]) -> Vec<Ranked> {
        classes
            .iter()
            .map(|&(class_id, score)| Ranked { class_id, score })
            .collect()
    }

    #[test]
    fn answers_are_counted() {
        let mut accuracy = Accuracy::default();
        assert_eq!(accuracy.add(3, &top(&[(3, 0.9), (1, 0.1)])).rank, Some(1));
        assert_eq!(accuracy.add(3, &top(&[(1, 0.6), (3, 0.4)])).rank, Some(2));
        assert_eq!(accuracy.add(5, &top(&[(1, 0.6), (3, 0.4)])).rank, None);
        assert_eq!(accuracy.add(5, &top(&[])).rank, None);
        assert_eq!(
            (
                accuracy.top(1).count,
                accuracy.top(2).count,
                accuracy.top(5).of
            ),
            (1, 2, 4)
        );
        assert!((accuracy.mean_per_class() - 0.25).abs() < 1e-12);
        assert_eq!(accuracy.confusions(9), [(3, 1, 1), (5, 1, 1)]);
        let least: Vec<usize> = accuracy.least_right(9).iter().map(|(id, _)| *id).collect();
        assert_eq!(least, [5, 3]);
    }
}
