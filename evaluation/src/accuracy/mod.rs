//! How often answers are right.

mod calibration;
mod labels;
mod multi_label;
mod score;
mod truth;

pub use calibration::{Calibrated, Calibration};
pub use labels::LabelDifference;
pub use multi_label::{Decisions, MultiLabel};
pub use score::{Accuracy, Counts, Judged, OfClass, SingleLabel};
pub use truth::{ClassLookup, Truth, quoted};
