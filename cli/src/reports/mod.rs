//! Reports of `compare` and `evaluate`, in files for machines and for people.

mod bisect;
pub mod compare;
pub mod evaluate;
mod html;
mod junit;

use std::fmt::{self, Write as _};
use std::io::Write;

use image_classification::Labels;

use crate::args::{ReportForm, ReportPath};
use crate::destination::{self, Output};
use crate::messages::printable;

/// The most failures that a report for people lists; reports for machines have all.
const FAILURES: usize = 100;

/// Returns the table of failures, image and reason, for Markdown.
fn failures_table(failures: impl ExactSizeIterator<Item = (String, String)>) -> String {
    let count = failures.len();
    if count == 0 {
        return String::new();
    }
    let mut text = "\n| failed | reason |\n|---|---|\n".to_owned();
    for (image, reason) in failures.take(FAILURES) {
        let _ = writeln!(text, "| {} | {} |", cell(image), cell(reason));
    }
    if count > FAILURES {
        let _ = writeln!(text, "| {} others | |", count - FAILURES);
    }
    text
}

/// What can be reported in every form.
pub trait Document {
    /// Everything, for machines: `docs/compare.md`.
    fn json(&self, out: &mut dyn Write) -> anyhow::Result<()>;
    /// A summary for a pull request or a job's summary.
    fn markdown(&self) -> String;
    /// Test cases.
    fn junit(&self, out: &mut dyn Write) -> anyhow::Result<()>;
    /// One self-contained page.
    fn html(&self) -> anyhow::Result<String>;
}

/// Where a report goes.
pub struct Destination {
    form: ReportForm,
    out: Output,
}

impl Destination {
    /// Opens it, before work starts.
    pub fn open(report: &ReportPath) -> anyhow::Result<Self> {
        let out = Output::open("--report", Some(&report.path))?;
        Ok(Self {
            form: report.form,
            out,
        })
    }

    fn write(self, document: &impl Document) -> anyhow::Result<()> {
        let Self { form, mut out } = self;
        match form {
            ReportForm::Json => {
                document.json(&mut out)?;
                out.write_all(b"\n")?;
            }
            ReportForm::Markdown => out.write_all(document.markdown().as_bytes())?,
            ReportForm::Junit => document.junit(&mut out)?,
            ReportForm::Html => out.write_all(document.html()?.as_bytes())?,
        }
        out.finish()
    }
}

/// Writes the reports, then prints `text`: stdout may have no reader, or be full.
///
/// # Errors
///
/// The first error. It keeps nothing else from being written.
pub fn write(
    destinations: Vec<Destination>,
    document: &impl Document,
    text: &str,
) -> anyhow::Result<()> {
    let written: Vec<_> = destinations
        .into_iter()
        .map(|destination| destination.write(document))
        .collect();
    let printed = destination::print(text);
    written.into_iter().chain([printed]).collect()
}

/// `281 tabby cat`.
pub fn class(labels: Option<&Labels>, class_id: usize) -> String {
    labels.and_then(|labels| labels.get(class_id)).map_or_else(
        || class_id.to_string(),
        |label| format!("{class_id} {}", printable(label)),
    )
}

/// Text in a cell of a Markdown table: nothing in it is markup.
pub fn cell(text: impl fmt::Display) -> String {
    let text = printable(&text.to_string());
    let mut escaped = String::new();
    for character in text.chars() {
        if "\\`*_{}[]<>()#+!|~$@&".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Text in XML, which has neither control characters nor U+FFFE and U+FFFF.
pub fn xml(text: impl fmt::Display) -> String {
    printable(&text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_markup() {
        assert_eq!(cell("a|b<img src=x>"), "a\\|b\\<img src=x\\>");
        assert_eq!(cell("a\nb"), "a\\\\nb");
    }
}
