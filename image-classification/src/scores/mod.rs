//! From a model's raw output to scores that can be ranked.

mod rule;

use backend_api::Tensor;

pub use self::rule::{OutputKind, ScoreKind, Scoring};
use crate::{Quantization, Ranked, top_k};

/// The sum of a distribution's values may differ from 1 by this much: bf16 and quantized models round each of them.
const SUM_TOLERANCE: f64 = 0.05;
/// A sum that rounding cannot explain: a softmax over the wrong dimension gives as many ones as there are classes.
const MOST_SUM: f64 = 1.5;

/// The reason why an output has no scores.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoresError {
    /// The output does not have the shape of a classifier's.
    #[error(
        "the model's output has shape {shape:?}, but a classifier gives [N], [1, N] or [1, N, 1, 1]"
    )]
    Shape {
        /// The shape that it has.
        shape: Vec<usize>,
    },
    /// The model computed something that is not a number.
    #[error(
        "the model's output for class {class_id} is {value} ({count} of {classes} values are not finite)"
    )]
    NotFinite {
        /// The first such class.
        class_id: usize,
        /// NaN or an infinity.
        value: f32,
        /// The number of values that are not finite.
        count: usize,
        /// The number of classes.
        classes: usize,
    },
    /// The caller requests or the graph promises probabilities, but the output is not a distribution.
    #[error(
        "the model's output is not a probability distribution: its values add up to {sum}, the smallest is {min}"
    )]
    NotADistribution {
        /// The sum of the values.
        sum: f64,
        /// The smallest value.
        min: f32,
    },
    /// The output should hold probabilities, but a value is not one.
    #[error("the model's output for class {class_id} is {value}, which is not a probability")]
    NotAProbability {
        /// The first such class.
        class_id: usize,
        /// The value.
        value: f32,
    },
    /// The output holds numbers that the 32 bits of a score do not distinguish: classes would rank wrongly.
    #[error(
        "the model's output for class {class_id} is {value}, which 32-bit floating-point numbers cannot hold exactly \
         enough to rank classes"
    )]
    TooLarge {
        /// The first such class.
        class_id: usize,
        /// The value.
        value: f64,
    },
    /// An output of class ids holds something else.
    #[error("the model's output is {value}, but class ids are whole numbers from 0")]
    NotAClassId {
        /// The value.
        value: f32,
    },
    /// A softmax of a single value is requested.
    #[error("the model's output is a single value, whose softmax is always 1")]
    SoftmaxOfOne,
}

impl ScoresError {
    /// Returns a stable name for reports, in kebab case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Shape { .. } => "not-a-classifier",
            Self::NotFinite { .. } => "not-finite",
            Self::NotADistribution { .. } => "not-a-distribution",
            Self::NotAProbability { .. } => "not-a-probability",
            Self::TooLarge { .. } => "too-large",
            Self::NotAClassId { .. } => "not-a-class-id",
            Self::SoftmaxOfOne => "softmax-of-one",
        }
    }

    /// Returns the next step for the user. It names fields of [`PreprocessOverrides`](crate::PreprocessOverrides) and
    /// of the engine's options in backticks.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Shape { .. } => "give a classification model",
            Self::NotFinite { .. } => {
                "check the preprocessing and the precision: `precision = f32` rules out an overflow"
            }
            Self::NotADistribution { .. } => "use `scores = softmax` or `scores = raw`",
            Self::TooLarge { .. } => "give the model an output of 32-bit floating-point numbers",
            Self::NotAClassId { .. } => "use `scores = raw`",
            Self::NotAProbability { .. } | Self::SoftmaxOfOne => {
                "use `scores = sigmoid` or `scores = raw`"
            }
        }
    }
}

/// All settings for reading a model's output.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Interpretation {
    /// The rule for its values.
    pub scoring: Scoring,
    /// The quantization of an integer output.
    pub quantization: Option<Quantization>,
    /// True if only the first images told the rule. A further output that does not fit it is an error.
    #[cfg_attr(feature = "serde", serde(default))]
    pub inferred: bool,
}

impl Interpretation {
    /// The output as it is.
    pub const RAW: Self = Self::plain(Scoring::Raw);
    /// The softmax of an output that holds logits.
    pub const SOFTMAX: Self = Self::plain(Scoring::Softmax);

    /// Returns the reading by `scoring` of an output that is not quantized.
    pub const fn plain(scoring: Scoring) -> Self {
        Self {
            scoring,
            quantization: None,
            inferred: false,
        }
    }

