//! Compiled models that are kept for the next start.
//!
//! OpenVINO writes a compiled model into the directory `CACHE_DIR`, in place and without a checksum, and
//! does not look at every byte when it reads it back. Here each model, device and configuration has
//! a separate directory: it is made under a temporary name, with the checksums of its files, and gets its name
//! when it is complete. A directory whose files do not match the checksums is deleted and made again.
//!
//! The cache directory may contain other files: this crate removes only its own entries. The name of an entry, its
//! owner, its marker and the names of all of its files must show that this crate made it.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backend_api::{Error, ErrorKind};
use blake3::Hasher;
use tempfile::TempDir;

const MANIFEST: &str = "blake3";
/// The marker, which is the first file in every directory.
const MARKER: &str = "classify-cache";
const MARKED: &str =
    "A compiled model of classify. Whoever removes the folder has it made again.\n";
/// Prefix of the names of incomplete directories; [`RANDOM`] letters and digits follow.
const NEW: &str = "classify-new-";
const RANDOM: usize = 16;
/// Endings of the files that OpenVINO's plugins write: compiled models, and compiled kernels of a GPU.
const ENDINGS: [&str; 2] = ["blob", "cl_cache"];
/// No compilation takes longer than this.
const LEFT_OVER: Duration = Duration::from_hours(24);

/// The hash of all inputs of the compilation. BLAKE3, because the model and the content of the cache are
/// hashed at each start; SHA-256 took an eighth of the start time.
#[derive(Default)]
pub(crate) struct Key(Hasher);

impl Key {
    /// Adds a value to the key. Its length is part of the key, so that neighbouring values cannot be confused.
    pub(crate) fn add(&mut self, value: &str) {
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(value.as_bytes());
    }

    fn name(self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

/// The directory for one compiled model.
pub(crate) struct Entry {
    path: PathBuf,
    /// The directory in which it is made, if it is not there yet.
    new: Option<TempDir>,
    /// True if there was an entry with other files than the written ones.
    damaged: bool,
}

/// The outcome of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheOutcome {
    /// OpenVINO took the compiled model from the cache.
    Loaded,
    /// The compiled model is in the cache now.
    Added,
    /// The cache had a damaged compiled model, and the model was compiled again.
    Replaced,
    /// The device keeps no compiled models.
    NothingToKeep,
    /// The compiled model could not be kept.
    NotKept,
}

impl Entry {
    /// Looks for `key` in the cache `directory`, which is created if it does not exist.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`]: the directory cannot be made or written, or other users can write to it and so
    /// choose the code that this process runs.
    pub(crate) fn open(directory: &Path, key: Key) -> Result<Self, Error> {
        // OpenVINO is told the path as text, whatever the current directory is later.
        let directory =
            std::path::absolute(directory).map_err(|source| unusable(directory, source))?;
        make_directory(&directory).map_err(|source| unusable(&directory, source))?;
        let new = new_directory(&directory).map_err(|source| unusable(&directory, source))?;
        check_permissions(&directory, new.path())?;
        remove_leftovers(&directory);
        let path = directory.join(key.name());
        let is_there = fs::symlink_metadata(&path).is_ok();
        if is_there && is_intact(&path).unwrap_or(false) {
            return Ok(Self {
                path,
                new: None,
                damaged: false,
            });
        }
        // A foreign entry stays, and the compiled model is not kept.
        let damaged = is_there && discard(&path, new.path());
        Ok(Self {
            path,
            new: Some(new),
            damaged,
        })
    }

    /// Returns the value for OpenVINO's `CACHE_DIR`.
    pub(crate) fn directory(&self) -> &Path {
        self.new.as_ref().map_or(&self.path, TempDir::path)
    }

