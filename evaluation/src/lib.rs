#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod accuracy;
pub mod agreement;
pub mod answers;
pub mod bisect;
mod comparison;
mod digest;
mod driver;
mod duplicates;
mod evaluation;
mod external;
mod failure;
mod provenance;
mod recording;
mod run;
mod share;
pub mod statistics;
pub mod text;

pub use comparison::{
    AnsweredImage, ComparedPair, ComparedRuns, Comparison, ComparisonAccumulator, ComparisonError,
    ComparisonReport, ImageComparison, RunningComparison, ToleranceOptions,
};
pub use digest::{Chain, Digest, ImageDigests, ParseDigestError};
pub use driver::{AddedImage, NamedAnswer};
pub use duplicates::Duplicates;
pub use evaluation::{
    AccuracyDrop, AnswerPair, AnswerRow, Bound, Change, ChangedAnswer, ChangedClass, Changes,
    DropRule, EvaluatedRun, Evaluation, EvaluationAccumulator, EvaluationError, EvaluationOptions,
    EvaluationReport, GateLimits, GivenClasses, IdShift, JudgedRow, LeastTruth, ListedAnswer,
    MetricLimit, MetricLimitError, Mistake, RecordingWriter, Recordings, Remark, RowResult,
    RunResults, RunningEvaluation, WrongAnswer,
};
pub use external::{ExternalOutputs, ExternalRun};
pub use failure::{Failure, Problem};
pub use provenance::{Machine, RunEntry, RunInfo};
pub use recording::{Recorder, Recording, RecordingError};
pub use run::{MOST_RUNS, NamedImage, Run, artificial_image, run_names};
pub use share::{Share, percent};
