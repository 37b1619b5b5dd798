//! The difference of two answers for one image.

use backend_api::Tensor;
use image_classification::{Interpretation, Ranked, Scores, ScoresError, Scoring};

/// If all classes differ by less than this share of the largest value, they tie.
pub const INFORMATIVE: f64 = 1e-4;

/// The answer of one run for one image.
#[derive(Debug, Clone)]
pub struct Answer {
    scoring: Scoring,
    /// `None` if the output is not finite.
    scores: Option<Scores>,
    /// The number of values of the output that are NaN or infinite.
    pub not_finite: usize,
    /// The number of classes, finite or not; 0 for class ids.
    pub classes: usize,
    /// The best classes.
    pub top: Vec<Ranked>,
}

impl Answer {
    /// Reads the answer in `output`, with its `k` best classes.
    ///
    /// # Errors
    ///
    /// [`ScoresError`] for an output that is not a classifier's. NaN and infinities are not an error
    /// here: they are counted.
    pub fn new(
        output: &Tensor,
        interpretation: &Interpretation,
        k: usize,
    ) -> Result<Self, ScoresError> {
        let (scores, not_finite) = match interpretation.scores(output) {
            Ok(scores) => (Some(scores), 0),
            Err(ScoresError::NotFinite { count, .. }) => (None, count),
            Err(error) => return Err(error),
        };
        Ok(Self {
            scoring: interpretation.scoring,
            top: scores
                .as_ref()
                .map_or_else(Vec::new, |scores| scores.top(k)),
            scores,
            not_finite,
            classes: interpretation
                .scoring
                .class_count(Some(output.len()))
                .unwrap_or(0),
        })
    }

    /// Returns whether the ranked values differ by more than 0.0001 of the largest one, or there is one class.
    pub fn has_order(&self) -> bool {
        let Some(scores) = self.scores() else {
            return false;
        };
        let values = scores.output();
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let size = f64::from(low.abs().max(high.abs()));
        values.len() == 1 || f64::from(high) - f64::from(low) > INFORMATIVE * size
    }

    /// Returns whether there are several probabilities, and all are exactly 0 or 1. A softmax or a sigmoid that
    /// saturates hides how its inputs differ.
    pub fn is_saturated(&self) -> bool {
        let is_end = |p: &f64| *p == 0.0 || *p == 1.0;
        self.scoring.is_probability()
            && self.scores().is_some_and(|scores| {
                scores.values().len() > 1 && scores.values().iter().all(is_end)
            })
    }

    /// Returns the scores, if the output is finite.
    pub fn scores(&self) -> Option<&Scores> {
        self.scores.as_ref()
    }
}

/// The difference of one image's answer from the reference's.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Difference {
    /// Both outputs are finite.
    Finite(Values),
    /// The number of NaN and infinities in the two outputs, which cannot be ranked.
    NotFinite {
        /// The number in the reference's output.
        reference: usize,
        /// The number in the run's output.
        run: usize,
    },
}

