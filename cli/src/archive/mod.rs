//! Images in tar archives, such as the shards of a `WebDataset`. An archive is never unpacked: its headers are read, and each
//! image is read from its place when its turn comes.
//!
//! The name of a member is data. It is part of the image's name in results and never the name of a file.

mod members;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use evaluation::accuracy::repeated_key;
use evaluation::text::counted;
use image_classification::{DecodeError, Image};
use serde_json::{Number, Value};
use tar::EntryType;

use crate::errors::Hinted;
use crate::input::{Input, Member, path_from_bytes};
use members::{Found, Members};

/// The most members of an archive. All of them are known before the first image is read.
const MOST_MEMBERS: usize = 4_000_000;
/// GNU's label of a volume, and directories of an incremental archive with a list of their entries. Neither is a file.
const GNU_ONLY: [u8; 2] = [b'V', b'D'];
/// The longest name of a member, in bytes.
const LONGEST_NAME: usize = 4096;
/// The largest member with the ground truth of a sample.
const MOST_TRUTH_BYTES: u64 = 1 << 20;
/// The most bytes behind the end of an archive. Programs fill its last record with zeros.
const MOST_FILLED_BYTES: u64 = 64 << 20;
/// Bytes that tell an image.
const HEAD_BYTES: u64 = 512;

/// The endings of members with the ground truth of a sample. The first one that a sample has is used.
const TRUTH_ENDINGS: [&str; 3] = ["cls", "json", "txt"];
/// The keys of the ground truth in the JSON of a sample. The first one is used.
const TRUTH_KEYS: [&str; 8] = [
    "cls",
    "label",
    "labels",
    "class",
    "classes",
    "class_id",
    "class_ids",
    "target",
];

/// The images of an archive, and what was left out.
#[derive(Debug, Default)]
pub struct Listed {
    pub images: Vec<Input>,
    /// Members that are neither images nor the ground truth of one, by their endings.
    pub others: BTreeMap<String, usize>,
}

/// Returns whether a file is an archive by its name.
pub fn is_archive(path: &Path) -> bool {
    let ending = path.extension();
    ending.is_some_and(|ending| ending.eq_ignore_ascii_case("tar"))
}

/// Returns the images of an archive in its order.
///
/// # Errors
///
/// If the archive is damaged or cut short: nothing of it is classified then, because images would be missing.
pub fn list(path: &Path) -> anyhow::Result<Listed> {
    let what = || "cannot read the archive";
    let mut file = model_file::open_regular(path).with_context(what)?;
    let mut head = Vec::new();
    let read = file.by_ref().take(HEAD_BYTES).read_to_end(&mut head);
    read.with_context(what)?;
    if let Some(compressed) = DecodeError::of_compressed(&head) {
        return Err(compressed.into());
    }
    let mut archive = Members::new(file).with_context(what)?;
    let mut listing = Listing {
        path: Arc::from(path),
        listed: Listed::default(),
        keys: Vec::new(),
        truth: HashMap::new(),
    };
    let mut count = 0;
    while let Some(found) = archive.next().map_err(|error| damaged(count, error))? {
        count += 1;
        if count > MOST_MEMBERS {
            let error = format!("the archive has more than {MOST_MEMBERS} members");
            return Err(Hinted::new(error, "divide it into several archives").into());
        }
        listing
            .add(&found, &mut archive)
            .map_err(|error| damaged(count, error))?;
    }
    if !archive.has_end {
        let error = "the archive is cut short: its end is missing";
        return Err(damaged(count, io::Error::other(error)));
    }
    let has_zeros_alone = archive.has_zeros_alone(MOST_FILLED_BYTES);
    if !has_zeros_alone.with_context(what)? {
        let error = format!(
            "the archive has an end after {}, and more data behind it",
            counted(count, "member")
        );
        let hint = "it is damaged, or several archives in one file: name each, or join them with `tar --concatenate`";
        return Err(Hinted::new(error, hint).into());
    }
    Ok(listing.finish())
}

fn damaged(members: usize, error: impl Into<anyhow::Error>) -> anyhow::Error {
    let what = format!(
        "the archive cannot be read after {}",
        counted(members, "member")
    );
    let mut text = format!("{:#}", error.into());
    // The rest of it quotes bytes of the archive.
    if text.starts_with("numeric field ") {
        "a header has no number where one belongs".clone_into(&mut text);
    }
    let error = Hinted::new(
        text,
        "copy or download it again; if that does not help, extract it and pack it again, such as with `tar -cf`",
    );
    anyhow::Error::new(error).context(what)
}

