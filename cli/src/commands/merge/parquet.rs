//! The rows of parts in Parquet: row groups are copied as they are.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

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
    let failures = count_failures(&reader, manifest, &mut |_, _| ())?;
    if metadata.num_rows() as u64 != manifest.images || failures != manifest.failed {
        return Err(damaged("its rows do not match its manifest"));
    }
    Ok(())
}

/// Shows the failures of a part to `failed`. Returns their number.
fn count_failures(
    reader: &SerializedFileReader<File>,
    manifest: &Manifest,
    failed: &mut dyn FnMut(&str, &str),
) -> anyhow::Result<u64> {
    let mut failures = 0;
    if manifest.failed == 0 {
        return Ok(failures);
    }
    let columns = Arc::new(parse_message_type(FAILURES)?);
    for row in reader.get_row_iter(Some((*columns).clone()))? {
        let row = row?;
        // A column without a value is not text.
        if let Ok(message) = row.get_string(1) {
            failures += 1;
            failed(row.get_string(0)?, message);
        }
    }
    Ok(failures)
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
    count_failures(&reader, manifest, failed)?;
    Ok(())
}
