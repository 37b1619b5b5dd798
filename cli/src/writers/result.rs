//! The result for an image, and what all results of a run share.

use std::path::Path;
use std::time::Duration;

use backend_api::{BackendInfo, NamedTensor};
use image_classification::{ImageOutputs, Interpretation, Labels, OutputReading, Ranked, Scoring};

/// The part that all results of a run share.
#[derive(Debug)]
pub struct ResultContext<'a> {
    pub info: &'a BackendInfo,
    /// The devices that really execute.
    pub device: &'a str,
    pub model: &'a Path,
    pub labels: Option<&'a Labels>,
    /// The rule that made the scores.
    pub reading: &'a OutputReading,
}

impl ResultContext<'_> {
    /// Returns the name of the scores: `probability`, or `score` for the output as it is (the sample calls logits a
    /// probability; they are not). `None` for class ids, which have no scores.
    pub(super) fn scores(&self) -> Option<&'static str> {
        match self.reading.interpretation.scoring {
            Scoring::ClassIds => None,
            Scoring::Raw => Some("score"),
            _ => Some("probability"),
        }
    }

    pub(super) fn label(&self, class_id: usize) -> Option<&str> {
        self.labels?.get(class_id)
    }
}

/// The classes of an image.
#[derive(Debug)]
pub struct Classified {
    pub top: Vec<Ranked>,
    /// Reading, decoding and preprocessing, in milliseconds.
    pub prepare_ms: f64,
    /// From submitting the request to its result, in milliseconds; waiting is part of it.
    pub infer_ms: f64,
    /// The outputs of the model that are saved.
    pub outputs: Vec<NamedTensor>,
}

impl Classified {
    /// Ranks the output of the only run for an image: at most `top` classes of at least the score `threshold`. The output
    /// itself is saved under the name `saved_as`, if there is one.
    pub fn new(
        mut outputs: ImageOutputs,
        interpretation: Interpretation,
        top: usize,
        threshold: Option<f32>,
        saved_as: Option<&str>,
    ) -> anyhow::Result<Self> {
        let output = outputs.runs.swap_remove(0)?;
        let scores = interpretation.scores(&output.tensor)?;
        let mut top = scores.top(top);
        if let Some(threshold) = threshold
            && scores.scoring() != Scoring::ClassIds
        {
            top.retain(|ranked| ranked.score >= threshold);
        }
        let own = saved_as.map(|name| NamedTensor {
            name: name.to_owned(),
            tensor: output.tensor,
        });
        Ok(Self {
            outputs: own.into_iter().chain(output.extra).collect(),
            top,
            prepare_ms: milliseconds(outputs.prepare),
            infer_ms: milliseconds(output.infer),
        })
    }
}

fn milliseconds(duration: Duration) -> f64 {
    // Microseconds are as much as a clock means.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
