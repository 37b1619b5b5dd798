//! Files that are either finished or absent: everything is made under another name and renamed.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::failure::on;

/// Returns the SHA-256 of parts, each with its length, so that moving a boundary gives another sum.
pub fn fingerprint(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher
        .finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Writes a file whole or not at all.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let parent = path.parent().context("a file needs a directory")?;
    create_directory(parent)?;
    let mut name = path.file_name().context("a file needs a name")?.to_owned();
    name.push(".partial");
    let partial = parent.join(name);
    fs::write(&partial, content).map_err(on("write", &partial))?;
    fs::rename(&partial, path).map_err(on("write", path))
}

pub fn create_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(on("create the directory", path))
}

/// Removes a directory if it is there.
pub fn remove_directory(path: &Path) -> Result<()> {
    absent_is_fine(fs::remove_dir_all(path)).map_err(on("remove", path))
}

/// Removes a file if it is there.
pub fn remove_file(path: &Path) -> Result<()> {
    absent_is_fine(fs::remove_file(path)).map_err(on("remove", path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A directory to make files in, next to where they will end up (renaming works within one file system only). What an
/// interrupted run left there is removed.
#[derive(Debug)]
pub struct Staging {
    directory: PathBuf,
}

impl Staging {
    pub fn new(parent: &Path, name: &str) -> Result<Self> {
        let directory = parent.join(format!(".partial-{name}"));
        remove_directory(&directory)?;
        create_directory(&directory)?;
        Ok(Self { directory })
    }

    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Moves every file to the same place under `target`, each by one rename, and returns the new paths. Other files
    /// there stay.
    pub fn publish(self, target: &Path) -> Result<Vec<PathBuf>> {
        let mut published = Vec::new();
        for file in list_files(&self.directory, &|_| true)? {
            let place = target.join(file.strip_prefix(&self.directory)?);
            create_directory(place.parent().context("a file needs a directory")?)?;
            fs::rename(&file, &place).map_err(on("write", &place))?;
            published.push(place);
        }
        Ok(published)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The next run removes it as well: a failure here costs only room.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Returns all files under a directory, sorted, without the directories that `enter` refuses.
pub fn list_files(directory: &Path, enter: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).map_err(on("list", &directory))? {
            let entry = entry.map_err(on("list", &directory))?;
            let path = entry.path();
            if !entry.file_type().map_err(on("look at", &path))?.is_dir() {
                files.push(path);
            } else if enter(&path) {
                open.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_depend_on_every_part_and_on_the_boundaries() {
        let base = fingerprint(&[b"ab", b"c"]);
        assert_eq!(base, fingerprint(&[b"ab", b"c"]));
        assert_ne!(base, fingerprint(&[b"a", b"bc"]));
        assert_ne!(base, fingerprint(&[b"abc"]));
        assert_eq!(base.len(), 64);
    }

    #[test]
    fn writing_replaces_the_whole_file_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/file");
        write_whole(&path, b"first, longer").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(list_files(directory.path(), &|_| true).unwrap(), [path]);
    }

    #[test]
    fn staged_files_appear_together_with_what_was_there_and_the_staging_directory_goes() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".partial-photos")).unwrap();
        fs::write(
            home.path().join(".partial-photos/left-over"),
            "of a killed run",
        )
        .unwrap();
        fs::create_dir(home.path().join("photos")).unwrap();
        fs::write(home.path().join("photos/mine.jpg"), "kept").unwrap();

        let staging = Staging::new(home.path(), "photos").unwrap();
        fs::create_dir(staging.path().join("sub")).unwrap();
        fs::write(staging.path().join("sub/a"), "a").unwrap();
        fs::write(staging.path().join("b"), "b").unwrap();
        let photos = home.path().join("photos");
        assert_eq!(
            staging.publish(&photos).unwrap(),
            [photos.join("b"), photos.join("sub/a")]
        );
        assert_eq!(
            list_files(home.path(), &|_| true).unwrap(),
            [
                photos.join("b"),
                photos.join("mine.jpg"),
                photos.join("sub/a")
            ]
        );
        assert!(!home.path().join(".partial-photos").exists());
    }
}
