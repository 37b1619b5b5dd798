//! Which images: files, folders, patterns and lists, in the order in which results appear.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use image_classification::{Image, has_image_magic};
use walkdir::WalkDir;

use crate::messages::Hinted;

/// Names of images. A file with such a name that is none is an error; other files in a folder that
/// are no images are skipped.
const ENDINGS: [&str; 17] = [
    "bmp", "dib", "gif", "jfif", "jpe", "jpeg", "jpg", "pam", "pbm", "pgm", "png", "pnm", "ppm",
    "qoi", "tif", "tiff", "webp",
];
/// The largest list that is read: 64 MiB are about a million paths.
const MOST_LIST_BYTES: u64 = 64 << 20;

/// An image to classify, or what stands in its way already.
#[derive(Debug)]
pub struct Input {
    pub path: PathBuf,
    pub problem: Option<anyhow::Error>,
}

/// The images, and what was left out of folders.
#[derive(Debug, Default)]
pub struct Inputs {
    /// In the order in which results appear.
    pub list: Vec<Input>,
    /// The files with lists that were read.
    pub lists: Vec<PathBuf>,
    /// True if a list was read from stdin.
    pub stdin: bool,
    hidden: usize,
    others: usize,
    folders: usize,
}

impl Inputs {
    /// Finds the images that the command line names. `lists` are files with one path a line.
    pub fn find(arguments: &[PathBuf], lists: &[PathBuf], recursive: bool) -> anyhow::Result<Self> {
        let mut found = Self::default();
        for argument in arguments {
            if argument.as_os_str() == "-" {
                found.stdin = true;
                let list = read_list(io::stdin().lock())
                    .map_err(|error| error.context("cannot read the list on stdin"))?;
                found.add_list(&list, recursive);
            } else {
                found.add_argument(argument, recursive);
            }
        }
        for list in lists {
            found.lists.push(list.clone());
            let what = || format!("cannot read the input list {}", list.display());
            let file =
                File::open(list).map_err(|error| anyhow::Error::new(error).context(what()))?;
            let list = read_list(file).map_err(|error| error.context(what()))?;
            found.add_list(&list, recursive);
        }
        if found.list.is_empty() {
            return Err(Hinted::new(
                "the list of images is empty",
                "name images, folders of images, or a list of them",
            )
            .into());
        }
        // Nothing else to do: no engine need be loaded to say so.
        if let [Input { path, problem }] = &mut found.list[..]
            && let Some(problem) = problem.take()
        {
            return Err(problem.context(path.display().to_string()));
        }
        Ok(found)
    }

    /// What was left out of folders, for one line; `None` if nothing was.
    pub fn skipped(&self) -> Option<String> {
        let mut text = String::new();
        for (count, one, many) in [
            (self.hidden, "hidden entry", "hidden entries"),
            (
                self.others,
                "file that is no image",
                "files that are no images",
            ),
        ] {
            if count > 0 {
                let separator = if text.is_empty() { "skipped " } else { " and " };
                let _ = write!(
                    text,
                    "{separator}{count} {}",
                    if count == 1 { one } else { many }
                );
            }
        }
        Some(text).filter(|text| !text.is_empty())
    }

    fn add_list(&mut self, paths: &[PathBuf], recursive: bool) {
        for path in paths {
            self.add_path(path, recursive);
        }
    }

    /// A file or folder, or a pattern where there is none of that name: shells that do not expand
    /// patterns, and quoted ones, leave it to the program.
    fn add_argument(&mut self, path: &Path, recursive: bool) {
        let pattern = path
            .to_str()
            .filter(|text| text.contains(['*', '?', '[']) && fs::symlink_metadata(path).is_err());
        let Some(pattern) = pattern else {
            return self.add_path(path, recursive);
        };
        // As shells do: hidden entries only where the pattern names them.
        let options = glob::MatchOptions {
            require_literal_leading_dot: true,
            ..glob::MatchOptions::new()
        };
        let matches = match glob::glob_with(pattern, options) {
            Ok(matches) => matches,
            Err(error) => return self.add_problem(path, error),
        };
        let before = self.list.len();
        for entry in matches {
            match entry {
                Ok(path) => self.add_path(&path, recursive),
                Err(error) => {
                    let path = error.path().to_owned();
                    self.add_problem(&path, io::Error::from(error));
                }
            }
        }
        if self.list.len() == before {
            self.add_problem(path, Hinted::new("no file matches", "check the pattern"));
        }
    }

    fn add_path(&mut self, path: &Path, recursive: bool) {
        if path.is_dir() {
            self.add_folder(path, recursive);
        } else {
            self.list.push(Input {
                path: path.to_owned(),
                problem: None,
            });
        }
    }

    fn add_problem(&mut self, path: &Path, problem: impl Into<anyhow::Error>) {
        self.list.push(Input {
            path: path.to_owned(),
            problem: Some(problem.into()),
        });
    }