/// The numbers of a difference. `p` are the reference's scores, `q` the other run's. `x` and `y` are the outputs as
/// they are, with two exceptions. If a softmax makes the scores of both, the mean of each output is subtracted, because
/// a softmax does not depend on it. If one output holds logits and the other probabilities, `x` and `y` are the scores.
/// All sums are over classes, in double precision.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "reports count each of them")]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Values {
    /// The best class is the same.
    pub top1_match: bool,
    /// The same, but two best classes that tie in both answers count as equal.
    pub top1_match_but_ties: bool,
    /// The k best classes are the same in the same order.
    pub ordered_match: bool,
    /// The same, but classes that tie in the reference count as equal.
    pub ordered_match_but_ties: bool,
    /// The reference's classes [differ](Answer::has_order): if all tie, agreement is not evidence.
    pub informative: bool,
    /// The number of the k best classes that both have, in any order.
    pub shared: usize,
    /// The number of best classes that were compared: k, or fewer if there are fewer.
    pub of: usize,
    /// The rank that the reference's best class has in the other run, from 1.
    pub rank: usize,
    /// max |p − q|; `None` for outputs without scores.
    pub max_delta: Option<f64>,
    /// max |x − y|, for two models that give logits.
    pub max_logit_delta: Option<f64>,
    /// mean |x − y|, for two models that give logits.
    pub mean_logit_delta: Option<f64>,
    /// ‖x − y‖₂ / ‖x‖₂; `None` for outputs without scores.
    pub relative_error: Option<f64>,
    /// x·y / (‖x‖₂ ‖y‖₂); `None` for outputs without scores.
    pub cosine: Option<f64>,
    /// 1 − the cosine, computed from x − y: near 1, the cosine has no significant digits left.
    pub cosine_distance: Option<f64>,
    /// Σ p ln(p / q) − p + q in nats, the Kullback–Leibler divergence in the form that does not depend on how the sums
    /// of p and q were rounded; q is at least the smallest normal 32-bit number. For two distributions.
    pub kl_divergence: Option<f64>,
}

impl Values {
    /// Returns the share of the k best classes that both have.
    pub fn overlap(&self) -> f64 {
        self.shared as f64 / self.of as f64
    }
}

/// The largest distance of scores that tie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tie {
    /// For logits and other outputs as they are, as a share of the largest |x|.
    pub output: f64,
    /// For probabilities, as a share of the larger one.
    pub probability: f64,
    /// For two best classes: of their probabilities, and of their outputs as a share of the largest |x|.
    pub best: f64,
}

/// Returns whether two classes are so close in an answer that either may be its best.
fn may_both_be_best(scores: &Scores, [a, b]: [usize; 2], limit: f64) -> bool {
    let scoring = scores.scoring();
    let (p, x) = (scores.values(), scores.output());
    let gap = (p[a] - p[b]).abs();
    let is_close = !scoring.is_probability() || gap <= limit;
    if scoring.is_probability() && !scoring.is_of_logits() {
        // Small probabilities do not tie because they are small.
        return is_close && gap <= 10.0 * limit * p[a].max(p[b]);
    }
    let most = largest(x, scoring);
    is_close && (f64::from(x[a]) - f64::from(x[b])).abs() <= limit * most
}

