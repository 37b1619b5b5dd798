//! Errors of recordings.

use std::io;

use crate::digest::Digest;
use crate::failure::Problem;
use crate::text::{counted, counted_are, printable};

/// A recording cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The recording cannot be read.
    #[error("cannot read the recording")]
    Read(#[source] io::Error),
    /// The recording cannot be written.
    #[error("cannot write the recording")]
    Write(#[source] io::Error),
    /// The file is something else.
    #[error("not a classify recording")]
    NotARecording,
    /// The recording has the schema of another version.
    #[error("its schema version is {version}, but this program reads version 1")]
    Version {
        /// The version of the schema.
        version: u32,
    },
    /// The recording has too many runs.
    #[error("the recording has {runs} runs, more than {limit}")]
    TooManyRuns {
        /// The number of runs.
        runs: usize,
        /// The largest number of runs.
        limit: usize,
    },
    /// Two lines with the same SHA-256 of the image have different answers.
    #[error(
        "the recording has different answers for {} and for {}, which have the same SHA-256",
        printable(.path),
        printable(.earlier)
    )]
    Contradiction {
        /// The image of the later line.
        path: String,
        /// The image of the earlier line.
        earlier: String,
    },
    /// The recording ends early, or a line is damaged.
    #[error("the recording is damaged or incomplete after {images} images")]
    Incomplete {
        /// The number of images before the damage.
        images: usize,
    },
    /// No recorded image has the content.
    #[error("this image is not in the recording: no recorded image has the same bytes")]
    UnknownImage,
    /// The image was prepared in another way when it was recorded.
    #[error("the image's {what} differs from the recording: SHA-256 {found}, recorded {recorded}")]
    OtherPreparation {
        /// The part that differs: `tensor` or `pixels`.
        what: &'static str,
        /// The digest of this image's.
        found: Digest,
        /// The digest in the recording.
        recorded: Digest,
    },
    /// Outputs that another program computed have no image of this name.
    #[error("{source_name} has neither this image nor its tensor")]
    UnknownName {
        /// The name of the outputs.
        source_name: String,
    },
    /// Outputs that another program computed are those of another tensor.
    #[error(
        "the outputs in {source_name} are of another tensor of this image: SHA-256 {recorded}, here {found}"
    )]
    OtherTensor {
        /// The name of the outputs.
        source_name: String,
        /// The digest of this image's tensor.
        found: Digest,
        /// The digest of the tensor from which the outputs were computed.
        recorded: Digest,
    },
    /// Outputs that another program computed have parts of different lengths.
    #[error("there are {found} {what}, but {} named", counted_are(*.images))]
    Lengths {
        /// The part.
        what: &'static str,
        /// Its length.
        found: u64,
        /// The number of images.
        images: u64,
    },
    /// Outputs that another program computed name an image twice.
    #[error("the image {} is named twice, and nothing tells which outputs are its own", printable(.name))]
    SameName {
        /// The name of the image.
        name: String,
    },
    /// A recorded run has no output for the image.
    #[error("this run failed when it was recorded")]
    FailedRun,
    /// No run is left whose answers could be recorded.
    #[error("no run is left to record")]
    NoRuns,
    /// Recorded images were not given.
    #[error("the inputs lack {} of the recording", counted(*.images, "image"))]
    NotGiven {
        /// The number of images.
        images: usize,
    },
}

impl RecordingError {
    /// Returns the next step for the user.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Read(_) => "check the path",
            Self::Write(_) => "free disk space, or write to another place",
            Self::NotARecording => "make one with `Recorder`",
            Self::Version { .. } => {
                "read it with the version of classify that wrote it, or record again"
            }
            Self::TooManyRuns { .. } => "record fewer runs",
            Self::Incomplete { .. } => "record again",
            Self::Contradiction { .. } => {
                "record again, with one of the images that have the same bytes"
            }
            Self::UnknownImage => "give the images that were recorded, or record again",
            Self::OtherPreparation { .. } => "record again with this version of classify",
            Self::UnknownName { .. } => "give the images whose outputs were computed",
            Self::OtherTensor { .. } => {
                "prepare the images as for the outputs (mean, scale, resize, …), or compute the outputs of these tensors"
            }
            Self::Lengths { .. } => "give one row for each image",
            Self::SameName { .. } => "name each image once, and keep the digests of the tensors",
            Self::FailedRun => "record again without failures",
            Self::NoRuns => "fix the errors of the runs in the report",
            Self::NotGiven { .. } => "give all images that were recorded, or record again",
        }
    }

    /// Returns a stable name for reports, in kebab case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read(_) | Self::Write(_) => "cannot-read",
            Self::NotGiven { .. } => "recording",
            _ => "bad-input",
        }
    }

    /// Returns the problem for reports.
    pub fn problem(&self) -> Problem {
        Problem::new(self.code(), self, Some(self.hint().to_owned()))
    }
}