    /// Sorted by name, folder by folder. Links are followed; a link to a folder above is a problem.
    fn add_folder(&mut self, folder: &Path, recursive: bool) {
        let before = (self.list.len(), self.folders);
        let mut walk = WalkDir::new(folder)
            .follow_links(true)
            .sort_by_file_name()
            .min_depth(1)
            .max_depth(if recursive { usize::MAX } else { 1 })
            .into_iter();
        while let Some(entry) = walk.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_owned();
                    // The error of a link that leads back names two paths; others repeat the path.
                    if error.loop_ancestor().is_some() {
                        self.add_problem(&path, error);
                    } else if let Some(error) = error.into_io_error() {
                        let error = anyhow::Error::new(error);
                        self.add_problem(&path, error.context("cannot be read"));
                    }
                    continue;
                }
            };
            let kind = entry.file_type();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                self.hidden += 1;
                if kind.is_dir() {
                    walk.skip_current_dir();
                }
            } else if kind.is_dir() {
                self.folders += 1;
            } else if kind.is_file() && is_image(entry.path()) {
                self.list.push(Input {
                    path: entry.into_path(),
                    problem: None,
                });
            } else {
                self.others += 1;
            }
        }
        if self.list.len() == before.0 {
            let hint = if self.folders > before.1 && !recursive {
                "add `--recursive` to look into the folders inside"
            } else {
                "name images, or folders of images"
            };
            self.add_problem(
                folder,
                Hinted::new("there are no images in this folder", hint),
            );
        }
    }
}

/// By name, or by its first bytes.
fn is_image(path: &Path) -> bool {
    let named = path.extension().is_some_and(|ending| {
        ENDINGS
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
    });
    named || has_image_magic(path)
}

/// One path a line; separated by NUL where there is one, as `find -print0` writes them. Paths are
/// bytes, of whatever encoding.
fn read_list(source: impl Read) -> anyhow::Result<Vec<PathBuf>> {
    let mut bytes = Vec::new();
    source.take(MOST_LIST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_LIST_BYTES {
        return Err(Hinted::new(
            format!("the list has more than {MOST_LIST_BYTES} bytes"),
            "split it, or name the folder",
        )
        .into());
    }
    if Image::recognises(&bytes) {
        return Err(Hinted::new(
            "it is an image, not a list of images",
            "name the image itself by `-i`; images are not read from stdin",
        )
        .into());
    }
    let nul = bytes.contains(&0);
    bytes
        .split(|&byte| byte == if nul { 0 } else { b'\n' })
        .map(|line| {
            if nul {
                line
            } else {
                line.strip_suffix(b"\r").unwrap_or(line)
            }
        })
        .filter(|line| !line.is_empty())
        .map(path_from_bytes)
        .collect()
}

#[cfg(unix)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "other systems' paths are not bytes"
)]
fn path_from_bytes(bytes: &[u8]) -> anyhow::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path_from_bytes(bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Hinted::new("a path in the list is not UTF-8", "save the list as UTF-8"))?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(inputs: &Inputs, folder: &Path) -> Vec<String> {
        inputs
            .list
            .iter()
            .map(|input| {
                let path = input.path.strip_prefix(folder).unwrap_or(&input.path);
                path.to_string_lossy().into_owned()
            })
            .collect()
    }

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b/.git")).unwrap();
        for (name, bytes) in [
            ("z.jpg", &b""[..]),
            ("A.PNG", b""),
            ("notes.txt", b"hello"),
            ("unnamed", b"\x89PNG\r\n\x1a\n"),
            (".hidden.jpg", b""),
            ("b/c.tiff", b""),
            ("b/.git/x.jpg", b""),
        ] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn folders_are_sorted_and_what_is_no_image_is_counted() {
        let folder = tree();
        let path = folder.path().to_path_buf();
        let flat = Inputs::find(std::slice::from_ref(&path), &[], false).unwrap();
        assert_eq!(names(&flat, &path), ["A.PNG", "unnamed", "z.jpg"]);
        assert_eq!(
            flat.skipped().unwrap(),
            "skipped 1 hidden entry and 1 file that is no image"
        );
        let deep = Inputs::find(std::slice::from_ref(&path), &[], true).unwrap();
        assert_eq!(
            names(&deep, &path),
            ["A.PNG", "b/c.tiff", "unnamed", "z.jpg"]
        );
        assert_eq!(
            deep.skipped().unwrap(),
            "skipped 2 hidden entries and 1 file that is no image"
        );
        let twice = Inputs::find(&[path.join("z.jpg"), path.join("z.jpg")], &[], false).unwrap();
        assert_eq!(twice.list.len(), 2);
    }

    #[test]
    fn patterns_are_expanded_where_no_file_has_that_name() {
        let folder = tree();
        let path = folder.path();
        let found = Inputs::find(&[path.join("*.jpg")], &[], false).unwrap();
        assert_eq!(names(&found, path), ["z.jpg"]);
        let nothing = Inputs::find(&[path.join("*.gif"), path.join("z.jpg")], &[], false).unwrap();
        assert!(nothing.list[0].problem.is_some());
        assert!(nothing.list[1].problem.is_none());
        fs::write(path.join("odd[1].jpg"), b"").unwrap();
        let exact = Inputs::find(&[path.join("odd[1].jpg")], &[], false).unwrap();
        assert!(exact.list[0].problem.is_none());
    }

    #[test]
    fn lists_have_lines_or_nul() {
        let paths = |bytes: &[u8]| read_list(bytes).unwrap();
        assert_eq!(paths(b"a b\r\n\nc\n"), [Path::new("a b"), Path::new("c")]);
        assert_eq!(paths(b"a\nb\0c\0"), [Path::new("a\nb"), Path::new("c")]);
        assert!(paths(b"").is_empty());
        #[cfg(unix)]
        assert_eq!(
            paths(b"\xff.jpg")[0].as_os_str().as_encoded_bytes(),
            b"\xff.jpg"
        );
    }

    #[test]
    fn nothing_to_do_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inside")).unwrap();
        let error = Inputs::find(&[folder.path().to_owned()], &[], false).unwrap_err();
        assert!(format!("{error:#}").contains("no images"), "{error:#}");
        assert!(Inputs::find(&[], &[], false).is_err());
    }
}
