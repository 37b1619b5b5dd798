//! The same images through one or more runs, against ground truth.

mod accumulator;
mod chance;
mod changes;
mod drop;
mod error;
mod json;
mod limits;
mod listed;
mod metric_limit;
mod recorded;
mod remarks;
mod report;
mod rows;
mod run;
mod shift;

pub use accumulator::{EvaluationAccumulator, EvaluationOptions};
pub use changes::{AnswerPair, ChangedAnswer, ChangedClass, Changes, GivenClasses, Mistake};
pub use drop::AccuracyDrop;
pub use error::EvaluationError;
pub use limits::{DropRule, GateLimits, LeastTruth};
pub use listed::ListedAnswer;
pub use metric_limit::{Bound, MetricLimit, MetricLimitError};
pub use recorded::{RecordingWriter, Recordings};
pub use remarks::Remark;
pub use report::{EvaluatedRun, EvaluationReport, RunResults, WrongAnswer};
pub use rows::{AnswerRow, Change, JudgedRow, RowResult};
pub use run::{Evaluation, RunningEvaluation};
pub use shift::IdShift;
