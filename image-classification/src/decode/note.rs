//! Remarks on images that were decoded but are probably not as they were meant.

use std::fmt;

/// A remark on a decoded image that its user should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageNote {
    /// The values of 16 bits use only the lower ones, so that the upper 8 bits are nearly black.
    FewBits {
        /// Bits that the largest value takes.
        bits: u32,
    },
    /// The values are floats from 0 to 1, but 0 to 255 is expected, so that the image is nearly black.
    UnitFloats,
    /// A progressive JPEG ends before its last scans, so that details are missing.
    ScansMissing,
}

impl ImageNote {
    /// A stable name for reports, in kebab case.
    pub const fn code(self) -> &'static str {
        match self {
            Self::FewBits { .. } => "few-bits",
            Self::UnitFloats => "unit-floats",
            Self::ScansMissing => "scans-missing",
        }
    }
}

impl fmt::Display for ImageNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewBits { bits } => write!(
                f,
                "no value of the 16-bit image takes more than {bits} bits, so that it is nearly black: the upper 8 bits count"
            ),
            Self::UnitFloats => f.write_str(
                "all values of the float image are from 0 to 1, so that it is nearly black: 255 counts as white",
            ),
            Self::ScansMissing => {
                f.write_str("the progressive JPEG lacks its last scans, so that details are missing")
            }
        }
    }
}
