//! Two runs over all images: their agreement and the verdict.

use std::fmt::Write as _;

use image_classification::Ranked;

use super::basis::Basis;
use super::difference::{Answer, Difference, Values};
use super::gate::{Gate, Verdict};
use super::row::Row;
use super::rows::{Rows, RowsError};
use super::tolerance::Tolerance;
use super::variation::Variation;
use crate::share::percent;
use crate::statistics::{Distribution, Rate};
use crate::text::{counted, number};

/// The number of worst images that are kept with their best classes.
const WORST: usize = 10;

/// One of the worst images.
#[derive(Debug, Clone)]
pub struct Worst {
    /// The difference.
    pub row: Row,
    /// The best classes of the reference and of the run.
    pub top: [Vec<Ranked>; 2],
}

/// All that is known of two runs. The rows of the images are in [`Rows`], on disk.
#[derive(Debug)]
pub struct Pair {
    /// The limits of differences.
    pub tolerance: Tolerance,
    /// The values that are compared.
    pub basis: Basis,
    /// The differences of all images.
    pub rows: Rows,
    /// Worst first; of equal ones the first.
    pub worst: Vec<Worst>,
    counts: Counts,
}

/// The numbers of images that meet each criterion.
#[derive(Debug, Default)]
struct Counts {
    finite: usize,
    top1_match: usize,
    top1_match_but_ties: usize,
    ordered_match: usize,
    ordered_match_but_ties: usize,
    /// Images whose best classes print the same text, see [`prints_the_same`].
    identical_text: usize,
    /// Beyond the limit of |Δp|.
    too_far: usize,
    /// Beyond the limit of the outputs' relative error.
    other_outputs: usize,
    /// The images within all limits that hold for every image.
    within: usize,
    /// The images for which a run has no probability between 0 and 1.
    saturated: usize,
    largest_delta: f64,
    largest_error: f64,
    /// Classes that both runs have among their best, over all images.
    shared: usize,
    /// The best classes of the reference, over all images.
    best: usize,
}

impl Counts {
    fn add(&mut self, values: &Values, tolerance: &Tolerance, basis: Basis) {
        self.finite += 1;
        self.top1_match += usize::from(values.top1_match);
        self.top1_match_but_ties += usize::from(values.top1_match_but_ties);
        self.ordered_match += usize::from(values.ordered_match);
        self.ordered_match_but_ties += usize::from(values.ordered_match_but_ties);
        self.too_far += usize::from(values.is_too_far(tolerance, basis));
        self.other_outputs += usize::from(values.has_other_outputs(tolerance, basis));
        self.largest_delta = self.largest_delta.max(values.max_delta.unwrap_or(0.0));
        self.largest_error = self.largest_error.max(values.relative_error.unwrap_or(0.0));
        self.shared += values.shared;
    }
}

/// A column of [`Values`].
type Column = fn(&Values) -> Option<f64>;

/// The numbers that reports have for each image: the key in JSON, the name, the value.
const COLUMNS: [(&str, &str, Column); 7] = [
    ("max_delta", "max |Δp|", |v| v.max_delta),
    ("max_logit_delta", "max |Δlogit|", |v| v.max_logit_delta),
    ("mean_logit_delta", "mean |Δlogit|", |v| v.mean_logit_delta),
    ("relative_error", "relative error", |v| v.relative_error),
    ("cosine", "1 − cosine", |v| v.cosine_distance),
    ("kl_divergence", "KL divergence", |v| v.kl_divergence),
    ("rank", "rank of reference's best", |v| Some(v.rank as f64)),
];

