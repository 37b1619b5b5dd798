//! Accuracy of answers, and the ground truth that they are judged by.

mod calibration;
mod columns;
mod criterion;
mod directories;
mod entries;
mod error;
mod file_kind;
mod forms;
mod ground_truth;
mod imagenet;
mod json_line;
mod labels;
mod lookup;
mod metrics;
mod multi_label;
mod quotes;
mod ranking;
mod score;
mod truth_text;

pub use calibration::{Bin, Calibrated, Calibration};
pub use criterion::Criterion;
pub use error::GroundTruthError;
pub use forms::{TruthForm, TruthSummary};
pub use ground_truth::GroundTruth;
pub use json_line::repeated_key;
pub use labels::{Classes, LabelDifference};
pub use lookup::{ClassLookup, Numbers};
pub use metrics::{Average, Metric, MetricError, QualityPart, all_metrics};
pub use multi_label::{Decisions, MultiLabel, Quality};
pub use ranking::Ranking;
pub use score::{Accuracy, Counts, Judged, OfClass, SingleLabel};
