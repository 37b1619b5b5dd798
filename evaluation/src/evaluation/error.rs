//! Errors of evaluations.

use std::path::PathBuf;

use image_classification::ScoresError;

use crate::accuracy::{GroundTruthError, MetricError};
use crate::failure::Problem;
use crate::text::{printable, quoted};

/// A run or an answer cannot be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// No run has the name of the reference.
    #[error("the reference {reference:?} is not one of the runs")]
    UnknownReference {
        /// The name.
        reference: String,
    },
    /// The ground truth names classes, but the model has no labels.
    #[error(
        "the ground truth names classes, such as \"{}\", but this model has no labels",
        printable(.class)
    )]
    NoLabels {
        /// The first class that needs labels.
        class: String,
    },
    /// The model has the classes of no image.
    #[error("the model has none of the classes that the ground truth assigns to {images} images")]
    NoClasses {
        /// The number of images.
        images: usize,
        /// The error of the first image.
        source: GroundTruthError,
    },
    /// The model lacks the classes of some images.
    #[error(
        "the model lacks the classes of {images} of {of} images, the first is {}",
        printable(&.first.to_string_lossy())
    )]
    UnknownClasses {
        /// The number of images.
        images: usize,
        /// The number of images with ground truth.
        of: usize,
        /// The first of the images.
        first: PathBuf,
        /// The error of the first image.
        source: GroundTruthError,
    },
    /// Numbers of the ground truth could be ids or labels.
    #[error(
        "{images} of {of} images have a number that is the id of one class and the label of another, the first is {}",
        printable(&.first.to_string_lossy())
    )]
    NumbersOrLabels {
        /// The number of images.
        images: usize,
        /// The number of images with ground truth.
        of: usize,
        /// The first of the images.
        first: PathBuf,
        /// The error of the first image.
        source: GroundTruthError,
    },
    /// The model gives one value for an image, which is neither a probability nor a logit.
    #[error("the model gives a single raw value, which cannot rank classes")]
    SingleValue,
    /// The ground truth says several classes or none, but the model's classes exclude each other.
    #[error("the ground truth says {}, but the classes of this model exclude each other", quoted(.classes))]
    NotOneClass {
        /// The classes as they are written.
        classes: Vec<String>,
    },
    /// Two images have the same content, but different classes in the ground truth.
    #[error(
        "the image has the content of {}, but the ground truth says {} here and {} there",
        printable(&.earlier.to_string_lossy()),
        quoted(.classes),
        quoted(.earlier_classes)
    )]
    Contradiction {
        /// The earlier image.
        earlier: PathBuf,
        /// The classes of this image as they are written.
        classes: Vec<String>,
        /// The classes of the earlier image as they are written.
        earlier_classes: Vec<String>,
    },
    /// A run has another model file than the recorded runs.
    #[error("the model {} is another file than the recorded {}", printable(.model), printable(.recorded))]
    OtherModel {
        /// The model of the run.
        model: String,
        /// The model of the first recorded run.
        recorded: String,
    },
    /// A limit is on a metric that the model lacks.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// The ground truth cannot be used.
    #[error(transparent)]
    GroundTruth(#[from] GroundTruthError),
    /// An output is not a classifier's.
    #[error(transparent)]
    Scores(#[from] ScoresError),
    /// The files of a model cannot be read.
    #[error(transparent)]
    Model(#[from] backend_api::Error),
}

impl EvaluationError {
    /// Returns a stable name for reports, in kebab case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Scores(error) => error.code(),
            Self::Model(error) => error.kind().as_str(),
            _ => "bad-input",
        }
    }

    /// Returns the next step for the user. It names fields of options in backticks.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownReference { .. } => "write the reference exactly like the run",
            Self::NoLabels { .. } => {
                "write the classes as ids, the places in the model's output; or give `labels = FILE`, or put \
                 MODEL.labels next to the model"
            }
            Self::SingleValue => {
                "set `scores = sigmoid` if it is the logit of class 1, or `scores = probability` if it is its probability"
            }
            Self::NotOneClass { .. } => "write one class for this image, or leave it out",
            Self::Contradiction { .. } => {
                "correct the ground truth, or remove one of the two images"
            }
            Self::GroundTruth(error)
            | Self::NoClasses { source: error, .. }
            | Self::UnknownClasses { source: error, .. }
            | Self::NumbersOrLabels { source: error, .. } => return error.hint(),
            Self::OtherModel { .. } => "use `other_model` if it is meant to be compared with another file",
            Self::Metric(error) => return error.hint(),
            Self::Scores(error) => error.hint(),
            Self::Model(error) => error.hint().unwrap_or("check the files of the model"),
        }
        .to_owned()
    }

    /// Returns the problem for reports.
    pub fn problem(&self) -> Problem {
        Problem::new(self.code(), self, Some(self.hint()))
    }
}