impl Pair {
    /// Two runs without images yet, to be judged by `tolerance`.
    pub fn new(tolerance: Tolerance, basis: Basis) -> Self {
        Self {
            tolerance,
            basis,
            rows: Rows::default(),
            worst: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// The share of all images; outputs that are not finite never agree.
    fn rate(&self, count: usize) -> Rate {
        Rate::new(count, self.rows.len())
    }

    /// The images with the same best class.
    pub fn top1_match(&self) -> Rate {
        self.rate(self.counts.top1_match)
    }

    /// The same, where best classes that tie in both answers count as the same.
    pub fn top1_match_but_ties(&self) -> Rate {
        self.rate(self.counts.top1_match_but_ties)
    }

    /// The images with the same classes in the same order.
    pub fn ordered_match(&self) -> Rate {
        self.rate(self.counts.ordered_match)
    }

    /// The same, ties aside.
    pub fn ordered_match_but_ties(&self) -> Rate {
        self.rate(self.counts.ordered_match_but_ties)
    }

    /// The images whose best classes print the same text: `classify` prints ids and 4 digits of the scores.
    pub fn identical_text(&self) -> Rate {
        self.rate(self.counts.identical_text)
    }

    /// The number of images with the same classes in order whose printed scores differ.
    pub fn other_digits(&self) -> usize {
        self.counts.ordered_match - self.counts.identical_text
    }

    /// Returns the number of images that have NaN or infinities.
    pub fn not_finite(&self) -> usize {
        self.rows.len() - self.counts.finite
    }

    /// Returns the number of images that are not [within](Row::within) the limits.
    pub fn beyond(&self) -> usize {
        self.rows.len() - self.counts.within
    }

    /// The mean share of common classes.
    pub fn overlap(&self) -> f64 {
        let (shared, of) = self.overlap_counts();
        shared as f64 / of.max(1) as f64
    }

    /// The common classes of all images, and the best classes of all images. Every image has the same number of best
    /// classes, so that the mean of the shares is the share of these counts, which is exact.
    fn overlap_counts(&self) -> (usize, usize) {
        (self.counts.shared, self.counts.best)
    }

    /// Returns the key in JSON, the name and the distribution of each column that has values.
    ///
    /// # Errors
    ///
    /// If the differences cannot be read back.
    pub fn distributions(
        &self,
    ) -> Result<Vec<(&'static str, &'static str, Distribution)>, RowsError> {
        let mut distributions = Vec::new();
        for (key, name, column) in COLUMNS {
            let values = || {
                let value = move |row: Row| row.values().and_then(column);
                self.rows
                    .iter()
                    .filter_map(move |row| row.map(value).transpose())
            };
            if let Some(distribution) = Distribution::of(values)? {
                distributions.push((key, name, distribution));
            }
        }
        Ok(distributions)
    }

    /// Names and values of the rates.
    pub fn rates(&self) -> [(&'static str, String); 6] {
        [
            ("same best class", self.top1_match().to_string()),
            (
                "same best except ties",
                self.top1_match_but_ties().to_string(),
            ),
            ("same classes in order", self.ordered_match().to_string()),
            (
                "same order except ties",
                self.ordered_match_but_ties().to_string(),
            ),
            (
                "same text, 4 digits",
                format!(
                    "{}; {} have the same classes but different digits",
                    self.identical_text(),
                    self.other_digits()
                ),
            ),
            ("mean overlap", format!("{} %", percent(self.overlap()))),
        ]
    }

    /// Adds an image, with the answers of the reference and of the run.
    ///
    /// # Errors
    ///
    /// If the difference cannot be kept.
    pub fn add(
        &mut self,
        image: usize,
        answers: [&Answer; 2],
        difference: Difference,
    ) -> Result<(), RowsError> {
        let [reference, run] = answers;
        let best = |answer: &Answer| answer.top.first().copied();
        let row = Row {
            image,
            difference,
            best: best(reference).zip(best(run)).map(|(a, b)| [a, b]),
        };
        self.rows.push(&row)?;
        if let Some(values) = row.values() {
            self.counts.add(values, &self.tolerance, self.basis);
            let is_identical = values.ordered_match
                && (self.basis == Basis::ClassIds || prints_the_same(reference, run));
            self.counts.identical_text += usize::from(is_identical);
        }
        // An answer that is not finite has no best classes, but had as many to have.
        let best = match row.values() {
            Some(values) => values.of,
            None => reference.top.len().max(run.top.len()),
        };
        self.counts.best += best;
        self.counts.within += usize::from(row.within(&self.tolerance, self.basis));
        self.counts.saturated += usize::from(answers.iter().any(|answer| answer.is_saturated()));
        let is_worse = |other: &Worst| {
            let badness = |row: &Row| row.badness(&self.tolerance, self.basis);
            let (a, b) = (badness(&row), badness(&other.row));
            a.0.cmp(&b.0)
                .then(a.1.total_cmp(&b.1))
                .then(a.2.total_cmp(&b.2))
                .is_gt()
        };
        let place = self
            .worst
            .iter()
            .position(is_worse)
            .unwrap_or(self.worst.len());
        if place < WORST {
            let top = answers.map(|answer| answer.top.clone());
            self.worst.insert(place, Worst { row, top });
            self.worst.truncate(WORST);
        }
        Ok(())
    }

    /// Every limit of the tolerance; none without images. `variation` is the
    /// one of the reference's answers.
    pub fn gates(&self, variation: &Variation) -> Vec<Gate> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let Self {
            tolerance,
            counts,
            basis,
            ..
        } = self;
        let images = self.rows.len();
        let of = counted(images, "image");
        let not_finite = self.not_finite();
        let Counts {
            too_far,
            largest_delta: largest,
            other_outputs,
            largest_error,
            ..
        } = *counts;
        let mut gates = vec![Gate::new(
            "finite",
            not_finite == 0,
            match not_finite {
                0 => format!("the answers for {of} are finite"),
                _ => format!("{not_finite} of {of} have NaN or infinities"),
            },
        )];
        if basis.has_probabilities() {
            gates.push(Gate {
                remark: self.saturation(),
                ..Gate::new(
                    Gate::MAX_DELTA,
                    too_far == 0,
                    format!(
                        "max |Δp| {}, limit {}; {too_far} of {of} exceed it",
                        number(largest),
                        tolerance.max_delta
                    ),
                )
            });
        }
        if basis.has_outputs() {
            gates.push(Gate::new(
                "logits",
                other_outputs == 0,
                format!(
                    "relative error of the outputs {}, limit {}; {other_outputs} of {of} exceed it",
                    number(largest_error),
                    tolerance.max_relative_error
                ),
            ));
        }
        if *basis == Basis::ClassIds && tolerance.min_top1.is_none() {
            let others = counts.finite - counts.top1_match;
            gates.push(Gate::new(
                "class",
                others == 0,
                format!("{others} of {of} have a different class id"),
            ));
        }
        if images > not_finite {
            gates.push(Gate::new(
                Gate::INFORMATIVE,
                variation.is_informative(),
                variation.found(),
            ));
        }
        if tolerance.same_order && *basis != Basis::ClassIds {
            let others = counts.finite - counts.ordered_match_but_ties;
            gates.push(Gate::new(
                "order",
                others == 0,
                format!("{others} of {of} have a different order, except for ties"),
            ));
        }
        if let Some(least) = tolerance.min_top1 {
            let mut gate = Gate::of_share(
                "top1",
                "same best class, except for ties, on",
                self.top1_match_but_ties(),
                least,
            );
            let _ = write!(
                gate.found,
                "; {} if ties count as differences",
                counts.top1_match
            );
            gates.push(gate);
        }
        if let Some(least) = tolerance.min_overlap {
            let (shared, of) = self.overlap_counts();
            gates.push(Gate::new(
                "overlap",
                least.is_reached(shared, of),
                format!(
                    "mean overlap {} % ({shared} of {of} classes), at least {least}",
                    percent(self.overlap())
                ),
            ));
        }
        gates
    }

    /// Returns a remark on images whose probabilities hide how the logits differ, if no logits are compared.
    fn saturation(&self) -> Option<String> {
        let (saturated, too_far) = (self.counts.saturated, self.counts.too_far);
        (self.basis == Basis::Probabilities && saturated > 0 && too_far == 0).then(|| {
            format!(
                "for {saturated} of {} a run has only probabilities of exactly 0 and 1, which hide differences: compare \
                 the logits before the softmax or sigmoid",
                counted(self.rows.len(), "image")
            )
        })
    }

    /// Returns the verdict of all gates. If `informative` alone fails, the pair could not be compared.
    pub fn verdict(&self, variation: &Variation) -> Verdict {
        let gates = self.gates(variation);
        let mut failed = gates.iter().filter(|gate| !gate.passed).peekable();
        if gates.is_empty() {
            Verdict::CouldNotCompare
        } else if failed.peek().is_none() {
            Verdict::Agree
        } else if failed.all(|gate| gate.name == Gate::INFORMATIVE) {
            Verdict::CouldNotCompare
        } else {
            Verdict::Disagree
        }
    }
}

/// The digits of a score that `classify` prints by default.
const DIGITS: usize = 4;

/// Returns whether the best classes print the same text.
fn prints_the_same(reference: &Answer, run: &Answer) -> bool {
    let mut both = reference.top.iter().zip(&run.top);
    both.all(|(a, b)| {
        let [a, b] = [a, b].map(|class| (class.class_id, format!("{:.DIGITS$}", class.score)));
        a == b
    })
}

#[cfg(test)]
mod tests {
    use backend_api::Tensor;
    use image_classification::{Interpretation, Scoring};

    use super::*;
    use crate::agreement::ToleranceName;

    fn difference(top1_match: bool, max_delta: f64) -> Difference {
        Difference::Finite(Values {
            top1_match,
            top1_match_but_ties: top1_match,
            ordered_match: top1_match,
            ordered_match_but_ties: top1_match,
            informative: true,
            shared: if top1_match { 2 } else { 1 },
            of: 2,
            rank: if top1_match { 1 } else { 2 },
            max_delta: Some(max_delta),
            max_logit_delta: None,
            mean_logit_delta: None,
            relative_error: Some(max_delta),
            cosine: Some(1.0),
            cosine_distance: Some(0.0),
            kl_divergence: None,
        })
    }

    fn answer(values: [f32; 3]) -> Answer {
        let output = Tensor::new([1, 3], values.to_vec()).unwrap();
        let interpretation = Interpretation::plain(Scoring::Probability);
        Answer::new(&output, &interpretation, 3).unwrap()
    }

    fn new(tolerance: Tolerance) -> Pair {
        Pair::new(tolerance, Basis::Probabilities)
    }

    /// Informative answers.
    fn varied() -> Variation {
        let mut variation = Variation::default();
        variation.add(&answer([0.5, 0.3, 0.2]));
        variation.add(&answer([0.1, 0.7, 0.2]));
        variation
    }

    /// Images with the same best class, and others.
    fn pair(same: usize, other: usize, max_delta: f64, tolerance: Tolerance) -> Pair {
        let mut pair = new(tolerance);
        let answer = answer([0.5, 0.3, 0.2]);
        for image in 0..same + other {
            let difference = difference(image < same, max_delta);
            pair.add(image, [&answer, &answer], difference).unwrap();
        }
        pair
    }

    fn failed(pair: &Pair) -> Vec<&'static str> {
        let gates = pair.gates(&varied());
        gates
            .iter()
            .filter(|gate| !gate.passed)
            .map(|gate| gate.name)
            .collect()
    }

    #[test]
    fn f32_takes_neither_another_order_nor_a_difference() {
        let f32 = Tolerance::named(ToleranceName::F32);
        assert_eq!(failed(&pair(5, 0, 1e-3, f32)), ["max-delta"]);
        assert_eq!(failed(&pair(4, 1, 1e-3, f32)), ["max-delta", "order"]);
        assert_eq!(pair(1, 0, 1e-4, f32).verdict(&varied()), Verdict::Agree);
        let nothing = new(f32);
        assert_eq!(nothing.verdict(&varied()), Verdict::CouldNotCompare);
        assert!(nothing.gates(&varied()).is_empty());
    }

    #[test]
    fn a_share_decides_for_any_number_of_images() {
        let bf16 = Tolerance::named(ToleranceName::Bf16);
        for (same, other, passes) in [
            (27, 1, false),
            (95, 4, false),
            (97, 3, false),
            (49, 1, true),
            (98, 2, true),
            (1, 0, true),
        ] {
            let failed = failed(&pair(same, other, 1e-3, bf16));
            assert_eq!(failed.is_empty(), passes, "{same} and {other}: {failed:?}");
        }
        let remark = |same, other| {
            let gates = pair(same, other, 1e-3, bf16).gates(&varied());
            let top1 = gates.into_iter().find(|gate| gate.name == "top1").unwrap();
            top1.remark
        };
        assert_eq!(
            remark(28, 0).unwrap(),
            "too few images to establish 98 %: the 95 % interval begins at 87.9 %; 189 images without a miss are needed"
        );
        assert!(remark(188, 0).is_some() && remark(189, 0).is_none());
        // A failed gate needs no remark.
        assert_eq!(remark(27, 1), None);
    }

    #[test]
    fn a_mean_overlap_at_its_limit_passes() {
        let other = |values: [f32; 4]| {
            let output = Tensor::new([1, 4], values.to_vec()).unwrap();
            Answer::new(&output, &Interpretation::RAW, 3).unwrap()
        };
        let reference = other([0.5, 0.3, 0.2, 0.1]);
        let tie = Tolerance::named(ToleranceName::F32).ties();
        let with = |least: &str, images: usize| {
            let mut pair = new(Tolerance {
                min_overlap: Some(least.parse().unwrap()),
                ..Tolerance::named(ToleranceName::F32)
            });
            for image in 0..images {
                // Every tenth lacks one.
                let run = if image % 10 == 0 {
                    other([0.5, 0.3, 0.2, 0.25])
                } else {
                    reference.clone()
                };
                let difference = Difference::new(&reference, &run, tie);
                pair.add(image, [&reference, &run], difference).unwrap();
            }
            failed(&pair)
        };
        // 29 of 30 classes are common.
        let overlap_failed = |least, images| with(least, images).contains(&"overlap");
        assert!(!overlap_failed("0.966", 10));
        assert!(overlap_failed("0.967", 10));
        assert!(overlap_failed("0.966666666666666667", 1000));
        assert!(!overlap_failed("0.966666666666666666", 1000));
    }

    #[test]
    fn what_is_beyond_a_limit_is_worse_than_another_best_class_within_it() {
        let answer = answer([0.5, 0.3, 0.2]);
        let mut pair = new(Tolerance::named(ToleranceName::Bf16));
        for (image, (same, max_delta)) in [(false, 0.01), (true, 0.35), (true, 0.02)]
            .into_iter()
            .enumerate()
        {
            let difference = difference(same, max_delta);
            pair.add(image, [&answer, &answer], difference).unwrap();
        }
        let worst: Vec<usize> = pair.worst.iter().map(|worst| worst.row.image).collect();
        assert_eq!(worst, [1, 0, 2]);
    }

    #[test]
    fn what_is_not_finite_is_worst_and_never_agrees() {
        let reference = answer([0.5, 0.3, 0.2]);
        let others = [
            [0.5, 0.3, 0.2],
            [0.45, 0.35, 0.2],
            [f32::NAN, 0.0, 0.0],
            [0.4, 0.41, 0.19],
            [0.45, 0.35, 0.2],
        ];
        let tolerance = Tolerance::named(ToleranceName::Int8);
        let mut pair = new(tolerance);
        for (image, values) in others.into_iter().enumerate() {
            let run = answer(values);
            let difference = Difference::new(&reference, &run, tolerance.ties());
            pair.add(image, [&reference, &run], difference).unwrap();
        }
        let worst: Vec<usize> = pair.worst.iter().map(|worst| worst.row.image).collect();
        assert_eq!(worst, [2, 3, 1, 4, 0]);
        assert!(failed(&pair).contains(&"finite"));
        assert!((pair.overlap() - 4.0 / 5.0).abs() < 1e-12);
        let distributions = pair.distributions().unwrap();
        let (key, _, largest) = distributions[0];
        assert_eq!(key, "max_delta");
        assert!((largest.max - 0.11).abs() < 1e-6 && (largest.p50 - 0.05).abs() < 1e-6);
    }

    #[test]
    fn scores_that_round_to_other_digits_are_other_text() {
        let tolerance = Tolerance::named(ToleranceName::F32);
        let mut pair = new(tolerance);
        let reference = answer([0.5, 0.300_049, 0.2]);
        for (image, values) in [
            // 0.3000 and 0.3000.
            [0.5, 0.300_001, 0.2],
            // 0.3000 and 0.3001.
            [0.5, 0.300_051, 0.2],
            // Other classes.
            [0.3, 0.5, 0.2],
            [f32::NAN, 0.0, 0.0],
        ]
        .into_iter()
        .enumerate()
        {
            let run = answer(values);
            let difference = Difference::new(&reference, &run, tolerance.ties());
            pair.add(image, [&reference, &run], difference).unwrap();
        }
        assert_eq!(pair.identical_text(), Rate::new(1, 4));
        assert_eq!((pair.ordered_match().count, pair.other_digits()), (2, 1));
    }

    #[test]
    fn answers_that_do_not_depend_on_the_image_compare_nothing() {
        let f32 = Tolerance::named(ToleranceName::F32);
        let mut constant = Variation::default();
        for _ in 0..5 {
            constant.add(&answer([0.5, 0.3, 0.2]));
        }
        let same = pair(5, 0, 0.0, f32);
        assert_eq!(same.verdict(&constant), Verdict::CouldNotCompare);
        // A difference in spite of that counts.
        assert_eq!(pair(5, 0, 1e-3, f32).verdict(&constant), Verdict::Disagree);
    }

    #[test]
    fn logits_that_differ_where_the_softmax_saturates_disagree() {
        let logits = |values: [f32; 3]| {
            let output = Tensor::new([1, 3], values.to_vec()).unwrap();
            let interpretation = Interpretation::plain(Scoring::Softmax);
            Answer::new(&output, &interpretation, 3).unwrap()
        };
        let tolerance = Tolerance::named(ToleranceName::F32);
        let mut pair = Pair::new(tolerance, Basis::Logits);
        let (one, other) = (logits([900.0, 100.0, 50.0]), logits([1170.0, 130.0, 65.0]));
        let difference = Difference::new(&one, &other, tolerance.ties());
        pair.add(0, [&one, &other], difference).unwrap();
        assert_eq!(failed(&pair), ["logits"]);
    }

    #[test]
    fn probabilities_that_saturate_in_the_model_are_a_remark() {
        let tolerance = Tolerance::named(ToleranceName::F16);
        let remark = |others: &[[f32; 3]]| {
            let mut pair = new(tolerance);
            let reference = answer([0.999_99, 1e-5, 1e-7]);
            for (image, values) in others.iter().enumerate() {
                let run = answer(*values);
                let difference = Difference::new(&reference, &run, tolerance.ties());
                pair.add(image, [&reference, &run], difference).unwrap();
            }
            let mut gates = pair.gates(&varied()).into_iter();
            gates.find(|gate| gate.name == Gate::MAX_DELTA)?.remark
        };
        let other = [0.999_99, 1e-5, 1e-7];
        let text = remark(&[[1.0, 0.0, 0.0], other]).unwrap();
        assert!(
            text.starts_with("for 1 of 2 images a run has only"),
            "{text}"
        );
        assert!(remark(&[other]).is_none());
        assert!(remark(&[[0.0, 1.0, 0.0]]).is_none(), "the gate failed");
    }

    #[test]
    fn a_number_added_to_all_logits_hides_no_error() {
        let tolerance = Tolerance::named(ToleranceName::F32);
        for scorings in [
            [Scoring::Softmax, Scoring::Softmax],
            [Scoring::LogProbability, Scoring::LogProbability],
            [Scoring::Softmax, Scoring::LogProbability],
        ] {
            let answer = |values: [f32; 3], scoring| {
                let output = Tensor::new([1, 3], values.to_vec()).unwrap();
                Answer::new(&output, &Interpretation::plain(scoring), 3).unwrap()
            };
            let basis = Basis::of(scorings[0], scorings[1]).unwrap();
            let mut same = Pair::new(tolerance, basis);
            let one = answer([900.0, 100.0, 50.0], scorings[0]);
            let shifted = answer([1900.0, 1100.0, 1050.0], scorings[1]);
            let difference = Difference::new(&one, &shifted, tolerance.ties());
            same.add(0, [&one, &shifted], difference).unwrap();
            assert!(failed(&same).is_empty(), "{scorings:?}");
            let mut other = Pair::new(tolerance, basis);
            let one = answer([1_000_900.0, 1_000_100.0, 1_000_050.0], scorings[0]);
            let off = answer([1_000_900.0, 1_000_130.0, 1_000_050.0], scorings[1]);
            let difference = Difference::new(&one, &off, tolerance.ties());
            other.add(0, [&one, &off], difference).unwrap();
            assert_eq!(failed(&other), ["logits"], "{scorings:?}");
        }
    }
}
