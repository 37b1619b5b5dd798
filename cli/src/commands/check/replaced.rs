//! The files that an output of a gate file may replace.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;

use crate::args::ReportFormat;
use crate::errors::Hinted;

/// The bytes that tell the kind of an output.
const HEAD_BYTES: u64 = 4096;

/// The kind of an output.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Report(ReportFormat),
    Recording,
}

impl Kind {
    /// Returns texts of which every output of the kind has one near its start.
    fn marks(self) -> &'static [&'static str] {
        match self {
            Self::Recording => &["\"kind\":\"classify-recording\""],
            Self::Report(ReportFormat::Annotations) => &[" title=classify "],
            Self::Report(ReportFormat::Json) => {
                &["\"kind\": \"compare\"", "\"kind\": \"evaluate\""]
            }
            Self::Report(ReportFormat::Markdown) => &["### classify "],
            Self::Report(ReportFormat::Junit) => &["<testsuites name=\"classify "],
            Self::Report(ReportFormat::Html) => {
                &["classify compare</title>", "classify evaluate</title>"]
            }
            Self::Report(ReportFormat::Csv) => &["schema_version,path,"],
            #[cfg(feature = "parquet")]
            Self::Report(ReportFormat::Parquet) => &["PAR1"],
        }
    }
}

/// Checks that no file is replaced at `path`, or an empty one, or an earlier output of the same kind.
pub fn check(path: &Path, kind: Kind) -> anyhow::Result<()> {
    let what = || format!("cannot write {}", path.display());
    // What is no regular file is an error when it is opened.
    if !path.is_file() {
        return Ok(());
    }
    let mut head = Vec::new();
    let file = model_file::open_regular(path).with_context(what)?;
    file.take(HEAD_BYTES)
        .read_to_end(&mut head)
        .with_context(what)?;
    let has = |mark: &&str| head.windows(mark.len()).any(|part| part == mark.as_bytes());
    if head.is_empty() || kind.marks().iter().any(has) {
        return Ok(());
    }
    let error = "the file is there, and it is no earlier output of this kind; an output that a configuration file names \
                 replaces nothing else";
    let hint = "remove the file, or name another one, or name it on the command line";
    Err(anyhow::Error::from(Hinted::new(error, hint)).context(what()))
}
