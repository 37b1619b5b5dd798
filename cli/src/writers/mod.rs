//! Writers of results: text, JSON, CSV, npz and Parquet.

mod csv;
mod json;
mod npz;
#[cfg(feature = "parquet")]
pub mod parquet;
mod text;

use std::path::Path;
use std::time::Duration;

use backend_api::{BackendInfo, NamedTensor, TensorSpec};
use image_classification::{ImageOutputs, Interpretation, Labels, OutputReading, Ranked, Scoring};

pub use csv::{inert, unwrapped};
pub use json::{Json, JsonInput};

use crate::args::Format;
use crate::destination::Output;
use crate::options::OutputOptions;

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
    fn scores(&self) -> Option<&'static str> {
        match self.reading.interpretation.scoring {
            Scoring::ClassIds => None,
            Scoring::Raw => Some("score"),
            _ => Some("probability"),
        }
    }

    fn label(&self, class_id: usize) -> Option<&str> {
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

/// A writer of results. All methods fail only if the destination does.
#[derive(Debug)]
pub enum Writer {
    Text(text::Text),
    Json(Json),
    Csv(Box<csv::Csv>),
    Npz(Box<npz::Npz>),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::Parquet>),
}

impl Writer {
    /// Returns the writer of a format. `quiet` leaves out the steps of the text.
    ///
    /// # Errors
    ///
    /// If this program was built without the format, or the destination fails.
    pub fn new(output: Output, options: &OutputOptions, quiet: bool) -> anyhow::Result<Self> {
        Ok(match options.format {
            Format::Text => Self::Text(text::Text::new(output, options.digits, quiet)),
            Format::Json => Self::Json(Json::new(output)),
            Format::Csv => Self::Csv(Box::new(csv::Csv::new(output, options.digits))),
            Format::Npz => Self::Npz(Box::new(npz::Npz::new(output))),
            #[cfg(feature = "parquet")]
            Format::Parquet => Self::Parquet(Box::new(parquet::Parquet::new(output)?)),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => anyhow::bail!("this program was built without Parquet"),
        })
    }

    /// Writes a step of the program, which only the sample's text has.
    pub fn step(&mut self, text: &str) -> anyhow::Result<()> {
        match self {
            Self::Text(writer) => Ok(writer.step(text)?),
            Self::Json(_) | Self::Csv(_) | Self::Npz(_) => Ok(()),
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => Ok(()),
        }
    }

    /// Checks that the format can hold the outputs that images will have.
    pub fn expect<'a>(
        &mut self,
        outputs: impl Iterator<Item = &'a TensorSpec>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Npz(writer) => writer.expect(outputs),
            Self::Text(_) | Self::Json(_) | Self::Csv(_) => Ok(()),
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => Ok(()),
        }
    }

    /// Writes the result of an image, or its error, which text leaves to stderr.
    pub fn result(
        &mut self,
        context: &ResultContext<'_>,
        path: &Path,
        result: Result<&Classified, &anyhow::Error>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Text(writer) => match result {
                Ok(classified) => Ok(writer.result(context, path, classified)?),
                Err(_) => Ok(()),
            },
            Self::Json(writer) => {
                let input = JsonInput {
                    path: Some(path),
                    line: None,
                    note: None,
                };
                writer.result(context, &input, result)
            }
            Self::Csv(writer) => writer.result(context, path, result),
            Self::Npz(writer) => writer.result(context, path, result),
            #[cfg(feature = "parquet")]
            Self::Parquet(writer) => writer.result(context, path, result),
        }
    }

    /// Gives the results to the reader of stdout. A file, and formats that are written as a whole, do not need it.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Text(writer) => Ok(writer.flush()?),
            Self::Json(writer) => writer.flush(),
            Self::Csv(writer) => writer.flush(),
            Self::Npz(_) => Ok(()),
            #[cfg(feature = "parquet")]
            Self::Parquet(_) => Ok(()),
        }
    }

    /// Returns the destination, with everything written.
    pub fn into_output(self) -> anyhow::Result<Output> {
        match self {
            Self::Text(writer) => Ok(writer.into_output()),
            Self::Json(writer) => Ok(writer.into_output()),
            Self::Csv(writer) => writer.into_output(),
            Self::Npz(writer) => writer.into_output(),
            #[cfg(feature = "parquet")]
            Self::Parquet(writer) => writer.into_output(),
        }
    }
}