impl Difference {
    /// Compares two answers of the same number of classes, whose outputs have a [`Basis`](super::Basis).
    pub fn new(reference: &Answer, run: &Answer, tie: Tie) -> Self {
        let (Some(one), Some(other)) = (reference.scores(), run.scores()) else {
            return Self::NotFinite {
                reference: reference.not_finite,
                run: run.not_finite,
            };
        };
        let of = reference.top.len().min(run.top.len());
        let tops = || reference.top.iter().zip(&run.top);
        let best = reference.top[0].class_id;
        let shared = reference.top[..of]
            .iter()
            .filter(|a| run.top[..of].iter().any(|b| a.class_id == b.class_id))
            .count();
        let top1_match = run.top[0].class_id == best;
        let ordered_match = tops().all(|(a, b)| a.class_id == b.class_id);
        if [reference.scoring, run.scoring].contains(&Scoring::ClassIds) {
            let rank = run.top.iter().position(|class| class.class_id == best);
            return Self::Finite(Values {
                top1_match,
                top1_match_but_ties: top1_match,
                ordered_match,
                ordered_match_but_ties: ordered_match,
                informative: true,
                shared,
                of,
                rank: rank.unwrap_or(run.top.len()) + 1,
                max_delta: None,
                max_logit_delta: None,
                mean_logit_delta: None,
                relative_error: None,
                cosine: None,
                cosine_distance: None,
                kl_divergence: None,
            });
        }
        let (p, q) = (one.values(), other.values());
        let (of_reference, of_run) = (one.output(), other.output());
        let rank = 1 + of_run
            .iter()
            .enumerate()
            .filter(|&(class_id, &value)| {
                value > of_run[best] || (value == of_run[best] && class_id < best)
            })
            .count();
        let of_softmax = reference.scoring.is_of_softmax() && run.scoring.is_of_softmax();
        let same_kind = reference.scoring == run.scoring || of_softmax;
        let mean = |values: &[f32]| {
            let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
            if of_softmax {
                sum / values.len() as f64
            } else {
                0.0
            }
        };
        let (mean_x, mean_y) = (mean(of_reference), mean(of_run));
        let outputs = || {
            let raw = of_reference.iter().zip(of_run);
            raw.zip(p.iter().zip(q)).map(|((&x, &y), (&p, &q))| {
                if same_kind {
                    (f64::from(x) - mean_x, f64::from(y) - mean_y)
                } else {
                    (p, q)
                }
            })
        };
        let (mut xx, mut yy, mut xx_minus_yy, mut dd, mut largest, mut sum) =
            (0.0, 0.0, 0.0, 0.0, 0.0_f64, 0.0);
        for (x, y) in outputs() {
            let delta = (x - y).abs();
            xx += x * x;
            yy += y * y;
            xx_minus_yy += (x - y) * (x + y);
            dd += delta * delta;
            largest = largest.max(delta);
            sum += delta;
        }
        let distance = cosine_distance(f64::sqrt(xx), f64::sqrt(yy), xx_minus_yy, dd);
        let most = self::largest(of_reference, reference.scoring);
        let is_logits = same_kind && reference.scoring.is_of_logits();
        let ties = |a: usize, b: usize| {
            if reference.scoring.is_probability() && !reference.scoring.is_of_logits() {
                // Below the normal numbers there is no relative precision.
                let least = f64::from(f32::MIN_POSITIVE);
                (p[a] - p[b]).abs() <= tie.probability * p[a].max(p[b]).max(least)
            } else {
                let (a, b) = (f64::from(of_reference[a]), f64::from(of_reference[b]));
                (a - b).abs() <= tie.output * most
            }
        };
        let is_distribution = reference.scoring.is_distribution() && run.scoring.is_distribution();
        Self::Finite(Values {
            top1_match,
            top1_match_but_ties: top1_match
                || [one, other]
                    .iter()
                    .all(|scores| may_both_be_best(scores, [best, run.top[0].class_id], tie.best)),
            ordered_match,
            ordered_match_but_ties: tops()
                .all(|(a, b)| a.class_id == b.class_id || ties(a.class_id, b.class_id)),
            informative: reference.has_order(),
            shared,
            of,
            rank,
            max_delta: Some(
                p.iter()
                    .zip(q)
                    .map(|(p, q)| (p - q).abs())
                    .fold(0.0, f64::max),
            ),
            max_logit_delta: is_logits.then_some(largest),
            mean_logit_delta: is_logits.then(|| sum / p.len() as f64),
            relative_error: Some(ratio(dd.sqrt(), xx.sqrt())),
            cosine: Some(1.0 - distance),
            cosine_distance: Some(distance),
            kl_divergence: is_distribution.then(|| divergence(p, q)),
        })
    }
}

/// Returns the largest |x|. If a softmax makes the scores, the mean of the outputs is subtracted first.
fn largest(outputs: &[f32], scoring: Scoring) -> f64 {
    let mean = if scoring.is_of_softmax() {
        let sum: f64 = outputs.iter().map(|&value| f64::from(value)).sum();
        sum / outputs.len() as f64
    } else {
        0.0
    };
    outputs.iter().fold(0.0_f64, |most, &value| {
        most.max((f64::from(value) - mean).abs())
    })
}

