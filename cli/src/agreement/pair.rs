//! Two runs over all pictures: what they have in common, and the verdict.

use image_classification::Ranked;
use serde::Serialize;

use super::difference::{Answer, Difference, TELLING, Values};
use super::tolerance::{ENOUGH_PICTURES, Tolerance, percent};
use crate::statistics::{Distribution, Rate};

/// One picture's difference. About 200 bytes: all that is kept of a picture and a run.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Which picture, in the order of the inputs.
    pub picture: usize,
    pub difference: Difference,
    /// The best class of the reference and of the run, where they are finite.
    pub best: Option<[Ranked; 2]>,
}

impl Row {
    /// How bad it is: a picture that is not finite, then another best class, then the largest
    /// difference. Larger is worse.
    fn badness(&self) -> (u8, f64) {
        match &self.difference {
            Difference::NotFinite { .. } => (2, 0.0),
            Difference::Finite(values) => (u8::from(!values.top1_match), values.max_delta),
        }
    }

    /// The numbers, if both answers are finite.
    pub fn values(&self) -> Option<&Values> {
        match &self.difference {
            Difference::Finite(values) => Some(values),
            Difference::NotFinite { .. } => None,
        }
    }

    /// Whether this picture alone is within the limits that hold for every picture.
    pub fn within(&self, tolerance: &Tolerance) -> bool {
        self.values().is_some_and(|values| {
            values.max_delta <= tolerance.max_delta
                && (!tolerance.same_order || values.ordered_match_but_ties)
        })
    }
}

/// What comes out of a comparison or an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All limits hold.
    Agree,
    /// A limit does not hold.
    Disagree,
    /// Something could not be compared, so that nothing is certain.
    CouldNotCompare,
}

/// One limit, and whether it holds.
#[derive(Debug, Clone, Serialize)]
pub struct Gate {
    /// A stable name: `finite`, `max-delta`, `telling`, `order`, `top1`, `overlap`.
    pub name: &'static str,
    pub passed: bool,
    /// What was found against what was asked for, for people.
    pub found: String,
    /// What has to be known of a gate that passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// How many of the worst pictures are kept with their best classes.
const WORST: usize = 10;

/// One of the worst pictures.
#[derive(Debug, Clone)]
pub struct Worst {
    pub row: Row,
    /// The best classes of the reference and of the run.
    pub top: [Vec<Ranked>; 2],
}

/// All that is known of two runs.
#[derive(Debug, Default)]
pub struct Pair {
    pub rows: Vec<Row>,
    /// Worst first; of equal ones the first.
    pub worst: Vec<Worst>,
}

/// A column of [`Values`].
type Column = fn(&Values) -> Option<f64>;

/// What reports say of each picture in numbers, by the names of the JSON.
const COLUMNS: [(&str, &str, Column); 7] = [
    ("max_delta", "max |Δp|", |v| Some(v.max_delta)),
    ("max_logit_delta", "max |Δlogit|", |v| v.max_logit_delta),
    ("mean_logit_delta", "mean |Δlogit|", |v| v.mean_logit_delta),
    ("relative_error", "relative error", |v| {
        Some(v.relative_error)
    }),
    ("cosine", "1 − cosine", |v| {
        Some((1.0 - v.cosine).max(0.0))
    }),
    ("kl_divergence", "KL divergence", |v| v.kl_divergence),
    ("rank", "rank of reference's best", |v| Some(v.rank as f64)),
];

impl Pair {
    fn finite(&self) -> impl Iterator<Item = &Values> {
        self.rows.iter().filter_map(Row::values)
    }

    /// The share of pictures for which `holds` does; what is not finite does not.
    pub fn rate(&self, holds: impl Fn(&Values) -> bool) -> Rate {
        let count = self.finite().filter(|values| holds(values)).count();
        Rate::new(count, self.rows.len())
    }

    /// How many pictures have NaN or infinities.
    pub fn not_finite(&self) -> usize {
        self.rows.len() - self.finite().count()
    }

    /// The mean share of common classes.
    pub fn overlap(&self) -> f64 {
        let sum: f64 = self.finite().map(|values| values.overlap).sum();
        if self.rows.is_empty() {
            0.0
        } else {
            sum / self.rows.len() as f64
        }
    }

