//! torchvision's `resize` for RGB images of 8 bits a channel that are tensors, with `antialias=True`: torch's
//! `torch.nn.functional.interpolate`.
//!
//! The arithmetic is that of torchvision 0.29 on torch 2.15, on processors with AVX2. The convolution is Pillow's, with
//! two exceptions. Weights have 16 bits; the largest weight of the axis decides how many of them are fractional. The
//! pass along x is always the first. On processors without AVX2 and on Arm, torch's code gives the same bytes, but
//! torchvision resizes [`Filter::Bilinear`] in `f32` there, which differs by one level.
//!
//! Nearest neighbours are computed in `f32`. [`resize_f32`] is for tensors of floats.

mod float;

use std::collections::TryReserveError;

use crate::convolution::{
    self, Coefficients, Convolution, Part, as_f64, narrow_then_flatten, reserved,
};
use crate::{CHANNELS, RgbView, target_size, zeros};

pub use self::float::{memory_bytes_f32, resize_f32};

/// torchvision's `InterpolationMode`, for [`resize`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// `NEAREST`: the source pixel at the upper left corner of the target pixel; no averaging.
    Nearest,
    /// `NEAREST_EXACT`: the source pixel that contains the centre of the target pixel; no averaging.
    NearestExact,
    /// `BILINEAR`: triangle filter. Support: 1 pixel.
    Bilinear,
    /// `BICUBIC`: cubic convolution with a = -0.5. Support: 2 pixels.
    Bicubic,
    /// `LANCZOS`: sinc windowed by a wider sinc (Lanczos 3). Support: 3 pixels.
    Lanczos,
}

impl Filter {
    /// Returns `None` for the nearest neighbours, which need no weights.
    fn convolution(self) -> Option<Convolution> {
        match self {
            Self::Nearest | Self::NearestExact => None,
            Self::Bilinear => Convolution::of(crate::Filter::Bilinear),
            Self::Bicubic => Convolution::of(crate::Filter::Bicubic),
            Self::Lanczos => Convolution::of(crate::Filter::Lanczos),
        }
    }
}

/// Resamples `src` to `width` x `height` pixels as torchvision's `resize` does with a tensor.
///
/// Returns `width * height * 3` bytes, laid out like the source. An unchanged size is a copy.
///
/// # Panics
///
/// If a side of the target is zero or above `i32::MAX`, or if the target exceeds the address space. Both are
/// mistakes of the caller, who chooses the size; pixel values never panic.
///
/// # Errors
///
/// If there is not enough memory for the result or the intermediate buffers; see [`memory_bytes`].
pub fn resize(
    src: RgbView<'_>,
    width: u32,
    height: u32,
    filter: Filter,
) -> Result<Vec<u8>, TryReserveError> {
    let (out_width, out_height, out_len) = target_size(width, height);
    let mut out = zeros(out_len)?;
    if (width, height) == src.size() {
        out.copy_from_slice(src.data);
        return Ok(out);
    }
    let Some(convolution) = filter.convolution() else {
        nearest(src, width, height, filter, &mut out)?;
        return Ok(out);
    };
    let columns = || coefficients(src.width as usize, out_width, convolution).in_16_bits();
    let rows = || coefficients(src.height as usize, out_height, convolution).in_16_bits();
    let whole = Part::whole(src);
    if width == src.width {
        convolution::flatten(whole, rows()?, &mut out)?;
    } else if height == src.height {
        convolution::narrow(whole, columns()?, &mut out)?;
    } else {
        let rows = rows()?;
        let used = rows.used();
        let rows = rows.counted_from(used.start);
        narrow_then_flatten(whole.rows(used), columns()?, rows, &mut out)?;
    }
    Ok(out)
}

