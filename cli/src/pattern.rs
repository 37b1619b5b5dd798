//! Patterns for paths, for shells that do not expand them. Names need not be UTF-8.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::{fs, iter};

use globset::{GlobBuilder, GlobMatcher};
use walkdir::WalkDir;

use crate::errors::Hinted;

/// Most paths that ranges of numbers may name.
const MOST_NUMBERED: usize = 1_000_000;

/// Most digits of a number of a range, as many as any number has that fits.
const MOST_DIGITS: usize = 19;

/// Any number of directories, hidden ones and links excepted.
const ANY_DEPTH: &str = "**";

/// One part of a pattern between separators.
enum Part {
    Literal(OsString),
    Wildcard {
        matcher: GlobMatcher,
        /// The pattern itself begins with a dot.
        matches_hidden: bool,
    },
    AnyDepth,
}

/// A path that matches, or a directory that cannot be read.
pub type Found = Result<PathBuf, (PathBuf, io::Error)>;

/// Returns whether a path may be a pattern.
pub fn is_pattern(path: &Path) -> bool {
    has_wildcards(path.as_os_str())
}

fn has_wildcards(part: &OsStr) -> bool {
    let bytes = part.as_encoded_bytes();
    bytes.iter().any(|byte| b"*?[".contains(byte)) || has_alternatives(bytes)
}

/// Returns whether a part has braces with alternatives.
fn has_alternatives(bytes: &[u8]) -> bool {
    let mut openings = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'{');
    openings.any(|(place, _)| alternatives(&bytes[place..]).is_some())
}

/// Returns the length of the alternatives that begin here, such as `{jpg,png}`. Braces without a comma are not special,
/// and there are none inside of others.
fn alternatives(bytes: &[u8]) -> Option<usize> {
    let inside = bytes.strip_prefix(b"{")?;
    let length = inside.iter().position(|byte| b"{}".contains(byte))?;
    (inside[length] == b'}' && inside[..length].contains(&b',')).then_some(length + 2)
}

/// A range of numbers such as `{0000..0012}`, in its text.
struct Range<'a> {
    before: &'a str,
    first: usize,
    last: usize,
    /// Digits of each number at least. As in shells, a leading zero of one end pads all.
    width: usize,
    after: &'a str,
}

impl<'a> Range<'a> {
    /// Returns the first range of a text.
    fn find(text: &'a str) -> Option<Self> {
        text.match_indices('{').find_map(|(place, _)| {
            let (inside, after) = text[place + 1..].split_once('}')?;
            let (first, last) = inside.split_once("..")?;
            let number = |digits: &str| {
                let is_number =
                    digits.len() <= MOST_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then(|| digits.parse().ok()).flatten()
            };
            let is_padded = |digits: &str| digits.len() > 1 && digits.starts_with('0');
            let width = if is_padded(first) || is_padded(last) {
                first.len().max(last.len())
            } else {
                0
            };
            Some(Self {
                before: &text[..place],
                first: number(first)?,
                last: number(last)?,
                width,
                after,
            })
        })
    }

    /// Returns whether braces are open before the range, as in `{a,b{1..2}}`.
    fn is_in_alternatives(&self) -> bool {
        let count = |brace| self.before.matches(brace).count();
        count('{') > count('}')
    }

    /// Returns the numbers, upwards or downwards.
    fn numbers(&self) -> impl Iterator<Item = usize> {
        let (first, is_down) = (self.first, self.first > self.last);
        let steps = 0..=first.abs_diff(self.last);
        steps.map(move |step| if is_down { first - step } else { first + step })
    }
}