    /// Keeps the compiled model, unless OpenVINO `loaded` it from the entry. Returns the outcome.
    pub(crate) fn finish(mut self, loaded: bool) -> CacheOutcome {
        let Some(new) = self.new.take() else {
            if loaded {
                return CacheOutcome::Loaded;
            }
            // OpenVINO rejected it and may have written another one next to it.
            if let Some(parent) = self.path.parent()
                && let Ok(aside) = new_directory(parent)
            {
                discard(&self.path, aside.path());
            }
            return CacheOutcome::NotKept;
        };
        match keep(new, &self.path) {
            Ok(true) if self.damaged => CacheOutcome::Replaced,
            Ok(true) => CacheOutcome::Added,
            Ok(false) => CacheOutcome::NothingToKeep,
            // Another process was faster; its directory is equivalent.
            Err(_) if is_intact(&self.path).unwrap_or(false) => CacheOutcome::Added,
            Err(_) => CacheOutcome::NotKept,
        }
    }
}

/// Renames a complete directory to its final name. Returns false if OpenVINO wrote no file.
fn keep(new: TempDir, path: &Path) -> io::Result<bool> {
    let mut manifest = String::new();
    for file in files(new.path())?.iter().filter(|file| *file != MARKER) {
        let _ = writeln!(manifest, "{}  {}", checksum(&new.path().join(file))?, file);
    }
    if manifest.is_empty() {
        return Ok(false);
    }
    let mut file = File::create_new(new.path().join(MANIFEST))?;
    file.write_all(manifest.as_bytes())?;
    file.sync_all()?;
    // If another process was faster, its directory stays, and the rename fails.
    fs::rename(new.path(), path)?;
    // The directory has its final name now and must not be deleted.
    let _ = new.keep();
    Ok(true)
}

/// Returns whether an entry of a cache directory has a name that the cache gives to its own entries.
pub fn is_cache_entry_name(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    is_hash(name) || is_new(name)
}

fn is_hash(name: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.len() == blake3::OUT_LEN * 2 && name.bytes().all(is_hex)
}

fn is_new(name: &str) -> bool {
    name.strip_prefix(NEW).is_some_and(|random| {
        random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Returns a directory for an incomplete entry, with the marker.
fn new_directory(directory: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(NEW).rand_bytes(RANDOM);
    // Whatever the umask is: compiled models are code.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let new = builder.tempdir_in(directory)?;
    fs::write(new.path().join(MARKER), MARKED)?;
    Ok(new)
}

/// Deletes the leftovers of killed processes.
fn remove_leftovers(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let age = age.ok().and_then(|time| time.elapsed().ok());
        if name.to_str().is_some_and(is_new)
            && age.is_some_and(|age| age > LEFT_OVER)
            && let Some(files) = own_files(&entry.path())
        {
            remove(&entry.path(), &files);
        }
    }
}

/// Renames a directory atomically, then deletes it. `false`: it is a foreign directory, and stays.
fn discard(path: &Path, aside: &Path) -> bool {
    let Some(files) = own_files(path) else {
        return false;
    };
    let discarded = aside.join("discarded");
    if fs::rename(path, &discarded).is_err() {
        return false;
    }
    // Another process may have added a file since the check.
    remove(&discarded, &files) || fs::rename(&discarded, path).is_err()
}

/// Removes a directory that has no other files.
fn remove(path: &Path, files: &[String]) -> bool {
    for file in files {
        let _ = fs::remove_file(path.join(file));
    }
    fs::remove_dir(path).is_ok()
}

/// Returns the files of a directory that this crate has made, or `None` if it contains foreign files.
fn own_files(path: &Path) -> Option<Vec<String>> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let directory = fs::metadata(path.parent()?).ok()?;
    if !metadata.is_dir()
        || !is_cache_entry_name(path.file_name()?)
        || !same_owner(&metadata, &directory)
    {
        return None;
    }
    // Only regular files, so that no read waits for a pipe.
    let files = files(path).ok()?;
    // The manifest alone is not proof: lists of checksums with that name are common. A crash of the system may
    // have cut the marker off.
    let is_marked = read(path, MARKER).is_ok_and(|text| MARKED.starts_with(&text));
    let is_own = |file: &String| {
        let ending = Path::new(file).extension().and_then(OsStr::to_str);
        [MANIFEST, MARKER].contains(&file.as_str())
            || ending.is_some_and(|ending| ENDINGS.contains(&ending))
    };
    // An empty one has no content to lose.
    ((is_marked || files.is_empty()) && files.iter().all(is_own)).then_some(files)
}

fn read(directory: &Path, file: &str) -> io::Result<String> {
    let mut text = String::new();
    model_file::open_regular(&directory.join(file))?
        .take(1 << 20)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Returns whether the directory has exactly the files that were written.
fn is_intact(path: &Path) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() || others_may_write(&metadata) {
        return Ok(false);
    }
    let mut found = Vec::new();
    for file in files(path)? {
        if ![MANIFEST, MARKER].contains(&file.as_str()) {
            found.push(format!("{}  {file}", checksum(&path.join(&file))?));
        }
    }
    let manifest = read(path, MANIFEST)?;
    let mut written: Vec<&str> = manifest.lines().collect();
    found.sort();
    written.sort_unstable();
    Ok(!found.is_empty() && found == written)
}

/// Returns the file names in a directory. Any other kind of entry is an error.
fn files(directory: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(directory)?
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

/// Returns the checksum of bytes, equal to the checksum of a file with this content.
pub(crate) fn checksum_of(bytes: &[u8]) -> String {
    Hasher::new().update(bytes).finalize().to_hex().to_string()
}

/// Returns the checksum of a file's content.
pub(crate) fn checksum(file: &Path) -> io::Result<String> {
    let mut hash = Hasher::new();
    hash.update_reader(model_file::open_regular(file)?)?;
    Ok(hash.finalize().to_hex().to_string())
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Compiled models are code. `own` was made by this process in `directory`.
#[cfg(unix)]
fn check_permissions(directory: &Path, own: &Path) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = |path: &Path| fs::metadata(path).map_err(|source| unusable(directory, source));
    let (of_directory, of_own) = (metadata(directory)?, metadata(own)?);
    if of_directory.uid() == of_own.uid() && !others_may_write(&of_directory) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidConfig,
        "other users can write to the cache directory, whose files run as code",
    )
    .with_context("directory", directory.display())
    .with_hint("use a directory that only you can write to: `chmod go-w DIRECTORY`"))
}

#[cfg(unix)]
fn others_may_write(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o022 != 0
}

#[cfg(not(unix))]
fn others_may_write(_: &fs::Metadata) -> bool {
    false
}

#[cfg(unix)]
fn same_owner(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    one.uid() == other.uid()
}

#[cfg(not(unix))]
fn same_owner(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "the same signature everywhere")]
fn check_permissions(_: &Path, _: &Path) -> Result<(), Error> {
    Ok(())
}

