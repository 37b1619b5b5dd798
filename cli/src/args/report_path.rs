//! Paths of reports.

use std::path::PathBuf;
use std::str::FromStr;

/// A file for a report. Its ending says in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPath {
    pub path: PathBuf,
    pub form: ReportForm,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportForm {
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
            Some("json") => ReportForm::Json,
            Some("md" | "markdown") => ReportForm::Markdown,
            Some("xml") => ReportForm::Junit,
            Some("html" | "htm") => ReportForm::Html,
            _ => return Err("expected a name that ends in .json, .md, .xml (JUnit) or .html"),
        };
        Ok(Self { path, form })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_form() {
        let form = |text: &str| text.parse::<ReportPath>().map(|report| report.form);
        assert_eq!(form("a/report.JSON"), Ok(ReportForm::Json));
        assert_eq!(form("junit.xml"), Ok(ReportForm::Junit));
        assert_eq!(form("r.md"), Ok(ReportForm::Markdown));
        assert_eq!(form("r.html"), Ok(ReportForm::Html));
        assert!(form("report").unwrap_err().contains(".html"));
        assert!(form("report.pdf").is_err());
    }
}
