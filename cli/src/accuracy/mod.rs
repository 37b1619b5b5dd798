//! How often answers are right.

mod calibration;
mod score;
mod truth;

pub use calibration::Calibrated;
pub use score::{Accuracy, OfClass};
pub use truth::{Match, Truth};
