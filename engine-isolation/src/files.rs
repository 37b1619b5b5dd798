//! The files that the child reads, as they were when it was first started.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The identity of a file, its size, and the time of its last change in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

/// Files with their stamps; directories have none.
#[derive(Debug)]
pub struct Files(Vec<(PathBuf, Option<Stamp>)>);

impl Files {
    pub fn new(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|it| (it.clone(), stamp(it))).collect())
    }

    /// Returns the first file that has changed since.
    pub fn changed(&self) -> Option<&Path> {
        let mut files = self.0.iter();
        let changed = files.find(|(path, then)| stamp(path) != *then);
        changed.map(|(path, _)| &**path)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let it = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some((it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec()))
}
