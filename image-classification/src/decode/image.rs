//! A decoded image.

use std::fmt;

use super::note::ImageNote;

/// A decoded image: RGB, 8 bits a channel, row by row from the top left, upright.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    pub(super) pixels: Vec<u8>,
    note: Option<ImageNote>,
}

impl Image {
    /// Returns an image from `width` × `height` × 3 bytes of RGB, or `None` if the sizes do not match or
    /// are 0.
    pub fn from_rgb(width: u32, height: u32, pixels: Vec<u8>) -> Option<Self> {
        let expected = (u64::from(width) * u64::from(height)).checked_mul(3)?;
        (expected != 0 && pixels.len() as u64 == expected).then_some(Self {
            width,
            height,
            pixels,
            note: None,
        })
    }

    /// Pixels in a row. Never 0.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows. Never 0.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Returns the bytes: red, green, blue of the first pixel, then of the next in its row.
    pub fn rgb(&self) -> &[u8] {
        &self.pixels
    }

    /// Returns the bytes, as [`rgb`](Self::rgb) gives them.
    pub fn into_rgb(self) -> Vec<u8> {
        self.pixels
    }

    /// Returns a remark that the user of the image should know: it is probably not as it was meant.
    pub fn note(&self) -> Option<ImageNote> {
        self.note
    }

    pub(crate) fn noted(mut self, note: Option<ImageNote>) -> Self {
        self.note = note;
        self
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} x {})", self.width, self.height)
    }
}
