//! The interpretation of a model's output. It is decided once per model, never per image.

use backend_api::{BackendInfo, ElementType, Tensor};

use super::{Note, ResolveError, ResolvedPreprocessing};
use crate::{Interpretation, OutputKind, ScoreKind, Scoring, SettingOrigin};

/// The score rule, and its origin.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OutputReading {
    /// The rule.
    pub interpretation: Interpretation,
    /// The caller, the model's operator or metadata, or the first images.
    pub origin: SettingOrigin,
    /// The kind of values in the model's output, if a source states it.
    pub kind: Option<OutputKind>,
    /// The source that states that several classes may be right, if one does.
    pub multi_label: Option<SettingOrigin>,
}

impl OutputReading {
    /// Returns the reading if the rule stays open, because no image can be read or no output is finite.
    pub fn raw() -> Self {
        Self {
            interpretation: Interpretation::RAW,
            origin: SettingOrigin::Undecided,
            kind: None,
            multi_label: None,
        }
    }

    /// Returns whether a source decides the scoring.
    pub fn is_decided(&self) -> bool {
        self.origin != SettingOrigin::Undecided
    }

    /// Decides the rule for a model that gives `values` values for an image. `None` if only outputs decide it.
    pub(super) fn decide(
        resolved: &ResolvedPreprocessing,
        info: &BackendInfo,
        values: Option<usize>,
    ) -> Result<Option<Self>, ResolveError> {
        let requested = resolved.scores;
        let element = info.output.element_type;
        let is_integer = !element.is_float();
        let output = resolved.output.as_ref();
        let multi_label = resolved.multi_label.as_ref().filter(|stated| stated.value);
        let holds_ids = output.is_some_and(|output| output.value == OutputKind::ClassIds);
        if let Some(output) = output.filter(|_| holds_ids)
            && matches!(
                requested,
                ScoreKind::Probability | ScoreKind::Softmax | ScoreKind::Sigmoid
            )
        {
            return Err(ResolveError::ScoresOfClassIds {
                scores: requested,
                origin: output.origin.clone(),
            });
        }
        if requested == ScoreKind::Auto
            && output.is_none()
            && values == Some(1)
            && element.is_wide_integer()
        {
            return Err(ResolveError::SingleInteger { element });
        }
        let reading = |scoring, origin| Ok(Some(Self::new(resolved, is_integer, scoring, origin)));
        let has_scale = resolved.quantization.is_some();
        if requested == ScoreKind::Auto && is_integer && !has_scale && !holds_ids {
            let origin = format!("the output holds {element} without a scale");
            return reading(Scoring::Raw, origin.into());
        }
        // A single dimension of an open size may be the one of the batch, with a value for each image.
        if requested == ScoreKind::Auto
            && !holds_ids
            && values.is_none()
            && info.output.dims.len() == 1
        {
            return Ok(None);
        }
        let kind = output.map(|output| output.value);
        let Some(scoring) = Scoring::decide(requested, kind, multi_label.is_some(), values) else {
            return Ok(None);
        };
        let origin = match (requested, output, multi_label) {
            (ScoreKind::Auto, Some(output), Some(multi_label)) if !holds_ids => {
                format!("{}, {}", multi_label.origin, output.origin).into()
            }
            (_, Some(output), _) if requested == ScoreKind::Auto || holds_ids => {
                output.origin.clone()
            }
            _ => SettingOrigin::Override("scores"),
        };
        reading(scoring, origin)
    }

