//! Limits of an image's cost, and their checks.

use super::error::DecodeError;

/// Largest size of a row in bytes, for formats whose rows are held several times in addition to the pixels.
pub(super) const MOST_ROW_BYTES: u64 = 16 << 20;
/// Largest width and height, which are OpenCV's. The buffers and the work for each row or column of an image of a few lines
/// are many times those of its pixels: of 1 x 178,956,970 pixels, a filter took 20 seconds.
pub(crate) const MOST_SIDE: u64 = 1 << 20;
/// Bytes of a block of EXIF or XMP that are read. The orientation is near the beginning; a JPEG's blocks have at most
/// 64 KiB. Metadata are read before memory is reserved.
pub(super) const MOST_METADATA: u64 = 1 << 20;
/// Bytes for tables, states and small buffers that every decoder has.
pub(super) const SMALL: u64 = 1 << 20;

/// The largest cost of an image. Images that cost more are rejected.
///
/// The checks come before the decoder allocates: a file of 100 bytes can claim ten gigabytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Width × height. Each of them is at most 1,048,576 anyway.
    pub pixels: u64,
    /// Bytes of the decoded image, in the decoder's own format.
    pub decoded_bytes: u64,
}

impl Default for DecodeLimits {
    /// 256 MiB, 178,956,970 pixels (where Pillow refuses a "decompression bomb"), 1 GiB.
    fn default() -> Self {
        Self {
            file_bytes: 256 << 20,
            pixels: 178_956_970,
            decoded_bytes: 1 << 30,
        }
    }
}

pub(super) fn within(what: &'static str, value: u64, limit: u64) -> Result<(), DecodeError> {
    if value <= limit {
        Ok(())
    } else {
        Err(DecodeError::TooLarge { what, value, limit })
    }
}

/// Checks the size in an image's header, before pixels are decoded.
pub(super) fn check_size(
    width: u32,
    height: u32,
    limits: &DecodeLimits,
) -> Result<(), DecodeError> {
    if width == 0 || height == 0 {
        return Err(DecodeError::Empty);
    }
    within(
        "a pixel count",
        u64::from(width) * u64::from(height),
        limits.pixels,
    )?;
    within("a width in pixels", width.into(), MOST_SIDE)?;
    within("a height in pixels", height.into(), MOST_SIDE)
}
