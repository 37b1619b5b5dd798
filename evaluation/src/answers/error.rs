//! Errors of stored answers.

use std::io;

/// Stored answers cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswersError {
    /// The answers cannot be read.
    #[error("cannot read the answers")]
    Read(#[source] io::Error),
    /// The answers cannot be written.
    #[error("cannot write the answers")]
    Write(#[source] io::Error),
    /// The file is something else, or of another version or byte order.
    #[error("not a file of stored answers that this version reads")]
    NotAnswers,
    /// The file ends early, or a record is damaged.
    #[error("the stored answers are damaged or incomplete after {images} images")]
    Damaged {
        /// The number of images before the damage.
        images: u64,
    },
}

impl AnswersError {
    /// Returns the next step for the user.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Read(_) => "check the path",
            Self::Write(_) => "free disk space, or write to another place",
            Self::NotAnswers | Self::Damaged { .. } => "infer the images of this file again",
        }
    }
}
