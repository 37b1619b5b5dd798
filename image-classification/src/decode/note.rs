//! Remarks on images that were decoded but are probably not as they were meant.

use std::fmt;

/// A remark on a decoded image that its user should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// Returns a stable name for reports, in kebab case.
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
                "all values of the 16-bit image fit in {bits} bits, so the image is nearly black: only the upper 8 \
                 bits are used"
            ),
            Self::UnitFloats => f.write_str(
                "all values of the float image are from 0 to 1, so the image is nearly black: white is 255",
            ),
            Self::ScansMissing => {
                f.write_str("the progressive JPEG lacks its last scans, so details are missing")
            }
        }
    }
}
