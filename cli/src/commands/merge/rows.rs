//! The rows of `classify`, from all parts.

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::path::Path;

use anyhow::Context as _;
use evaluation::text::{counted, grouped, printable};
use evaluation::{Chain, Problem};
use serde::Deserialize;

use crate::destination::Output;
#[cfg(not(feature = "parquet"))]
use crate::errors::Hinted;
use crate::shards::{JobDirectory, Manifest, changed, damaged};
use crate::terminal::Messages;

/// Bytes that are asked of the system at a time.
const READ_BYTES: usize = 1 << 20;
/// The longest row: outputs that were saved may have millions of values.
const MOST_ROW_BYTES: u64 = 1 << 30;
/// The most failures that are printed.
const MOST_FAILURES: u64 = 100;

/// The format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    Json,
    /// The first row of a part is the header. No cell has a line break: they are escaped.
    Csv,
}

/// The part of a row that a merge needs.
#[derive(Deserialize)]
struct JsonRow {
    path: String,
    error: Option<JsonError>,
}

#[derive(Deserialize)]
struct JsonError {
    message: String,
}

/// Writes the rows of all parts in the order of the inputs. Prints the failures.
pub fn merge(
    directory: &JobDirectory,
    manifests: &[Manifest],
    output: Option<&Path>,
    messages: &mut Messages,
) -> anyhow::Result<()> {
    let rows = match directory.job.ending() {
        "csv" => Rows::Csv,
        "parquet" => return merge_parquet(directory, manifests, output, messages),
        _ => Rows::Json,
    };
    let mut output = Output::open("--output", output)?;
    // All parts before the first row: who reads stdout takes every row for a result.
    let ignored = &mut |_: &str, _: &str| ();
    read_all(directory, manifests, rows, &mut io::sink(), ignored)?;
    let mut failures = Failures::default();
    read_all(
        directory,
        manifests,
        rows,
        &mut output,
        &mut |path, message| {
            failures.add(path, message, messages);
        },
    )?;
    finish(output, manifests, &failures, messages)
}

/// Copies the rows of all parts, and checks them.
fn read_all(
    directory: &JobDirectory,
    manifests: &[Manifest],
    rows: Rows,
    output: &mut dyn Write,
    failed: &mut dyn FnMut(&str, &str),
) -> anyhow::Result<()> {
    let mut header = None;
    for manifest in manifests {
        let part = directory.part(manifest.shard);
        copy(&part, manifest, rows, &mut header, output, failed)
            .with_context(|| format!("cannot merge {}", part.display()))?;
    }
    Ok(())
}

/// Gives the merged file its name, and prints what was merged.
fn finish(
    output: Output,
    manifests: &[Manifest],
    failures: &Failures,
    messages: &Messages,
) -> anyhow::Result<()> {
    output.finish()?;
    let images: u64 = manifests.iter().map(|manifest| manifest.images).sum();
    failures.finish(images, messages);
    messages.note(&format!(
        "merged {}: {}",
        counted(manifests.len(), "part"),
        counted(images as usize, "image")
    ));
    Ok(())
}

#[cfg(feature = "parquet")]
fn merge_parquet(
    directory: &JobDirectory,
    manifests: &[Manifest],
    output: Option<&Path>,
    messages: &mut Messages,
) -> anyhow::Result<()> {
    let output = Output::open("--output", output)?;
    super::parquet::check_all(directory, manifests)?;
    let mut failures = Failures::default();
    let output = super::parquet::copy_all(directory, manifests, output, &mut |path, message| {
        failures.add(path, message, messages);
    })?;
    finish(output, manifests, &failures, messages)
}

#[cfg(not(feature = "parquet"))]
fn merge_parquet(
    _: &JobDirectory,
    _: &[Manifest],
    _: Option<&Path>,
    _: &mut Messages,
) -> anyhow::Result<()> {
    let error = "the parts are Parquet, and this program was built without it";
    Err(Hinted::new(error, "build it with `--features parquet`").into())
}

/// Copies the rows of a part, and checks that they are those that its manifest describes.
fn copy(
    part: &Path,
    manifest: &Manifest,
    rows: Rows,
    header: &mut Option<Vec<u8>>,
    output: &mut dyn Write,
    failed: &mut dyn FnMut(&str, &str),
) -> anyhow::Result<()> {
    let file = model_file::open_regular(part)?;
    let mut file = BufReader::with_capacity(READ_BYTES, file);
    let mut digest = Chain::default();
    let mut line = Vec::new();
    let (mut lines, mut failures) = (0, 0);
    // The first row that is not as expected. If the part has changed, that is the reason.
    let mut problem = None;
    loop {
        line.clear();
        let count = file
            .by_ref()
            .take(MOST_ROW_BYTES)
            .read_until(b'\n', &mut line)?;
        if count == 0 {
            break;
        }
        digest.update(&line);
        lines += 1;
        if rows == Rows::Csv && lines == 1 {
            match header {
                None => *header = Some(line.clone()),
                Some(header) if *header == line => continue,
                Some(_) => problem = Some(damaged("its columns are others")),
            }
        } else if manifest.failed > 0 && problem.is_none() {
            match failure(rows, &line) {
                Ok(None) => (),
                Ok(Some((path, message))) => {
                    failures += 1;
                    failed(&path, &message);
                }
                Err(error) => problem = Some(error),
            }
        }
        if problem.is_none() {
            output.write_all(&line)?;
        }
    }
    if digest.finish() != manifest.sha256 {
        return Err(changed());
    }
    if let Some(problem) = problem {
        return Err(problem);
    }
    let is_other = rows == Rows::Json && lines != manifest.images;
    if is_other || failures != manifest.failed {
        return Err(damaged("its rows do not match its manifest"));
    }
    Ok(())
}

/// Returns the path and the error of a row if its image failed.
fn failure(rows: Rows, line: &[u8]) -> anyhow::Result<Option<(String, String)>> {
    if rows == Rows::Json {
        let row: JsonRow = serde_json::from_slice(line)?;
        return Ok(row.error.map(|error| (row.path, error.message)));
    }
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader.has_headers(false).from_reader(line);
    let record = reader.records().next().transpose()?;
    let record = record.unwrap_or_default();
    let cell = |index: usize| record.get(index).unwrap_or_default().to_owned();
    let error = cell(10);
    Ok((!error.is_empty()).then(|| (cell(1), error)))
}

/// Prints failures, as many as anyone reads.
#[derive(Debug, Default)]
struct Failures {
    count: u64,
}

impl Failures {
    fn add(&mut self, path: &str, message: &str, messages: &mut Messages) {
        self.count += 1;
        if self.count <= MOST_FAILURES {
            let problem = Problem {
                code: "failed",
                message: printable(message),
                hint: None,
            };
            messages.problem(&printable(path), &problem);
        }
    }

    fn finish(&self, images: u64, messages: &Messages) {
        if self.count > MOST_FAILURES {
            messages.warning(&format!(
                "{} more failed; their rows hold the errors",
                counted((self.count - MOST_FAILURES) as usize, "image")
            ));
        }
        if self.count > 0 {
            messages.note(&format!(
                "{} of {} failed",
                grouped(self.count as usize),
                counted(images as usize, "image")
            ));
        }
    }
}
