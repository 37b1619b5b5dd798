//! Calibration: confidence compared with the share of right answers.

use std::cell::OnceCell;

use serde::Serialize;

/// The number of bins of equal width that confidences are divided into.
const BINS: usize = 15;

/// The most simulated answers, so that a million images take seconds.
const MOST_DRAWS: usize = 100_000_000;

/// Answers of similar confidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bin {
    /// The number of answers.
    #[serde(rename = "pictures")]
    pub images: usize,
    /// The number of right answers.
    pub right: usize,
    /// The sum of the best scores.
    pub confidence: f64,
}

impl Bin {
    /// Returns the mean of the best scores, from 0 to 1; `None` without answers.
    pub fn mean_confidence(&self) -> Option<f64> {
        (self.images > 0).then(|| self.confidence / self.images as f64)
    }

    fn add(&mut self, right: bool, confidence: f64) {
        self.images += 1;
        self.right += usize::from(right);
        self.confidence += confidence;
    }
}

/// The calibration error that a calibrated model would show.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Calibrated {
    /// The mean over simulated sets of images.
    pub mean: f64,
    /// The 95th percentile: a calibrated model exceeds it on one set of images in 20.
    pub p95: f64,
}

/// The confidence of every answer, and how often answers of similar confidence are right.
#[derive(Debug, Default)]
pub struct Calibration {
    /// The answers by confidence, from 0 to 1 in bins of equal width.
    pub bins: [Bin; BINS],
    /// One value per image: 8 bytes.
    confidences: Vec<f64>,
    /// Every report asks for it, and it takes long.
    calibrated: OnceCell<Option<Calibrated>>,
}

impl Calibration {
    /// Counts an answer.
    pub fn add(&mut self, right: bool, confidence: f64) {
        let confidence = confidence.clamp(0.0, 1.0);
        self.confidences.push(confidence);
        self.bins[bin_of(confidence)].add(right, confidence);
    }

    /// Returns the expected calibration error (Naeini et al. 2015, with equal widths as Guo et al. 2017):
    /// the mean over images of |share that is right − mean confidence| of their bin.
    pub fn error(&self) -> f64 {
        error(&self.bins)
    }

    /// Returns the error of a calibrated model with these confidences: consistency resampling (Bröcker and
    /// Smith 2007; Widmann et al. 2019), always with the same random numbers. `None` without answers.
    ///
    /// The error of a calibrated model is not 0 but grows as images get fewer, since a bin's share
    /// scatters around its confidence. An interval around the error from resampled images contains that
    /// bias twice and misses the true value, so there is none.
    pub fn calibrated(&self) -> Option<Calibrated> {
        *self.calibrated.get_or_init(|| self.simulate())
    }

