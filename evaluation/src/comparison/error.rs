//! Errors of comparisons.

use image_classification::ScoresError;

use crate::agreement::RowsError;
use crate::digest::Digest;
use crate::failure::Problem;
use crate::text::printable;

/// Runs or answers cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComparisonError {
    /// No run has the name of the reference.
    #[error("the reference {reference:?} is not one of the runs: {}", .runs.join(", "))]
    UnknownReference {
        /// The name.
        reference: String,
        /// The names of all runs.
        runs: Vec<String>,
    },
    /// There are too many runs.
    #[error("there are {runs} runs, more than {limit}")]
    TooManyRuns {
        /// The number of runs, recorded ones included.
        runs: usize,
        /// The largest number of runs.
        limit: usize,
    },
    /// The preprocessing of a run differs from the reference's.
    #[error("its preprocessing differs from {reference}: {}", .differences.join(", "))]
    OtherPreprocessing {
        /// The name of the reference.
        reference: String,
        /// The settings that differ.
        differences: Vec<String>,
    },
    /// The output of a run is of another kind than the reference's.
    #[error("{reason}")]
    OtherOutputs {
        /// The kinds of both outputs.
        reason: String,
    },
    /// The number of classes of a run differs from the reference's.
    #[error("it has {classes} classes, but {reference} has {reference_classes}")]
    OtherClasses {
        /// The number of classes of the run.
        classes: usize,
        /// The name of the reference.
        reference: String,
        /// The number of classes of the reference.
        reference_classes: usize,
    },
    /// The model of a run was not recorded.
    #[error(
        "its model {model} was not recorded; the first recorded model is {recorded} (SHA-256 {} and {})",
        digest_text(*.digest),
        digest_text(*.recorded_digest)
    )]
    NotRecorded {
        /// The model.
        model: String,
        /// The digest of the model.
        digest: Option<Digest>,
        /// The first recorded model.
        recorded: String,
        /// The digest of the first recorded model.
        recorded_digest: Option<Digest>,
    },
    /// The number of classes of an answer differs from the reference's.
    #[error("it gives {classes} classes, but {} gives {reference_classes}", printable(.reference))]
    OtherClassesGiven {
        /// The number of classes in the answer.
        classes: usize,
        /// The name of the reference.
        reference: String,
        /// The number of classes in the reference's answer.
        reference_classes: usize,
    },
    /// An output is not a classifier's.
    #[error(transparent)]
    Scores(#[from] ScoresError),
    /// The files of a model cannot be read.
    #[error(transparent)]
    Model(#[from] backend_api::Error),
    /// The differences cannot be kept or read back.
    #[error(transparent)]
    Rows(#[from] RowsError),
}

impl ComparisonError {
    /// Returns a stable name for reports, in kebab case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Scores(error) => error.code(),
            Self::Model(error) => error.kind().as_str(),
            Self::Rows(_) => "failed",
            _ => "bad-input",
        }
    }

    /// Returns the next step for the user.
    pub fn hint(&self) -> &str {
        match self {
            Self::UnknownReference { .. } => "write the reference exactly like the run",
            Self::TooManyRuns { .. } => "name fewer runs",
            Self::OtherPreprocessing { .. } => {
                "one of the two may be wrong; an evaluation accepts models with different preprocessing"
            }
            Self::OtherOutputs { .. } => "set `scores` to the kind that all outputs hold",
            Self::OtherClasses { .. } | Self::OtherClassesGiven { .. } => {
                "compare models with the same classes"
            }
            Self::NotRecorded { .. } => "give the model that was recorded, or record again",
            Self::Scores(error) => error.hint(),
            Self::Model(error) => error.hint().unwrap_or("check the files of the model"),
            Self::Rows(_) => "free disk space in the directory for temporary files",
        }
    }

    /// Returns the problem for reports.
    pub fn problem(&self) -> Problem {
        Problem::new(self.code(), self, Some(self.hint().to_owned()))
    }
}

fn digest_text(digest: Option<Digest>) -> String {
    digest.map_or_else(
        || "unknown".to_owned(),
        |digest| format!("{:.12}…", digest.to_string()),
    )
}
