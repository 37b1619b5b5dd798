//! Regular files with a limit on their size.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Take};
use std::path::Path;

use crate::Image;
use crate::decode::HEAD_BYTES;

/// The reason why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system cannot open or read the file.
    #[error("cannot be read")]
    Io(#[source] io::Error),
    /// The path is a directory.
    #[error("is a directory")]
    Directory,
    /// The path is a pipe, a socket or a device.
    #[error("is not a regular file")]
    NotRegular,
    /// The file is larger than allowed.
    #[error("has {bytes} bytes, but the limit is {limit}")]
    TooLarge {
        /// The size of the file, or the number of bytes read.
        bytes: u64,
        /// The largest size.
        limit: u64,
    },
    /// The system has no memory for the file.
    #[error("the system has no memory for its {bytes} bytes")]
    Memory {
        /// Bytes that could not be allocated.
        bytes: u64,
    },
}

impl ReadError {
    /// Returns a stable name for reports, in kebab case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "cannot-read",
            Self::Directory | Self::NotRegular => "bad-input",
            Self::TooLarge { .. } => "too-large",
            Self::Memory { .. } => "out-of-memory",
        }
    }

    /// Returns the next step for the user. The system's own errors have none.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io(_) => None,
            Self::Directory => Some("name the files in it"),
            Self::NotRegular => Some("copy it to a file first"),
            Self::TooLarge { .. } => Some("give a smaller file"),
            Self::Memory { .. } => Some("close other programs, or give a smaller file"),
        }
    }
}

/// Reads a regular file of at most `limit` bytes. Never waits for a pipe.
///
/// # Errors
///
/// [`ReadError`] for other kinds of files, before they are read.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let (file, length) = open(path, limit)?;
    if fill(&mut bytes, file, length, limit)? {
        let bytes = bytes.len() as u64;
        return Err(ReadError::TooLarge { bytes, limit });
    }
    Ok(bytes)
}

/// Returns whether the file at `path` begins like an image in one of the formats that are read.
pub fn has_image_magic(path: &Path) -> bool {
    let mut head = Vec::new();
    model_file::open_regular(path)
        .and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head))
        .is_ok_and(|_| Image::recognises(&head))
}

/// Returns whether there is a file at `path`, of any kind. Pipes, devices and broken links are errors when they are read:
/// without them the preprocessing would silently be another one. Directories are no such files.
pub(crate) fn is_there(path: &Path) -> bool {
    !path.is_dir() && path.symlink_metadata().is_ok()
}

/// Opens a regular file of at most `limit` bytes; returns its length too.
pub(crate) fn open(path: &Path, limit: u64) -> Result<(File, u64), ReadError> {
    let file = model_file::open_regular(path).map_err(|error| {
        // The path may be another file by now; it is not read.
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => ReadError::Directory,
            Ok(metadata) if !metadata.is_file() => ReadError::NotRegular,
            _ => ReadError::Io(error),
        }
    })?;
    let bytes = file.metadata().map_err(ReadError::Io)?.len();
    if bytes > limit {
        return Err(ReadError::TooLarge { bytes, limit });
    }
    Ok((file, bytes))
}

/// Opens `length` bytes of a regular file, from `offset` on.
pub(crate) fn open_section(path: &Path, offset: u64, length: u64) -> Result<Take<File>, ReadError> {
    let (mut file, whole) = open(path, u64::MAX)?;
    if offset.checked_add(length).is_none_or(|end| end > whole) {
        let error = format!(
            "the file ends before byte {}",
            offset.saturating_add(length)
        );
        return Err(ReadError::Io(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            error,
        )));
    }
    file.seek(SeekFrom::Start(offset)).map_err(ReadError::Io)?;
    Ok(file.take(length))
}

/// Reads at most `limit` bytes of `file`, most likely `length`, into `bytes`. Returns whether there are more.
pub(crate) fn fill(
    bytes: &mut Vec<u8>,
    file: impl Read,
    length: u64,
    limit: u64,
) -> Result<bool, ReadError> {
    bytes.clear();
    // Reading one byte more than expected detects a longer file.
    if bytes.capacity() as u64 <= length {
        // Growing would copy unneeded bytes, and hold both buffers.
        *bytes = Vec::new();
        bytes
            .try_reserve_exact(length as usize + 1)
            .map_err(|_| ReadError::Memory { bytes: length })?;
    }
    file.take(limit + 1)
        .read_to_end(bytes)
        .map_err(ReadError::Io)?;
    Ok(bytes.len() as u64 > limit)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::sources;

    #[test]
    fn a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        assert!(!has_image_magic(&pipe));
        let error = read_file(&pipe, 10).unwrap_err().to_string();
        assert_eq!(error, "is not a regular file");
        let error = read_file(directory.path(), 10).unwrap_err().to_string();
        assert_eq!(error, "is a directory");
    }

    #[test]
    fn a_file_above_the_limit_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("eleven");
        std::fs::write(&path, [7; 11]).unwrap();
        assert_eq!(read_file(&path, 11).unwrap(), [7; 11]);
        let error = read_file(&path, 10).unwrap_err();
        assert!(matches!(
            error,
            ReadError::TooLarge {
                bytes: 11,
                limit: 10
            }
        ));
    }

    #[test]
    fn files_of_other_kinds_are_not_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let model = root.path().join("model.onnx");
        std::fs::write(&model, "").unwrap();
        let config = root.path().join("config.json");
        let passed = |error: sources::SourceError| {
            let is_named = error.to_string().contains("config.json cannot be read");
            assert!(is_named, "{error}");
        };
        let status = std::process::Command::new("mkfifo").arg(&config).status();
        assert!(status.unwrap().success());
        passed(sources::find(&model).unwrap_err());
        std::fs::remove_file(&config).unwrap();
        std::os::unix::fs::symlink(root.path().join("missing"), &config).unwrap();
        passed(sources::find(&model).unwrap_err());
        std::fs::remove_file(&config).unwrap();
        std::fs::create_dir(&config).unwrap();
        assert!(sources::find(&model).is_ok());
    }
}
