//! What is counted of one run.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use image_classification::Ranked;
use serde::Serialize;

use crate::statistics::Rate;

/// Into how many bins confidence is divided for the calibration.
pub const BINS: usize = 15;

/// How many pictures are drawn for an interval at most.
const MOST_DRAWS: usize = 20_000_000;

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

/// Answers of similar confidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bin {
    pub pictures: usize,
    pub right: usize,
    /// The sum of the best scores.
    pub confidence: f64,
}

impl Bin {
    fn add(&mut self, right: bool, confidence: f64) {
        self.pictures += 1;
        self.right += usize::from(right);
        self.confidence += confidence;
    }
}

fn bin_of(confidence: f64) -> usize {
    ((confidence * BINS as f64) as usize).min(BINS - 1)
}

/// One answer, as far as intervals need it.
#[derive(Debug, Clone, Copy)]
struct Sample {
    truth: usize,
    right: bool,
    confidence: f64,
}

/// 95 % intervals of what is no simple share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Intervals {
    pub mean_per_class: [f64; 2],
    pub expected_calibration_error: [f64; 2],
}

/// All that is counted.
#[derive(Debug, Default)]
pub struct Accuracy {
    pub pictures: usize,
    /// 24 bytes for each picture.
    samples: Vec<Sample>,
    /// Every report asks for them, and they take long.
    intervals: OnceCell<Option<Intervals>>,
    /// How often the right class had each rank, from 1.
    ranks: Vec<usize>,
    pub classes: BTreeMap<usize, OfClass>,
    /// How often one class (first) was taken for another.
    confusions: BTreeMap<(usize, usize), usize>,
    pub bins: [Bin; BINS],
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
            let confidence = f64::from(best.score).clamp(0.0, 1.0);
            let bin = &mut self.bins[bin_of(confidence)];
            bin.add(right, confidence);
            self.samples.push(Sample {
                truth,
                right,
                confidence,
            });
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

    /// Percentile intervals from resampling the pictures (Efron's bootstrap, 1979), always with the same random
    /// numbers. A class that a resample lacks does not count in it. `None` without pictures.
    pub fn intervals(&self) -> Option<Intervals> {
        *self.intervals.get_or_init(|| self.resample())
    }

    fn resample(&self) -> Option<Intervals> {
        let count = self.samples.len();
        // Enough of them for two digits, and no minutes for a million pictures.
        let rounds = (MOST_DRAWS / count.max(1)).clamp(100, 1000);
        let mut random = fastrand::Rng::with_seed(1979);
        let (mut means, mut errors) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let mut drawn = Self::default();
            for _ in 0..count {
                let sample = self.samples[random.usize(..count)];
                let class = drawn.classes.entry(sample.truth).or_default();
                class.pictures += 1;
                class.top1 += usize::from(sample.right);
                drawn.bins[bin_of(sample.confidence)].add(sample.right, sample.confidence);
            }
            means.push(drawn.mean_per_class());
            errors.push(expected_calibration_error(&drawn.bins));
        }
        let interval = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
            [at(0.025), at(0.975)]
        };
        (count > 0).then(|| Intervals {
            mean_per_class: interval(means),
            expected_calibration_error: interval(errors),
        })
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

/// The expected calibration error (Naeini et al. 2015, with equal widths as Guo et al. 2017): the mean
/// over pictures of |share that is right − mean confidence| of their bin.
pub fn expected_calibration_error(bins: &[Bin]) -> f64 {
    let pictures: usize = bins.iter().map(|bin| bin.pictures).sum();
    let gaps = bins
        .iter()
        .map(|bin| (bin.right as f64 - bin.confidence).abs());
    if pictures == 0 {
        0.0
    } else {
        gaps.sum::<f64>() / pictures as f64
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

    #[test]
    fn calibration_is_the_gap_between_confidence_and_truth() {
        let mut accuracy = Accuracy::default();
        for n in 0..10 {
            // Always 0.8 sure, right 6 times of 10.
            accuracy.add(usize::from(n >= 6), &top(&[(0, 0.8)]));
        }
        assert!((expected_calibration_error(&accuracy.bins) - 0.2).abs() < 1e-6);
        assert_eq!(expected_calibration_error(&[]), 0.0);
    }

    #[test]
    fn intervals_are_around_the_value_and_always_the_same() {
        assert_eq!(Accuracy::default().intervals(), None);
        let mut accuracy = Accuracy::default();
        for n in 0..200 {
            accuracy.add(n % 4, &top(&[(if n % 10 < 7 { n % 4 } else { 9 }, 0.7)]));
        }
        let intervals = accuracy.intervals().unwrap();
        let [low, high] = intervals.mean_per_class;
        // 1.96 √(0.7 · 0.3 / 200) is 0.0635.
        assert!(
            (low - 0.6365).abs() < 0.02 && (high - 0.7635).abs() < 0.02,
            "{intervals:?}"
        );
        let [low, high] = intervals.expected_calibration_error;
        assert!((0.0..0.02).contains(&low) && high < 0.1, "{intervals:?}");
        assert_eq!(accuracy.resample(), Some(intervals));
    }
}