    fn simulate(&self) -> Option<Calibrated> {
        if self.confidences.is_empty() {
            return None;
        }
        let rounds = (MOST_DRAWS / self.confidences.len()).clamp(200, 1000);
        let mut random = fastrand::Rng::with_seed(2007);
        let mut errors: Vec<f64> = (0..rounds)
            .map(|_| {
                let mut bins = self.bins.map(|bin| Bin { right: 0, ..bin });
                for &confidence in &self.confidences {
                    let right = random.f64() < confidence;
                    bins[bin_of(confidence)].right += usize::from(right);
                }
                error(&bins)
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        Some(Calibrated {
            mean: errors.iter().sum::<f64>() / rounds as f64,
            p95: errors[(rounds * 95).div_ceil(100) - 1],
        })
    }
}

fn bin_of(confidence: f64) -> usize {
    let bin = (confidence * BINS as f64).floor();
    // The product may have been rounded up to a whole number.
    let is_below = confidence.mul_add(BINS as f64, -bin) < 0.0;
    (bin as usize - usize::from(is_below)).min(BINS - 1)
}

fn error(bins: &[Bin]) -> f64 {
    let images: usize = bins.iter().map(|bin| bin.images).sum();
    let gaps = bins
        .iter()
        .map(|bin| (bin.right as f64 - bin.confidence).abs());
    if images == 0 {
        0.0
    } else {
        gaps.sum::<f64>() / images as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` answers whose confidence is that of an image classifier, right with probability
    /// `truth(confidence)`.
    fn answers(
        random: &mut fastrand::Rng,
        count: usize,
        truth: impl Fn(f64) -> f64,
    ) -> Calibration {
        let mut calibration = Calibration::default();
        for _ in 0..count {
            // Most answers are sure.
            let confidence = 1.0 - 0.9 * random.f64() * random.f64();
            let right = random.f64() < truth(confidence);
            calibration.add(right, confidence);
        }
        calibration
    }

    #[test]
    fn calibration_error_is_the_gap_between_confidence_and_truth() {
        let mut calibration = Calibration::default();
        assert_eq!((calibration.error(), calibration.calibrated()), (0.0, None));
        for n in 0..10 {
            // Always 0.8 sure, right 6 times of 10.
            calibration.add(n < 6, 0.8);
        }
        assert!((calibration.error() - 0.2).abs() < 1e-6);
    }

    #[test]
    fn a_confidence_below_an_edge_is_in_the_lower_bin() {
        // 0.6 as a binary fraction is less than 9/15, but 15 times it rounds to 9.
        assert_eq!([0.0, 0.2, 0.6, 1.0].map(bin_of), [0, 3, 8, 14]);
    }

    /// The mean |x / 10 − 0.8| of a binomial variable with n = 10, p = 0.8 is 0.0966 and its 95th
    /// percentile 0.2 (exact sums).
    #[test]
    fn calibrated_error_is_that_of_the_binomial_distribution() {
        let mut calibration = Calibration::default();
        for _ in 0..10 {
            calibration.add(false, 0.8);
        }
        let calibrated = calibration.calibrated().unwrap();
        // Three standard errors of 1000 draws.
        assert!((calibrated.mean - 0.0966).abs() < 0.008, "{calibrated:?}");
        assert!((calibrated.p95 - 0.2).abs() < 1e-6, "{calibrated:?}");
        assert_eq!(calibration.simulate(), Some(calibrated));
    }

    #[test]
    fn errors_are_those_of_the_reference() {
        let table = std::fs::read(classify_tests::small_model("intervals.json")).unwrap();
        let table: serde_json::Value = serde_json::from_slice(&table).unwrap();
        for case in table["calibration"].as_array().unwrap() {
            let mut calibration = Calibration::default();
            let answers: Vec<(bool, f64)> =
                serde_json::from_value(case["answers"].clone()).unwrap();
            for (right, confidence) in answers {
                calibration.add(right, confidence);
            }
            let is = |key: &str| case[key].as_f64().unwrap();
            assert!((calibration.error() - is("error")).abs() < 1e-12);
            let Calibrated { mean, p95 } = calibration.calibrated().unwrap();
            // The reference's mean is exact; 1000 rounds have a standard error of 2 % of it.
            assert!(
                (mean / is("mean") - 1.0).abs() < 0.08,
                "{mean}: {}",
                is("mean")
            );
            assert!((p95 / is("p95") - 1.0).abs() < 0.08, "{p95}: {}", is("p95"));
        }
    }

    #[test]
    fn a_calibrated_model_exceeds_the_95th_percentile_in_one_of_20_sets() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in [30, 100, 300] {
            const SETS: usize = 150;
            let (mut beyond, mut error, mut mean) = (0, 0.0, 0.0);
            for _ in 0..SETS {
                let set = answers(&mut random, count, |confidence| confidence);
                let calibrated = set.calibrated().unwrap();
                beyond += usize::from(set.error() > calibrated.p95);
                error += set.error() / SETS as f64;
                mean += calibrated.mean / SETS as f64;
            }
            // 7.5 are expected; 2 to 15 are three standard errors.
            assert!((2..=15).contains(&beyond), "{count} images: {beyond}");
            assert!(
                (error / mean - 1.0).abs() < 0.1,
                "{count} images: the error is {error} and {mean} was predicted"
            );
        }
    }

    #[test]
    fn an_overconfident_model_exceeds_the_95th_percentile() {
        let mut random = fastrand::Rng::with_seed(2);
        let set = answers(&mut random, 1000, |confidence| confidence - 0.1);
        assert!(set.error() > set.calibrated().unwrap().p95);
    }
}
