//! The files that an output of a gate file may replace.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;

use crate::args::ReportFormat;
use crate::errors::Hinted;
#[cfg(feature = "parquet")]
use crate::reports;
use crate::reports::column_names;

/// The bytes that tell the kind of an output.
const HEAD_BYTES: u64 = 4096;

/// The kind of an output.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Report(ReportFormat),
    Recording,
}

impl Kind {
    /// Returns whether a file that begins with `head` is an output of this kind.
    fn begins(self, head: &[u8]) -> bool {
        const COMMANDS: [&str; 2] = ["compare", "evaluate"];
        let begins = |start: &str| head.starts_with(start.as_bytes());
        let any = |start: &dyn Fn(&str) -> String| COMMANDS.map(start).iter().any(|it| begins(it));
        match self {
            Self::Recording => begins("{\"schema_version\":1,\"kind\":\"classify-recording\","),
            Self::Report(ReportFormat::Annotations) => ["error", "notice"]
                .iter()
                .any(|level| any(&|command| format!("::{level} title=classify {command}::"))),
            Self::Report(ReportFormat::Json) => any(&|command| {
                format!("{{\n  \"schema_version\": 1,\n  \"kind\": \"{command}\",\n")
            }),
            Self::Report(ReportFormat::Markdown) => {
                any(&|command| format!("### classify {command}\n\n**"))
            }
            Self::Report(ReportFormat::Junit) => any(&|command| {
                let declaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
                format!("{declaration}\n<testsuites name=\"classify {command}\">")
            }),
            Self::Report(ReportFormat::Html) => {
                let title = String::from_utf8_lossy(head);
                let title = title.split("</title>").next().unwrap_or_default();
                let is_own = |command: &&str| title.ends_with(&format!(" – classify {command}"));
                begins("<!DOCTYPE html>\n<html lang=\"en\">\n") && COMMANDS.iter().any(is_own)
            }
            Self::Report(ReportFormat::Csv) => {
                let headers = column_names().map(|names| names.join(",") + "\n");
                headers.iter().any(|header| begins(header))
            }
            // It says what it is at its end.
            #[cfg(feature = "parquet")]
            Self::Report(ReportFormat::Parquet) => false,
        }
    }
}

/// Checks that no file is replaced at `path`, or an empty one, or an earlier output of the same kind.
pub fn check(path: &Path, kind: Kind) -> anyhow::Result<()> {
    let what = || format!("cannot write {}", path.display());
    // Opening the output rejects a path that is not a regular file.
    if !path.is_file() {
        return Ok(());
    }
    let mut head = Vec::new();
    let file = model_file::open_regular(path).with_context(what)?;
    let start = (&file).take(HEAD_BYTES).read_to_end(&mut head);
    start.with_context(what)?;
    if head.is_empty() || kind.begins(&head) {
        return Ok(());
    }
    #[cfg(feature = "parquet")]
    if matches!(kind, Kind::Report(ReportFormat::Parquet))
        && reports::is_parquet(&file, &column_names()).with_context(what)?
    {
        return Ok(());
    }
    let error = "the file exists and is not an earlier output of this kind; outputs that a configuration file names replace \
                 only those";
    let hint = "remove the file, or name another one, or name it on the command line";
    Err(anyhow::Error::from(Hinted::new(error, hint)).context(what()))
}
