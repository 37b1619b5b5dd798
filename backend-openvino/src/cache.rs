//! Compiled models that are kept for the next start.
//!
//! OpenVINO writes a compiled model into the folder `CACHE_DIR`, in place and without a checksum, and
//! does not look at every byte when it reads it back. Here each model, device and configuration has
//! a folder of its own: it is made aside, with the checksums of its files, and appears under its name
//! when it is complete. A folder whose files are not those is thrown away and made again.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backend_api::{Error, ErrorKind};
use blake3::Hasher;
use tempfile::TempDir;

const MANIFEST: &str = "blake3";
/// How the names of folders begin that are not complete yet.
const NEW: &str = "new-";
/// No compilation takes longer than this.
const LEFT_OVER: Duration = Duration::from_hours(24);

/// What makes a compiled model another one. BLAKE3, because the model and what is in the cache are hashed at each
/// start, of which SHA-256 took an eighth.
#[derive(Default)]
pub(crate) struct Key(Hasher);

impl Key {
    /// One more value that matters. Lengths keep neighbours apart.
    pub(crate) fn add(&mut self, value: &str) {
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(value.as_bytes());
    }

    fn name(self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

/// The folder for one compiled model.
pub(crate) struct Entry {
    path: PathBuf,
    /// Where it is made, if it is not there yet.
    new: Option<TempDir>,
    /// Whether there was one that was not what had been written.
    damaged: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// OpenVINO took the compiled model from the cache.
    Loaded,
    /// The compiled model is in the cache now.
    Added,
    /// The cache had a damaged one, which was compiled again.
    Replaced,
    /// The device keeps no compiled models.
    NothingToKeep,
    /// The compiled model could not be kept.
    NotKept,
}

impl Entry {
    /// Looks for `key` in the cache `folder`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`]: the folder cannot be made or written, or others may write there
    /// and so choose what this process executes.
    pub(crate) fn open(folder: &Path, key: Key) -> Result<Self, Error> {
        // OpenVINO is told the path as text, whatever the current directory is later.
        let folder = std::path::absolute(folder).map_err(|source| unusable(folder, source))?;
        make_folder(&folder).map_err(|source| unusable(&folder, source))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(NEW);
        // Whatever the umask is: compiled models are code.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let new = builder
            .tempdir_in(&folder)
            .map_err(|source| unusable(&folder, source))?;
        refuse_strangers(&folder, new.path())?;
        remove_leftovers(&folder);
        let path = folder.join(key.name());
        let is_there = fs::symlink_metadata(&path).is_ok();
        if is_there && is_intact(&path).unwrap_or(false) {
            return Ok(Self {
                path,
                new: None,
                damaged: false,
            });
        }
        if is_there {
            discard(&path, new.path());
        }
        Ok(Self {
            path,
            new: Some(new),
            damaged: is_there,
        })
    }

    /// What OpenVINO's `CACHE_DIR` has to be.
    pub(crate) fn folder(&self) -> &Path {
        self.new.as_ref().map_or(&self.path, TempDir::path)
    }

    /// The model has been compiled. `loaded`: from what was here.
    pub(crate) fn finish(mut self, loaded: bool) -> Outcome {
        let Some(new) = self.new.take() else {
            if loaded {
                return Outcome::Loaded;
            }
            // OpenVINO did not want it and may have written another one beside it.
            if let Some(parent) = self.path.parent()
                && let Ok(aside) = tempfile::tempdir_in(parent)
            {
                discard(&self.path, aside.path());
            }
            return Outcome::NotKept;
        };
        match keep(new, &self.path) {
            Ok(true) if self.damaged => Outcome::Replaced,
            Ok(true) => Outcome::Added,
            Ok(false) => Outcome::NothingToKeep,
            // Another process was faster, and its folder is as good.
            Err(_) if is_intact(&self.path).unwrap_or(false) => Outcome::Added,
            Err(_) => Outcome::NotKept,
        }
    }
}

/// Gives a complete folder its name. `false`: OpenVINO wrote nothing.
fn keep(new: TempDir, path: &Path) -> io::Result<bool> {
    let mut manifest = String::new();
    for file in files(new.path())? {
        let _ = writeln!(manifest, "{}  {}", checksum(&new.path().join(&file))?, file);
    }
    if manifest.is_empty() {
        return Ok(false);
    }
    let mut file = File::create_new(new.path().join(MANIFEST))?;
    file.write_all(manifest.as_bytes())?;
    file.sync_all()?;
    // Where another process was faster, its folder stays, and the rename fails.
    fs::rename(new.path(), path)?;
    // It has another name now; nothing is left to delete.
    let _ = new.keep();
    Ok(true)
}

/// Deletes what processes that were killed have left behind.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_new = entry.file_name().to_string_lossy().starts_with(NEW);
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let age = age.ok().and_then(|time| time.elapsed().ok());
        if is_new && age.is_some_and(|age| age > LEFT_OVER) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Moves a folder aside at once, then deletes it.
fn discard(path: &Path, aside: &Path) {
    let _ = fs::rename(path, aside.join("discarded"));
    let _ = fs::remove_dir_all(aside.join("discarded"));
}

/// Whether the folder has exactly the files that were written.
fn is_intact(path: &Path) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() || others_may_write(&metadata) {
        return Ok(false);
    }
    let mut found = Vec::new();
    for file in files(path)? {
        if file != MANIFEST {
            found.push(format!("{}  {file}", checksum(&path.join(&file))?));
        }
    }
    let mut manifest = String::new();
    File::open(path.join(MANIFEST))?
        .take(1 << 20)
        .read_to_string(&mut manifest)?;
    let mut written: Vec<&str> = manifest.lines().collect();
    found.sort();
    written.sort_unstable();
    Ok(!found.is_empty() && found == written)
}

/// The names of what is in a folder. Anything but a regular file is an error.
fn files(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().into_string();
            match name {
                Ok(name) if entry.file_type()?.is_file() => Ok(name),
                _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
            }
        })
        .collect()
}

