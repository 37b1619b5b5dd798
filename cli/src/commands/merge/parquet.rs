//! The rows of parts in Parquet: row groups are copied as they are.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::RowAccessor as _;
use parquet::schema::parser::parse_message_type;

use crate::destination::Output;
use crate::shards::{self, JobDirectory, Manifest, damaged};
use crate::writers::parquet::{schema, start};

/// The columns that tell failures.
const FAILURES: &str = "
message classify {
  REQUIRED BYTE_ARRAY path (STRING);
  OPTIONAL BYTE_ARRAY error_message (STRING);
}";

/// Checks that all parts are as their shards left them, before anything is written.
pub fn check_all(directory: &JobDirectory, manifests: &[Manifest]) -> anyhow::Result<()> {
    for manifest in manifests {
        let part = directory.part(manifest.shard);
        check(&part, manifest).with_context(|| format!("cannot merge {}", part.display()))?;
    }
    Ok(())
}

fn check(part: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    shards::check_digest(part, manifest)?;
    let reader = SerializedFileReader::new(model_file::open_regular(part)?)?;
    let metadata = reader.metadata().file_metadata();
    if *metadata.schema() != *schema()? {
        return Err(damaged("its columns are others"));
    }
    let (rows, failures) = count(&reader, &mut |_, _| ())?;
    shards::check_counts(manifest, rows, failures)
}

/// Shows the failures of a part to `failed`. Returns the number of its rows, each of which is an image, and that of the
/// failures.
fn count(
    reader: &SerializedFileReader<File>,
    failed: &mut dyn FnMut(&str, &str),
) -> anyhow::Result<(u64, u64)> {
    let (mut rows, mut failures) = (0, 0);
    for row in reader.get_row_iter(Some(parse_message_type(FAILURES)?))? {
        let row = row?;
        rows += 1;
        // A column without a value is not text.
        if let Ok(message) = row.get_string(1) {
            failures += 1;
            failed(row.get_string(0)?, message);
        }
    }
    Ok((rows, failures))
}

/// Copies all parts, which were checked, to `output`, which is returned complete. `failed` gets the path and the error of each image that
/// failed.
pub fn copy_all(
    directory: &JobDirectory,
    manifests: &[Manifest],
    output: Output,
    failed: &mut dyn FnMut(&str, &str),
) -> anyhow::Result<Output> {
    let mut writer = start(output)?;
    for manifest in manifests {
        let part = directory.part(manifest.shard);
        copy(&part, manifest, &mut writer, failed)
            .with_context(|| format!("cannot merge {}", part.display()))?;
    }
    writer.into_inner().context("cannot write the results")
}

fn copy(
    part: &Path,
    manifest: &Manifest,
    writer: &mut SerializedFileWriter<Output>,
    failed: &mut dyn FnMut(&str, &str),
) -> anyhow::Result<()> {
    let file = model_file::open_regular(part)?;
    let reader = SerializedFileReader::new(file.try_clone()?)?;
    for group in reader.metadata().row_groups() {
        let mut copied = writer.next_row_group()?;
        for column in group.columns() {
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size() as u64,
                rows_written: group.num_rows() as u64,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            copied.append_column(&file, close)?;
        }
        copied.close()?;
    }
    // The counts were checked with the digest.
    if manifest.failed > 0 {
        count(&reader, failed)?;
    }
    Ok(())
}