/// Returns 1 − x·y / (‖x‖ ‖y‖), from the norms, ‖x‖² − ‖y‖² and ‖x − y‖². It is computed as
/// (‖x − y‖² − (‖x‖ − ‖y‖)²) / (2 ‖x‖ ‖y‖). Two zero vectors have the distance 0; a zero vector and another one have the
/// distance 1.
fn cosine_distance(x: f64, y: f64, xx_minus_yy: f64, dd: f64) -> f64 {
    if dd == 0.0 {
        return 0.0;
    }
    if x == 0.0 || y == 0.0 {
        return 1.0;
    }
    let longer_by = xx_minus_yy / (x + y);
    ((dd - longer_by * longer_by) / (2.0 * x * y)).max(0.0)
}

/// Returns Σ p ln(p / q) − p + q.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let least = f64::from(f32::MIN_POSITIVE);
    let terms = p.iter().zip(q).map(|(&p, &q)| {
        let q = q.max(least);
        if p > 0.0 {
            // p ln(p / q) − p + q = q ((1 + d) ln(1 + d) − d) with d = p / q − 1. The terms of this formula cancel for
            // small d. The power series of its second factor, Σ (−d)ⁿ / (n (n − 1)) from n = 2, does not have this
            // problem.
            let d = (p - q) / q;
            if d.abs() < 1e-2 {
                let term = |n: i32| (-d).powi(n) / f64::from(n * (n - 1));
                q * (2..=9).rev().map(term).sum::<f64>()
            } else {
                p * (p / q).ln() - p + q
            }
        } else {
            q
        }
    });
    terms.sum::<f64>().max(0.0)
}

