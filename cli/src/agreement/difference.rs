//! One picture, two answers.

use backend_api::Tensor;
use image_classification::{Ranked, ScoreKind, Scores, ScoresError, top_k};

/// Scores that are closer than this say nothing about which class it is.
pub const TELLING: f64 = 1e-4;

/// What one run answers for one picture.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The model's output as it is.
    pub raw: Vec<f32>,
    /// Its scores; `None` where the output is not finite.
    scores: Option<Scores>,
    /// How many values of the output are NaN or infinite.
    pub not_finite: usize,
    /// The best classes.
    pub top: Vec<Ranked>,
}

impl Answer {
    /// The answer in `output`, with its `k` best classes.
    ///
    /// # Errors
    ///
    /// [`ScoresError`] for an output that is none of a classifier's. NaN and infinities are no error
    /// here: they are counted.
    pub fn new(output: &Tensor, kind: ScoreKind, k: usize) -> Result<Self, ScoresError> {
        let (scores, not_finite) = match Scores::from_output(output, kind) {
            Ok(scores) => (Some(scores), 0),
            Err(ScoresError::NotFinite { count, .. }) => (None, count),
            Err(error) => return Err(error),
        };
        let top = scores
            .as_ref()
            .map_or_else(Vec::new, |scores| top_k(scores.values(), k));
        Ok(Self {
            raw: output.to_f32().into_owned(),
            scores,
            not_finite,
            top,
        })
    }

    /// How the output of another run has to be read to be compared with this one: the engines may
    /// round a distribution so that only one of them still adds up to 1.
    pub fn kind(&self, asked: ScoreKind) -> ScoreKind {
        match (&self.scores, asked) {
            (Some(scores), ScoreKind::Auto) if scores.softmax_applied() => ScoreKind::Softmax,
            (Some(_), ScoreKind::Auto) => ScoreKind::Raw,
            (_, asked) => asked,
        }
    }

    /// The score of each class, if the output is finite.
    pub fn scores(&self) -> Option<&[f32]> {
        self.scores.as_ref().map(Scores::values)
    }
}

/// How far one picture's answer differs from the reference's.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Difference {
    /// Both are finite.
    Finite(Values),
    /// NaN or infinities in the reference's output and in the other: nothing can be ranked.
    NotFinite { reference: usize, run: usize },
}

/// The numbers. `p` are the reference's scores, `q` the other run's; `x` and `y` the outputs as they
/// are; all sums are over classes, in double precision.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "what is counted are yes and no"
)]
pub struct Values {
    /// The best class is the same.
    pub top1_match: bool,
    /// The k best classes are the same in the same order.
    pub ordered_match: bool,
    /// The same, where classes that tie in the reference may stand for each other: at every rank,
    /// |p(a) − p(b)| is at most the tolerance for the two classes there.
    pub ordered_match_but_ties: bool,
    /// The reference's best class and its k-th differ by more than [`TELLING`]: where all tie, agreement
    /// says nothing.
    pub telling: bool,
    /// The share of the k best classes that both have, in any order.
    pub overlap: f64,
    /// The rank that the reference's best class has in the other run, from 1.
    pub rank: usize,
    /// max |p − q|.
    pub max_delta: f64,
    /// max |x − y|, for a model that gives logits.
    pub max_logit_delta: Option<f64>,
    /// mean |x − y|, for a model that gives logits.
    pub mean_logit_delta: Option<f64>,
    /// ‖x − y‖₂ / ‖x‖₂.
    pub relative_error: f64,
    /// x·y / (‖x‖₂ ‖y‖₂).
    pub cosine: f64,
    /// Σ p ln(p / q) in nats, the Kullback–Leibler divergence, for scores that are probabilities; q is
    /// at least the smallest positive 32-bit number.
    pub kl_divergence: Option<f64>,
}