/// Returns the paths that a path with ranges of numbers such as `part-{0000..0012}.tar` names; `None` if it has no range.
/// The numbers are whole ones from 0, without a step. As in shells, a path need not exist, so that a missing part is a
/// failure.
pub fn numbered(path: &Path) -> anyhow::Result<Option<Vec<PathBuf>>> {
    let Some(text) = path.to_str().filter(|text| Range::find(text).is_some()) else {
        return Ok(None);
    };
    let mut names = vec![text.to_owned()];
    if Range::find(text).is_some_and(|range| range.is_in_alternatives()) {
        return Err(Hinted::new(
            "a range of numbers stands inside of other braces",
            "give each alternative as an input of its own",
        )
        .into());
    }
    // All names have their next range in the same place.
    while let Some(range) = Range::find(&names[0]) {
        let count = range.first.abs_diff(range.last).saturating_add(1);
        if names.len().saturating_mul(count) > MOST_NUMBERED {
            return Err(Hinted::new(
                format!("the ranges name more than {MOST_NUMBERED} paths"),
                "correct the range, or divide it",
            )
            .into());
        }
        names = names
            .iter()
            .filter_map(|name| Range::find(name))
            .flat_map(|range| {
                let (before, after, width) = (range.before, range.after, range.width);
                let numbers: Vec<_> = range.numbers().collect();
                numbers
                    .into_iter()
                    .map(move |number| format!("{before}{number:0width$}{after}"))
            })
            .collect();
    }
    Ok(Some(names.into_iter().map(PathBuf::from).collect()))
}

/// Finds the paths that match `*`, `?`, `[a-z]`, `[!a-z]`, `{jpg,png}` and `**`, sorted by name, directory by
/// directory. As in shells, hidden names match only where the pattern begins with a dot.
pub fn expand(pattern: &Path) -> anyhow::Result<Vec<Found>> {
    let mut parts: Vec<Part> = pattern
        .components()
        .map(Part::new)
        .collect::<Result<_, _>>()?;
    // Two of them in a row find what one does.
    parts.dedup_by(|next, part| matches!((part, next), (Part::AnyDepth, Part::AnyDepth)));
    let depths = parts.iter().filter(|part| matches!(part, Part::AnyDepth));
    let mut seen = (depths.count() > 1).then(HashSet::new);
    let mut found = Vec::new();
    find(PathBuf::new(), &parts, &mut found, &mut seen);
    Ok(found)
}

impl Part {
    fn new(component: Component<'_>) -> anyhow::Result<Self> {
        let Component::Normal(name) = component else {
            return Ok(Self::Literal(component.as_os_str().to_owned()));
        };
        if name == ANY_DEPTH {
            return Ok(Self::AnyDepth);
        }
        if !has_wildcards(name) {
            return Ok(Self::Literal(name.to_owned()));
        }
        let text = name.to_str().ok_or_else(|| {
            anyhow::anyhow!("a part of the pattern with `*`, `?`, `[` or `{{` is not UTF-8")
        })?;
        let glob = GlobBuilder::new(&with_quoted_braces(text))
            .backslash_escape(false)
            .build()?;
        Ok(Self::Wildcard {
            matcher: glob.compile_matcher(),
            matches_hidden: text.starts_with('.'),
        })
    }
}

/// Quotes the braces that are not alternatives, such as those of `{a}.jpg`.
fn with_quoted_braces(text: &str) -> String {
    let mut is_class = false;
    let mut end_of_alternatives = 0;
    let mut quoted = String::new();
    for (place, letter) in text.char_indices() {
        if letter == '{'
            && !is_class
            && let Some(length) = alternatives(&text.as_bytes()[place..])
        {
            end_of_alternatives = place + length;
        }
        match letter {
            '{' | '}' if !is_class && place >= end_of_alternatives => {
                quoted.extend(['[', letter, ']']);
            }
            _ => {
                is_class = (is_class || letter == '[') && letter != ']';
                quoted.push(letter);
            }
        }
    }
    quoted
}

/// The places that were tried, with the number of parts that were left there.
type Seen = HashSet<(PathBuf, usize)>;

