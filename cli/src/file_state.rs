//! File states, to detect a model that changed while it was read.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::errors::Hinted;

/// The state of a file, or of a directory that is a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    /// The device and the inode, where the system has them: a file may be replaced by another.
    identity: Option<(u64, u64)>,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl FileState {
    /// Returns the state, or `None` for what cannot be read: whoever opens it tells why.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt as _;
            Some((metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let identity = None;
        Some(Self {
            identity,
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

/// Checks that a model is as it was `before`: each part of the program that reads it saw the same file.
///
/// # Errors
///
/// If it is another file, or was written to.
pub fn check_unchanged(model: &Path, before: Option<FileState>) -> anyhow::Result<()> {
    if FileState::of(model) == before {
        return Ok(());
    }
    let error = format!("the model {} changed while it was read", model.display());
    Err(Hinted::new(error, "run the command again when nothing writes to it").into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_model_that_is_written_or_replaced_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.onnx");
        let check = |before| check_unchanged(&model, before).map_err(|error| error.to_string());
        assert_eq!(check(None), Ok(()));
        fs::write(&model, "one").unwrap();
        assert!(check(None).unwrap_err().contains("changed"));
        let before = FileState::of(&model);
        fs::read(&model).unwrap();
        assert_eq!(check(before), Ok(()));
        // The same length at another time.
        let file = fs::File::options().write(true).open(&model).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified + Duration::from_secs(1))
            .unwrap();
        assert!(check(before).is_err());
        // The same length and time, but another file.
        let other = folder.path().join("other");
        fs::write(&other, "two").unwrap();
        let file = fs::File::options().write(true).open(&other).unwrap();
        file.set_modified(modified).unwrap();
        fs::rename(&other, &model).unwrap();
        assert_eq!(check(before).is_err(), cfg!(unix));
        fs::remove_file(&model).unwrap();
        assert!(check(before).is_err());
    }
}
