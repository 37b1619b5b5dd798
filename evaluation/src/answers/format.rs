//! The format: a first line, then records of a length and so many bytes. The first record is the header in JSON, the
//! others are postcard's.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use backend_api::{ElementType, Tensor};
use image_classification::Labels;
use serde::{Deserialize, Serialize};

use crate::failure::Problem;
use crate::provenance::{Machine, RunEntry, RunInfo};

/// The first line. The byte order of tensors is the machine's.
#[cfg(target_endian = "little")]
pub const MAGIC: &[u8] = b"classify answers 2, little-endian\n";
#[cfg(target_endian = "big")]
pub const MAGIC: &[u8] = b"classify answers 2, big-endian\n";

/// The largest record: 16 runs of a million classes in f64.
const MOST_BYTES: u32 = 1 << 28;
/// The most kinds of errors, and the longest name of one.
const MOST_CODES: usize = 1000;
const LONGEST_CODE: usize = 64;

#[derive(Debug, Serialize, Deserialize)]
pub struct Header {
    pub runs: Vec<HeaderRun>,
    /// The places of the runs whose outputs are stored.
    pub stored: Vec<usize>,
    pub machine: Machine,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct HeaderRun {
    pub name: String,
    pub info: Result<RunInfo, String>,
    pub labels: Option<Vec<String>>,
    /// The synsets of the labels, if they have some.
    pub synsets: Vec<String>,
}

impl From<&RunEntry> for HeaderRun {
    fn from(entry: &RunEntry) -> Self {
        let labels = entry.labels.as_ref();
        Self {
            name: entry.name.clone(),
            info: entry.info.clone(),
            labels: labels.map(|labels| labels.names().to_vec()),
            synsets: labels.map_or_else(Vec::new, |labels| labels.synsets().to_vec()),
        }
    }
}

impl From<HeaderRun> for RunEntry {
    fn from(run: HeaderRun) -> Self {
        Self {
            name: run.name,
            info: run.info,
            labels: run
                .labels
                .map(|names| Labels::from_names(names).with_synsets(run.synsets)),
        }
    }
}

/// A record after the header.
#[derive(Debug, Serialize, Deserialize)]
pub enum Record<'a> {
    Image(#[serde(borrow)] ImageRecord<'a>),
    /// The last record.
    End(#[serde(borrow)] EndRecord<'a>),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ImageRecord<'a> {
    #[serde(borrow)]
    pub path: &'a [u8],
    pub truth: Option<Vec<String>>,
    #[serde(borrow)]
    pub answers: Result<AnswersRecord<'a>, ProblemRecord<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct AnswersRecord<'a> {
    pub file: [u8; 32],
    pub tensor: Option<[u8; 32]>,
    #[serde(borrow)]
    pub outputs: Vec<Result<TensorRecord<'a>, ProblemRecord<'a>>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct EndRecord<'a> {
    pub images: u64,
    /// The outputs for the artificial image, with the places of their runs.
    #[serde(borrow)]
    pub artificial: Vec<(usize, TensorRecord<'a>)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct TensorRecord<'a> {
    element_type: ElementType,
    shape: Vec<usize>,
    #[serde(borrow)]
    bytes: &'a [u8],
}

impl<'a> TensorRecord<'a> {
    pub fn new(tensor: &'a Tensor) -> Self {
        Self {
            element_type: tensor.element_type(),
            shape: tensor.shape().to_vec(),
            bytes: tensor.as_bytes(),
        }
    }

    /// Returns the tensor; `None` if it is damaged.
    pub fn tensor(self) -> Option<Tensor> {
        Tensor::from_bytes(self.element_type, self.shape, self.bytes).ok()
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ProblemRecord<'a> {
    code: &'a str,
    message: String,
    hint: Option<String>,
}

impl<'a> ProblemRecord<'a> {
    pub fn new(problem: &'a Problem) -> Self {
        Self {
            code: problem.code,
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    }

    /// Returns the problem; `None` if it is damaged.
    pub fn problem(self) -> Option<Problem> {
        Some(Problem {
            code: kept_code(self.code)?,
            message: self.message,
            hint: self.hint,
        })
    }
}

/// Returns the name of a kind of error, which lives as long as the program. There are few of them.
fn kept_code(code: &str) -> Option<&'static str> {
    static CODES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut codes = CODES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = codes.get(code) {
        return Some(kept);
    }
    if code.len() > LONGEST_CODE || codes.len() >= MOST_CODES {
        return None;
    }
    let kept: &'static str = Box::leak(code.to_owned().into_boxed_str());
    codes.insert(kept);
    Some(kept)
}

/// Writes a record.
pub fn write_record(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len())
        .ok()
        .filter(|length| *length <= MOST_BYTES);
    let length = length.ok_or_else(|| {
        let error = format!(
            "the outputs for an image have {} bytes, more than {MOST_BYTES}",
            bytes.len()
        );
        io::Error::new(io::ErrorKind::InvalidInput, error)
    })?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(bytes)
}

/// Reads a record into `bytes`. Returns whether it is whole.
pub fn read_record(from: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0; 4];
    bytes.clear();
    if let Err(error) = from.read_exact(&mut length) {
        return ended(error);
    }
    let length = u32::from_le_bytes(length);
    if length > MOST_BYTES {
        return Ok(false);
    }
    let count = from.take(length.into()).read_to_end(bytes)?;
    Ok(count == length as usize)
}

fn ended(error: io::Error) -> io::Result<bool> {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Ok(false);
    }
    Err(error)
}

#[cfg(unix)]
pub fn path_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

#[cfg(unix)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "other systems' paths are not bytes"
)]
pub fn path(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
pub fn path_bytes(path: &Path) -> Vec<u8> {
    path.to_string_lossy().into_owned().into_bytes()
}

#[cfg(not(unix))]
pub fn path(bytes: &[u8]) -> Option<PathBuf> {
    Some(std::str::from_utf8(bytes).ok()?.into())
}
