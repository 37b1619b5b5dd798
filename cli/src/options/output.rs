//! The options of the results of `classify`.

use std::path::{Path, PathBuf};

use backend_api::ExtraOutputs;
use clap::ValueEnum as _;

use crate::args::{Format, OutputArgs};
use crate::errors::Hinted;
use crate::identity::is_stdout_a_file;

/// The format and the destination of results.
#[derive(Debug, Clone)]
pub struct OutputOptions {
    pub format: Format,
    /// The file, or stdout.
    pub path: Option<PathBuf>,
    /// The number of classes to print.
    pub top: usize,
    /// The least score to print.
    pub threshold: Option<f32>,
    /// Digits after the point.
    pub digits: usize,
    /// The outputs of the model that are saved with the results.
    pub saved: ExtraOutputs,
}

impl OutputOptions {
    /// Returns whether the output that holds the scores, called `name`, is saved.
    pub fn saves(&self, name: &str) -> bool {
        match &self.saved {
            ExtraOutputs::None => self.format == Format::Npz,
            ExtraOutputs::All => true,
            ExtraOutputs::Named(names) => names.iter().any(|saved| saved == name),
        }
    }
}

impl OutputArgs {
    /// Returns whether a program or a person reads the results. Before a file is written, all images are known: none of
    /// them may be that file.
    pub(super) fn is_for_reader(&self) -> bool {
        let is_stdout = self
            .output
            .as_deref()
            .is_none_or(|path| path == Path::new("-"));
        is_stdout && !is_stdout_a_file()
    }

    /// Returns the format of results. The answers of a stream are JSON, and parts of shards have rows.
    pub(super) fn format(&self, is_stream: bool, is_shard: bool) -> anyhow::Result<Format> {
        match self.format {
            None if is_shard => Ok(Format::Json),
            Some(other @ (Format::Text | Format::Npz)) if is_shard => {
                let name = other.to_possible_value().expect("it has a name");
                let error = format!("shards cannot write `--format {}`", name.get_name());
                let hint = if cfg!(feature = "parquet") {
                    "pass `--format json`, `--format csv` or `--format parquet`"
                } else {
                    "pass `--format json` or `--format csv`"
                };
                Err(Hinted::new(error, hint).into())
            }
            None if is_stream => Ok(Format::Json),
            Some(other) if is_stream && other != Format::Json => {
                let hint = "leave --format out, or pass `--format json`";
                Err(Hinted::new("--stream answers in JSON only", hint).into())
            }
            given => Ok(given.unwrap_or(Format::Text)),
        }
    }

    /// Checks that results in Parquet can be written, and where.
    pub(super) fn check_parquet(&self, format: Format, is_shard: bool) -> anyhow::Result<()> {
        if format != Format::Parquet {
            return Ok(());
        }
        if cfg!(not(feature = "parquet")) {
            let error = "this program was built without Parquet";
            let hint =
                "build it with `--features parquet`, or pass `--format csv` or `--format json`";
            return Err(Hinted::new(error, hint).into());
        }
        if self.output.is_none() && !is_shard {
            let hint = "pass `-o FILE`, or `-o -` for a pipe";
            return Err(Hinted::new("`--format parquet` is binary and needs a file", hint).into());
        }
        Ok(())
    }

    /// Returns the outputs of the model that are saved.
    pub(super) fn saved(&self, format: Format) -> anyhow::Result<ExtraOutputs> {
        let saved = outputs_of(&self.save_outputs);
        if saved != ExtraOutputs::None
            && matches!(format, Format::Text | Format::Csv | Format::Parquet)
        {
            let hint = "pass `--format json`, or `--format npz -o FILE`";
            return Err(Hinted::new(
                "text, CSV and Parquet cannot hold the outputs of --save-outputs",
                hint,
            )
            .into());
        }
        if format == Format::Npz && self.output.is_none() {
            let hint = "pass `-o FILE`, or `-o -` for a pipe";
            return Err(Hinted::new("`--format npz` is binary and needs a file", hint).into());
        }
        Ok(saved)
    }
}

/// Returns the outputs that the values of `--save-outputs` name, with commas between them. After a backslash a comma, and
/// `all`, are part of a name.
fn outputs_of(values: &[String]) -> ExtraOutputs {
    let mut names: Vec<String> = Vec::new();
    for value in values {
        let mut is_continued = false;
        let mut parts = value.split(',').peekable();
        while let Some(part) = parts.next() {
            let escaped = part.strip_suffix('\\').filter(|_| parts.peek().is_some());
            let (text, continues) = match escaped {
                Some(text) => (format!("{text},"), true),
                None => (part.to_owned(), false),
            };
            match names.last_mut() {
                Some(name) if is_continued => name.push_str(&text),
                _ => names.push(text),
            }
            is_continued = continues;
        }
    }
    match &*names {
        [] => ExtraOutputs::None,
        [all] if all == "all" => ExtraOutputs::All,
        _ => {
            for name in names.iter_mut().filter(|name| *name == "\\all") {
                name.remove(0);
            }
            ExtraOutputs::Named(names)
        }
    }
}
