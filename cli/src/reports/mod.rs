//! Reports of `compare` and `evaluate`: a file for each format, and their destinations.

mod annotations;
mod bisection;
mod cell;
mod changes;
mod exporter;
mod gates;
mod html;
mod json;
mod junit;
mod markdown;
mod named;
#[cfg(feature = "parquet")]
mod parquet;
mod rows;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod wording;

use std::io::Write;
use std::path::Path;

use evaluation::{ComparisonReport, EvaluationReport};

use crate::args::{ReportFormat, ReportPath, ResultFormat};
use crate::destination::{self, Output};

use exporter::Exporter;

#[cfg(feature = "parquet")]
pub use parquet::is_parquet;
pub use rows::{AnswerRows, column_names};
pub use wording::{EvaluationText, shortened};

fn exporter(format: ReportFormat) -> &'static dyn Exporter {
    match format {
        ReportFormat::Annotations => &annotations::Annotations,
        ReportFormat::Json => &json::Json,
        ReportFormat::Markdown => &markdown::Markdown,
        ReportFormat::Junit => &junit::Junit,
        ReportFormat::Html => &html::Html,
        ReportFormat::Csv => &rows::Rows,
        #[cfg(feature = "parquet")]
        ReportFormat::Parquet => &rows::ParquetRows,
    }
}

/// An open file for a report.
pub struct Destination {
    exporter: &'static dyn Exporter,
    out: Output,
}

/// The flag that names the file of a report.
const FLAG: &str = "--report";

/// Returns the files of reports, each with its flag.
pub fn files(reports: &[ReportPath]) -> impl Iterator<Item = (&'static str, &Path)> {
    reports.iter().map(|report| (FLAG, &*report.path))
}

/// Returns the files of reports and of a recording, each with its flag.
pub fn outputs<'a>(
    reports: &'a [ReportPath],
    record: Option<&'a Path>,
) -> Vec<(&'static str, &'a Path)> {
    let record = record.map(|path| ("--record", path));
    files(reports).chain(record).collect()
}

/// Opens the files of reports, before work starts.
pub fn open(reports: &[ReportPath]) -> anyhow::Result<Vec<Destination>> {
    let open = |report: &ReportPath| {
        Ok(Destination {
            exporter: exporter(report.format),
            out: Output::open(FLAG, Some(&report.path))?,
        })
    };
    reports.iter().map(open).collect()
}

/// Splits the files for rows from the other reports.
pub fn split_rows(reports: &[ReportPath]) -> (Vec<ReportPath>, Vec<ReportPath>) {
    let is_rows = |report: &ReportPath| report.format.has_rows();
    reports.iter().cloned().partition(is_rows)
}

/// Opens the files for rows of an evaluation, and stdout if it has that format.
pub fn open_rows(files: &[ReportPath], format: ResultFormat) -> anyhow::Result<Vec<AnswerRows>> {
    let files = files
        .iter()
        .map(|file| (file.format, Some(file.path.as_path())));
    let stdout = (format == ResultFormat::Csv).then_some((ReportFormat::Csv, None));
    let start = |(format, path)| AnswerRows::start(format, Output::open(FLAG, path)?);
    files.chain(stdout).map(start).collect()
}

/// The form of the results on stdout.
#[derive(Debug, Clone, Copy)]
pub struct Stdout {
    pub format: ResultFormat,
    /// True for a text with all details.
    pub verbose: bool,
}

impl Stdout {
    fn exporter(self) -> Box<dyn Exporter> {
        match self.format {
            ResultFormat::Text => Box::new(text::Text::new(self.verbose)),
            ResultFormat::Json => Box::new(json::Json),
            ResultFormat::Csv => Box::new(rows::Rows),
        }
    }
}

/// Writes the reports of a comparison, and its text to stdout.
///
/// # Errors
///
/// The first error. The other reports are written all the same.
pub fn write_comparison(
    destinations: Vec<Destination>,
    comparison: &ComparisonReport,
    stdout: Stdout,
) -> anyhow::Result<()> {
    write(destinations, Some(&*stdout.exporter()), |exporter, out| {
        exporter.comparison(comparison, out)
    })
}

/// Writes the reports of an evaluation, and its text to stdout.
///
/// # Errors
///
/// The first error. The other reports are written all the same.
pub fn write_evaluation(
    destinations: Vec<Destination>,
    evaluation: &EvaluationReport,
    stdout: Stdout,
) -> anyhow::Result<()> {
    // Rows are there already.
    let stdout = (stdout.format != ResultFormat::Csv).then(|| stdout.exporter());
    write(destinations, stdout.as_deref(), |exporter, out| {
        exporter.evaluation(evaluation, out)
    })
}

/// Writes the files, then stdout, which may have no reader, or be full.
fn write(
    destinations: Vec<Destination>,
    stdout: Option<&dyn Exporter>,
    export: impl Fn(&dyn Exporter, &mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let to_file = |Destination { exporter, mut out }| {
        export(exporter, &mut out)?;
        out.finish()
    };
    let written: Vec<_> = destinations.into_iter().map(to_file).collect();
    let printed = stdout.map_or(Ok(()), |exporter| {
        let mut text = Vec::new();
        export(exporter, &mut text)?;
        destination::print(text)
    });
    written.into_iter().chain([printed]).collect()
}
