//! The judgements of one image, a row for each run.

use std::path::PathBuf;

/// A run's row for an image.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerRow {
    /// The path or the name of the image.
    pub image: PathBuf,
    /// The place of the run.
    pub run: usize,
    /// The judgement, or the reason why there is none.
    pub result: RowResult,
}

/// The judgement of a run's answer for an image.
#[derive(Debug, Clone, PartialEq)]
pub enum RowResult {
    /// The answer was judged.
    Judged(JudgedRow),
    /// The ground truth does not mention the image.
    NoTruth,
    /// The image or the run failed; the message.
    Failed(String),
}

/// A judged answer.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedRow {
    /// The right classes, by the run's ids.
    pub truth: Vec<usize>,
    /// The best class, or the classes that a multi-label model gives.
    pub answer: Vec<usize>,
    /// True if the answer is the truth.
    pub right: bool,
    /// The rank of the first right class, from 1, if it is among the inspected ranks.
    pub rank: Option<usize>,
    /// The score of the best class. `None` for class ids.
    pub score: Option<f64>,
    /// The largest probability of a right class. `None` for raw outputs and class ids.
    pub truth_score: Option<f64>,
    /// The difference to the reference's answer, if one of the two is right and the other is not. If only one of the two
    /// is of a multi-label model, the best class decides.
    pub change: Option<Change>,
}

/// An answer that is right where the reference's is not, or the reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The reference is right, the run is not.
    NewError,
    /// The run is right, the reference is not.
    Corrected,
}

impl Change {
    /// `is_right` has the reference first.
    pub(super) const fn of(is_right: [bool; 2]) -> Option<Self> {
        match is_right {
            [true, false] => Some(Self::NewError),
            [false, true] => Some(Self::Corrected),
            _ => None,
        }
    }

    /// Returns the name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewError => "new-error",
            Self::Corrected => "corrected",
        }
    }
}