/// Divides; 0 / 0 counts as 0.
fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 { 0.0 } else { a / b }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIES: Tie = Tie {
        output: 0.0,
        probability: 0.0,
        best: 0.0,
    };

    fn answer(values: &[f32], scoring: Scoring) -> Answer {
        let output = Tensor::new([1, values.len()], values.to_vec()).unwrap();
        let interpretation = Interpretation::plain(scoring);
        Answer::new(&output, &interpretation, 3).unwrap()
    }

    fn values(a: &Answer, b: &Answer, tie: Tie) -> Values {
        match Difference::new(a, b, tie) {
            Difference::Finite(values) => values,
            other @ Difference::NotFinite { .. } => panic!("{other:?}"),
        }
    }

    fn distributions(a: &[f32], b: &[f32], tie: Tie) -> Values {
        let [a, b] = [a, b].map(|values| answer(values, Scoring::Probability));
        values(&a, &b, tie)
    }

    fn near(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() < 1e-6)
    }

    #[test]
    fn the_same_answer_does_not_differ() {
        let p = [0.1, 0.2, 0.3, 0.4];
        let same = distributions(&p, &p, NO_TIES);
        assert!(same.top1_match && same.ordered_match && same.ordered_match_but_ties);
        assert_eq!(
            (same.overlap(), same.rank, same.max_delta),
            (1.0, 1, Some(0.0))
        );
        assert_eq!((same.cosine, same.relative_error), (Some(1.0), Some(0.0)));
        assert_eq!(
            (same.kl_divergence, same.max_logit_delta),
            (Some(0.0), None)
        );
    }

    #[test]
    fn every_number_is_what_its_formula_says() {
        let v = distributions(
            &[0.5, 0.25, 0.125, 0.125],
            &[0.25, 0.5, 0.125, 0.125],
            NO_TIES,
        );
        assert!(!v.top1_match && !v.ordered_match && !v.ordered_match_but_ties);
        assert_eq!((v.overlap(), v.rank, v.max_delta), (1.0, 2, Some(0.25)));
        // The formulas, computed with Python.
        assert!(near(v.relative_error, 0.603_022_7), "{v:?}");
        assert!(near(v.cosine, 0.818_181_8), "{v:?}");
        assert!(near(v.kl_divergence, 0.173_286_8), "{v:?}");
        let [a, b] = [[4.0, 1.0, 0.0, -1.0], [4.5, 1.0, 0.0, -1.0]]
            .map(|values| answer(&values, Scoring::Softmax));
        // Less their mean, which a softmax does not see.
        let logits = values(&a, &b, NO_TIES);
        assert_eq!(
            (logits.max_logit_delta, logits.mean_logit_delta),
            (Some(0.375), Some(0.1875))
        );
    }

    #[test]
    fn divergence_of_nearly_equal_distributions_is_no_rounding_noise() {
        // Logits that differ by 1e-6 in one of three classes; the value is from Python's mpmath.
        let [a, b] = [[1.0, 2.0, 3.0], [1.0, 2.0, 3.000_001]]
            .map(|values| answer(&values, Scoring::Softmax));
        let v = values(&a, &b, NO_TIES);
        let delta = f64::from(3.000_001_f32) - 3.0;
        let p = 1.0 / (1.0 + (-1.0_f64).exp() + (-2.0_f64).exp());
        let expected = 0.5 * delta * delta * p * (1.0 - p);
        let found = v.kl_divergence.unwrap();
        assert!(
            (found / expected - 1.0).abs() < 1e-3,
            "{found:e} {expected:e}"
        );
    }

    #[test]
    fn divergence_has_its_digits_on_both_sides_of_the_power_series() {
        // Values of Python's decimal with 50 digits.
        for (p, q, expected) in [
            (0.5, 0.49, 0.000_101_353_658_759_724_39),
            (0.5, 0.4951, 2.416_802_740_718_710_5e-05),
            (0.5, 0.4949, 2.618_823_217_568_271_3e-05),
            (0.3, 0.2999, 1.667_037_129_653_960_6e-08),
            (0.3, 0.299_99, 1.666_703_704_632_988_2e-10),
            (0.3, 0.299_999_9, 1.666_667_037_132_982e-14),
            (1e-9, 1.02e-9, 1.973_727_038_202_856e-13),
            (0.25, 0.5, 0.076_713_204_860_013_68),
            (0.9, 0.001, 5.223_155_286_991_879),
        ] {
            let found = divergence(&[p], &[q]);
            assert!(
                (found / expected - 1.0).abs() < 2e-12,
                "{p} {q}: {found:e} {expected:e}"
            );
        }
    }

    #[test]
    fn cosine_of_nearly_equal_outputs_is_no_rounding_noise() {
        // Two vectors at a small angle; the value is from Python's decimal.
        let [a, b] =
            [[3.0, 4.0, 12.0], [3.000_001, 4.0, 12.0]].map(|values| answer(&values, Scoring::Raw));
        let found = values(&a, &b, NO_TIES).cosine_distance.unwrap();
        let expected = 2.547_514_921_687_665_5e-15;
        assert!((found / expected - 1.0).abs() < 1e-9, "{found:e}");
        let nothing = answer(&[0.0, 0.0, 0.0], Scoring::Raw);
        let against = |run: &Answer| values(&nothing, run, NO_TIES).cosine_distance;
        assert_eq!((against(&nothing), against(&a)), (Some(0.0), Some(1.0)));
    }

    #[test]
    fn ties_of_logits_are_relative_to_the_largest_logit_whatever_the_run_gives() {
        let tie = Tie {
            output: 1e-4,
            probability: 1e-3,
            best: 0.0,
        };
        let logits = answer(&[40.0, 20.0, 20.001, 0.0], Scoring::Softmax);
        let run = answer(&[1.0, 2.0e-9, 1.9e-9, 0.0], Scoring::Probability);
        let v = values(&logits, &run, tie);
        assert!(v.ordered_match_but_ties && !v.ordered_match, "{v:?}");
    }

    #[test]
    fn ties_are_relative() {
        let tie = Tie {
            output: 1e-4,
            probability: 1e-3,
            best: 0.0,
        };
        let (a, b) = (
            [0.4, 0.300_01, 0.299_99, 0.0],
            [0.4, 0.299_99, 0.300_01, 0.0],
        );
        assert!(distributions(&a, &b, tie).ordered_match_but_ties);
        assert!(!distributions(&a, &b, NO_TIES).ordered_match_but_ties);
        // Small probabilities do not tie because they are small.
        let (a, b) = ([0.999_9, 2e-6, 1e-6, 0.0], [0.999_9, 1e-6, 2e-6, 0.0]);
        assert!(!distributions(&a, &b, tie).ordered_match_but_ties);
        let logits = |values: [f32; 3]| answer(&values, Scoring::Softmax);
        let close = values(
            &logits([900.0, 20.0, 20.01]),
            &logits([900.0, 20.01, 20.0]),
            tie,
        );
        assert!(close.ordered_match_but_ties && !close.ordered_match);
        let far = values(
            &logits([900.0, 20.0, 21.0]),
            &logits([900.0, 21.0, 20.0]),
            tie,
        );
        assert!(!far.ordered_match_but_ties);
    }

    #[test]
    fn best_classes_tie_where_both_answers_have_them_close_together() {
        let tie = |best| Tie { best, ..NO_TIES };
        let but_ties = |a: [f32; 3], b: [f32; 3], scoring, best| {
            let [a, b] = [a, b].map(|values| answer(&values, scoring));
            let v = values(&a, &b, tie(best));
            assert!(!v.top1_match);
            v.top1_match_but_ties
        };
        // Probabilities of 0.39 and 0.37, and the other way round.
        let (a, b) = ([2.0, 1.95, 1.5], [1.95, 2.0, 1.5]);
        assert!(but_ties(a, b, Scoring::Softmax, 0.2));
        assert!(!but_ties(a, b, Scoring::Softmax, 0.01));
        assert!(but_ties(a, b, Scoring::Raw, 0.05));
        // Close in the reference alone.
        assert!(!but_ties(
            [2.0, 1.95, 1.5],
            [1.0, 2.0, 1.5],
            Scoring::Softmax,
            0.2
        ));
        // The softmax saturates, or is flat.
        assert!(!but_ties(
            [900.0, 800.0, -900.0],
            [800.0, 900.0, -900.0],
            Scoring::Softmax,
            0.05
        ));
        let p = |a, b| [a, b, 1.0 - a - b];
        assert!(but_ties(
            p(0.40, 0.38),
            p(0.38, 0.40),
            Scoring::Probability,
            0.05
        ));
        assert!(!but_ties(
            p(0.44, 0.38),
            p(0.38, 0.40),
            Scoring::Probability,
            0.05
        ));
        // A probability of 0.04 is near 0, but more than twice 0.015.
        let [a, b] = [[0.04, 0.015], [0.015, 0.04]].map(|[a, b]| {
            let mut all = vec![0.01; 95];
            all[0] = a;
            all[1] = b;
            answer(&all, Scoring::Probability)
        });
        assert!(!values(&a, &b, tie(0.05)).top1_match_but_ties);
    }

    #[test]
    fn logits_and_their_softmax_agree() {
        let logits = answer(&[1.0, 3.0, 2.0], Scoring::Softmax);
        let p: Vec<f32> = logits
            .scores()
            .unwrap()
            .values()
            .iter()
            .map(|&p| p as f32)
            .collect();
        let v = values(&logits, &answer(&p, Scoring::Probability), NO_TIES);
        assert!(v.ordered_match && v.max_delta < Some(1e-7), "{v:?}");
        assert!(v.relative_error < Some(1e-6) && v.max_logit_delta.is_none());
    }

    #[test]
    fn what_is_not_finite_is_counted() {
        let good = answer(&[0.5, 0.5, 0.0], Scoring::Probability);
        let bad = answer(&[f32::NAN, f32::INFINITY, 0.0], Scoring::Probability);
        assert_eq!(
            Difference::new(&good, &bad, NO_TIES),
            Difference::NotFinite {
                reference: 0,
                run: 2
            }
        );
    }
}
