//! Reports of `compare` and `evaluate`: a file for each format, and their destinations.

mod annotations;
mod bisection;
mod changes;
mod html;
mod json;
mod junit;
mod markdown;
mod text;
mod wording;

use std::io::Write;
use std::path::Path;

use evaluation::{ComparisonReport, EvaluationReport};

use crate::args::{ReportFormat, ReportPath};
use crate::destination::{self, Output};

pub use wording::EvaluationText;

/// A format of reports.
trait Exporter {
    /// Writes the results of `compare`.
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()>;
    /// Writes the results of `evaluate`.
    fn evaluation(&self, evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()>;
}

fn exporter(format: ReportFormat) -> &'static dyn Exporter {
    match format {
        ReportFormat::Annotations => &annotations::Annotations,
        ReportFormat::Json => &json::Json,
        ReportFormat::Markdown => &markdown::Markdown,
        ReportFormat::Junit => &junit::Junit,
        ReportFormat::Html => &html::Html,
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

/// Writes the reports of a comparison, and its text to stdout.
///
/// # Errors
///
/// The first error. The other reports are written all the same.
pub fn write_comparison(
    destinations: Vec<Destination>,
    comparison: &ComparisonReport,
) -> anyhow::Result<()> {
    write(destinations, |exporter, out| {
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
) -> anyhow::Result<()> {
    write(destinations, |exporter, out| {
        exporter.evaluation(evaluation, out)
    })
}

/// Writes the files, then stdout, which may have no reader, or be full.
fn write(
    destinations: Vec<Destination>,
    export: impl Fn(&dyn Exporter, &mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let to_file = |Destination { exporter, mut out }| {
        export(exporter, &mut out)?;
        out.finish()
    };
    let written: Vec<_> = destinations.into_iter().map(to_file).collect();
    let mut text = Vec::new();
    let printed = export(&text::Text, &mut text).and_then(|()| destination::print(text));
    written.into_iter().chain([printed]).collect()
}