    /// Returns the scores in `output`, which has the shape `[N]`, `[1, N]` or `[1, N, 1, 1]`, or is a single number.
    ///
    /// Softmax and sigmoid are computed in double precision.
    ///
    /// # Errors
    ///
    /// [`ScoresError`], in particular for NaN and infinities: they never rank.
    pub fn scores(&self, output: &Tensor) -> Result<Scores, ScoresError> {
        let shape = output.shape();
        let classes = output.len();
        let is_single = matches!(
            self.scoring,
            Scoring::PositiveLogit | Scoring::PositiveProbability
        );
        if classes == 0
            || !(shape.contains(&classes) || shape.is_empty())
            || (is_single && classes != 1)
        {
            return Err(ScoresError::Shape {
                shape: shape.to_vec(),
            });
        }
        if let Some((class_id, value)) = lost_in_f32(output) {
            return Err(ScoresError::TooLarge { class_id, value });
        }
        let raw = real_values(output, self.quantization);
        let bad = || {
            raw.iter()
                .enumerate()
                .filter(|(_, value)| !value.is_finite())
        };
        if let Some((class_id, &value)) = bad().next() {
            return Err(ScoresError::NotFinite {
                class_id,
                value,
                count: bad().count(),
                classes,
            });
        }
        let not_a_distribution = || ScoresError::NotADistribution {
            sum: sum(&raw),
            min: raw.iter().copied().fold(f32::INFINITY, f32::min),
        };
        let as_they_are = |raw: &[f32]| raw.iter().map(|&value| f64::from(value)).collect();
        let (keys, values) = match self.scoring {
            Scoring::Softmax | Scoring::LogProbability if classes == 1 => {
                return Err(ScoresError::SoftmaxOfOne);
            }
            Scoring::Softmax | Scoring::LogProbability => {
                let values = softmax(&raw);
                (raw, values)
            }
            Scoring::PositiveLogit => {
                let x = raw[0];
                let values = vec![sigmoid(-x), sigmoid(x)];
                (vec![-x, x], values)
            }
            Scoring::Sigmoid => {
                let values = raw.iter().map(|&value| sigmoid(value)).collect();
                (raw, values)
            }
            Scoring::PositiveProbability => {
                let p = raw[0];
                if !(0.0..=1.0).contains(&p) {
                    return Err(not_a_distribution());
                }
                let values = vec![1.0 - f64::from(p), f64::from(p)];
                (vec![1.0 - p, p], values)
            }
            Scoring::Probability => {
                // Quantized outputs may round nearly all of them to 0, but the sum never rounds to much more than 1.
                let in_range = raw.iter().all(|value| (0.0..=1.01).contains(value));
                let is_off = self.inferred && !is_distribution(&raw);
                if !in_range || is_off || sum(&raw) > MOST_SUM {
                    return Err(not_a_distribution());
                }
                let values = as_they_are(&raw);
                (raw, values)
            }
            Scoring::ClassIds => {
                let bad = raw
                    .iter()
                    .find(|value| **value < 0.0 || value.fract() != 0.0);
                if let Some(&value) = bad {
                    return Err(ScoresError::NotAClassId { value });
                }
                let values = as_they_are(&raw);
                (raw, values)
            }
            Scoring::Independent => {
                let mut bad = raw.iter().enumerate();
                if let Some((class_id, &value)) =
                    bad.find(|(_, value)| !(-0.01..=1.01).contains(*value))
                {
                    return Err(ScoresError::NotAProbability { class_id, value });
                }
                let values = as_they_are(&raw);
                (raw, values)
            }
            Scoring::Raw => {
                let values = as_they_are(&raw);
                (raw, values)
            }
        };
        Ok(Scores {
            keys,
            values,
            scoring: self.scoring,
        })
    }
}

/// One score for each class; all of them finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The output, by which classes rank: a softmax that underflows to 0 would hide their order.
    keys: Vec<f32>,
    values: Vec<f64>,
    scoring: Scoring,
}

impl Scores {
    /// Returns the score of each class, by class id; for [`Scoring::ClassIds`] the ids.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Returns the model's output that each score was made of: real values, by class id.
    pub fn output(&self) -> &[f32] {
        &self.keys
    }

    /// Returns the rule by which they were made.
    pub fn scoring(&self) -> Scoring {
        self.scoring
    }

