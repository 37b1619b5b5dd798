//! Errors of sources.

use std::fmt::Display;
use std::io;

use crate::LabelsError;

/// The reason why a source cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The model itself cannot be read.
    #[error("the model cannot be read")]
    Model {
        /// The reason.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("{file} cannot be read")]
    Io {
        /// The file.
        file: String,
        /// The reason.
        source: io::Error,
    },
    /// The file is larger than such a file can be.
    #[error("{file} has {size} bytes, more than {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The content of the file contradicts its name.
    #[error("{file} is not {expected}")]
    Malformed {
        /// The file.
        file: String,
        /// The expected content: `well-formed XML`.
        expected: &'static str,
        /// The parser's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file does not hold labels.
    #[error("cannot use the labels in {file}")]
    Labels {
        /// The file.
        file: String,
        /// The reason.
        source: LabelsError,
    },
    /// An OpenVINO IR of a version that no supported OpenVINO reads.
    #[error(
        "the model is an OpenVINO IR of version {version}, but OpenVINO reads versions 10 and 11"
    )]
    OldIr {
        /// Its version.
        version: u32,
    },
    /// The output is the best scores in their order, without their classes.
    #[error(
        "the model's output contains the sorted values of its operator {operator}: a position is a rank and does not \
         identify a class"
    )]
    Sorted {
        /// The operator: `TopK`.
        operator: String,
    },
    /// The output does not identify classes.
    #[error("the model's output does not identify classes: its operator {operator} {reason}")]
    NoClasses {
        /// The operator: `TopK`, `ArgMax`, `Softmax`.
        operator: String,
        /// The reason.
        reason: &'static str,
    },
    /// The output is as long as one of integers, and nothing states what they are.
    #[error(
        "the model's outputs {values} and {ids} have the same shape: they seem to be the best values and their class ids, \
         as TopK gives them; a position would be a rank and not identify a class"
    )]
    Ranked {
        /// The output that was chosen.
        values: String,
        /// The output of integers.
        ids: String,
    },
    /// The output joins heads whose values cannot be ranked together.
    #[error(
        "the model's output is not a single classifier: its operator {operator} joins {parts}, which cannot be ranked \
         together"
    )]
    Heads {
        /// The operator: `Concat`.
        operator: String,
        /// The kinds of the heads.
        parts: String,
    },
    /// The output that was assumed to hold the scores is not what class ids in another output come from.
    #[error(
        "the class ids in the model's output {ids:?} are not computed from its output {output:?}, which holds features or \
         scores of another head; the outputs are {outputs}"
    )]
    Unrelated {
        /// The output that was assumed to hold the scores.
        output: String,
        /// The output of the class ids.
        ids: String,
        /// All outputs.
        outputs: String,
    },
    /// A required key is absent.
    #[error("{file} has no {key}; expected {expected}")]
    Missing {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The values that are understood.
        expected: String,
    },
    /// A key has a value that is not understood or not supported.
    #[error("{file} says {key} = `{value}`, which is not supported; expected {expected}")]
    Value {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// The values that are understood.
        expected: String,
    },
}

impl SourceError {
    /// Returns the next step for the user. It names fields of [`PreprocessOverrides`](crate::PreprocessOverrides) in
    /// backticks.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Model { .. } | Self::Io { .. } => "check the path",
            Self::Labels { source, .. } => source.hint(),
            Self::OldIr { .. } => "convert the original model again with OpenVINO's `ovc`",
            Self::Sorted { .. } => {
                "cut the operator off, so that the model gives the scores of all classes, or give the output that holds \
                 its indices as `output`"
            }
            Self::NoClasses { .. } => {
                "cut the operator off, so that the model gives the scores of all classes, or export it for the \
                 dimension of the classes"
            }
            Self::Ranked { .. } => {
                "give the output of the class ids as `output`; or give `labels` or `scores` if each position is a class"
            }
            Self::Heads { .. } => {
                "cut the model after one of the heads, or give an output that holds a single one as `output`; \
                 `scores = raw` gives the values as they are"
            }
            Self::Unrelated { .. } => {
                "give the output that holds the scores or the class ids as `output`"
            }
            Self::TooLarge { .. } => "export or download the file again",
            Self::Malformed { .. } => "check the file, or export or download it again",
            Self::Missing { .. } | Self::Value { .. } => {
                "give `color`, `mean`, `scale`, `resize` and `interpolation`, which together replace all other sources"
            }
        }
    }

    /// Returns whether the model itself cannot be opened. The engine's error has more details.
    pub const fn is_io(&self) -> bool {
        matches!(self, Self::Model { .. })
    }

    /// Returns whether the source is well-formed, but lacks a required value or states an unsupported one.
    pub const fn is_unsupported(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Value { .. })
    }
}

pub(super) fn unsupported(
    file: &str,
    key: impl Into<String>,
    value: impl Display,
    expected: impl Into<String>,
) -> SourceError {
    // A hostile value can be megabytes long.
    SourceError::Value {
        file: file.to_owned(),
        key: key.into(),
        value: value.to_string().chars().take(200).collect(),
        expected: expected.into(),
    }
}
