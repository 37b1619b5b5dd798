//! From a model's raw output to scores that can be ranked.

use backend_api::Tensor;

/// A distribution's probabilities may add up to this much more or less than 1: bf16 and quantized
/// models round each of them. Logits that are all in [0, 1] and add up to nearly 1 do not occur.
const SUM_TOLERANCE: f64 = 0.05;

/// What a score is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ScoreKind {
    /// The output as it is if it is a distribution already, else its softmax. A single class is
    /// left as it is: its softmax would be 1 whatever the picture shows.
    #[default]
    Auto,
    /// The output as it is; it must be a distribution.
    Probability,
    /// The softmax of the output.
    Softmax,
    /// The output as it is, whatever it is (logits, usually), as OpenVINO's samples print it.
    Raw,
}

/// Why an output has no scores.
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
        /// How many values are not finite.
        count: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// [`ScoreKind::Probability`] was asked for, but the output is not a distribution.
    #[error(
        "the model's output is not a probability distribution: its values add up to {sum}, the smallest is {min}"
    )]
    NotADistribution {
        /// The sum of the values.
        sum: f64,
        /// The smallest value.
        min: f32,
    },
}

impl ScoresError {
    /// A stable name for reports, in kebab case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Shape { .. } => "not-a-classifier",
            Self::NotFinite { .. } => "not-finite",
            Self::NotADistribution { .. } => "not-a-distribution",
        }
    }

    /// The next step for the user.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Shape { .. } => "give a classification model",
            Self::NotFinite { .. } => {
                "check the preprocessing and the precision: `--precision f32` rules out an overflow"
            }
            Self::NotADistribution { .. } => "use `--scores softmax` or `--scores raw`",
        }
    }
}

/// One score for each class; all of them finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    values: Vec<f32>,
    softmax_applied: bool,
}

impl Scores {
    /// The scores in `output`, which has the shape `[N]`, `[1, N]` or `[1, N, 1, 1]`.
    ///
    /// The softmax is computed in double precision from the largest value down.
    ///
    /// # Errors
    ///
    /// [`ScoresError`], in particular for NaN and infinities: they never rank.
    pub fn from_output(output: &Tensor, kind: ScoreKind) -> Result<Self, ScoresError> {
        let shape = output.shape();
        let classes = output.len();
        if classes == 0 || shape.is_empty() || !shape.contains(&classes) {
            return Err(ScoresError::Shape {
                shape: shape.to_vec(),
            });
        }
        let values = output.to_f32();
        let bad = || {
            values
                .iter()
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
        let softmax_applied = match kind {
            ScoreKind::Auto => classes > 1 && !is_distribution(&values),
            ScoreKind::Softmax => true,
            ScoreKind::Raw => false,
            ScoreKind::Probability if is_distribution(&values) => false,
            ScoreKind::Probability => {
                return Err(ScoresError::NotADistribution {
                    sum: sum(&values),
                    min: values.iter().copied().fold(f32::INFINITY, f32::min),
                });
            }
        };
        let values = if softmax_applied {
            softmax(&values)
        } else {
            values.into_owned()
        };
        Ok(Self {
            values,
            softmax_applied,
        })
    }

    /// The score of each class, by class id.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Whether a softmax was applied to the model's output.
    pub fn softmax_applied(&self) -> bool {
        self.softmax_applied
    }
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}

fn is_distribution(values: &[f32]) -> bool {
    values.iter().all(|value| (0.0..=1.0).contains(value))
        && (sum(values) - 1.0).abs() <= SUM_TOLERANCE
}

fn softmax(values: &[f32]) -> Vec<f32> {
    let max = f64::from(values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let exponentials: Vec<f64> = values
        .iter()
        .map(|&value| (f64::from(value) - max).exp())
        .collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials
        .into_iter()
        .map(|value| (value / sum) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(shape: &[usize], values: &[f32], kind: ScoreKind) -> Result<Scores, ScoresError> {
        Scores::from_output(&Tensor::new(shape, values.to_vec()).unwrap(), kind)
    }

    #[test]
    fn auto_leaves_a_distribution_alone() {
        let distribution = scores(&[1, 3, 1, 1], &[0.25, 0.25, 0.5], ScoreKind::Auto).unwrap();
        assert_eq!(distribution.values(), [0.25, 0.25, 0.5]);
        assert!(!distribution.softmax_applied());
        let logits = scores(&[3], &[1000.0, 1000.0, -1000.0], ScoreKind::Auto).unwrap();
        assert_eq!(logits.values(), [0.5, 0.5, 0.0]);
        assert!(logits.softmax_applied());
        let one = scores(&[1, 1], &[0.3], ScoreKind::Auto).unwrap();
        assert_eq!(one.values(), [0.3]);
        let quantized = scores(&[1, 3], &[0.97, 0.004, 0.0], ScoreKind::Auto).unwrap();
        assert!(!quantized.softmax_applied());
    }

    #[test]
    fn raw_and_probability_do_as_they_say() {
        let logits = [3.0, -1.0];
        assert_eq!(
            scores(&[1, 2], &logits, ScoreKind::Raw).unwrap().values(),
            logits
        );
        let error = scores(&[1, 2], &logits, ScoreKind::Probability).unwrap_err();
        assert_eq!(
            error,
            ScoresError::NotADistribution {
                sum: 2.0,
                min: -1.0
            }
        );
    }

    #[test]
    fn what_is_not_a_number_never_ranks() {
        let error = scores(&[1, 3], &[1.0, f32::NAN, f32::INFINITY], ScoreKind::Raw).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("class 1 is NaN") && text.contains("2 of 3"),
            "{text}"
        );
    }

    #[test]
    fn other_shapes_are_refused() {
        for shape in [&[2, 3][..], &[1, 2, 3], &[], &[1, 0]] {
            let values = vec![0.5; shape.iter().product()];
            let error = scores(shape, &values, ScoreKind::Raw).unwrap_err();
            assert_eq!(error.code(), "not-a-classifier", "{shape:?}");
        }
    }
}