    /// Each column's distribution, where there is one.
    pub fn distributions(&self) -> Vec<(&'static str, &'static str, Distribution)> {
        COLUMNS
            .iter()
            .filter_map(|(key, name, column)| {
                let values = Distribution::of(self.finite().filter_map(column))?;
                Some((*key, *name, values))
            })
            .collect()
    }

    /// Names and values of the rates.
    pub fn rates(&self) -> [(&'static str, String); 4] {
        [
            (
                "same best class",
                self.rate(|values| values.top1_match).to_string(),
            ),
            (
                "same classes in order",
                self.rate(|values| values.ordered_match).to_string(),
            ),
            (
                "the same but for ties",
                self.rate(|values| values.ordered_match_but_ties)
                    .to_string(),
            ),
            ("mean overlap", format!("{:.1} %", self.overlap() * 100.0)),
        ]
    }

    /// Adds a picture, with the answers of the reference and of the run.
    pub fn add(&mut self, picture: usize, answers: [&Answer; 2], difference: Difference) {
        let [reference, run] = answers;
        let best = |answer: &Answer| answer.top.first().copied();
        let row = Row {
            picture,
            difference,
            best: best(reference).zip(best(run)).map(|(a, b)| [a, b]),
        };
        self.rows.push(row);
        let is_worse = |other: &Worst| {
            let (a, b) = (row.badness(), other.row.badness());
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).is_gt()
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
    }

    /// Every limit of `tolerance`.
    pub fn gates(&self, tolerance: &Tolerance) -> Vec<Gate> {
        let pictures = self.rows.len();
        let not_finite = self.not_finite();
        let largest = self
            .finite()
            .map(|values| values.max_delta)
            .fold(0.0, f64::max);
        let too_far = self
            .finite()
            .filter(|values| values.max_delta > tolerance.max_delta)
            .count();
        let mut gates = vec![
            gate(
                "finite",
                not_finite == 0,
                format!("{not_finite} of {pictures} pictures with NaN or infinities"),
            ),
            gate(
                "max-delta",
                too_far == 0,
                format!(
                    "max |Δp| {largest:.3e}, limit {}; {too_far} of {pictures} pictures beyond",
                    tolerance.max_delta
                ),
            ),
        ];
        let telling = self.finite().filter(|values| values.telling).count();
        gates.push(gate(
            "telling",
            telling > 0 || pictures == not_finite,
            format!(
                "on {telling} of {pictures} pictures the best classes' scores differ by more than {TELLING}"
            ),
        ));
        if tolerance.same_order {
            let others = self
                .finite()
                .filter(|values| !values.ordered_match_but_ties)
                .count();
            gates.push(gate(
                "order",
                others == 0,
                format!("{others} of {pictures} pictures in another order, ties aside"),
            ));
        }
        if let Some(least) = tolerance.min_top1 {
            gates.push(self.top1_gate(least, tolerance.strict_top1));
        }
        if let Some(least) = tolerance.min_overlap {
            let overlap = self.overlap();
            gates.push(gate(
                "overlap",
                overlap >= least,
                format!(
                    "mean overlap {:.1} %, at least {} %",
                    overlap * 100.0,
                    percent(least)
                ),
            ));
        }
        gates
    }

    fn top1_gate(&self, least: f64, strict: bool) -> Gate {
        let rate = self.rate(|values| values.top1_match);
        let few = rate.of < ENOUGH_PICTURES && !strict;
        // Where even the best of what is likely is too little, few pictures are enough to say so.
        let passed = if few {
            rate.high >= least
        } else {
            rate.share >= least
        };
        let found = format!("same best class on {rate}, at least {} %", percent(least));
        Gate {
            remark: (few && passed).then(|| {
                format!(
                    "{} pictures are too few to establish {} %: they only do not contradict it; give at least {ENOUGH_PICTURES}",
                    rate.of,
                    percent(least)
                )
            }),
            ..gate("top1", passed, found)
        }
    }

    /// Whether all limits hold.
    pub fn verdict(&self, tolerance: &Tolerance) -> Verdict {
        if self.rows.is_empty() {
            Verdict::CouldNotCompare
        } else if self.gates(tolerance).iter().all(|gate| gate.passed) {
            Verdict::Agree
        } else {
            Verdict::Disagree
        }
    }
}

/// A gate without a remark.
pub fn gate(name: &'static str, passed: bool, found: String) -> Gate {
    Gate {
        name,
        passed,
        found,
        remark: None,
    }
}

#[cfg(test)]
mod tests {
    use backend_api::Tensor;
    use image_classification::ScoreKind;