struct Listing {
    path: Arc<Path>,
    listed: Listed,
    /// For each image the name of its sample.
    keys: Vec<Vec<u8>>,
    /// The ground truth of samples, by their names.
    truth: HashMap<Vec<u8>, SampleTruth>,
}

/// The ground truth of a sample: the rank of the ending that it comes from, and the classes.
type SampleTruth = (usize, Result<Vec<String>, String>);

impl Listing {
    fn add(&mut self, found: &Found, archive: &mut Members) -> anyhow::Result<()> {
        let name = &*found.name;
        let refused = match found.kind {
            EntryType::Directory => return Ok(()),
            kind if GNU_ONLY.contains(&kind.as_byte()) => return Ok(()),
            _ if found.is_sparse => Some("is a sparse file"),
            EntryType::Regular | EntryType::Continuous => None,
            EntryType::GNUSparse => Some("is a sparse file"),
            EntryType::Symlink => Some("is a symbolic link"),
            EntryType::Link => Some("is a hard link"),
            EntryType::Char | EntryType::Block => Some("is a device"),
            EntryType::Fifo => Some("is a pipe"),
            _ => Some("is of an unknown type"),
        };
        if name.len() > LONGEST_NAME {
            let error = format!(
                "the name of a member has {} bytes, more than {LONGEST_NAME}",
                name.len()
            );
            return Err(anyhow!(error));
        }
        if let Some(refused) = refused {
            let hint = "store the image itself in the archive";
            let problem = Hinted::new(format!("the member of the archive {refused}"), hint);
            self.push(name, Err(problem.into()))?;
            return Ok(());
        }
        if !archive.has(found) {
            return Err(anyhow!("the archive is cut short inside of a member"));
        }
        let (key, ending) = split(name);
        // macOS packs the attributes of `a.jpg` as `._a.jpg`.
        if name
            .rsplit(|byte| *byte == b'/')
            .next()
            .is_some_and(|name| name.starts_with(b"._"))
        {
            *self.listed.others.entry(ending).or_default() += 1;
            return Ok(());
        }
        if let Some(rank) = TRUTH_ENDINGS.iter().position(|truth| ending == *truth) {
            let truth = read_truth(rank, found, archive)?;
            self.add_truth(key.to_vec(), rank, truth);
        } else if is_image(&ending, found, archive)? {
            self.push(name, Ok((found.offset, found.size)))?;
        } else {
            *self.listed.others.entry(ending).or_default() += 1;
        }
        Ok(())
    }

    /// Adds an image, or a member that is none and fails by its name.
    fn push(&mut self, name: &[u8], place: anyhow::Result<(u64, u64)>) -> anyhow::Result<()> {
        let path = self.name(name)?;
        let input = match place {
            Ok((offset, bytes)) => Input::member(
                path,
                Member {
                    archive: Arc::clone(&self.path),
                    offset,
                    bytes,
                    truth: None,
                },
            ),
            Err(problem) => Input::failed(path, problem),
        };
        self.listed.images.push(input);
        self.keys.push(split(name).0.to_vec());
        Ok(())
    }

    /// Returns the name of a member in results: `archive.tar/member.jpg`. Not by [`Path::join`], for which a name that
    /// begins with a slash is another file.
    fn name(&self, member: &[u8]) -> anyhow::Result<PathBuf> {
        let mut name = OsString::from(&*self.path);
        name.push("/");
        name.push(path_from_bytes(member)?);
        Ok(name.into())
    }

    fn add_truth(&mut self, key: Vec<u8>, rank: usize, truth: Result<Vec<String>, String>) {
        let earlier = self.truth.get(&key);
        let truth = match earlier {
            Some((other, _)) if *other < rank => return,
            Some((other, earlier)) if *other == rank && *earlier != truth => {
                let ending = TRUTH_ENDINGS[rank];
                Err(format!(
                    "the archive has two members .{ending} that differ for this image"
                ))
            }
            _ => truth,
        };
        self.truth.insert(key, (rank, truth));
    }

    fn finish(mut self) -> Listed {
        for (image, key) in self.listed.images.iter_mut().zip(&self.keys) {
            if let Some(member) = &mut image.member {
                member.truth = self.truth.get(key).map(|(_, truth)| truth.clone());
            }
        }
        // Ground truth without an image: the image may have been lost.
        let keys: HashSet<&Vec<u8>> = self.keys.iter().collect();
        for (_, (rank, _)) in self.truth.iter().filter(|(key, _)| !keys.contains(key)) {
            let ending = TRUTH_ENDINGS[*rank].to_owned();
            *self.listed.others.entry(ending).or_default() += 1;
        }
        self.listed
    }
}

