//! The score rule: the conversion of a model's output into scores.

use std::fmt;

use backend_api::Tensor;

use super::{is_distribution, real_values};
use crate::Quantization;

/// The kind of values that a model's output holds, as far as its graph or its metadata state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum OutputKind {
    /// Any numbers, one for each class; exactly one class is right. Their softmax is a distribution.
    Logits,
    /// Logarithms of a distribution, as `LogSoftmax` gives them.
    LogProbabilities,
    /// A distribution over the classes, as `Softmax` gives it.
    Probabilities,
    /// A logit for each class by itself; any number of classes may be right.
    IndependentLogits,
    /// An independent probability for each class, as `Sigmoid` gives it.
    IndependentProbabilities,
    /// The ids of the best classes, as `ArgMax` gives them.
    ClassIds,
    /// Numbers that a graph computes from probabilities, such as percentages. They are no logits.
    Numbers,
    /// 1 for the best class and 0 for the others, as `OneHot` makes it of `ArgMax`. They are no probabilities.
    OneHot,
}

impl fmt::Display for OutputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logits => "logits",
            Self::LogProbabilities => "log-probabilities",
            Self::Probabilities => "probabilities",
            Self::IndependentLogits => "independent logits",
            Self::IndependentProbabilities => "independent probabilities",
            Self::ClassIds => "class ids",
            Self::Numbers => "numbers computed from probabilities",
            Self::OneHot => "1 for the best class and 0 for the others",
        })
    }
}

/// The scores that the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ScoreKind {
    /// Probabilities, if the model's output can be brought to them: see [`Scoring::decide`].
    #[default]
    Auto,
    /// The output as it is; it must be a distribution.
    Probability,
    /// The softmax of the output.
    Softmax,
    /// The sigmoid of each value of the output: several classes may be right.
    Sigmoid,
    /// The output as it is, whatever it is (logits, usually), as OpenVINO's samples print it.
    Raw,
}

impl fmt::Display for ScoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Probability => "probability",
            Self::Softmax => "softmax",
            Self::Sigmoid => "sigmoid",
            Self::Raw => "raw",
        })
    }
}

/// The score rule: the conversion of a model's output into scores. It is the same for all images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum Scoring {
    /// The output is a distribution already.
    Probability,
    /// The softmax of the output, which holds logits.
    Softmax,
    /// The softmax of the output, which holds logarithms of a distribution.
    LogProbability,
    /// The sigmoid of each value.
    Sigmoid,
    /// Each value is the probability of its class, independent of the others.
    Independent,
    /// The output is a single logit, the one of class 1 of two classes.
    PositiveLogit,
    /// The output is a single probability, the one of class 1 of two classes.
    PositiveProbability,
    /// The output names the best classes, without scores.
    ClassIds,
    /// The output as it is. Its values may not be probabilities.
    Raw,
}

impl fmt::Display for Scoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probability => "the output as it is, a distribution",
            Self::Softmax => "the softmax of the output",
            Self::LogProbability => "the exponential of the output",
            Self::Sigmoid => "the sigmoid of each value of the output",
            Self::Independent => "the output as it is, an independent probability for each class",
            Self::PositiveLogit => "the sigmoid of the output, for class 1 of two",
            Self::PositiveProbability => "the output as it is, for class 1 of two",
            Self::ClassIds => "none: the output holds class ids",
            Self::Raw => "the output as it is, not known to be probabilities",
        })
    }
}