/// Adds the paths below `base` that match `parts`. `seen` is for patterns with several `**`, which have many ways to one
/// place.
fn find(base: PathBuf, parts: &[Part], found: &mut Vec<Found>, seen: &mut Option<Seen>) {
    if let Some(seen) = seen
        && !seen.insert((base.clone(), parts.len()))
    {
        return;
    }
    let Some((part, rest)) = parts.split_first() else {
        found.push(Ok(base));
        return;
    };
    match part {
        Part::Literal(name) => {
            let path = base.join(name);
            if !rest.is_empty() || fs::symlink_metadata(&path).is_ok() {
                find(path, rest, found, seen);
            }
        }
        Part::Wildcard {
            matcher,
            matches_hidden,
        } => {
            for name in names(&base, found) {
                let is_hidden = name.as_encoded_bytes().starts_with(b".");
                let path = base.join(&name);
                if (is_hidden && !matches_hidden)
                    || !matcher.is_match(&name)
                    || (!rest.is_empty() && !path.is_dir())
                {
                    continue;
                }
                find(path, rest, found, seen);
            }
        }
        Part::AnyDepth => {
            let start = if base.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &base
            };
            let entries = WalkDir::new(start)
                .sort_by_file_name()
                .into_iter()
                .filter_entry(|entry| {
                    entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
                });
            for entry in entries {
                let entry = match entry {
                    Ok(entry) => entry,
                    // A directory that is not there has no names.
                    Err(error) if error.depth() == 0 && error.io_error().is_some_and(is_absent) => {
                        return;
                    }
                    Err(error) => {
                        let path = error.path().unwrap_or(start).to_owned();
                        found.push(Err((path, error.into())));
                        continue;
                    }
                };
                // At the end of a pattern it stands for all files, else for directories.
                if entry.file_type().is_dir() != rest.is_empty() {
                    let inside = entry.path().strip_prefix(start).unwrap_or(entry.path());
                    find(joined(&base, inside), rest, found, seen);
                }
            }
        }
    }
}

fn joined(base: &Path, inside: &Path) -> PathBuf {
    if inside.as_os_str().is_empty() {
        base.to_owned()
    } else {
        base.join(inside)
    }
}

