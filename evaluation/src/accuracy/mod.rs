//! Accuracy of answers, and the ground truth that they are judged by.

mod calibration;
mod error;
mod ground_truth;
mod labels;
mod multi_label;
mod score;

pub use calibration::{Bin, Calibrated, Calibration};
pub use error::GroundTruthError;
pub use ground_truth::{ClassLookup, GroundTruth};
pub use labels::{Classes, LabelDifference};
pub use multi_label::{Decisions, MultiLabel, Quality};
pub use score::{Accuracy, Counts, Judged, OfClass, SingleLabel};