/// Returns an upper bound of the bytes that [`resize`] allocates for an image of `size`, its result included. Sizes
/// have the width first.
#[must_use]
pub fn memory_bytes(size: (u32, u32), to: (u32, u32), filter: Filter) -> u64 {
    let window = |from: u32, to: u32| {
        let (from, to) = (from as usize, to.max(1) as usize);
        let convolution = filter.convolution();
        convolution.map_or(0, |convolution| coefficients(from, to, convolution).most())
    };
    let windows = (window(size.0, to.0), window(size.1, to.1));
    convolution::memory_bytes(size, to, windows, true)
}

fn coefficients(from: usize, to: usize, convolution: Convolution) -> Coefficients {
    let scale = as_f64(from) / as_f64(to);
    Coefficients::new(from, 0.0, scale, to, convolution)
}

fn nearest(
    src: RgbView<'_>,
    width: u32,
    height: u32,
    filter: Filter,
    out: &mut [u8],
) -> Result<(), TryReserveError> {
    // torch has another kernel for small targets, which rounds the product before it subtracts.
    let is_small = u64::from(width) + u64::from(height) <= 128;
    let index = |from: u32, to: u32| {
        let scale = from as f32 / to as f32;
        move |index: u32| {
            let index = index as f32;
            let position = match filter {
                Filter::NearestExact if is_small => (index + 0.5) * scale,
                Filter::NearestExact => (index + 0.5).mul_add(scale, -0.5).max(0.0) + 0.5,
                _ => index * scale,
            };
            // The cast truncates.
            (position as usize).min(from as usize - 1)
        }
    };
    let mut columns: Vec<usize> = reserved(width as usize)?;
    columns.extend((0..width).map(index(src.width, width)));
    let rows = (0..height).map(index(src.height, height));
    let stride = width as usize * CHANNELS;
    for (out_row, y) in out.chunks_exact_mut(stride).zip(rows) {
        let (row, _) = src.row(y).as_chunks::<CHANNELS>();
        let (pixels, _) = out_row.as_chunks_mut::<CHANNELS>();
        for (pixel, x) in pixels.iter_mut().zip(&columns) {
            *pixel = row[*x];
        }
    }
    Ok(())
}

#[cfg(test)]
mod expected;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the image that the generator of the table draws.
    fn drawn((width, height): (u32, u32), is_extreme: bool) -> Vec<u8> {
        let noise = |index: u32| {
            let value = index.wrapping_mul(0x9E37_79B1);
            ((value ^ value >> 15).wrapping_mul(0x85EB_CA77) >> 24) as u8
        };
        let extreme = |value: u8| if value < 128 { 0 } else { 255 };
        (0..width * height * 3)
            .map(noise)
            .map(|value| if is_extreme { extreme(value) } else { value })
            .collect()
    }

    #[test]
    fn every_byte_is_that_of_torchvision() {
        for (filter, size, to, is_extreme, expected) in expected::CASES {
            let data = drawn(size, is_extreme);
            let view = RgbView::new(size.0, size.1, &data).unwrap();
            let resized = resize(view, to.0, to.1, filter).unwrap();
            let hash = resized
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
                });
            assert_eq!(
                hash, expected,
                "{filter:?}, {size:?} to {to:?}, extreme: {is_extreme}"
            );
        }
    }

    #[test]
    fn floats_are_those_of_torchvision_but_for_their_last_bits() {
        let levels = std::array::from_fn(|byte| byte as f32 * (1.0_f32 / 255.0));
        for (filter, size, to, expected) in expected::FLOATS {
            let data = drawn(size, false);
            let view = RgbView::new(size.0, size.1, &data).unwrap();
            let resized = resize_f32(view, to.0, to.1, filter, &levels)
                .unwrap()
                .unwrap();
            let count = expected.len();
            for (index, expected) in expected.into_iter().enumerate() {
                let value = resized[index * resized.len() / count];
                assert!(
                    (value - expected).abs() < 2.5e-7,
                    "{filter:?}, {size:?} to {to:?}: {value}, not {expected}"
                );
            }
        }
        let view = RgbView::new(1, 1, &[0; 3]).unwrap();
        assert!(resize_f32(view, 1, 1, Filter::Nearest, &levels).is_none());
    }
}
