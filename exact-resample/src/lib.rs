#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
// Kernels import intrinsics by wildcard and must be inlined into the code that detects the processor.
#![allow(
    clippy::inline_always,
    clippy::too_many_arguments,
    clippy::wildcard_imports,
    unfulfilled_lint_expectations
)]

use std::collections::TryReserveError;

mod convolution;
pub mod opencv;
pub mod pillow;
pub mod torchvision;

/// Bytes of one pixel.
const CHANNELS: usize = 3;

/// Filters of Pillow's `Image.Resampling`, for [`pillow::resize`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// The source pixel that contains the centre of the target pixel; no averaging.
    Nearest,
    /// Mean of the source pixels that the target pixel covers, all weighted alike. Support: 0.5 pixels.
    Box,
    /// Triangle filter. Support: 1 pixel.
    Bilinear,
    /// Cubic convolution with a = -0.5. Support: 2 pixels.
    Bicubic,
    /// Sinc windowed by a wider sinc (Lanczos 3). Support: 3 pixels.
    Lanczos,
}

/// The part of the source image to resample, in source pixels from the top left corner; Pillow's `box`.
///
/// The edges may be fractional. Like Pillow, the resampler rounds them to `f32` first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceBox {
    /// Left edge, at least 0.
    pub left: f64,
    /// Upper edge, at least 0.
    pub top: f64,
    /// Right edge, exclusive: above `left`, at most the width of the image.
    pub right: f64,
    /// Lower edge, exclusive: above `top`, at most the height of the image.
    pub bottom: f64,
}

/// A borrowed RGB image: interleaved, 8 bits a channel, rows from top to bottom without padding.
///
/// It is never empty, and its buffer always fits its size: [`RgbView::new`] is the only way to make one.
#[derive(Debug, Clone, Copy)]
pub struct RgbView<'a> {
    width: u32,
    height: u32,
    data: &'a [u8],
}

impl<'a> RgbView<'a> {
    /// Views `data` as an image of `width` x `height` pixels.
    ///
    /// `None` if a side is zero or above `i32::MAX`, or if `data.len()` is not `width * height * 3`.
    #[must_use]
    pub fn new(width: u32, height: u32, data: &'a [u8]) -> Option<Self> {
        let sides_fit = [width, height]
            .iter()
            .all(|side| (1..=i32::MAX.unsigned_abs()).contains(side));
        let len = (width as usize)
            .checked_mul(height as usize)?
            .checked_mul(CHANNELS)?;
        (sides_fit && data.len() == len).then_some(Self {
            width,
            height,
            data,
        })
    }

    /// Returns the width in pixels, at least 1.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Returns the height in pixels, at least 1.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Returns the pixels: `width * height * 3` bytes.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Returns the width and the height.
    fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Bytes of one row.
    fn stride(&self) -> usize {
        self.width as usize * CHANNELS
    }

    /// Returns the row `y`, counted from the top.
    fn row(&self, y: usize) -> &'a [u8] {
        &self.data[y * self.stride()..][..self.stride()]
    }
}

/// Checks a target size and returns it with the number of bytes that it takes.
///
/// # Panics
///
/// If a side is zero or above `i32::MAX`, or if the bytes exceed the address space.
fn target_size(width: u32, height: u32) -> (usize, usize, usize) {
    assert!(
        width > 0 && height > 0,
        "target size {width} x {height} is empty"
    );
    assert!(
        i32::try_from(width).is_ok() && i32::try_from(height).is_ok(),
        "target size {width} x {height} is too large"
    );
    let (width, height) = (width as usize, height as usize);
    let bytes = width
        .checked_mul(height)
        .and_then(|pixels| pixels.checked_mul(CHANNELS));
    (
        width,
        height,
        bytes.expect("target size exceeds the address space"),
    )
}

/// Returns a buffer of `len` zeros.
fn zeros(len: usize) -> Result<Vec<u8>, TryReserveError> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn view_rejects_what_does_not_fit() {
        assert!(RgbView::new(2, 1, &[0; 6]).is_some());
        assert!(RgbView::new(2, 1, &[0; 7]).is_none());
        assert!(RgbView::new(0, 1, &[]).is_none());
        assert!(RgbView::new(1, 0, &[]).is_none());
        assert!(RgbView::new(u32::MAX, u32::MAX, &[]).is_none());
    }
}