    /// Decides the rule by `outputs`, the outputs of the first images. `None` if none of them is finite.
    pub(super) fn of_outputs(resolved: &ResolvedPreprocessing, outputs: &[Tensor]) -> Option<Self> {
        let is_integer = !outputs.first()?.element_type().is_float();
        let multi_label = resolved.multi_label.as_ref().filter(|stated| stated.value);
        // An engine that gives fractions has dequantized already.
        let quantization = resolved.quantization.as_ref().filter(|_| is_integer);
        let stated = resolved.output.as_ref();
        if let Some(output) = stated.filter(|stated| stated.value != OutputKind::Numbers) {
            let values = outputs.first().map(Tensor::len);
            let multi_label = multi_label.is_some();
            let scoring =
                Scoring::decide(ScoreKind::Auto, Some(output.value), multi_label, values)?;
            return Some(Self::new(
                resolved,
                is_integer,
                scoring,
                output.origin.clone(),
            ));
        }
        let mut scoring = Scoring::from_outputs(
            outputs,
            quantization.map(|stated| stated.value),
            multi_label.is_some(),
        )?;
        if scoring.is_of_logits() && stated.is_some() {
            scoring = Scoring::Raw;
        }
        let images = match outputs.len() {
            1 => "the first image".to_owned(),
            count => format!("the first {count} images"),
        };
        let origin = match multi_label {
            Some(multi_label) => format!("{}, {images}", multi_label.origin),
            None => images,
        };
        let mut reading = Self::new(resolved, is_integer, scoring, origin.into());
        reading.interpretation.inferred = true;
        Some(reading)
    }

    fn new(
        resolved: &ResolvedPreprocessing,
        is_integer: bool,
        scoring: Scoring,
        origin: SettingOrigin,
    ) -> Self {
        // An engine that gives fractions has dequantized already.
        let quantization = resolved.quantization.as_ref().filter(|_| is_integer);
        let multi_label = resolved.multi_label.as_ref().filter(|stated| stated.value);
        Self {
            interpretation: Interpretation {
                scoring,
                quantization: quantization.map(|stated| stated.value),
                inferred: false,
            },
            origin,
            kind: resolved.output.as_ref().map(|output| output.value),
            multi_label: multi_label.map(|stated| stated.origin.clone()),
        }
    }

    /// Returns notes on decisions that the caller did not make, for a model that gives `values` values of the type
    /// `element` for an image.
    pub(super) fn notes(
        &self,
        requested: ScoreKind,
        element: ElementType,
        values: Option<usize>,
    ) -> Vec<Note> {
        if requested != ScoreKind::Auto {
            return Vec::new();
        }
        let scoring = self.interpretation.scoring;
        let origin = &self.origin;
        let mut notes = Vec::new();
        if let Some(stated) = &self.multi_label
            && scoring.is_distribution()
            && values != Some(1)
        {
            notes.push(Note::warning(format!(
                "{stated} states that several classes may be right, but the output is a distribution ({origin}), so \
                 exactly one class is right"
            )));
        }
        if scoring == Scoring::Raw && self.kind == Some(OutputKind::OneHot) {
            notes.push(Note::warning(format!(
                "the model gives 1 for the best class and 0 for the others ({origin}): scores are not probabilities, and \
                 only the first class is a result"
            )));
            return notes;
        }
        if scoring == Scoring::Raw && element.is_wide_integer() && values != Some(1) {
            notes.push(Note::warning(format!(
                "the model does not state what its output holds ({origin}); scores are the raw output; if it holds the \
                 ids of the best classes, a position is a rank and does not identify a class: check the end of the model"
            )));
            return notes;
        }
        let text = if scoring == Scoring::Raw && self.kind == Some(OutputKind::Numbers) {
            "the model's last operators compute numbers from probabilities; scores are the raw output".to_owned()
        } else if scoring == Scoring::Raw {
            format!(
                "the model does not state what its output holds ({origin}); scores are the raw output; use \
                 `scores = softmax` or `scores = sigmoid` if it holds logits"
            )
        } else if scoring == Scoring::ClassIds {
            format!("the model gives class ids without scores ({origin})")
        } else if matches!(
            scoring,
            Scoring::PositiveLogit | Scoring::PositiveProbability
        ) {
            format!(
                "the model gives a single value ({origin}); it is taken as the score of class 1 of two: {scoring}; \
                 `scores = raw` gives it as it is"
            )
        } else if self.interpretation.inferred {
            format!(
                "the output kind is not stated; inferred once from {origin}: {scoring}; override with `scores`"
            )
        } else if scoring.is_multi_label() {
            format!("several classes may be right ({origin}); scores are {scoring}")
        } else {
            return notes;
        };
        notes.push(Note::new(text));
        notes
    }
}
