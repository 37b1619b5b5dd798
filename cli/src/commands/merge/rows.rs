//! The rows of `classify`, from all parts.

use std::borrow::Cow;
use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::path::Path;

use anyhow::Context as _;
use evaluation::text::{counted, grouped, printable};
use evaluation::{Chain, Problem};
use serde::Deserialize;

use crate::destination::Output;
#[cfg(not(feature = "parquet"))]
use crate::errors::Hinted;
use crate::shards::{self, JobDirectory, Manifest, changed, damaged};
use crate::terminal::Messages;

/// Bytes that are asked of the system at a time.
const READ_BYTES: usize = 1 << 20;
/// Gets the path and the error of an image that failed.
type Failed<'a> = dyn FnMut(&str, &str) + 'a;
/// The longest row: outputs that were saved may have millions of values.
const MOST_ROW_BYTES: u64 = 1 << 30;
/// The most failures that are printed.
const MOST_FAILURES: u64 = 100;

/// The format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    Json,
    /// The first row of a part is the header. No cell has a line break: they are escaped.
    Csv {
        /// True if an image may have no row, because none of its classes has the score of `--threshold`.
        lacks_images: bool,
    },
}

/// The part of a row that a merge needs.
#[derive(Deserialize)]
struct JsonRow<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    error: Option<JsonError<'a>>,
}

#[derive(Deserialize)]
struct JsonError<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
}

/// A row.
#[derive(Debug)]
struct Row<'a> {
    /// True for the first row of an image. In CSV, an image has a row for each class.
    is_first: bool,
    /// The path and the error of an image that failed.
    failure: Option<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Writes the rows of all parts in the order of the inputs. Prints the failures.
pub fn merge(
    directory: &JobDirectory,
    manifests: &[Manifest],
    output: Option<&Path>,
    messages: &mut Messages,
) -> anyhow::Result<()> {
    let rows = match directory.job.ending() {
        "csv" => Rows::Csv {
            lacks_images: directory.job.options.contains_key("threshold"),
        },
        "parquet" => return merge_parquet(directory, manifests, output, messages),
        _ => Rows::Json,
    };
    let mut output = Output::open("--output", output)?;
    // All parts before the first row: who reads stdout takes every row for a result.
    read_all(directory, manifests, rows, &mut io::sink(), None)?;
    let mut failures = Failures::default();
    let failed = &mut |path: &str, message: &str| failures.add(path, message, messages);
    read_all(directory, manifests, rows, &mut output, Some(failed))?;
    finish(output, manifests, &failures, messages)
}

/// Copies the rows of all parts. Without `failed`, it checks each of them; with `failed`, which gets the failures, they were
/// checked before.
fn read_all(
    directory: &JobDirectory,
    manifests: &[Manifest],
    rows: Rows,
    output: &mut dyn Write,
    mut failed: Option<&mut Failed<'_>>,
) -> anyhow::Result<()> {
    let mut header = None;
    for manifest in manifests {
        let part = directory.part(manifest.shard);
        copy(&part, manifest, rows, &mut header, output, &mut failed)
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
    failed: &mut Option<&mut Failed<'_>>,
) -> anyhow::Result<()> {
    let file = model_file::open_regular(part)?;
    let mut file = BufReader::with_capacity(READ_BYTES, file);
    let mut digest = Chain::default();
    let mut line = Vec::new();
    let (mut lines, mut images, mut failures) = (0_u64, 0, 0);
    // A part without failures has nothing to print.
    let is_parsed = failed.is_none() || manifest.failed > 0;
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
        if rows != Rows::Json && lines == 1 {
            match header {
                None => *header = Some(line.clone()),
                Some(header) if *header == line => continue,
                Some(_) => problem = Some(damaged("its columns are others")),
            }
        } else if is_parsed && problem.is_none() {
            match parse(rows, &line) {
                Ok(Row { is_first, failure }) => {
                    images += u64::from(is_first);
                    failures += u64::from(failure.is_some());
                    if let (Some((path, message)), Some(failed)) = (failure, &mut *failed) {
                        failed(&path, &message);
                    }
                }
                Err(error) => problem = Some(damaged(&format!("row {lines}: {error:#}"))),
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
    if rows != Rows::Json && lines == 0 {
        return Err(damaged("it has no header"));
    }
    if is_parsed {
        let lacks_images = matches!(rows, Rows::Csv { lacks_images: true });
        if lacks_images && images < manifest.images {
            images = manifest.images;
        }
        shards::check_counts(manifest, images, failures)?;
    }
    Ok(())
}

fn parse(rows: Rows, line: &[u8]) -> anyhow::Result<Row<'_>> {
    if rows == Rows::Json {
        let row: JsonRow<'_> = serde_json::from_slice(line)?;
        return Ok(Row {
            is_first: true,
            failure: row.error.map(|error| (row.path, error.message)),
        });
    }
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader.has_headers(false).buffer_capacity(line.len());
    let record = reader.from_reader(line).records().next().transpose()?;
    let record = record.context("it is empty")?;
    let cell = |column: usize| record.get(column).context("it has too few cells");
    let (path, rank, error) = (cell(1)?, cell(6)?, cell(10)?);
    let owned = |text: &str| Cow::Owned(text.to_owned());
    Ok(Row {
        // The row of an image that failed has no rank.
        is_first: matches!(rank, "" | "1"),
        failure: (!error.is_empty()).then(|| (owned(path), owned(error))),
    })
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
