//! File states, to detect a model that changed while it was read.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::errors::Hinted;

/// The state of a file or of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    /// The device and the inode, where the system has them: a file may be replaced by another.
    identity: Option<(u64, u64)>,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl FileState {
    /// Returns the state, or `None` if there is no such file.
    fn of(path: &Path) -> Option<Self> {
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

/// The states of the files of a model, without the external data of an ONNX model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelState(Vec<Option<FileState>>);

impl ModelState {
    /// Returns the states of the model and of the files that belong to it by their names.
    pub fn of(model: &Path) -> Self {
        let variables = ["variables.index", "variables.data-00000-of-00001"];
        let files = ["bin", "pdiparams"].map(|ending| model.with_extension(ending));
        let variables = variables.map(|name| model.join("variables").join(name));
        let files = files.iter().chain(&variables);
        let states = files.map(|file| FileState::of(file));
        Self(
            std::iter::once(FileState::of(model))
                .chain(states)
                .collect(),
        )
    }
}

/// Checks that a model is as it was `before`: each part of the program that reads it saw the same files.
///
/// # Errors
///
/// If a file was replaced or written to.
pub fn check_unchanged(model: &Path, before: &ModelState) -> anyhow::Result<()> {
    if ModelState::of(model) == *before {
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
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("model.xml");
        let check = |before: &ModelState| {
            check_unchanged(&model, before).map_err(|error| error.to_string())
        };
        let none = ModelState::of(&model);
        assert_eq!(check(&none), Ok(()));
        fs::write(&model, "one").unwrap();
        assert!(check(&none).unwrap_err().contains("changed"));
        let before = ModelState::of(&model);
        fs::read(&model).unwrap();
        assert_eq!(check(&before), Ok(()));
        // The same length at another time.
        let file = fs::File::options().write(true).open(&model).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified + Duration::from_secs(1))
            .unwrap();
        assert!(check(&before).is_err());
        // The same length and time, but another file.
        let other = directory.path().join("other");
        fs::write(&other, "two").unwrap();
        let file = fs::File::options().write(true).open(&other).unwrap();
        file.set_modified(modified).unwrap();
        fs::rename(&other, &model).unwrap();
        assert_eq!(check(&before).is_err(), cfg!(unix));
        fs::remove_file(&model).unwrap();
        assert!(check(&before).is_err());
    }

    #[test]
    fn weights_that_are_replaced_change_the_model() {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("model.xml");
        fs::write(&model, "xml").unwrap();
        fs::write(model.with_extension("bin"), "weights").unwrap();
        let before = ModelState::of(&model);
        assert!(check_unchanged(&model, &before).is_ok());
        fs::write(model.with_extension("bin"), "other weights").unwrap();
        assert!(check_unchanged(&model, &before).is_err());
    }
}
