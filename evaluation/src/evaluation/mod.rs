//! The same images through one or more runs, against ground truth.

mod accumulator;
mod changes;
mod error;
mod json;
mod report;
mod run;

pub use accumulator::{EvaluationAccumulator, EvaluationOptions};
pub use changes::{ChangedAnswer, ChangedClass, Changes};
pub use error::EvaluationError;
pub use report::{EvaluatedRun, EvaluationReport, GateLimits, RunResults, WrongAnswer};
pub use run::{Evaluation, RunningEvaluation};
