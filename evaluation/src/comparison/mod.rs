//! The same images through two or more runs, and whether the runs agree.

mod accumulator;
mod error;
mod json;
mod report;
mod run;
mod runs;
mod tolerance;

pub use accumulator::{AnsweredImage, ComparisonAccumulator};
pub use error::ComparisonError;
pub use report::{ComparedPair, ComparisonReport};
pub use run::{Comparison, ImageComparison, RunningComparison};
pub use runs::ComparedRuns;
pub use tolerance::ToleranceOptions;
