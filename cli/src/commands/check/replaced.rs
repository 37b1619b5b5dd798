//! The files that an output of a gate file may replace.

use std::fs::File;
use std::io::{self, Read as _};
#[cfg(feature = "parquet")]
use std::io::{Seek as _, SeekFrom};
use std::path::Path;

use anyhow::Context as _;

use crate::args::ReportFormat;
use crate::errors::Hinted;
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
    /// Returns whether a file is an output of this kind. `head` is its start.
    fn is_of(self, head: &[u8], file: &mut File) -> io::Result<bool> {
        const COMMANDS: [&str; 2] = ["compare", "evaluate"];
        let begins = |start: &str| head.starts_with(start.as_bytes());
        let any = |start: &dyn Fn(&str) -> String| COMMANDS.map(start).iter().any(|it| begins(it));
        let is_of = match self {
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
                return Ok(headers
                    .iter()
                    .any(|header| head.starts_with(header.as_bytes())));
            }
            #[cfg(feature = "parquet")]
            Self::Report(ReportFormat::Parquet) => {
                let schema = schema_of_parquet(file)?;
                return Ok(column_names()
                    .iter()
                    .any(|names| has_in_order(&schema, names)));
            }
        };
        #[cfg(not(feature = "parquet"))]
        let _ = file;
        Ok(is_of)
    }
}

/// Returns the beginning of the metadata of a Parquet file, which is its schema; nothing of another file.
#[cfg(feature = "parquet")]
fn schema_of_parquet(file: &mut File) -> io::Result<Vec<u8>> {
    /// The length of the metadata, and a mark.
    const END: usize = 8;
    let length = file.seek(SeekFrom::End(0))?;
    let mut end = [0; END];
    if length < END as u64 {
        return Ok(Vec::new());
    }
    file.seek(SeekFrom::End(-(END as i64)))?;
    file.read_exact(&mut end)?;
    let (bytes, mark) = end.split_at(END / 2);
    let bytes = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
    let start = length.checked_sub(END as u64 + u64::from(bytes));
    let mut schema = Vec::new();
    if let Some(start) = start.filter(|_| mark == b"PAR1") {
        file.seek(SeekFrom::Start(start))?;
        file.take(HEAD_BYTES).read_to_end(&mut schema)?;
    }
    Ok(schema)
}

/// Returns whether `bytes` has these texts, in this order.
#[cfg(feature = "parquet")]
fn has_in_order(mut bytes: &[u8], texts: &[&str]) -> bool {
    texts.iter().all(|text| {
        let place = bytes
            .windows(text.len())
            .position(|part| part == text.as_bytes());
        place.is_some_and(|place| {
            bytes = &bytes[place + text.len()..];
            true
        })
    })
}

/// Checks that no file is replaced at `path`, or an empty one, or an earlier output of the same kind.
pub fn check(path: &Path, kind: Kind) -> anyhow::Result<()> {
    let what = || format!("cannot write {}", path.display());
    // Opening the output rejects a path that is not a regular file.
    if !path.is_file() {
        return Ok(());
    }
    let mut head = Vec::new();
    let mut file = model_file::open_regular(path).with_context(what)?;
    let start = (&mut file).take(HEAD_BYTES).read_to_end(&mut head);
    start.with_context(what)?;
    if head.is_empty() || kind.is_of(&head, &mut file).with_context(what)? {
        return Ok(());
    }
    let error = "the file exists and is not an earlier output of this kind; outputs that a configuration file names replace \
                 only those";
    let hint = "remove the file, or name another one, or name it on the command line";
    Err(anyhow::Error::from(Hinted::new(error, hint)).context(what()))
}
