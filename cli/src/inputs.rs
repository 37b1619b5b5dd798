//! Images: files, directories, patterns and lists, in the order in which results appear.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use evaluation::text::is_utf_16;
use image_classification::{Image, has_image_magic};

use crate::archive;
use crate::directory::{self, Entry, Kind};
use crate::errors::Hinted;
pub use crate::input::{Input, path_from_bytes};
use crate::pattern;
use crate::reports::shortened;
use crate::terminal::NAME;

/// The largest list that is read: 64 MiB are about a million paths.
const MOST_LIST_BYTES: u64 = 64 << 20;
/// Most endings that a note on skipped files names.
const MOST_ENDINGS: usize = 6;

/// The images, and what was left out of directories.
#[derive(Debug, Default)]
pub struct Inputs {
    /// In the order in which results appear.
    pub list: Vec<Input>,
    /// The files with lists that were read.
    pub lists: Vec<PathBuf>,
    /// True if a list or a stream of lines is read from stdin.
    pub stdin: bool,
    /// True if archives are entries, whose images are found later.
    keeps_archives: bool,
    hidden: usize,
    /// Non-image files, by their endings.
    others: BTreeMap<String, usize>,
    directories: usize,
    /// Links to directories that are listed under another path.
    listed: usize,
}

impl Inputs {
    /// Returns the inputs of a command that reads a stream of lines from stdin.
    pub fn of_stream() -> Self {
        Self {
            stdin: true,
            ..Self::default()
        }
    }

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
            let paths =
                read_list(open_list(list)?).map_err(|error| error.context(of_list(list)))?;
            found.add_list(&paths, recursive);
        }
        Self::check(&mut found.list)?;
        Ok(found)
    }

    /// Checks that there are images. Where there is nothing to do, no engine need be loaded to say so.
    ///
    /// # Errors
    ///
    /// If the list is empty, and the error of its only input.
    pub fn check(list: &mut [Input]) -> anyhow::Result<()> {
        match list {
            [] => Err(Hinted::new(
                "the list of images is empty",
                "name images, directories of images, or a list of them",
            )
            .into()),
            [Input { path, problem, .. }] => problem.take().map_or(Ok(()), |problem| {
                Err(problem.context(shortened(&path.display().to_string(), NAME)))
            }),
            _ => Ok(()),
        }
    }

    /// Inputs in which archives are entries, to be taken by [`take`](Self::take).
    pub fn of_entries() -> Self {
        Self {
            keeps_archives: true,
            ..Self::default()
        }
    }

    /// Returns the images of an argument. What is skipped is counted.
    pub fn take_argument(&mut self, argument: &Path, recursive: bool) -> Vec<Input> {
        self.add_argument(argument, recursive);
        std::mem::take(&mut self.list)
    }

    /// Returns the images of a path that a list names. What is skipped is counted.
    pub fn take(&mut self, path: &Path, recursive: bool) -> Vec<Input> {
        self.add_listed(path, recursive);
        std::mem::take(&mut self.list)
    }

    /// Entries of directories that were skipped, for one line; `None` if there are none. With `briefly`, only the
    /// number of non-image files.
    pub fn skipped(&self, briefly: bool) -> Option<String> {
        let others: usize = self.others.values().sum();
        let mut parts = Vec::new();
        if self.hidden > 0 && !briefly {
            let name = if self.hidden == 1 { "entry" } else { "entries" };
            parts.push(format!("{} hidden {name}", self.hidden));
        }
        if self.listed > 0 && !briefly {
            let name = if self.listed == 1 { "path" } else { "paths" };
            parts.push(format!(
                "{} more {name} to directories that are listed already",
                self.listed
            ));
        }
        if others > 0 {
            let name = if others == 1 { "file" } else { "files" };
            let mut text = format!("{others} non-image {name}");
            if !briefly {
                let _ = write!(text, " ({})", self.endings());
            }
            parts.push(text);
        }
        (!parts.is_empty()).then(|| format!("skipped {}", joined(&parts)))
    }

    /// Lists the skipped files: `3 .txt, 1 .md, 2 others`.
    fn endings(&self) -> String {
        let mut endings: Vec<_> = self.others.iter().collect();
        endings.sort_by_key(|(ending, count)| (usize::MAX - **count, (*ending).clone()));
        let rest = endings.split_off(endings.len().min(MOST_ENDINGS));
        let mut parts: Vec<String> = endings
            .iter()
            .map(|(ending, count)| {
                if ending.is_empty() {
                    format!("{count} without an ending")
                } else {
                    format!("{count} .{ending}")
                }
            })
            .collect();
        let rest: usize = rest.iter().map(|(_, count)| **count).sum();
        if rest > 0 {
            parts.push(format!("{rest} others"));
        }
        parts.join(", ")
    }

    fn add_list(&mut self, paths: &[PathBuf], recursive: bool) {
        for path in paths {
            self.add_listed(path, recursive);
        }
    }

    /// Adds the entry of a list. Only entries that end in NUL can have line breaks, so one NUL anywhere in a list of
    /// lines joins them to a path that does not exist.
    fn add_listed(&mut self, path: &Path, recursive: bool) {
        let has_line_break = path.as_os_str().as_encoded_bytes().contains(&b'\n');
        if has_line_break && fs::symlink_metadata(path).is_err() {
            let error = "there is no such file; the list has a NUL, so its entries end in NUL, and line breaks are \
                         part of this one";
            let hint = "remove the NUL from the list, or end every entry in NUL";
            return self.add_problem(path, Hinted::new(error, hint));
        }
        self.add_path(path, recursive);
    }

    /// A file or directory, or a range of numbers or a pattern where there is none of that name: shells that do not
    /// expand them, and quoted ones, leave it to the program.
    fn add_argument(&mut self, path: &Path, recursive: bool) {
        if fs::symlink_metadata(path).is_ok() {
            return self.add_path(path, recursive);
        }
        match pattern::numbered(path) {
            Ok(None) => self.add_pattern(path, recursive),
            Ok(Some(paths)) => {
                for path in paths {
                    self.add_pattern(&path, recursive);
                }
            }
            Err(error) => self.add_problem(path, error),
        }
    }

    fn add_pattern(&mut self, path: &Path, recursive: bool) {
        if !pattern::is_pattern(path) || fs::symlink_metadata(path).is_ok() {
            return self.add_path(path, recursive);
        }
        let matches = match pattern::expand(path) {
            Ok(matches) => matches,
            Err(error) => return self.add_problem(path, error),
        };
        let before = self.list.len();
        for entry in matches {
            match entry {
                Ok(path) => self.add_path(&path, recursive),
                Err((path, error)) => self.add_problem(&path, error),
            }
        }
        if self.list.len() == before {
            self.add_problem(path, Hinted::new("no file matches", "check the pattern"));
        }
    }

    fn add_path(&mut self, path: &Path, recursive: bool) {
        if path.is_dir() {
            self.add_directory(path, recursive);
        } else if archive::is_archive(path) {
            self.add_archive(path);
        } else {
            self.list.push(Input::file(path.to_owned()));
        }
    }

    /// Adds the images of an archive, in its order.
    fn add_archive(&mut self, path: &Path) {
        if self.keeps_archives {
            return self.list.push(Input::file(path.to_owned()));
        }
        match archive::list(path) {
            Ok(listed) => {
                if listed.images.is_empty() {
                    let hint = "name an archive with images";
                    self.add_problem(
                        path,
                        Hinted::new("there are no images in this archive", hint),
                    );
                }
                self.list.extend(listed.images);
                for (ending, count) in listed.others {
                    *self.others.entry(ending).or_default() += count;
                }
            }
            Err(error) => self.add_problem(path, error),
        }
    }

    fn add_problem(&mut self, path: &Path, problem: impl Into<anyhow::Error>) {
        self.list
            .push(Input::failed(path.to_owned(), problem.into()));
    }

    /// Adds the images of a directory, sorted by name, directory by directory.
    fn add_directory(&mut self, directory: &Path, recursive: bool) {
        let before = (self.list.len(), self.directories);
        for Entry { path, kind } in directory::list(directory, recursive) {
            match kind {
                Kind::File | Kind::Special if archive::is_archive(&path) => self.add_archive(&path),
                Kind::File if is_image(&path) => self.list.push(Input::file(path)),
                // A pipe or a device by the name of an image fails by name, too.
                Kind::Special if has_image_ending(&path) => self.list.push(Input::file(path)),
                Kind::File | Kind::Special => {
                    let ending = path.extension().unwrap_or_default();
                    let ending = ending.to_string_lossy().to_ascii_lowercase();
                    *self.others.entry(ending).or_default() += 1;
                }
                Kind::Directory => self.directories += 1,
                Kind::Listed => self.listed += 1,
                Kind::Hidden => self.hidden += 1,
                Kind::Problem(problem) => self.add_problem(&path, problem),
            }
        }
        if self.list.len() == before.0 {
            let hint = if self.directories > before.1 && !recursive {
                "add `--recursive` to recurse into subdirectories"
            } else {
                "name images, or directories of images"
            };
            self.add_problem(
                directory,
                Hinted::new("there are no images in this directory", hint),
            );
        }
    }
}

