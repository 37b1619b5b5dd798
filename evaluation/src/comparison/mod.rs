//! The same images through two or more runs, and whether the runs agree.

mod accumulator;
mod error;
mod json;
mod report;
mod run;
mod runs;

pub use accumulator::{AnsweredImage, ComparisonAccumulator};
pub use error::ComparisonError;
pub use report::{ComparedPair, ComparisonReport};
pub use run::Comparison;
pub use runs::ComparedRuns;