fn is_absent(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Returns the names in a directory, sorted. A directory that is not there has none.
fn names(directory: &Path, found: &mut Vec<Found>) -> Vec<OsString> {
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => {
            return Vec::new();
        }
        Err(error) => {
            found.push(Err((directory.to_owned(), error)));
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => names.push(entry.file_name()),
            Err(error) => found.extend(iter::once(Err((directory.to_owned(), error)))),
        }
    }
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(directory: &Path, pattern: &str) -> Vec<String> {
        expand(&directory.join(pattern))
            .unwrap()
            .into_iter()
            .map(|path| {
                let path = path.unwrap();
                let inside = path.strip_prefix(directory).unwrap();
                inside.to_string_lossy().replace('\\', "/")
            })
            .collect()
    }

    #[test]
    fn patterns_match_as_in_shells() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("b/.git")).unwrap();
        fs::create_dir_all(root.join("b/deep")).unwrap();
        let names = [
            "a.jpg",
            "c.jpg",
            "{a}.jpg",
            ".h.jpg",
            "b/d.png",
            "b/deep/e.jpg",
            "b/.git/x.jpg",
        ];
        for name in names {
            fs::write(root.join(name), "").unwrap();
        }
        assert_eq!(found(root, "*.jpg"), ["a.jpg", "c.jpg", "{a}.jpg"]);
        assert_eq!(found(root, "?.jpg"), ["a.jpg", "c.jpg"]);
        assert_eq!(found(root, "[!b].jpg"), ["a.jpg", "c.jpg"]);
        assert_eq!(found(root, "[{x]a}.jp?"), ["{a}.jpg"]);
        assert_eq!(found(root, "{a}.jp?"), ["{a}.jpg"]);
        assert_eq!(found(root, "{a,c}.jpg"), ["a.jpg", "c.jpg"]);
        assert_eq!(found(root, "{a}.{jpg,png}"), ["{a}.jpg"]);
        assert_eq!(found(root, "{a,b/d}.jpg"), [""; 0]);
        assert_eq!(
            found(root, "**/*.{jpg,png}"),
            ["a.jpg", "c.jpg", "{a}.jpg", "b/d.png", "b/deep/e.jpg"]
        );
        assert_eq!(found(root, ".*.jpg"), [".h.jpg"]);
        assert_eq!(found(root, "*/*.png"), ["b/d.png"]);
        assert_eq!(
            found(root, "**/*.jpg"),
            ["a.jpg", "c.jpg", "{a}.jpg", "b/deep/e.jpg"]
        );
        assert_eq!(found(root, "b/**"), ["b/d.png", "b/deep/e.jpg"]);
        assert_eq!(found(root, "*/nothing"), [""; 0]);
        assert_eq!(found(root, "nothing/*"), [""; 0]);
        assert_eq!(found(root, "**/nothing/**"), [""; 0]);
        assert!(expand(&root.join("[a")).is_err());
    }

    #[test]
    fn a_path_is_found_once_and_soon_whatever_the_number_of_ways_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let deep = (0..20).fold(directory.path().to_owned(), |path, _| path.join("a"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("x.jpg"), "").unwrap();
        let path = format!("{}x.jpg", "a/".repeat(20));
        assert_eq!(found(directory.path(), "**/a/**"), [&*path]);
        // There are 2^20 and more ways.
        for pattern in ["**/".repeat(20), "**/a/".repeat(10), "**/*/".repeat(10)] {
            assert_eq!(
                found(directory.path(), &format!("{pattern}*.jpg")),
                [&*path]
            );
        }
    }

    #[test]
    fn ranges_of_numbers_are_those_of_shells() {
        let numbered = |text: &str| {
            let paths = numbered(Path::new(text)).unwrap()?;
            let names = paths.iter().map(|path| path.to_str().unwrap());
            Some(names.collect::<Vec<_>>().join(" "))
        };
        // Of bash 5.2: `echo a{08..11}.tar`, and so on.
        for (text, expected) in [
            ("a{08..11}.tar", "a08.tar a09.tar a10.tar a11.tar"),
            ("a{8..11}", "a8 a9 a10 a11"),
            ("a{3..1}", "a3 a2 a1"),
            (
                "a{0..010}/x",
                "a000/x a001/x a002/x a003/x a004/x a005/x a006/x a007/x a008/x a009/x a010/x",
            ),
            ("{0..1}{a}-{1..2}*", "0{a}-1* 0{a}-2* 1{a}-1* 1{a}-2*"),
            ("{7..7}", "7"),
        ] {
            assert_eq!(numbered(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "a{1}",
            "a{1..}",
            "a{..2}",
            "a{1..b}",
            "a{+1..2}",
            "a{1..2",
            "a{1,2}",
            "{1..2..3}",
        ] {
            assert_eq!(numbered(text), None, "{text}");
        }
        let zeros = "0".repeat(70_000);
        assert_eq!(numbered(&format!("{{{zeros}1..2}}")), None);
    }

    #[test]
    fn ranges_of_too_many_numbers_are_rejected() {
        for text in ["{0..1000000}", "{1..1001}{1..1000}", "{0..4294967295}"] {
            let error = numbered(Path::new(text)).unwrap_err().to_string();
            assert_eq!(error, "the ranges name more than 1000000 paths", "{text}");
        }
        let error = numbered(Path::new("{a,b{1..2}}.jpg")).unwrap_err();
        let words = "a range of numbers stands inside of other braces";
        assert_eq!(error.to_string(), words);
        assert_eq!(
            numbered(Path::new("{1..1000}{1..1000}"))
                .unwrap()
                .unwrap()
                .len(),
            1_000_000
        );
    }

    #[cfg(unix)]
    #[test]
    fn names_need_not_be_utf_8() {
        use std::os::unix::ffi::OsStrExt as _;
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join(OsStr::from_bytes(b"\xff"));
        fs::create_dir(&inner).unwrap();
        let file = inner.join(OsStr::from_bytes(b"caf\xe9.jpg"));
        fs::write(&file, "").unwrap();
        for pattern in [
            inner.join("*.jpg"),
            inner.join("caf?.jpg"),
            directory.path().join("*/*"),
        ] {
            let found: Vec<_> = expand(&pattern).unwrap().into_iter().flatten().collect();
            assert_eq!(found, [file.as_path()], "{pattern:?}");
        }
        let wild = directory.path().join(OsStr::from_bytes(b"caf\xe9*"));
        assert!(expand(&wild).is_err());
    }
}
