//! The values that two models' outputs have in common and that are compared.

use image_classification::Scoring;

/// The values of two runs that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Both give logits: their probabilities and, because a softmax that saturates hides them, the logits.
    Logits,
    /// At least one gives probabilities: each output is brought to probabilities by itself.
    Probabilities,
    /// Both give values that may not be probabilities.
    Outputs,
    /// At least one gives class ids only.
    ClassIds,
}

impl Basis {
    /// Returns the basis for two outputs.
    ///
    /// # Errors
    ///
    /// A sentence for outputs of different kinds, with "it" for the run and "the reference".
    pub fn of(reference: Scoring, run: Scoring) -> Result<Self, String> {
        let both = [reference, run];
        if both.contains(&Scoring::ClassIds) {
            return Ok(Self::ClassIds);
        }
        let kind = |scoring: Scoring| {
            if !scoring.is_probability() {
                "scores that may not be probabilities"
            } else if scoring.is_multi_label() {
                "an independent probability for each class"
            } else {
                "a distribution over the classes"
            }
        };
        if kind(reference) != kind(run) {
            return Err(format!(
                "it gives {}, but the reference gives {}",
                kind(run),
                kind(reference)
            ));
        }
        Ok(if !reference.is_probability() {
            Self::Outputs
        } else if reference.is_of_logits()
            && (reference == run || reference.is_of_softmax() && run.is_of_softmax())
        {
            Self::Logits
        } else {
            Self::Probabilities
        })
    }

    /// Returns whether |Δp| is limited.
    pub const fn has_probabilities(self) -> bool {
        matches!(self, Self::Logits | Self::Probabilities)
    }

    /// Returns whether the relative error of the outputs is limited.
    pub const fn has_outputs(self) -> bool {
        matches!(self, Self::Logits | Self::Outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_brought_to_what_they_have_in_common() {
        for (reference, run, basis) in [
            (Scoring::Softmax, Scoring::Softmax, Basis::Logits),
            (Scoring::Softmax, Scoring::Probability, Basis::Probabilities),
            (Scoring::LogProbability, Scoring::Softmax, Basis::Logits),
            (
                Scoring::LogProbability,
                Scoring::LogProbability,
                Basis::Logits,
            ),
            (Scoring::Sigmoid, Scoring::Independent, Basis::Probabilities),
            (
                Scoring::PositiveLogit,
                Scoring::Softmax,
                Basis::Probabilities,
            ),
            (Scoring::Raw, Scoring::Raw, Basis::Outputs),
            (Scoring::ClassIds, Scoring::Softmax, Basis::ClassIds),
        ] {
            assert_eq!(
                Basis::of(reference, run),
                Ok(basis),
                "{reference:?} {run:?}"
            );
        }
        let why = Basis::of(Scoring::Softmax, Scoring::Sigmoid).unwrap_err();
        assert!(why.contains("independent"), "{why}");
        assert!(Basis::of(Scoring::Raw, Scoring::Softmax).is_err());
    }
}