fn unusable(directory: &Path, source: io::Error) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        "the cache directory cannot be used",
    )
    .with_context("directory", directory.display())
    .with_hint("use a directory that this user can write to, or leave the cache out")
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

    fn add(directory: &Path, text: &str) -> CacheOutcome {
        let entry = Entry::open(directory, key("model")).unwrap();
        if entry.new.is_none() {
            return entry.finish(true);
        }
        fs::write(entry.directory().join("1.blob"), text).unwrap();
        entry.finish(false)
    }

    fn only_entry(directory: &Path) -> PathBuf {
        let names: Vec<_> = fs::read_dir(directory).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].path()
    }

    #[test]
    fn a_model_is_added_then_loaded() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(add(directory.path(), "blob"), CacheOutcome::Added);
        assert_eq!(add(directory.path(), "blob"), CacheOutcome::Loaded);
        only_entry(directory.path());
    }

    #[test]
    fn damaged_entries_are_compiled_again() {
        let damages: [fn(&Path); 6] = [
            |entry| fs::write(entry.join("1.blob"), "blub").unwrap(),
            |entry| fs::write(entry.join("1.blob"), "").unwrap(),
            |entry| fs::remove_file(entry.join(MANIFEST)).unwrap(),
            |entry| fs::write(entry.join(MANIFEST), "damaged").unwrap(),
            |entry| {
                fs::write(entry.join(MARKER), "").unwrap();
                fs::write(entry.join("1.blob"), "").unwrap();
            },
            |entry| fs::write(entry.join("2.blob"), "foreign").unwrap(),
        ];
        for damage in damages {
            let directory = tempfile::tempdir().unwrap();
            assert_eq!(add(directory.path(), "blob"), CacheOutcome::Added);
            damage(&only_entry(directory.path()));
            assert_eq!(add(directory.path(), "blob"), CacheOutcome::Replaced);
            let entry = only_entry(directory.path());
            assert_eq!(fs::read(entry.join("1.blob")).unwrap(), b"blob");
        }
    }

    /// Returns every file below `directory`, with its content.
    fn tree(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                all.push((path.clone(), Vec::new()));
                all.extend(tree(&path));
            } else {
                all.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
        all.sort();
        all
    }

    /// Sets the times of everything below `directory` to long ago.
    #[cfg(unix)]
    fn age(directory: &Path) {
        let old = std::time::SystemTime::now() - 2 * LEFT_OVER;
        for (path, _) in tree(directory) {
            File::open(path).unwrap().set_modified(old).unwrap();
        }
    }

    #[test]
    #[cfg(unix)]
    fn only_leftovers_that_this_crate_made_are_removed() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let random = "0123456789abcdef";
        for directory in [
            "new-thesis",
            "new-thesis.bak",
            "classify-new-thesis",
            // The scheme of names alone is not proof, nor is the marker.
            &format!("{NEW}{random}"),
            &format!("{NEW}{}", random.to_uppercase()),
            &"0".repeat(64),
            "marked",
        ] {
            fs::create_dir(at(directory)).unwrap();
            fs::write(at(directory).join("chapter-1.tex"), "years of work").unwrap();
        }
        for directory in [
            format!("{NEW}{}", random.to_uppercase()),
            "marked".to_owned(),
        ] {
            fs::write(at(&directory).join(MARKER), MARKED).unwrap();
        }
        fs::write(at("1.blob"), "not the cache's").unwrap();
        std::os::unix::fs::symlink(at("marked"), at(&format!("{NEW}abcdefghijklmnop"))).unwrap();
        age(home.path());
        let before = tree(home.path());
        let left = new_directory(home.path()).unwrap().keep();
        fs::write(left.join("1.blob"), "half").unwrap();
        let young = new_directory(home.path()).unwrap();
        age(&left);
        let old = std::time::SystemTime::now() - 2 * LEFT_OVER;
        File::open(&left).unwrap().set_modified(old).unwrap();

        assert_eq!(add(home.path(), "blob"), CacheOutcome::Added);
        assert!(!left.exists() && young.path().exists());
        drop(young);
        let entry = home.path().join(key("model").name());
        let after = tree(home.path());
        let others: Vec<_> = after
            .into_iter()
            .filter(|(path, _)| !path.starts_with(&entry))
            .collect();
        assert_eq!(others, before);
    }

    #[test]
    fn foreign_files_in_the_place_of_an_entry_stay() {
        let listed = format!(
            "{}  thesis.tex\n{}  1.blob\n",
            "0".repeat(64),
            "0".repeat(64)
        );
        let foreign: [&dyn Fn(&Path); 7] = [
            &|entry| fs::write(entry, "a file").unwrap(),
            &|entry| {
                fs::create_dir(entry).unwrap();
                fs::write(entry.join("notes.txt"), "mine").unwrap();
            },
            &|entry| {
                assert_eq!(add(entry.parent().unwrap(), "blob"), CacheOutcome::Added);
                fs::write(entry.join("notes.txt"), "mine").unwrap();
            },
            &|entry| {
                assert_eq!(add(entry.parent().unwrap(), "blob"), CacheOutcome::Added);
                fs::create_dir(entry.join("directory")).unwrap();
            },
            &|entry| {
                fs::create_dir(entry).unwrap();
                fs::write(entry.join("1.blob"), "whose?").unwrap();
            },
            // A list of checksums is not a marker.
            &|entry| {
                fs::create_dir(entry).unwrap();
                fs::write(entry.join("1.blob"), "whose?").unwrap();
                fs::write(entry.join(MANIFEST), &listed).unwrap();
            },
            // The marker does not make a foreign file removable.
            &|entry| {
                fs::create_dir(entry).unwrap();
                fs::write(entry.join("thesis.tex"), "mine").unwrap();
                fs::write(entry.join(MANIFEST), &listed).unwrap();
                fs::write(entry.join(MARKER), MARKED).unwrap();
            },
        ];
        for make in foreign {
            let directory = tempfile::tempdir().unwrap();
            make(&directory.path().join(key("model").name()));
            let before = tree(directory.path());
            assert_eq!(add(directory.path(), "blob"), CacheOutcome::NotKept);
            assert_eq!(tree(directory.path()), before);
        }
    }

    #[test]
    fn second_process_keeps_the_entry_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let slow = Entry::open(directory.path(), key("model")).unwrap();
        fs::write(slow.directory().join("1.blob"), "slow").unwrap();
        assert_eq!(add(directory.path(), "fast"), CacheOutcome::Added);
        assert_eq!(slow.finish(false), CacheOutcome::Added);
        let entry = only_entry(directory.path());
        assert_eq!(fs::read(entry.join("1.blob")).unwrap(), b"fast");
    }

    #[test]
    fn a_device_that_keeps_nothing_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let entry = Entry::open(directory.path(), key("model")).unwrap();
        assert_eq!(entry.finish(false), CacheOutcome::NothingToKeep);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    #[cfg(unix)]
    fn an_entry_that_others_may_write_is_made_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(add(directory.path(), "blob"), CacheOutcome::Added);
        let entry = only_entry(directory.path());
        let mode = fs::metadata(&entry).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(add(directory.path(), "blob"), CacheOutcome::Replaced);
    }

    #[test]
    fn entry_that_openvino_rejects_is_deleted() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(add(directory.path(), "blob"), CacheOutcome::Added);
        let entry = Entry::open(directory.path(), key("model")).unwrap();
        assert_eq!(entry.finish(false), CacheOutcome::NotKept);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn neighbouring_values_of_a_key_are_not_confused() {
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
    fn a_directory_that_others_may_write_is_rejected() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Entry::open(directory.path(), key("model")).err().unwrap();
        assert!(
            error.to_string().contains("other users can write"),
            "{error}"
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
