//! The entries of a directory, of which each directory is listed once, whatever links lead to it.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::errors::Hinted;

/// An entry of a directory, or of a directory in it.
#[derive(Debug)]
pub struct Entry {
    pub path: PathBuf,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    /// A regular file, or a link to one.
    File,
    Directory,
    /// A directory that is listed under another path.
    Listed,
    /// A file or a directory whose name begins with a dot.
    Hidden,
    /// A pipe, a socket or a device.
    Special,
    Problem(anyhow::Error),
}

/// Lists `directory`, sorted by name, directory by directory. Links are followed, after everything that needs none, so
/// that a directory is listed under its own path if it has one here. A link to a directory that contains the link is a
/// problem.
pub fn list(directory: &Path, recursive: bool) -> Vec<Entry> {
    let mut listing = Listing {
        recursive,
        entries: Vec::new(),
        visited: HashSet::new(),
        links: VecDeque::new(),
    };
    if let Ok(identity) = identity(directory) {
        listing.visited.insert(identity);
    }
    listing.walk(directory);
    while let Some(link) = listing.links.pop_front() {
        match identity(&link) {
            Ok(identity) if listing.visited.insert(identity) => listing.walk(&link),
            Ok(_) => listing.push(link, Kind::Listed),
            Err(error) => listing.push(link, unreadable(error)),
        }
    }
    let mut entries = listing.entries;
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    entries
}

struct Listing {
    recursive: bool,
    entries: Vec<Entry>,
    visited: HashSet<Identity>,
    /// Links to directories that are not followed yet.
    links: VecDeque<PathBuf>,
}

impl Listing {
    fn push(&mut self, path: PathBuf, kind: Kind) {
        self.entries.push(Entry { path, kind });
    }

    /// Lists a directory without following links.
    fn walk(&mut self, directory: &Path) {
        let mut walk = WalkDir::new(directory)
            .min_depth(1)
            .max_depth(if self.recursive { usize::MAX } else { 1 })
            .into_iter();
        while let Some(entry) = walk.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(directory).to_owned();
                    if let Some(error) = error.into_io_error() {
                        self.push(path, unreadable(error));
                    }
                    continue;
                }
            };
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let is_real_directory = entry.file_type().is_dir();
            let is_link = entry.path_is_symlink();
            let path = entry.into_path();
            let kind = if is_hidden {
                Kind::Hidden
            } else if is_link {
                self.link(&path)
            } else if is_real_directory {
                self.real_directory(&path)
            } else {
                kind_of(&path)
            };
            if is_real_directory && !matches!(kind, Kind::Directory) {
                walk.skip_current_dir();
            }
            self.push(path, kind);
        }
    }

    /// A link to a directory is followed later.
    fn link(&mut self, link: &Path) -> Kind {
        let kind = kind_of(link);
        if self.recursive && matches!(kind, Kind::Directory) {
            if let Some(problem) = loops(link) {
                return Kind::Problem(problem);
            }
            self.links.push_back(link.to_owned());
        }
        kind
    }

    /// A file system that is mounted twice, or a directory that a link has led to before.
    fn real_directory(&mut self, directory: &Path) -> Kind {
        match identity(directory) {
            Ok(identity) if !self.recursive || self.visited.insert(identity) => Kind::Directory,
            Ok(_) => Kind::Listed,
            Err(error) => unreadable(error),
        }
    }
}

fn kind_of(path: &Path) -> Kind {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Kind::File,
        Ok(metadata) if metadata.is_dir() => Kind::Directory,
        Ok(_) => Kind::Special,
        Err(error) => unreadable(error),
    }
}

/// The problem of a link to a directory that contains it, such as the root of the file system.
fn loops(link: &Path) -> Option<anyhow::Error> {
    let target = link.canonicalize().ok()?;
    let parent = link.parent()?.canonicalize().ok()?;
    parent.starts_with(&target).then(|| {
        let message = format!("the link leads to {}, which contains it", target.display());
        Hinted::new(message, "remove the link, or name the directories in it").into()
    })
}

fn unreadable(error: io::Error) -> Kind {
    Kind::Problem(anyhow::Error::new(error).context("cannot be read"))
}

/// The same for all paths of a directory.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = PathBuf;

#[cfg(unix)]
fn identity(directory: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(directory).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(directory: &Path) -> io::Result<Identity> {
    directory.canonicalize()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn listed(directory: &Path, recursive: bool) -> Vec<String> {
        let text = |entry: &Entry| {
            let path = entry.path.strip_prefix(directory).unwrap().display();
            let kind = match &entry.kind {
                Kind::Problem(error) => error.to_string(),
                kind => format!("{kind:?}"),
            };
            format!("{path} {kind}")
        };
        list(directory, recursive).iter().map(text).collect()
    }

    #[test]
    fn links_that_double_end() {
        let directory = tempfile::tempdir().unwrap();
        let at = |number: usize| directory.path().join(format!("{number:02}"));
        for number in 0..40 {
            fs::create_dir(at(number)).unwrap();
            fs::write(at(number).join("file"), "").unwrap();
            for link in ["x", "y"].into_iter().filter(|_| number > 0) {
                symlink(at(number - 1), at(number).join(link)).unwrap();
            }
        }
        let all = list(directory.path(), true);
        let count = |wanted: fn(&Kind) -> bool| all.iter().filter(|it| wanted(&it.kind)).count();
        assert_eq!(count(|kind| matches!(kind, Kind::File)), 40);
        assert_eq!(count(|kind| matches!(kind, Kind::Listed)), 78);
        // From the last one alone, each other directory is reached through a link.
        let files = list(&at(39), true);
        let files = files.iter().filter(|it| matches!(it.kind, Kind::File));
        assert_eq!(files.count(), 40);
    }

    #[test]
    fn a_directory_is_listed_under_its_own_path() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("images");
        let other = root.path().join("other");
        fs::create_dir_all(directory.join("m")).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(directory.join("m/1"), "").unwrap();
        fs::write(other.join("2"), "").unwrap();
        // They sort before and behind the directory.
        symlink("m", directory.join("a")).unwrap();
        symlink(&other, directory.join("n")).unwrap();
        symlink(&other, directory.join("z")).unwrap();
        symlink(&directory, other.join("back")).unwrap();
        symlink("/", directory.join("root")).unwrap();
        symlink("nothing", directory.join("dead")).unwrap();
        let contains = "root the link leads to /, which contains it";
        assert_eq!(
            listed(&directory, true),
            [
                "a Directory",
                "a Listed",
                "dead cannot be read",
                "m Directory",
                "m/1 File",
                "n Directory",
                "n/2 File",
                "n/back Directory",
                "n/back Listed",
                contains,
                "z Directory",
                "z Listed",
            ]
        );
        let flat = [
            "a Directory",
            "dead cannot be read",
            "m Directory",
            "n Directory",
            "root Directory",
            "z Directory",
        ];
        assert_eq!(listed(&directory, false), flat);
    }
}
