//! How far the answers of two runs differ, and whether that is acceptable.

mod basis;
mod difference;
mod majority;
mod pair;
mod rows;
mod tolerance;
mod variation;

pub use basis::Basis;
pub use difference::{Answer, Difference};
pub use majority::Majority;
pub use pair::{Gate, INFORMATIVE_GATE, Pair, Row, Verdict, gate, share_gate};
pub use tolerance::{Tolerance, ToleranceName};
pub use variation::Variation;
