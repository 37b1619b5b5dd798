//! How often answers are right.

mod score;
mod truth;

pub use score::{Accuracy, OfClass, expected_calibration_error};
pub use truth::{Match, Truth};