/// What tells the file's content.
pub(crate) fn checksum(file: &Path) -> io::Result<String> {
    let mut hash = Hasher::new();
    hash.update_reader(File::open(file)?)?;
    Ok(hash.finalize().to_hex().to_string())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Compiled models are code. `own` was made by this process in `folder`.
#[cfg(unix)]
fn refuse_strangers(folder: &Path, own: &Path) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = |path: &Path| fs::metadata(path).map_err(|source| unusable(folder, source));
    let (of_folder, of_own) = (metadata(folder)?, metadata(own)?);
    if of_folder.uid() == of_own.uid() && !others_may_write(&of_folder) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidConfig,
        "open the cache",
        "others may write into the cache folder, and what is in it gets executed",
    )
    .with_context("folder", folder.display())
    .with_hint("use a folder of your own that only you may write: `chmod go-w` it"))
}

#[cfg(unix)]
fn others_may_write(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o022 != 0
}

#[cfg(not(unix))]
fn others_may_write(_: &fs::Metadata) -> bool {
    false
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "the same signature everywhere")]
fn refuse_strangers(_: &Path, _: &Path) -> Result<(), Error> {
    Ok(())
}

fn unusable(folder: &Path, source: io::Error) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        "open the cache",
        "the cache folder cannot be used",
    )
    .with_context("folder", folder.display())
    .with_hint("name a folder that this user may write, or leave the cache out")
    .with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        let mut key = Key::default();
        key.add(text);
        key
    }

    fn add(folder: &Path, text: &str) -> Outcome {
        let entry = Entry::open(folder, key("model")).unwrap();
        if entry.new.is_none() {
            return entry.finish(true);
        }
        fs::write(entry.folder().join("1.blob"), text).unwrap();
        entry.finish(false)
    }

    fn only_entry(folder: &Path) -> PathBuf {
        let names: Vec<_> = fs::read_dir(folder).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].path()
    }

    #[test]
    fn a_model_is_added_then_loaded() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(add(folder.path(), "blob"), Outcome::Added);
        assert_eq!(add(folder.path(), "blob"), Outcome::Loaded);
        only_entry(folder.path());
    }

    #[test]
    fn whatever_is_damaged_is_made_again() {
        let damages: [fn(&Path); 5] = [
            |entry| fs::write(entry.join("1.blob"), "blub").unwrap(),
            |entry| fs::write(entry.join("1.blob"), "").unwrap(),
            |entry| fs::remove_file(entry.join(MANIFEST)).unwrap(),
            |entry| fs::write(entry.join("2.blob"), "foreign").unwrap(),
            |entry| fs::create_dir(entry.join("folder")).unwrap(),
        ];
        for damage in damages {
            let folder = tempfile::tempdir().unwrap();
            assert_eq!(add(folder.path(), "blob"), Outcome::Added);
            damage(&only_entry(folder.path()));
            assert_eq!(add(folder.path(), "blob"), Outcome::Replaced);
            let entry = only_entry(folder.path());
            assert_eq!(fs::read(entry.join("1.blob")).unwrap(), b"blob");
        }
    }

    #[test]
    fn who_comes_second_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let slow = Entry::open(folder.path(), key("model")).unwrap();
        fs::write(slow.folder().join("1.blob"), "slow").unwrap();
        assert_eq!(add(folder.path(), "fast"), Outcome::Added);
        assert_eq!(slow.finish(false), Outcome::Added);
        let entry = only_entry(folder.path());
        assert_eq!(fs::read(entry.join("1.blob")).unwrap(), b"fast");
    }

    #[test]
    fn a_device_that_keeps_nothing_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let entry = Entry::open(folder.path(), key("model")).unwrap();
        assert_eq!(entry.finish(false), Outcome::NothingToKeep);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    #[cfg(unix)]
    fn an_entry_that_others_may_write_is_made_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(add(folder.path(), "blob"), Outcome::Added);
        let entry = only_entry(folder.path());
        let mode = fs::metadata(&entry).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(add(folder.path(), "blob"), Outcome::Replaced);
    }

    #[test]
    fn one_that_openvino_refuses_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(add(folder.path(), "blob"), Outcome::Added);
        let entry = Entry::open(folder.path(), key("model")).unwrap();
        assert_eq!(entry.finish(false), Outcome::NotKept);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn neighbours_do_not_run_together() {
        let of = |values: [&str; 2]| {
            let mut key = Key::default();
            for value in values {
                key.add(value);
            }
            key.name()
        };
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_others_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Entry::open(folder.path(), key("model")).err().unwrap();
        assert!(error.to_string().contains("others may write"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
