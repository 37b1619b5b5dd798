//! How far the answers of two runs differ, and whether that is acceptable.

mod difference;
mod majority;
mod pair;
mod rows;
mod tolerance;

pub use difference::{Answer, Difference};
pub use majority::Majority;
pub use pair::{Gate, Pair, Row, Verdict, gate, share_gate};
pub use tolerance::{Tolerance, ToleranceName};