impl Difference {
    /// Compares two answers of the same number of classes; `tie` is the tolerance for ties.
    pub fn new(reference: &Answer, run: &Answer, kind: ScoreKind, tie: f64) -> Self {
        let (Some(p), Some(q)) = (reference.scores(), run.scores()) else {
            return Self::NotFinite {
                reference: reference.not_finite,
                run: run.not_finite,
            };
        };
        let score = |class_id: usize| f64::from(p[class_id]);
        let pairs = || reference.top.iter().zip(&run.top);
        let best = reference.top[0].class_id;
        let shared = reference
            .top
            .iter()
            .filter(|a| run.top.iter().any(|b| a.class_id == b.class_id))
            .count();
        let rank = 1 + q
            .iter()
            .enumerate()
            .filter(|&(class_id, &other)| other > q[best] || (other == q[best] && class_id < best))
            .count();
        let raw = || {
            let values = reference.raw.iter().zip(&run.raw);
            values.map(|(&x, &y)| (f64::from(x), f64::from(y)))
        };
        let (mut xx, mut yy, mut xy, mut dd, mut largest, mut sum) =
            (0.0, 0.0, 0.0, 0.0, 0.0_f64, 0.0);
        for (x, y) in raw() {
            let delta = (x - y).abs();
            xx += x * x;
            yy += y * y;
            xy += x * y;
            dd += delta * delta;
            largest = largest.max(delta);
            sum += delta;
        }
        let is_logits = reference
            .scores
            .as_ref()
            .is_some_and(Scores::softmax_applied);
        let scores = || {
            let values = p.iter().zip(q);
            values.map(|(&p, &q)| (f64::from(p), f64::from(q)))
        };
        let sum_of_p: f64 = p.iter().map(|&p| f64::from(p)).sum();
        let is_distribution = kind != ScoreKind::Raw && (sum_of_p - 1.0).abs() < 0.05;
        let kl = || {
            let least = f64::from(f32::MIN_POSITIVE);
            let terms = scores()
                .filter(|&(p, _)| p > 0.0)
                .map(|(p, q)| p * (p / q.max(least)).ln());
            // Rounding may leave it a little below 0.
            terms.sum::<f64>().max(0.0)
        };
        Self::Finite(Values {
            top1_match: run.top[0].class_id == best,
            ordered_match: pairs().all(|(a, b)| a.class_id == b.class_id),
            ordered_match_but_ties: pairs().all(|(a, b)| {
                a.class_id == b.class_id || (score(a.class_id) - score(b.class_id)).abs() <= tie
            }),
            telling: match &reference.top[..] {
                [first, .., last] => f64::from(first.score) - f64::from(last.score) > TELLING,
                _ => true,
            },
            overlap: shared as f64 / reference.top.len() as f64,
            rank,
            max_delta: scores().map(|(p, q)| (p - q).abs()).fold(0.0, f64::max),
            max_logit_delta: is_logits.then_some(largest),
            mean_logit_delta: is_logits.then(|| sum / p.len() as f64),
            relative_error: ratio(dd.sqrt(), xx.sqrt()),
            cosine: if xx == yy && dd == 0.0 {
                1.0
            } else {
                ratio(xy, xx.sqrt() * yy.sqrt())
            },
            kl_divergence: is_distribution.then(kl),
        })
    }
}

/// Nothing of nothing is 0.
fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 { 0.0 } else { a / b }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(values: &[f32], kind: ScoreKind) -> Answer {
        let output = Tensor::new([1, values.len()], values.to_vec()).unwrap();
        Answer::new(&output, kind, 3).unwrap()
    }

    fn values(a: &[f32], b: &[f32], kind: ScoreKind, tie: f64) -> Values {
        let reference = answer(a, kind);
        let run = answer(b, reference.kind(kind));
        match Difference::new(&reference, &run, kind, tie) {
            Difference::Finite(values) => values,
            other @ Difference::NotFinite { .. } => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_answer_does_not_differ() {
        let p = [0.1, 0.2, 0.3, 0.4];
        let same = values(&p, &p, ScoreKind::Auto, 0.0);
        assert!(same.top1_match && same.ordered_match && same.ordered_match_but_ties);
        assert_eq!((same.overlap, same.rank, same.max_delta), (1.0, 1, 0.0));
        assert_eq!((same.cosine, same.relative_error), (1.0, 0.0));
        assert_eq!(
            (same.kl_divergence, same.max_logit_delta),
            (Some(0.0), None)
        );
    }

    #[test]
    fn every_number_is_what_its_formula_says() {
        let v = values(
            &[0.5, 0.25, 0.125, 0.125],
            &[0.25, 0.5, 0.125, 0.125],
            ScoreKind::Auto,
            0.0,
        );
        assert!(!v.top1_match && !v.ordered_match && !v.ordered_match_but_ties);
        assert_eq!((v.overlap, v.rank, v.max_delta), (1.0, 2, 0.25));
        // The formulas, computed with Python.
        assert!((v.relative_error - 0.603_022_7).abs() < 1e-6, "{v:?}");
        assert!((v.cosine - 0.818_181_8).abs() < 1e-6, "{v:?}");
        assert!(
            (v.kl_divergence.unwrap() - 0.173_286_8).abs() < 1e-6,
            "{v:?}"
        );
        let logits = values(
            &[4.0, 1.0, 0.0, -1.0],
            &[4.5, 1.0, 0.0, -1.0],
            ScoreKind::Auto,
            0.0,
        );
        assert_eq!(
            (logits.max_logit_delta, logits.mean_logit_delta),
            (Some(0.5), Some(0.125))
        );
    }

    #[test]
    fn classes_that_tie_may_change_places() {
        let (a, b) = (
            [0.4, 0.300_01, 0.299_99, 0.0],
            [0.4, 0.299_99, 0.300_01, 0.0],
        );
        assert!(values(&a, &b, ScoreKind::Auto, 1e-4).ordered_match_but_ties);
        assert!(!values(&a, &b, ScoreKind::Auto, 1e-6).ordered_match_but_ties);
        assert!(!values(&a, &b, ScoreKind::Auto, 1e-4).ordered_match);
    }

    #[test]
    fn what_is_not_finite_is_counted() {
        let good = answer(&[0.5, 0.5, 0.0], ScoreKind::Auto);
        let bad = answer(&[f32::NAN, f32::INFINITY, 0.0], ScoreKind::Auto);
        assert_eq!(
            Difference::new(&good, &bad, ScoreKind::Auto, 0.0),
            Difference::NotFinite {
                reference: 0,
                run: 2
            }
        );
    }
}
