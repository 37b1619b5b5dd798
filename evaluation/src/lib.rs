#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod accuracy;
pub mod agreement;
pub mod bisect;
mod classifiers;
mod comparison;
mod digest;
mod duplicates;
mod evaluation;
mod failure;
mod provenance;
mod recording;
mod share;
pub mod statistics;
pub mod text;

pub use classifiers::{NamedImage, artificial_image};
pub use comparison::{
    AnsweredImage, ComparedPair, ComparedRuns, Comparison, ComparisonAccumulator, ComparisonError,
    ComparisonReport,
};
pub use digest::{Chain, Digest, ImageDigests};
pub use duplicates::Duplicates;
pub use evaluation::{
    EvaluatedRun, Evaluation, EvaluationAccumulator, EvaluationError, EvaluationOptions,
    EvaluationReport, GateLimits, RunResults, WrongAnswer,
};
pub use failure::{Failure, Problem};
pub use provenance::{Machine, RunEntry, RunInfo};
pub use recording::{Recorder, Recording, RecordingError};
pub use share::{Share, percent};