    /// Returns the `k` best classes by the model's output: best first, then class id ascending. Fewer if there are
    /// fewer.
    ///
    /// An output of class ids is ranked already; its scores have no meaning.
    pub fn top(&self, k: usize) -> Vec<Ranked> {
        if self.scoring == Scoring::ClassIds {
            let ids = self.keys.iter().take(k);
            let ranked = |&id: &f32| Ranked {
                class_id: id as usize,
                score: 1.0,
            };
            return ids.map(ranked).collect();
        }
        let mut top = top_k(&self.keys, k);
        for ranked in &mut top {
            ranked.score = self.values[ranked.class_id] as f32;
        }
        top
    }
}

/// Returns the real values of an output.
pub(crate) fn real_values(output: &Tensor, quantization: Option<Quantization>) -> Vec<f32> {
    let values = output.to_f32();
    match quantization {
        Some(quantization) => values
            .iter()
            .map(|&value| quantization.dequantized(value))
            .collect(),
        None => values.into_owned(),
    }
}

/// Returns the first value of a 64-bit or integer output that changes by more than 0.001 as a 32-bit floating-point
/// number, with its class. So much is a visible digit of a probability if the value is a logit.
fn lost_in_f32(output: &Tensor) -> Option<(usize, f64)> {
    // Integers are compared as such: f64 holds not all of 64 bits.
    fn first<T: Copy + Into<i128>>(values: &[T]) -> Option<(usize, f64)> {
        let mut values = values.iter().map(|&value| value.into()).enumerate();
        values
            .find(|&(_, value)| (value as f32) as i128 != value)
            .map(|(place, value)| (place, value as f64))
    }
    if let Some(values) = output.as_slice::<f64>() {
        let is_lost =
            |value: f64| value.is_finite() && (f64::from(value as f32) - value).abs() > 1e-3;
        let mut values = values.iter().copied().enumerate();
        return values.find(|&(_, value)| is_lost(value));
    }
    None.or_else(|| first(output.as_slice::<i64>()?))
        .or_else(|| first(output.as_slice::<u64>()?))
        .or_else(|| first(output.as_slice::<i32>()?))
        .or_else(|| first(output.as_slice::<u32>()?))
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}

fn is_distribution(values: &[f32]) -> bool {
    values.iter().all(|value| (0.0..=1.0).contains(value))
        && (sum(values) - 1.0).abs() <= SUM_TOLERANCE
}

/// Returns the softmax of `values`, from the largest down.
fn softmax(values: &[f32]) -> Vec<f64> {
    let max = f64::from(largest(values));
    let mut exponentials: Vec<f64> = values
        .iter()
        .map(|&value| (f64::from(value) - max).exp())
        .collect();
    let sum: f64 = exponentials.iter().sum();
    for value in &mut exponentials {
        *value /= sum;
    }
    exponentials
}

/// Returns the largest of finite values, several of them at a time.
fn largest(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let (chunks, rest) = values.as_chunks::<16>();
    let mut most = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for (most, &value) in most.iter_mut().zip(chunk) {
            *most = larger(*most, value);
        }
    }
    let all = most.into_iter().chain(rest.iter().copied());
    all.fold(f32::NEG_INFINITY, larger)
}