impl Scoring {
    /// Returns the rule for an output of `kind` with `classes` values for an image; `multi_label` states that several
    /// classes may be right. `None` if only outputs can decide it: see [`from_outputs`](Self::from_outputs).
    ///
    /// A single value answers a yes-or-no question: the scores are of class 0, no, and class 1, yes.
    pub fn decide(
        asked: ScoreKind,
        kind: Option<OutputKind>,
        multi_label: bool,
        classes: Option<usize>,
    ) -> Option<Self> {
        if kind == Some(OutputKind::ClassIds) && asked != ScoreKind::Raw {
            return Some(Self::ClassIds);
        }
        let scoring = match (asked, kind) {
            (ScoreKind::Raw, _) | (ScoreKind::Auto, Some(OutputKind::OneHot)) => Self::Raw,
            (ScoreKind::Probability, _) | (ScoreKind::Auto, Some(OutputKind::Probabilities)) => {
                Self::Probability
            }
            (ScoreKind::Sigmoid, _) | (ScoreKind::Auto, Some(OutputKind::IndependentLogits)) => {
                Self::Sigmoid
            }
            (ScoreKind::Auto, Some(OutputKind::Logits)) if multi_label || classes == Some(1) => {
                Self::Sigmoid
            }
            (ScoreKind::Softmax, _) | (ScoreKind::Auto, Some(OutputKind::Logits)) => Self::Softmax,
            (ScoreKind::Auto, Some(OutputKind::LogProbabilities)) => Self::LogProbability,
            (ScoreKind::Auto, Some(OutputKind::IndependentProbabilities)) => Self::Independent,
            (ScoreKind::Auto, Some(OutputKind::ClassIds)) => Self::ClassIds,
            (ScoreKind::Auto, None | Some(OutputKind::Numbers)) => return None,
        };
        Some(match (scoring, classes) {
            (Self::Sigmoid, Some(1)) => Self::PositiveLogit,
            (Self::Probability | Self::Independent, Some(1)) => Self::PositiveProbability,
            (scoring, _) => scoring,
        })
    }

