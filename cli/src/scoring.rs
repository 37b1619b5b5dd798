//! The interpretation of a model's output. It is decided once per model, never per image.

use anyhow::Error;
use backend_api::{BackendInfo, ElementType, Tensor};
use image_classification::sources::Resolved;
use image_classification::{Interpretation, OutputKind, ScoreKind, Scoring};

use crate::messages::{Hinted, Messages, counted, printable};

/// The number of images that decide where the model says nothing.
pub const FIRST_IMAGES: usize = 8;

/// The source of a rule that nothing told: no image could be read, or no output was finite.
const UNDECIDED: &str = "nothing";

/// The rule that makes scores of outputs, and its source.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputReading {
    pub interpretation: Interpretation,
    /// The flag, the model's operator or metadata, or the first images.
    pub by: String,
    /// The kind of values that the model gives, if it tells.
    pub kind: Option<OutputKind>,
    /// The source that states that several classes may be right, if one does.
    pub multi_label: Option<String>,
}

impl OutputReading {
    /// The reading where nothing tells the rule, because no image can be read or no output is finite.
    pub fn raw() -> Self {
        Self {
            interpretation: Interpretation::RAW,
            by: UNDECIDED.to_owned(),
            kind: None,
            multi_label: None,
        }
    }

    /// Whether anything told the rule.
    pub fn is_decided(&self) -> bool {
        self.by != UNDECIDED
    }

    /// Decides. `first_outputs` gives the outputs of the first images; it is called only where nothing else tells.
    /// `None` if it has none.
    pub fn decide(
        asked: ScoreKind,
        resolved: &Resolved,
        info: &BackendInfo,
        classes: Option<usize>,
        first_outputs: impl FnOnce() -> Result<Vec<Tensor>, Error>,
    ) -> Result<Option<Self>, Error> {
        // An engine that gives fractions has dequantized already.
        let is_integer = !info.output.element_type.is_float();
        let quantization = resolved.quantization.as_ref().filter(|_| is_integer);
        let output = resolved.output.as_ref();
        let kind = output.map(|stated| stated.value);
        let multi_label = resolved.multi_label.as_ref().filter(|stated| stated.value);
        let quantization = quantization.map(|stated| stated.value);
        let reading = |scoring, by: String| {
            Some(Self {
                interpretation: Interpretation {
                    scoring,
                    quantization,
                    inferred: false,
                },
                by,
                kind,
                multi_label: multi_label.map(|stated| stated.by.clone()),
            })
        };
        let holds_ids = kind == Some(OutputKind::ClassIds);
        let asked_by_name = match asked {
            ScoreKind::Probability => Some("probability"),
            ScoreKind::Softmax => Some("softmax"),
            ScoreKind::Sigmoid => Some("sigmoid"),
            ScoreKind::Auto | ScoreKind::Raw => None,
        };
        if let (true, Some(name), Some(output)) = (holds_ids, asked_by_name, output) {
            return Err(Hinted::new(
                format!(
                    "--scores {name} needs a score for each class, but the model gives class ids without scores ({})",
                    printable(&output.by)
                ),
                "leave --scores out, or pass --scores raw",
            )
            .into());
        }
        let element = info.output.element_type;
        if asked == ScoreKind::Auto
            && kind.is_none()
            && classes == Some(1)
            && matches!(element, ElementType::I32 | ElementType::I64)
        {
            return Err(Hinted::new(
                format!(
                    "the model gives one {element} for an image, and nothing states that it is a class id"
                ),
                "pass --scores raw to print it as it is",
            )
            .into());
        }
        if asked == ScoreKind::Auto && is_integer && quantization.is_none() && !holds_ids {
            let by = format!(
                "the output holds {} without a scale",
                info.output.element_type
            );
            return Ok(reading(Scoring::Raw, by));
        }
        if let Some(scoring) = Scoring::decide(asked, kind, multi_label.is_some(), classes) {
            let by = match (asked, output, multi_label) {
                (ScoreKind::Auto, Some(output), Some(multi_label)) if !holds_ids => {
                    format!("{}, {}", multi_label.by, output.by)
                }
                (_, Some(output), _) if asked == ScoreKind::Auto || holds_ids => output.by.clone(),
                _ => "--scores".to_owned(),
            };
            return Ok(reading(scoring, by));
        }
        let outputs = first_outputs()?;
        if outputs.is_empty() {
            return Ok(None);
        }
        let scoring = Scoring::from_outputs(&outputs, quantization, multi_label.is_some());
        let Some(scoring) = scoring else {
            return Ok(None);
        };
        let by = match outputs.len() {
            1 => "the first image".to_owned(),
            count => format!("the first {}", counted(count, "image")),
        };
        let by = match multi_label {
            Some(multi_label) => format!("{}, {by}", multi_label.by),
            None => by,
        };
        let mut reading = reading(scoring, by);
        if let Some(reading) = &mut reading {
            reading.interpretation.inferred = true;
        }
        Ok(reading)
    }

    /// Prints a note on a decision that the user did not make.
    pub fn note(&self, asked: ScoreKind, classes: Option<usize>, messages: &Messages) {
        if asked != ScoreKind::Auto {
            return;
        }
        let scoring = self.interpretation.scoring;
        let by = printable(&self.by);
        if let Some(stated) = &self.multi_label
            && scoring.is_distribution()
            && classes != Some(1)
        {
            messages.warning(&printable(&format!(
                "{stated} states that several classes may be right, but the output is a distribution ({by}), of which \
                 exactly one is"
            )));
        }
        let text = if scoring == Scoring::Raw {
            format!(
                "the model does not state what its output holds ({by}); scores are the raw output; pass --scores \
                 softmax or sigmoid if it holds logits"
            )
        } else if scoring == Scoring::ClassIds {
            format!("the model gives class ids without scores ({by})")
        } else if classes == Some(1) {
            format!(
                "the model gives a single value ({by}); it is taken for the positive class, 1, of two: {scoring}; \
                 --scores raw prints it as it is"
            )
        } else if self.kind.is_none() {
            format!(
                "the output kind is not stated; inferred once from {by}: {scoring}; override with --scores"
            )
        } else if scoring.is_multi_label() {
            format!("several classes may be right ({by}); scores are {scoring}")
        } else {
            return;
        };
        messages.note(&text);
    }
}
