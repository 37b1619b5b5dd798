//! The content of a file, up to a limit.

use std::io;
use std::path::Path;

use backend_api::ModelSource;
use model_file::read_source;
use prost::bytes::Bytes;

use super::error::SourceError;

/// The largest `.json` or `.yml`; a file with 20,000 labels has 2 MB.
pub(super) const MOST_CONFIG_BYTES: u64 = 16 << 20;

/// Reads a regular file of at most `limit` bytes.
pub(super) fn read_limited(path: &Path, limit: u64) -> Result<Bytes, SourceError> {
    read_content(&path.into(), limit)
}

/// Reads the content of a model, or of another file, of at most `limit` bytes.
pub(super) fn read_content(source: &ModelSource, limit: u64) -> Result<Bytes, SourceError> {
    read_source(source, limit).map_err(|error| {
        let file = source.to_string();
        match error.kind() {
            io::ErrorKind::FileTooLarge => {
                let metadata = source.path().and_then(|path| path.metadata().ok());
                let size = metadata.map_or(0, |metadata| metadata.len());
                SourceError::TooLarge { file, size, limit }
            }
            _ => SourceError::Io {
                file,
                source: error,
            },
        }
    })
}