    /// Returns the rule that fits all `outputs` of the first images, for a model that states no rule. `None` if none
    /// of them is finite.
    ///
    /// A single value may be anything: it stays as it is. `quantization` is the one of an integer output; integers
    /// without it are not probabilities.
    pub fn from_outputs<'a>(
        outputs: impl IntoIterator<Item = &'a Tensor>,
        quantization: Option<Quantization>,
        multi_label: bool,
    ) -> Option<Self> {
        let (mut all_in_range, mut all_distributions, mut finite) = (true, true, 0);
        for output in outputs {
            let is_real = quantization.is_some() || output.element_type().is_float();
            if output.len() < 2 && !multi_label || !is_real {
                return Some(Self::Raw);
            }
            let values = real_values(output, quantization);
            // The error of such an image names it; it does not affect the others.
            if values.iter().all(|value| value.is_finite()) {
                all_in_range &= values.iter().all(|value| (0.0..=1.0).contains(value));
                all_distributions &= is_distribution(&values);
                finite += 1;
            }
        }
        (finite > 0).then_some(match (multi_label, all_in_range, all_distributions) {
            (true, true, _) => Self::Independent,
            (true, false, _) => Self::Sigmoid,
            (false, _, true) => Self::Probability,
            // Independent probabilities, or logits that are all small: the softmax of the former is wrong.
            (false, true, false) => Self::Raw,
            (false, false, false) => Self::Softmax,
        })
    }

    /// Returns whether exactly one class is right, so that the scores are a distribution.
    pub const fn is_distribution(self) -> bool {
        self.is_probability() && !self.is_multi_label()
    }

    /// Returns whether the output holds logits. A softmax or a sigmoid of logits may saturate.
    pub const fn is_of_logits(self) -> bool {
        self.is_of_softmax() || matches!(self, Self::Sigmoid | Self::PositiveLogit)
    }

    /// Returns whether a softmax makes the scores. A number that is added to all values does not change them.
    pub const fn is_of_softmax(self) -> bool {
        matches!(self, Self::Softmax | Self::LogProbability)
    }

    /// Returns whether the scores are probabilities.
    pub const fn is_probability(self) -> bool {
        !matches!(self, Self::ClassIds | Self::Raw)
    }

    /// Returns the number of classes that get scores, for a model with `values` values for an image; `None` if it is
    /// not known. A single value answers a question with two answers.
    pub const fn class_count(self, values: Option<usize>) -> Option<usize> {
        match self {
            Self::ClassIds => None,
            Self::PositiveLogit | Self::PositiveProbability => Some(2),
            _ => values,
        }
    }

    /// Returns whether several classes may be right at a time.
    pub const fn is_multi_label(self) -> bool {
        matches!(self, Self::Sigmoid | Self::Independent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Interpretation;

    #[test]
    fn the_kind_of_output_decides_before_any_image_does() {
        let decide = |kind, multi_label, classes| {
            Scoring::decide(ScoreKind::Auto, kind, multi_label, Some(classes))
        };
        for (kind, scoring) in [
            (OutputKind::Logits, Scoring::Softmax),
            (OutputKind::LogProbabilities, Scoring::LogProbability),
            (OutputKind::Probabilities, Scoring::Probability),
            (OutputKind::IndependentLogits, Scoring::Sigmoid),
            (OutputKind::IndependentProbabilities, Scoring::Independent),
            (OutputKind::ClassIds, Scoring::ClassIds),
            (OutputKind::OneHot, Scoring::Raw),
        ] {
            assert_eq!(decide(Some(kind), false, 3), Some(scoring));
        }
        assert_eq!(
            decide(Some(OutputKind::Logits), true, 3),
            Some(Scoring::Sigmoid)
        );
        assert_eq!(
            decide(Some(OutputKind::Logits), false, 1),
            Some(Scoring::PositiveLogit)
        );
        assert_eq!(decide(None, false, 3), None);
    }

    #[test]
    fn one_output_that_is_no_distribution_decides_for_all() {
        let output = |values: &[f32]| Tensor::new([1, values.len()], values.to_vec()).unwrap();
        let from = |outputs: &[Tensor], multi_label| {
            Scoring::from_outputs(outputs, None, multi_label).unwrap()
        };
        // Logits that look like a distribution on one image.
        let dark = output(&[0.2, 0.81]);
        let light = output(&[0.2, 1.81]);
        assert_eq!(
            from(std::slice::from_ref(&dark), false),
            Scoring::Probability
        );
        assert_eq!(
            from(&[dark.clone(), light.clone()], false),
            Scoring::Softmax
        );
        assert_eq!(from(&[dark, light], true), Scoring::Sigmoid);
        // Six sigmoids, as far as anybody can tell.
        let sigmoids = output(&[0.5, 0.17, 0.16, 0.49, 0.5, 0.9]);
        assert_eq!(from(&[sigmoids], false), Scoring::Raw);
        assert_eq!(from(&[output(&[0.3])], false), Scoring::Raw);
        let bytes = Tensor::new([1, 3], vec![255_u8, 0, 0]).unwrap();
        assert_eq!(from(std::slice::from_ref(&bytes), false), Scoring::Raw);
        let quantization = Quantization {
            scale: 1.0 / 255.0,
            zero_point: 0,
        };
        assert_eq!(
            Scoring::from_outputs([&bytes], Some(quantization), false),
            Some(Scoring::Probability)
        );
    }

    #[test]
    fn every_class_that_is_counted_has_a_score() {
        for (scoring, values, outputs) in [
            (Scoring::PositiveLogit, 2, vec![0.3]),
            (Scoring::PositiveProbability, 2, vec![0.3]),
            // Any number of classes may be right, and the model knows a single one.
            (Scoring::Sigmoid, 1, vec![0.3]),
            (Scoring::Independent, 1, vec![0.3]),
            (Scoring::Raw, 1, vec![0.3]),
            (Scoring::Probability, 2, vec![0.3, 0.7]),
        ] {
            let output = Tensor::new([1, outputs.len()], outputs).unwrap();
            let scores = Interpretation::plain(scoring).scores(&output).unwrap();
            assert_eq!(scoring.class_count(Some(output.len())), Some(values));
            assert_eq!(scores.values().len(), values, "{scoring:?}");
        }
        assert_eq!(Scoring::ClassIds.class_count(Some(5)), None);
    }
}
