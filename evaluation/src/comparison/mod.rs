//! The same images through two or more runs, and whether the runs agree.

mod accumulator;
mod error;
mod json;
mod report;
mod runs;

pub use accumulator::{ComparisonAccumulator, ImageOutputs};
pub use error::ComparisonError;
pub use report::{ComparedPair, ComparisonReport};
pub use runs::ComparedRuns;
