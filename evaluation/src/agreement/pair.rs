//! Two runs over all images: their agreement and the verdict.

use std::fmt::Write as _;
use std::io::Write as _;

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
use crate::text::{counted, grouped, number};

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
    /// Returns a pair without images, which `tolerance` will judge.
    pub fn new(tolerance: Tolerance, basis: Basis) -> Self {
        Self {
            tolerance,
            basis,
            rows: Rows::default(),
            worst: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Returns the share of all images; outputs that are not finite never agree.
    fn rate(&self, count: usize) -> Rate {
        Rate::new(count, self.rows.len())
    }

    /// Returns the share of images with the same best class.
    pub fn top1_match(&self) -> Rate {
        self.rate(self.counts.top1_match)
    }

    /// Returns the share of images with the same best class, where classes that tie in both answers count as the same.
    pub fn top1_match_but_ties(&self) -> Rate {
        self.rate(self.counts.top1_match_but_ties)
    }

    /// Returns the share of images with the same classes in the same order.
    pub fn ordered_match(&self) -> Rate {
        self.rate(self.counts.ordered_match)
    }

    /// Returns the share of images with the same classes in the same order, where ties may change places.
    pub fn ordered_match_but_ties(&self) -> Rate {
        self.rate(self.counts.ordered_match_but_ties)
    }

    /// Returns the share of images for which `classify` prints the same text: ids, and 4 digits of the scores.
    pub fn identical_text(&self) -> Rate {
        self.rate(self.counts.identical_text)
    }

    /// Returns the number of images with the same classes in order whose printed scores differ.
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

    /// Returns the images that are not [within](Row::within) the limits, the worst first; at most `most`.
    ///
    /// # Errors
    ///
    /// If the differences cannot be read back.
    pub fn worst_beyond(&self, most: usize) -> Result<Vec<Row>, RowsError> {
        let mut worst: Vec<Row> = Vec::new();
        for row in self.rows.iter() {
            let row = row?;
            if row.within(&self.tolerance, self.basis) {
                continue;
            }
            let place = worst.partition_point(|other| !self.is_worse(&row, other));
            if place < most {
                worst.insert(place, row);
                worst.truncate(most);
            }
        }
        Ok(worst)
    }

    /// Returns whether a difference is worse than another one.
    fn is_worse(&self, row: &Row, other: &Row) -> bool {
        let [a, b] = [row, other].map(|row| row.badness(&self.tolerance, self.basis));
        a.0.cmp(&b.0)
            .then(a.1.total_cmp(&b.1))
            .then(a.2.total_cmp(&b.2))
            .is_gt()
    }

    /// Returns the mean share of the k best classes that both runs have.
    pub fn overlap(&self) -> f64 {
        let (shared, of) = self.overlap_counts();
        shared as f64 / of.max(1) as f64
    }

    /// Returns the common classes of all images, and the best classes of all images. Every image has the same number of
    /// best classes, so that the mean of the shares is the share of these counts, which is exact.
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

    /// Returns the name and the value of each rate.
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
        // An answer that is not finite has no best classes. The number of the other answer's counts instead.
        let best = match row.values() {
            Some(values) => values.of,
            None => reference.top.len().max(run.top.len()),
        };
        self.counts.best += best;
        self.counts.within += usize::from(row.within(&self.tolerance, self.basis));
        self.counts.saturated += usize::from(answers.iter().any(|answer| answer.is_saturated()));
        let place = self
            .worst
            .iter()
            .position(|other| self.is_worse(&row, &other.row))
            .unwrap_or(self.worst.len());
        if place < WORST {
            let top = answers.map(|answer| answer.top.clone());
            self.worst.insert(place, Worst { row, top });
            self.worst.truncate(WORST);
        }
        Ok(())
    }

    /// Returns every limit of the tolerance; none without images, and only `finite` if no image has finite answers.
    /// `variation` is the one of the reference's answers.
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
                _ => format!("{} of {of} have NaN or infinities", grouped(not_finite)),
            },
        )];
        if not_finite == images {
            // No other number exists, so no other limit can hold.
            return gates;
        }
        let exceed = |count: usize| match (count, images) {
            (1, _) | (_, 1) => "exceeds",
            _ => "exceed",
        };
        if basis.has_probabilities() {
            gates.push(Gate {
                remark: self.saturation(),
                ..Gate::new(
                    Gate::MAX_DELTA,
                    too_far == 0,
                    format!(
                        "max |Δp| {}, limit {}; {} of {of} {} it",
                        number(largest),
                        tolerance.max_delta,
                        grouped(too_far),
                        exceed(too_far)
                    ),
                )
            });
        }
        if basis.has_outputs() {
            gates.push(Gate::new(
                "logits",
                other_outputs == 0,
                format!(
                    "relative error of the outputs {}, limit {}; {} of {of} {} it",
                    number(largest_error),
                    tolerance.max_relative_error,
                    grouped(other_outputs),
                    exceed(other_outputs)
                ),
            ));
        }
        if *basis == Basis::ClassIds && tolerance.min_top1.is_none() {
            let others = counts.finite - counts.top1_match;
            gates.push(Gate::new(
                "class",
                others == 0,
                format!("{} of {of} have a different class id", grouped(others)),
            ));
        }
        gates.push(Gate::new(
            Gate::INFORMATIVE,
            variation.is_informative(),
            variation.found(),
        ));
        if tolerance.same_order && *basis != Basis::ClassIds {
            let others = counts.finite - counts.ordered_match_but_ties;
            gates.push(Gate::new(
                "order",
                others == 0,
                format!(
                    "{} of {of} have a different order, except for ties",
                    grouped(others)
                ),
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
                grouped(counts.top1_match)
            );
            gates.push(gate);
        }
        if let Some(least) = tolerance.min_overlap {
            let (shared, of) = self.overlap_counts();
            gates.push(Gate::new(
                "overlap",
                least.is_reached(shared, of),
                format!(
                    "mean overlap {} % ({} of {} classes), at least {least}",
                    percent(self.overlap()),
                    grouped(shared),
                    grouped(of)
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
                "for {} of {} a run has only probabilities of exactly 0 and 1, which hide differences: compare \
                 the logits before the softmax or sigmoid",
                grouped(saturated),
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

/// The bytes of the longest score: the largest f32 has 39 digits before the point.
const LONGEST: usize = 64;

/// Returns whether the best classes print the same text.
fn prints_the_same(reference: &Answer, run: &Answer) -> bool {
    let mut both = reference.top.iter().zip(&run.top);
    both.all(|(a, b)| a.class_id == b.class_id && printed(a.score) == printed(b.score))
}

/// Returns the printed score, and zeros behind it.
fn printed(score: f32) -> [u8; LONGEST] {
    let mut text = [0; LONGEST];
    write!(&mut text[..], "{score:.DIGITS$}").expect("the longest score has room");
    text
}

#[cfg(test)]
mod tests;
