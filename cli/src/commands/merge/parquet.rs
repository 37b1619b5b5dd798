//! The rows of parts in Parquet: row groups are copied as they are.

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
use crate::writers::parquet::start;

/// The columns that tell failures.
const FAILURES: &str = "
message classify {
  REQUIRED BYTE_ARRAY path (STRING);
  OPTIONAL BYTE_ARRAY error_message (STRING);
}";

/// Copies all parts to `output`, which is returned complete. `failed` gets the path and the error of each image that
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
    let mut file = model_file::open_regular(part)?;
    if shards::hash(&mut file)? != (manifest.bytes, manifest.sha256) {
        return Err(damaged("it has changed since its shard wrote it"));
    }
    let reader = SerializedFileReader::new(file.try_clone()?)?;
    let metadata = reader.metadata();
    if metadata.file_metadata().schema() != writer.schema_descr().root_schema() {
        return Err(damaged("its columns are others"));
    }
    for group in metadata.row_groups() {
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
    let mut failures = 0;
    if manifest.failed > 0 {
        let columns = Arc::new(parse_message_type(FAILURES)?);
        for row in reader.get_row_iter(Some((*columns).clone()))? {
            let row = row?;
            // A column without a value is no text.
            if let Ok(message) = row.get_string(1) {
                failures += 1;
                failed(row.get_string(0)?, message);
            }
        }
    }
    let rows = metadata.file_metadata().num_rows() as u64;
    if rows != manifest.images || failures != manifest.failed {
        return Err(damaged("its rows do not match its manifest"));
    }
    Ok(())
}
