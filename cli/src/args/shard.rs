//! The flags of shards, and of the command that merges their parts.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::ReportPath;

/// The most shards of a job: part names have five digits.
pub const MOST_SHARDS: u32 = 100_000;

/// Flags that have no effect on answers, and flags whose effect the job records in another way: by the digest of its
/// inputs.
const UNRECORDED: [&str; 17] = [
    "ca",
    "cache_dir",
    "image_memory",
    "images",
    "input",
    "input_list",
    "jobs",
    "max_message",
    "onnxruntime_lib",
    "openvino_lib",
    "out_dir",
    "quiet",
    "shard",
    "timeout",
    "token_env",
    "token_file",
    "verbose",
];

/// The share of one of several processes in the inputs of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Counted from 0.
    pub index: u32,
    pub count: u32,
}

impl Shard {
    /// Returns the places of its entries among `total`. Each shard takes consecutive entries; the sizes of two shards
    /// differ by at most one.
    pub fn range(self, total: u64) -> std::ops::Range<u64> {
        let start = |index: u32| {
            let product = u128::from(index) * u128::from(total);
            (product / u128::from(self.count)) as u64
        };
        start(self.index)..start(self.index + 1)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected I/N, such as 0/4 for the first of 4 shards";
        let (index, count) = text.split_once('/').ok_or(expected)?;
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(index) || !is_number(count) {
            return Err(expected.to_owned());
        }
        // Numbers that are too large for the type are above the limits, too.
        let number = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
        let (index, count) = (number(index), number(count));
        if count == 0 || count > MOST_SHARDS {
            return Err(format!("expected 1 to {MOST_SHARDS} shards"));
        }
        if index >= count {
            return Err(format!(
                "shards are counted from 0: the last of {count} is {}/{count}",
                count - 1
            ));
        }
        Ok(Self { index, count })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[derive(Debug, clap::Args)]
pub struct MergeArgs {
    /// Directory of the parts, the shards' --out-dir
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,

    /// Write results to FILE instead of stdout; the file appears when it is complete
    #[arg(short, long, value_name = "FILE", conflicts_with = "report")]
    pub output: Option<PathBuf>,

    /// Write a report of `compare` or `evaluate`; the extension selects the format: .json, .md, .xml (JUnit), .html
    /// or .annotations (GitHub), and for `evaluate` also .csv or .parquet with a row for each image. Repeatable
    #[arg(long, value_name = "FILE")]
    pub report: Vec<ReportPath>,

    /// Print no notes, only results and errors
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Shards")]
pub struct ShardArgs {
    /// Process shard I of N of the inputs and write a part to --out-dir; shards are counted from 0. The rows of
    /// `classify` are json (default), csv or parquet. `classify merge` joins the parts
    #[arg(long, value_name = "I/N", requires = "out_dir")]
    pub shard: Option<Shard>,

    /// Directory of the parts. A complete part of the same command, inputs, models and version is kept
    #[arg(long, value_name = "DIR", requires = "shard")]
    pub out_dir: Option<PathBuf>,

    /// The command line, if it has a shard.
    #[arg(skip)]
    pub given: Given,
}

/// A command line, for the other shards and for `classify merge`.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The flags that decide the answers, with their values.
    pub options: BTreeMap<String, Vec<String>>,
    /// All arguments.
    pub arguments: Vec<OsString>,
    /// The file with the ground truth, which a flag names or a directory of images has.
    pub truth: Option<PathBuf>,
}

/// Returns a text that is different for each `text`. Text that is not UTF-8 is escaped, and so is text that looks
/// escaped.
pub fn distinct_text(text: &OsStr) -> String {
    match text.to_str() {
        // Text with `\x` could be the escaped text of other bytes.
        Some(text) if !text.contains("\\x") => text.to_owned(),
        _ => text.as_encoded_bytes().escape_ascii().to_string(),
    }
}

impl Given {
    /// Records the given arguments among those that are `known` to the command.
    pub fn new<'a>(matches: &ArgMatches, known: impl Iterator<Item = &'a clap::Arg>) -> Self {
        let given = |argument: &clap::Arg| {
            let id = argument.get_id().as_str();
            // Some arguments of the command, such as `help`, have no values in these matches.
            let is_given = matches.try_contains_id(id).ok()?
                && matches.value_source(id) == Some(ValueSource::CommandLine);
            if !is_given || UNRECORDED.contains(&id) {
                return None;
            }
            let values = matches.get_raw(id).into_iter().flatten();
            let values = values.map(distinct_text);
            Some((id.replace('_', "-"), values.collect()))
        };
        Self {
            options: known.filter_map(given).collect(),
            arguments: std::env::args_os().skip(1).collect(),
            truth: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn different_names_have_different_text() {
        use std::os::unix::ffi::OsStrExt as _;
        let text = |bytes: &[u8]| distinct_text(OsStr::from_bytes(bytes));
        for ordinary in ["model.onnx", "a b/\u{e9}", "a\\b", "it's"] {
            assert_eq!(text(ordinary.as_bytes()), ordinary);
        }
        let alike: [&[u8]; 4] = [b"a\xff", b"a\\xff", b"a\\\\xff", b"a\\\xff"];
        let texts: std::collections::BTreeSet<_> = alike.into_iter().map(text).collect();
        assert_eq!(texts.len(), alike.len(), "{texts:?}");
    }

    #[test]
    fn shards_are_counted_from_0() {
        let shard = |text: &str| text.parse::<Shard>();
        assert_eq!(shard("3/4"), Ok(Shard { index: 3, count: 4 }));
        assert!(shard("4/4").unwrap_err().contains("the last of 4 is 3/4"));
        for wrong in ["", "1", "/", "1/", "-1/4", "+1/5", "1/+5", " 1/5", "a/4"] {
            let error = shard(wrong).unwrap_err();
            assert!(error.starts_with("expected I/N"), "{wrong}: {error}");
        }
        for many in ["1/0", "0/100001", "1/5000000000"] {
            let error = shard(many).unwrap_err();
            assert_eq!(error, "expected 1 to 100000 shards", "{many}");
        }
        assert!(shard("5000000000/5").unwrap_err().contains("the last of 5"));
    }

    #[test]
    fn every_entry_belongs_to_one_shard() {
        for total in [0, 1, 3, 4, 5, 1_000_003, u64::MAX] {
            for count in [1, 3, 4, 7, 100_000] {
                let mut next = 0;
                for index in 0..count {
                    let range = Shard { index, count }.range(total);
                    assert_eq!(range.start, next, "{index}/{count} of {total}");
                    let length = range.end - range.start;
                    assert!(
                        length == total / u64::from(count)
                            || length == total / u64::from(count) + 1
                    );
                    next = range.end;
                }
                assert_eq!(next, total);
            }
        }
    }
}