/// Returns the name of the sample of a member, and the member's ending in lower case. `WebDataset` divides at the first dot
/// of the file name.
fn split(name: &[u8]) -> (&[u8], String) {
    let file = name
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let dot = name[file..].iter().position(|byte| *byte == b'.');
    match dot {
        Some(dot) => {
            let (key, ending) = name.split_at(file + dot);
            (
                key,
                String::from_utf8_lossy(&ending[1..]).to_ascii_lowercase(),
            )
        }
        None => (name, String::new()),
    }
}

/// Returns whether a member is an image by its name, or by its first bytes.
fn is_image(ending: &str, found: &Found, archive: &mut Members) -> io::Result<bool> {
    let last = ending.rsplit('.').next().unwrap_or_default();
    if Image::has_ending(std::ffi::OsStr::new(last)) {
        return Ok(true);
    }
    let head = archive.read(found.offset, found.size.min(HEAD_BYTES))?;
    Ok(Image::recognises(&head))
}

/// Reads the classes of a sample.
fn read_truth(
    rank: usize,
    found: &Found,
    archive: &mut Members,
) -> io::Result<Result<Vec<String>, String>> {
    let ending = TRUTH_ENDINGS[rank];
    let bytes = found.size;
    if bytes > MOST_TRUTH_BYTES {
        let error = format!("its .{ending} has {bytes} bytes, more than {MOST_TRUTH_BYTES}");
        return Ok(Err(error));
    }
    let text = archive.read(found.offset, bytes)?;
    let Ok(text) = std::str::from_utf8(&text) else {
        return Ok(Err(format!("its .{ending} is not UTF-8")));
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let classes = if ending == "json" {
        classes_of_json(text)
    } else {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        if lines.is_empty() {
            Err(format!("its .{ending} is empty"))
        } else {
            Ok(lines)
        }
    };
    Ok(classes)
}

fn classes_of_json(text: &str) -> Result<Vec<String>, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("its .json is damaged: {error}"))?;
    if let Some(key) = repeated_key(text) {
        return Err(format!("its .json has the key {key:?} twice"));
    }
    let found = match &value {
        Value::Object(object) => TRUTH_KEYS.iter().find_map(|key| object.get(*key)),
        other => Some(other),
    };
    let none = || {
        format!(
            "its .json has no class: none of the keys {}",
            TRUTH_KEYS.join(", ")
        )
    };
    let class = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(class_id(number)),
        other => Err(format!(
            "its .json has a class that is neither a number nor text: {other}"
        )),
    };
    match found.ok_or_else(none)? {
        Value::Array(classes) => classes.iter().map(class).collect(),
        one => Ok(vec![class(one)?]),
    }
}

/// Returns a number as it is written, but whole numbers without a fraction: 10.0 and 1e1 are the class id 10.
fn class_id(number: &Number) -> String {
    const MOST: f64 = u32::MAX as f64;
    match number.as_f64() {
        Some(value) if number.is_f64() && value.fract() == 0.0 && value.abs() <= MOST => {
            (value as i64).to_string()
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_name_before_the_first_dot_of_the_file() {
        let split = |name: &str| {
            let (key, ending) = split(name.as_bytes());
            (String::from_utf8(key.to_vec()).unwrap(), ending)
        };
        let pair = |key: &str, ending: &str| (key.to_owned(), ending.to_owned());
        assert_eq!(split("a/0001.JPG"), pair("a/0001", "jpg"));
        assert_eq!(split("a.b/0001.left.png"), pair("a.b/0001", "left.png"));
        assert_eq!(split("a/none"), pair("a/none", ""));
    }

    #[test]
    fn classes_of_json_have_many_forms() {
        let classes = |text: &str| classes_of_json(text).map(|classes| classes.join("+"));
        assert_eq!(classes("7").unwrap(), "7");
        assert_eq!(classes(r#"{"width": 9, "label": "cat"}"#).unwrap(), "cat");
        assert_eq!(classes(r#"{"label": "cat", "cls": 3}"#).unwrap(), "3");
        assert_eq!(classes(r#"{"labels": [3, "dog"]}"#).unwrap(), "3+dog");
        assert_eq!(classes(r#"{"target": 10.0}"#).unwrap(), "10");
        assert_eq!(classes("[1e1, -2.0, 10.5]").unwrap(), "10+-2+10.5");
        for wrong in ["{", "{}", r#"{"cls": true}"#, r#"{"cls": [null]}"#] {
            assert!(classes(wrong).is_err(), "{wrong}");
        }
        let twice = classes(r#"{"cls": 1, "width": 8, "cls": 243}"#).unwrap_err();
        assert_eq!(twice, "its .json has the key \"cls\" twice");
    }
}
