//! Paths of reports.

use std::path::PathBuf;
use std::str::FromStr;

/// A file for a report. The ending of its name decides the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPath {
    pub path: PathBuf,
    pub format: ReportFormat,
}

/// The format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    Annotations,
    Json,
    Markdown,
    Junit,
    Html,
    /// A row for each image and run.
    Csv,
    /// The same rows.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl ReportFormat {
    /// Returns whether the report has a row for each image and run.
    pub fn has_rows(self) -> bool {
        match self {
            Self::Csv => true,
            #[cfg(feature = "parquet")]
            Self::Parquet => true,
            _ => false,
        }
    }
}

impl FromStr for ReportPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = PathBuf::from(text);
        let ending = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
        let format = match ending.as_deref().and_then(std::ffi::OsStr::to_str) {
            Some("annotations") => ReportFormat::Annotations,
            Some("json") => ReportFormat::Json,
            Some("md" | "markdown") => ReportFormat::Markdown,
            Some("xml") => ReportFormat::Junit,
            Some("html" | "htm") => ReportFormat::Html,
            Some("csv") => ReportFormat::Csv,
            #[cfg(feature = "parquet")]
            Some("parquet") => ReportFormat::Parquet,
            #[cfg(not(feature = "parquet"))]
            Some("parquet") => {
                return Err("this program was built without the feature `parquet`; use .csv");
            }
            _ => {
                return Err(
                    "expected a name that ends in .json, .csv, .parquet, .md, .xml (JUnit), .html or .annotations (GitHub)",
                );
            }
        };
        Ok(Self { path, format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_decides_the_format() {
        let format = |text: &str| text.parse::<ReportPath>().map(|report| report.format);
        assert_eq!(format("a/report.JSON"), Ok(ReportFormat::Json));
        assert_eq!(format("junit.xml"), Ok(ReportFormat::Junit));
        assert_eq!(format("r.annotations"), Ok(ReportFormat::Annotations));
        assert_eq!(format("r.md"), Ok(ReportFormat::Markdown));
        assert_eq!(format("r.html"), Ok(ReportFormat::Html));
        #[cfg(feature = "parquet")]
        assert_eq!(format("rows.parquet"), Ok(ReportFormat::Parquet));
        #[cfg(not(feature = "parquet"))]
        assert!(format("rows.parquet").unwrap_err().contains("without"));
        assert!(format("report").unwrap_err().contains(".html"));
        assert!(format("report.pdf").is_err());
    }
}
