//! Reasons why a file did not become an image.

use std::error::Error as StdError;

use super::format::{compression, remedy};
use crate::memory::OverBudget;

/// The reason why a file did not become an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The content has no known format; the file name does not count.
    #[error(
        "not an image in a known format (JPEG, PNG, BMP, WebP, GIF, TIFF, PNM, QOI, ICO, TGA, JPEG XL)"
    )]
    UnknownFormat,
    /// The content is an image in a format that is not decoded.
    #[error("the image is in the format {format}, which is not supported")]
    UnsupportedFormat {
        /// The name of the format.
        format: &'static str,
    },
    /// The content is compressed as a whole, as archives are.
    #[error("the file is compressed with {by}, and compressed archives are not read")]
    Compressed {
        /// The name of the compression.
        by: &'static str,
    },
    /// The image is larger than the limits allow.
    #[error("the image has {what} of {value}, but the limit is {limit}")]
    TooLarge {
        /// The quantity that is too large: `a file size in bytes`.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The largest value that is allowed.
        limit: u64,
    },
    /// The decoder would need more memory than the limits allow.
    #[error("decoding the {format} file needs more memory than the limits allow")]
    Memory {
        /// The format that was recognised.
        format: &'static str,
        /// The decoder's own words.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The image needs more than the whole [`MemoryBudget`](crate::MemoryBudget).
    #[error("the image needs {} of memory, but the budget is {}", bytes_of(.0.needed), bytes_of(.0.budget))]
    OverBudget(OverBudget),
    /// The system has no memory for the image.
    #[error("the system has no {} of memory for the image", bytes_of(*.bytes))]
    Allocation {
        /// Bytes that could not be allocated at once.
        bytes: u64,
    },
    /// Reading the bytes failed.
    #[error("the image cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// The format is known, but not this variant of it.
    #[error("the {format} file uses a feature that is not supported")]
    Unsupported {
        /// The format that was recognised.
        format: &'static str,
        /// The decoder's own words.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The content is damaged or cut short.
    #[error("the {format} file is damaged")]
    Damaged {
        /// The format that was recognised.
        format: &'static str,
        /// The decoder's own words.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The file ends before the image does.
    #[error("the {format} file is cut short")]
    CutShort {
        /// The format that was recognised.
        format: &'static str,
    },
    /// The decoder panicked, which well-formed files do not bring about.
    #[error("the {format} decoder panicked on this file (a defect of the decoder)")]
    Panicked {
        /// The format that was recognised.
        format: &'static str,
    },
}

impl From<OverBudget> for DecodeError {
    fn from(over: OverBudget) -> Self {
        Self::OverBudget(over)
    }
}

impl DecodeError {
    /// The names that [`code`](Self::code) returns.
    pub(crate) const CODES: [&str; 9] = [
        "empty-file",
        "unknown-format",
        "unsupported-format",
        "too-large",
        "out-of-memory",
        "cannot-read",
        "unsupported-picture",
        "damaged-picture",
        "decoder-panicked",
    ];

    /// Returns the error of a file that is compressed as a whole, by its first 10 bytes; `None` if it is not.
    pub fn of_compressed(head: &[u8]) -> Option<Self> {
        compression(head).map(|by| Self::Compressed { by })
    }

    /// Returns a stable name for reports, in kebab case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty-file",
            Self::UnknownFormat => "unknown-format",
            Self::UnsupportedFormat { .. } | Self::Compressed { .. } => "unsupported-format",
            Self::TooLarge { .. } | Self::Memory { .. } | Self::OverBudget(_) => "too-large",
            Self::Allocation { .. } => "out-of-memory",
            Self::Unreadable(_) => "cannot-read",
            Self::Unsupported { .. } => "unsupported-picture",
            Self::Damaged { .. } | Self::CutShort { .. } => "damaged-picture",
            Self::Panicked { .. } => "decoder-panicked",
        }
    }

    /// Returns the next step for the user.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::Damaged { .. } | Self::CutShort { .. } => {
                "copy or download the file again"
            }
            Self::UnsupportedFormat { format } => remedy(format),
            Self::Compressed { by } => decompressor(by),
            Self::UnknownFormat | Self::Unsupported { .. } | Self::Panicked { .. } => {
                "convert the image to PNG or JPEG"
            }
            Self::TooLarge { .. } | Self::Memory { .. } => "make the image smaller",
            Self::OverBudget(_) => {
                "make the image smaller, or create the `MemoryBudget` with more bytes"
            }
            Self::Allocation { .. } => {
                "decode fewer images at a time, with a `MemoryBudget` of fewer bytes"
            }
            Self::Unreadable(_) => "check that the file can be read to its end",
        }
    }
}

/// Returns the next step for a file that is compressed.
const fn decompressor(by: &str) -> &'static str {
    // A `match` on texts is not possible in a `const fn`, and the first letters differ.
    match by.as_bytes() {
        [b'g', ..] => "decompress it, for example with `gunzip`",
        [b'z', ..] => "decompress it, for example with `unzstd`",
        [b'x', ..] => "decompress it, for example with `unxz`",
        _ => "decompress it, for example with `bunzip2`",
    }
}

/// Formats a number of bytes: `5.2 GiB`.
pub(crate) fn bytes_of(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("bytes", 0)];
    let unit = UNITS.iter().find(|(_, shift)| bytes >> shift > 0);
    match unit {
        Some((name, shift)) if *shift > 0 => {
            format!("{:.1} {name}", bytes as f64 / f64::from(1 << shift))
        }
        _ => format!("{bytes} bytes"),
    }
}