    use super::*;
    use crate::agreement::ToleranceName;

    fn row(picture: usize, top1_match: bool, max_delta: f64) -> Row {
        let values = Values {
            top1_match,
            ordered_match: top1_match,
            ordered_match_but_ties: top1_match,
            telling: true,
            overlap: if top1_match { 1.0 } else { 0.5 },
            rank: if top1_match { 1 } else { 2 },
            max_delta,
            max_logit_delta: None,
            mean_logit_delta: None,
            relative_error: max_delta,
            cosine: 1.0,
            kl_divergence: None,
        };
        Row {
            picture,
            difference: Difference::Finite(values),
            best: None,
        }
    }

    fn pair(same: usize, other: usize) -> Pair {
        let rows = (0..same + other).map(|n| row(n, n < same, 0.001));
        Pair {
            rows: rows.collect(),
            worst: Vec::new(),
        }
    }

    fn failed(pair: &Pair, tolerance: &Tolerance) -> Vec<&'static str> {
        let gates = pair.gates(tolerance);
        gates
            .iter()
            .filter(|gate| !gate.passed)
            .map(|gate| gate.name)
            .collect()
    }

    #[test]
    fn f32_takes_neither_another_order_nor_a_difference() {
        let f32 = Tolerance::named(ToleranceName::F32);
        assert_eq!(failed(&pair(5, 0), &f32), ["max-delta"]);
        assert_eq!(failed(&pair(4, 1), &f32), ["max-delta", "order"]);
        let close = Pair {
            rows: vec![row(0, true, 1e-4)],
            worst: Vec::new(),
        };
        assert_eq!(close.verdict(&f32), Verdict::Agree);
        assert_eq!(Pair::default().verdict(&f32), Verdict::CouldNotCompare);
    }

    #[test]
    fn few_pictures_can_contradict_a_rate_but_not_establish_it() {
        let bf16 = Tolerance::named(ToleranceName::Bf16);
        let gates = pair(27, 1).gates(&bf16);
        let top1 = gates.iter().find(|gate| gate.name == "top1").unwrap();
        assert!(
            top1.passed && top1.remark.as_ref().unwrap().contains("too few"),
            "{top1:?}"
        );
        assert_eq!(failed(&pair(20, 8), &bf16), ["top1"]);
        assert_eq!(failed(&pair(97, 3), &bf16), ["top1"]);
        assert!(failed(&pair(98, 2), &bf16).is_empty());
        let strict = Tolerance {
            strict_top1: true,
            ..bf16
        };
        assert_eq!(failed(&pair(27, 1), &strict), ["top1"]);
    }

    #[test]
    fn what_is_not_finite_is_worst_and_never_agrees() {
        let answer = |values: [f32; 3]| {
            let output = Tensor::new([1, 3], values.to_vec()).unwrap();
            Answer::new(&output, ScoreKind::Auto, 3).unwrap()
        };
        let reference = answer([0.5, 0.3, 0.2]);
        let others = [
            [0.5, 0.3, 0.2],
            [0.45, 0.35, 0.2],
            [f32::NAN, 0.0, 0.0],
            [0.4, 0.41, 0.19],
            [0.45, 0.35, 0.2],
        ];
        let mut pair = Pair::default();
        for (picture, values) in others.into_iter().enumerate() {
            let run = answer(values);
            let difference = Difference::new(&reference, &run, ScoreKind::Auto, 0.0);
            pair.add(picture, [&reference, &run], difference);
        }
        let worst: Vec<usize> = pair.worst.iter().map(|worst| worst.row.picture).collect();
        assert_eq!(worst, [2, 3, 1, 4, 0]);
        let int8 = Tolerance::named(ToleranceName::Int8);
        assert!(failed(&pair, &int8).contains(&"finite"));
        assert!((pair.overlap() - 4.0 / 5.0).abs() < 1e-12);
    }
}
