//! The identity of files, independent of the spelling of their paths.

#[cfg(unix)]
use std::fs::{self, File};
use std::io;
use std::path::Path;
#[cfg(not(unix))]
use std::path::PathBuf;

/// The identity of a file, independent of the spelling of its path.
#[derive(Debug, PartialEq, Eq)]
#[cfg(unix)]
pub struct Identity {
    device: u64,
    inode: u64,
}

#[cfg(unix)]
impl Identity {
    /// Returns the identity of an existing regular file.
    pub fn of_path(path: &Path) -> Option<Self> {
        Self::of(&fs::metadata(path).ok()?)
    }

    /// Returns the identity of a stream that is a regular file.
    pub fn of_stream(stream: impl std::os::fd::AsFd) -> Option<Self> {
        let copy = stream.as_fd().try_clone_to_owned().ok()?;
        Self::of(&File::from(copy).metadata().ok()?)
    }

    fn of(metadata: &fs::Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        metadata.is_file().then(|| Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

/// The identity of a file, independent of the spelling of its path.
#[derive(Debug, PartialEq, Eq)]
#[cfg(not(unix))]
pub struct Identity(PathBuf);

#[cfg(not(unix))]
impl Identity {
    /// Returns the identity of an existing regular file.
    pub fn of_path(path: &Path) -> Option<Self> {
        let real = path.canonicalize().ok()?;
        real.is_file().then_some(Self(real))
    }

    /// Streams have no path.
    pub fn of_stream<T>(_: T) -> Option<Self> {
        None
    }
}

/// Returns whether stdout leads to a regular file, where the system tells.
pub fn is_stdout_a_file() -> bool {
    Identity::of_stream(io::stdout()).is_some()
}
