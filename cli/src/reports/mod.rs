//! Reports of `compare` and `evaluate`, in files for machines and for people.

pub mod compare;
pub mod evaluate;
mod html;
mod junit;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use image_classification::Labels;

use crate::messages::printable;
use crate::output::{self, Output};

/// A file for a report. Its ending says in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPath {
    pub path: PathBuf,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Markdown,
    Junit,
    Html,
}

impl FromStr for ReportPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = PathBuf::from(text);
        let ending = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
        let form = match ending.as_deref().and_then(std::ffi::OsStr::to_str) {
            Some("json") => Form::Json,
            Some("md" | "markdown") => Form::Markdown,
            Some("xml") => Form::Junit,
            Some("html" | "htm") => Form::Html,
            _ => return Err("expected a name that ends in .json, .md, .xml (JUnit) or .html"),
        };
        Ok(Self { path, form })
    }
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
    form: Form,
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
            Form::Json => {
                document.json(&mut out)?;
                out.write_all(b"\n")?;
            }
            Form::Markdown => out.write_all(document.markdown().as_bytes())?,
            Form::Junit => document.junit(&mut out)?,
            Form::Html => out.write_all(document.html()?.as_bytes())?,
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
    let printed = output::print(text);
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
    fn the_ending_says_the_form() {
        let form = |text: &str| text.parse::<ReportPath>().map(|report| report.form);
        assert_eq!(form("a/report.JSON"), Ok(Form::Json));
        assert_eq!(form("junit.xml"), Ok(Form::Junit));
        assert_eq!(form("r.md"), Ok(Form::Markdown));
        assert_eq!(form("r.html"), Ok(Form::Html));
        assert!(form("report").unwrap_err().contains(".html"));
        assert!(form("report.pdf").is_err());
    }

    #[test]
    fn a_cell_is_no_markup() {
        assert_eq!(cell("a|b<img src=x>"), "a\\|b\\<img src=x\\>");
        assert_eq!(cell("a\nb"), "a\\\\nb");
    }
}