/// Joins a list: `a`, `a and b`, `a, b and c`.
fn joined(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

/// Returns whether a file is an image by its name, or by its first bytes. Formats that are not decoded are among them:
/// they fail by name and do not vanish.
fn is_image(path: &Path) -> bool {
    has_image_ending(path) || has_image_magic(path)
}

fn has_image_ending(path: &Path) -> bool {
    path.extension().is_some_and(Image::has_ending)
}

fn of_list(list: &Path) -> String {
    format!("cannot read the input list {}", list.display())
}

/// Opens a list in a file.
pub fn open_list(list: &Path) -> anyhow::Result<fs::File> {
    model_file::open_regular(list).map_err(|error| {
        let error = anyhow::Error::new(error);
        // A pipe has no end that is worth waiting for.
        let error = match fs::metadata(list) {
            Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Hinted::new(
                "it is not a regular file",
                "pipe the list to `-i -`, or save it as a file",
            )
            .into(),
            _ => error,
        };
        error.context(of_list(list))
    })
}

/// Splits a list of paths: at NUL if there is one, as `find -print0` writes them, otherwise at line ends. Paths are
/// bytes of any encoding.
fn read_list(source: impl Read) -> anyhow::Result<Vec<PathBuf>> {
    let mut bytes = Vec::new();
    source.take(MOST_LIST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_LIST_BYTES {
        return Err(Hinted::new(
            format!("the list has more than {MOST_LIST_BYTES} bytes"),
            "split it, name the directory, or divide the work by `--shard`",
        )
        .into());
    }
    check_list(&bytes)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
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
/// Checks by its first bytes that a list is one.
pub fn check_list(head: &[u8]) -> anyhow::Result<()> {
    if Image::recognises(head) {
        return Err(Hinted::new(
            "the file is an image, not a list of images",
            "name the image itself by `-i`; images are not read from stdin",
        )
        .into());
    }
    if is_utf_16(head) {
        return Err(Hinted::new("the list is UTF-16", "save the list as UTF-8").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(inputs: &Inputs, directory: &Path) -> Vec<String> {
        inputs
            .list
            .iter()
            .map(|input| {
                let path = input.path.strip_prefix(directory).unwrap_or(&input.path);
                path.to_string_lossy().into_owned()
            })
            .collect()
    }

    fn tree() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("b/.git")).unwrap();
        for (name, bytes) in [
            ("z.jpg", &b""[..]),
            ("A.PNG", b""),
            ("notes.txt", b"hello"),
            ("unnamed", b"\x89PNG\r\n\x1a\n"),
            (".hidden.jpg", b""),
            ("b/c.tiff", b""),
            ("b/.git/x.jpg", b""),
        ] {
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        directory
    }

    #[test]
    fn directories_are_sorted_and_other_files_are_counted() {
        let directory = tree();
        let path = directory.path().to_path_buf();
        let flat = Inputs::find(std::slice::from_ref(&path), &[], false).unwrap();
        assert_eq!(names(&flat, &path), ["A.PNG", "unnamed", "z.jpg"]);
        assert_eq!(
            flat.skipped(false).unwrap(),
            "skipped 1 hidden entry and 1 non-image file (1 .txt)"
        );
        let deep = Inputs::find(std::slice::from_ref(&path), &[], true).unwrap();
        assert_eq!(
            names(&deep, &path),
            ["A.PNG", "b/c.tiff", "unnamed", "z.jpg"]
        );
        assert_eq!(
            deep.skipped(false).unwrap(),
            "skipped 2 hidden entries and 1 non-image file (1 .txt)"
        );
        assert_eq!(deep.skipped(true).unwrap(), "skipped 1 non-image file");
        let twice = Inputs::find(&[path.join("z.jpg"), path.join("z.jpg")], &[], false).unwrap();
        assert_eq!(twice.list.len(), 2);
    }

    #[test]
    fn patterns_are_expanded_where_no_file_has_that_name() {
        let directory = tree();
        let path = directory.path();
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
    fn missing_numbers_of_a_range_are_inputs_that_fail() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::create_dir(path.join("d1")).unwrap();
        for name in ["08.jpg", "10.jpg", "d1/x.jpg", "e{0..1}.jpg"] {
            fs::write(path.join(name), b"").unwrap();
        }
        let find = |text: &str| {
            let found = Inputs::find(&[path.join(text), path.join("08.jpg")], &[], false).unwrap();
            names(&found, path)
        };
        assert_eq!(
            find("{08..10}.jpg"),
            ["08.jpg", "09.jpg", "10.jpg", "08.jpg"]
        );
        assert_eq!(find("d{1..1}/*.jpg"), ["d1/x.jpg", "08.jpg"]);
        assert_eq!(find("e{0..1}.jpg"), ["e{0..1}.jpg", "08.jpg"]);
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
    fn a_nul_that_joins_lines_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let there = at("a\nb.jpg");
        let text = format!("{}\n{}\0", at("x.jpg").display(), at("y.jpg").display());
        let list = [text.as_bytes(), there.as_os_str().as_encoded_bytes()].concat();
        fs::write(at("list"), list).unwrap();
        if cfg!(unix) {
            fs::write(&there, "").unwrap();
        }
        let found = Inputs::find(&[], &[at("list")], false).unwrap();
        let error = found.list[0].problem.as_ref().unwrap();
        assert!(error.to_string().contains("the list has a NUL"), "{error}");
        let hint = crate::errors::hint(error).unwrap();
        assert!(hint.contains("remove the NUL"), "{hint}");
        assert_eq!(found.list[1].problem.is_none(), cfg!(unix));
        // An entry of a stream or a shard.
        let mut entries = Inputs::of_entries();
        assert!(entries.take(&at("x\ny"), false)[0].problem.is_some());
        assert!(entries.take(&at("x"), false)[0].problem.is_none());
    }

    #[test]
    fn lists_may_have_a_byte_order_mark_but_are_not_utf_16() {
        let paths = read_list(&b"\xef\xbb\xbfa.jpg\nb.jpg\n"[..]).unwrap();
        assert_eq!(paths, [Path::new("a.jpg"), Path::new("b.jpg")]);
        let letters = read_list(&b"a\0b\0"[..]).unwrap();
        assert_eq!(letters, [Path::new("a"), Path::new("b")]);
        let wide = |to_bytes: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
            let text = format!("{mark}a.jpg\r\nb.jpg\r\n");
            text.encode_utf16().flat_map(to_bytes).collect()
        };
        for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            for mark in ["\u{feff}", ""] {
                let error = read_list(&*wide(to_bytes, mark)).unwrap_err();
                assert!(error.to_string().contains("UTF-16"), "{error}");
            }
        }
    }

    #[test]
    fn images_in_formats_that_are_not_decoded_are_inputs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_path_buf();
        for (name, bytes) in [
            ("a.heic", &b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..]),
            ("b", b"8BPS\0\x01"),
            ("c.TGA", b"\0\0\x02"),
            ("d.nef", b""),
            ("e.avif", b"no image at all"),
            ("film.mp4", b"\0\0\0\x14ftypisom\0\0\x02\0mp41"),
            ("notes", b"BM is a magazine"),
            ("x.md", b"P6 text"),
            ("y.txt", b""),
            ("z.txt", b""),
        ] {
            fs::write(path.join(name), bytes).unwrap();
        }
        let found = Inputs::find(std::slice::from_ref(&path), &[], false).unwrap();
        assert_eq!(
            names(&found, &path),
            ["a.heic", "b", "c.TGA", "d.nef", "e.avif"]
        );
        assert_eq!(
            found.skipped(false).unwrap(),
            "skipped 5 non-image files (2 .txt, 1 without an ending, 1 .md, 1 .mp4)"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_by_the_name_of_an_image_is_an_input() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_path_buf();
        for name in ["a.jpg", "b.txt", "c"] {
            let status = std::process::Command::new("mkfifo")
                .arg(path.join(name))
                .status();
            assert!(status.unwrap().success());
        }
        let found = Inputs::find(std::slice::from_ref(&path), &[], false).unwrap();
        assert_eq!(names(&found, &path), ["a.jpg"]);
        assert_eq!(
            found.skipped(false).unwrap(),
            "skipped 2 non-image files (1 without an ending, 1 .txt)"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_list_that_is_a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        let error = Inputs::find(&[], &[pipe], false).unwrap_err();
        assert!(
            format!("{error:#}").contains("not a regular file"),
            "{error:#}"
        );
    }

    #[test]
    fn nothing_to_do_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("inside")).unwrap();
        let error = Inputs::find(&[directory.path().to_owned()], &[], false).unwrap_err();
        assert!(format!("{error:#}").contains("no images"), "{error:#}");
        assert!(Inputs::find(&[], &[], false).is_err());
    }
}