fn sigmoid(value: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(value)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(shape: &[usize], values: &[f32], scoring: Scoring) -> Result<Scores, ScoresError> {
        Interpretation::plain(scoring).scores(&Tensor::new(shape, values.to_vec()).unwrap())
    }

    fn ids(scores: &Scores) -> Vec<usize> {
        scores.top(9).iter().map(|ranked| ranked.class_id).collect()
    }

    #[test]
    fn classes_whose_softmax_underflows_rank_by_their_logits() {
        let logits = [-900.0, 500.0, -700.0, -800.0];
        let scores = scores(&[1, 4], &logits, Scoring::Softmax).unwrap();
        assert_eq!(scores.values(), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(ids(&scores), [1, 2, 3, 0]);
    }

    #[test]
    fn integers_that_f32_rounds_are_refused_whatever_their_type() {
        fn lost<T: backend_api::Element>(value: T) -> bool {
            let output = Tensor::new([1, 1], vec![value]).unwrap();
            lost_in_f32(&output).is_some()
        }
        assert!(lost(16_777_217_u32) && lost(16_777_217_i32));
        assert!(lost(u32::MAX) && lost(i32::MAX));
        assert!(lost(u64::MAX) && lost(i64::MAX));
        assert!(lost(9_007_199_254_740_993_i64) && lost(9_007_199_254_740_993_u64));
        assert!(!lost(16_777_216_u32) && !lost(1_u64 << 63) && !lost(i64::MIN) && !lost(i32::MIN));
    }

    #[test]
    fn integers_are_dequantized_as_the_model_says() {
        let interpretation = Interpretation {
            scoring: Scoring::Probability,
            quantization: Some(Quantization {
                scale: 1.0 / 256.0,
                zero_point: 0,
            }),
            inferred: false,
        };
        let output = Tensor::new([1, 4], vec![0_u8, 204, 2, 50]).unwrap();
        let scores = interpretation.scores(&output).unwrap();
        assert_eq!(scores.top(1)[0].score, 0.796_875);
        assert_eq!(ids(&scores), [1, 3, 2, 0]);
    }

    #[test]
    fn a_single_logit_is_that_of_the_positive_class() {
        let scores = scores(&[1, 1], &[-0.0016], Scoring::PositiveLogit).unwrap();
        let top = scores.top(9);
        assert_eq!((top[0].class_id, top[1].class_id), (0, 1));
        assert!((top[1].score - 0.4996).abs() < 1e-6, "{top:?}");
        let softmax = Interpretation::SOFTMAX;
        let one = Tensor::new([1], vec![3.0_f32]).unwrap();
        let error = softmax.scores(&one).unwrap_err();
        assert_eq!(error, ScoresError::SoftmaxOfOne);
    }

    #[test]
    fn probabilities_that_are_none_are_an_error() {
        let error = scores(&[1, 2], &[3.0, -1.0], Scoring::Probability).unwrap_err();
        assert_eq!(
            error,
            ScoresError::NotADistribution {
                sum: 2.0,
                min: -1.0
            }
        );
        // A softmax over the wrong dimension.
        assert!(scores(&[1, 3, 1, 1], &[1.0; 3], Scoring::Probability).is_err());
        // All of a thousand classes may round to 0.
        scores(&[1, 3], &[0.0; 3], Scoring::Probability).unwrap();
    }

    #[test]
    fn an_output_that_does_not_fit_an_inferred_rule_is_an_error() {
        let inferred = |scoring| Interpretation {
            inferred: true,
            ..Interpretation::plain(scoring)
        };
        let output = |values: [f32; 2]| Tensor::new([1, 2], values.to_vec()).unwrap();
        // The first images were dark, and these two logits happened to be a distribution.
        let probability = inferred(Scoring::Probability);
        probability.scores(&output([0.3, 0.7])).unwrap();
        assert!(probability.scores(&output([0.3, 0.9])).is_err());
        let error = inferred(Scoring::Independent)
            .scores(&output([0.3, 3.2]))
            .unwrap_err();
        assert_eq!(error.code(), "not-a-probability");
        let nan = output([f32::NAN, 0.0]);
        assert_eq!(Scoring::from_outputs([&nan], None, false), None);
    }

    #[test]
    fn numbers_that_32_bits_do_not_tell_apart_are_an_error() {
        let large = Tensor::new([1, 2], vec![100_000_001_i32, 100_000_002]).unwrap();
        let error = Interpretation::RAW.scores(&large).unwrap_err();
        assert_eq!(error.code(), "too-large");
        let large = Tensor::new([1, 2], vec![1e8_f64 + 1.0, 1e8 + 2.0]).unwrap();
        assert!(Interpretation::SOFTMAX.scores(&large).is_err());
        let small = Tensor::new([1, 2], vec![12.345_678_9_f64, 1.0]).unwrap();
        Interpretation::SOFTMAX.scores(&small).unwrap();
    }

    #[test]
    fn class_ids_rank_as_they_are() {
        let found = scores(&[1, 2], &[6.0, 2.0], Scoring::ClassIds).unwrap();
        assert_eq!(ids(&found), [6, 2]);
        assert!(scores(&[1], &[0.5], Scoring::ClassIds).is_err());
    }

    #[test]
    fn what_is_not_a_number_never_ranks() {
        let error = scores(&[1, 3], &[1.0, f32::NAN, f32::INFINITY], Scoring::Raw).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("class 1 is NaN") && text.contains("2 of 3"),
            "{text}"
        );
    }

    #[test]
    fn a_number_without_dimensions_answers_yes_or_no() {
        let of = |shape: &[usize]| scores(shape, &[0.0], Scoring::PositiveLogit).unwrap();
        assert_eq!(of(&[]).values(), [0.5, 0.5]);
        assert_eq!(of(&[]), of(&[1, 1]));
    }

    #[test]
    fn other_shapes_are_rejected() {
        for shape in [&[2, 3][..], &[1, 2, 3], &[1, 0]] {
            let values = vec![0.5; shape.iter().product()];
            let error = scores(shape, &values, Scoring::Raw).unwrap_err();
            assert_eq!(error.code(), "not-a-classifier", "{shape:?}");
        }
    }
}
