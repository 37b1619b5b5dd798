//! Writers of results: text, JSON, CSV, npz and Parquet.

mod csv;
mod json;
mod npz;
#[cfg(feature = "parquet")]
pub mod parquet;
mod result;
mod text;

use std::path::Path;

use backend_api::TensorSpec;

pub use csv::{inert, unwrapped};
pub use json::{Json, JsonInput};
pub use result::{Classified, ResultContext};

use crate::args::Format;
use crate::destination::Output;
use crate::options::OutputOptions;

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
