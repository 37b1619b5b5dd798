//! Differences between the answers of two runs, and the limits that they are checked against.

mod basis;
mod difference;
mod gate;
mod majority;
mod pair;
mod row;
mod rows;
mod tolerance;
mod variation;

pub use basis::Basis;
pub use difference::{Answer, Difference, Tie, Values};
pub use gate::{Gate, Verdict};
pub use majority::Majority;
pub use pair::{Pair, Worst};
pub use row::Row;
pub use rows::{Rows, RowsError};
pub use tolerance::{Tolerance, ToleranceName};
pub use variation::Variation;
