//! An image among the inputs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(not(unix))]
use crate::errors::Hinted;

/// An image to classify, or what stands in its way already.
#[derive(Debug)]
pub struct Input {
    /// The path, or the name of a member of an archive.
    pub path: PathBuf,
    /// The place in an archive, if the image is in one.
    pub member: Option<Member>,
    pub problem: Option<anyhow::Error>,
}

impl Input {
    /// Returns the image in the file at `path`.
    pub fn file(path: PathBuf) -> Self {
        Self {
            path,
            member: None,
            problem: None,
        }
    }

    /// Returns the image in an archive, with its name in results.
    pub fn member(path: PathBuf, member: Member) -> Self {
        Self {
            path,
            member: Some(member),
            problem: None,
        }
    }

    /// Returns an image that cannot be read for a reason that is known already.
    pub fn failed(path: PathBuf, problem: anyhow::Error) -> Self {
        Self {
            path,
            member: None,
            problem: Some(problem),
        }
    }

    /// Returns the file that is read.
    pub fn file_read(&self) -> &Path {
        self.member
            .as_ref()
            .map_or(&self.path, |member| &member.archive)
    }
}

/// The place of an image in an archive.
#[derive(Debug, Clone)]
pub struct Member {
    pub archive: Arc<Path>,
    pub offset: u64,
    pub bytes: u64,
    /// The classes that the archive has for the image, or the reason why they cannot be used. `None` if it has none.
    pub truth: Option<Result<Vec<String>, String>>,
}

#[cfg(unix)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "other systems' paths are not bytes"
)]
pub fn path_from_bytes(bytes: &[u8]) -> anyhow::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
pub fn path_from_bytes(bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Hinted::new("a path in the list is not UTF-8", "save the list as UTF-8"))?;
    Ok(text.into())
}
