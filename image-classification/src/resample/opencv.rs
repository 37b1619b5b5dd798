//! OpenCV's `cv2.resize(..., interpolation=cv2.INTER_LINEAR)` for pictures of three 8-bit channels.
//!
//! The arithmetic follows OpenCV's `modules/imgproc/src/resize.cpp`: the four pixels around the position are weighted
//! in fixed point with 11 fractional bits, without averaging over larger areas when the picture shrinks. Weights are
//! computed in `f32`.

use super::{CHANNELS, RgbView, target_size};

/// The weight 1 in fixed point.
const ONE: i16 = 1 << 11;

/// Resamples `src` to `width` x `height` pixels as `cv2.resize` with `INTER_LINEAR` does.
///
/// Returns `width * height * 3` bytes, laid out like the source; the order of the channels does not matter. An
/// unchanged size is a copy, and an exact halving of both sides is the rounded mean of two by two pixels.
///
/// # Panics
///
/// If a side of the target is zero or above `i32::MAX`, or if the target exceeds the address space. Both are
/// mistakes of the caller, who chooses the size; pixel values never panic.
#[must_use]
pub fn resize_linear(src: RgbView<'_>, width: u32, height: u32) -> Vec<u8> {
    let (out_width, out_height, out_len) = target_size(width, height);
    if (width, height) == (src.width, src.height) {
        return src.data.to_vec();
    }
    let mut out = vec![0; out_len];
    // Without overflow: sides are at most `i32::MAX`.
    if (width * 2, height * 2) == (src.width, src.height) {
        halve(src, out_width, &mut out);
        return out;
    }

    let columns: Vec<Tap> = taps(src.width, width).map(|tap| tap.clamped(src.width)).collect();
    let rows = taps(src.height, height);
    // Horizontal sums of the two source rows in use, which neighbouring target rows often share.
    let mut sums = [vec![0; out_width * CHANNELS], vec![0; out_width * CHANNELS]];
    let mut held = [None; 2];
    for (out_row, tap) in out.chunks_exact_mut(out_width * CHANNELS).zip(rows) {
        let wanted = [tap.index, tap.index + 1].map(|y| y.clamp(0, i64::from(src.height) - 1));
        if held[1] == Some(wanted[0]) && held[0] != held[1] {
            sums.swap(0, 1);
            held.swap(0, 1);
        }
        for ((sums, held), wanted) in sums.iter_mut().zip(&mut held).zip(wanted) {
            if *held != Some(wanted) {
                let y = usize::try_from(wanted).expect("clamped to the rows of the picture");
                horizontal(src.row(y), &columns, sums);
                *held = Some(wanted);
            }
        }
        vertical(&sums[0], &sums[1], tap.weights, out_row);
    }
    debug_assert_eq!(out.len(), out_width * out_height * CHANNELS);
    out
}

/// Two neighbouring source pixels, `index` and `index + 1`, with their weights.
#[derive(Debug, Clone, Copy)]
struct Tap {
    index: i64,
    weights: [i16; 2],
}

impl Tap {
    /// Moves a tap at the edge inside of the picture, as OpenCV does along x (along y it only clamps the rows).
    fn clamped(self, len: u32) -> Self {
        if self.index < 0 {
            Self { index: 0, weights: [ONE, 0] }
        } else if self.index >= i64::from(len) - 1 {
            Self { index: i64::from(len) - 1, weights: [ONE, 0] }
        } else {
            self
        }
    }
}

/// The taps of an axis that is resampled from `len` to `out_len` pixels.
fn taps(len: u32, out_len: u32) -> impl Iterator<Item = Tap> {
    // OpenCV inverts the inverse; the result may differ from the quotient in the last bit.
    let scale = 1.0 / (f64::from(out_len) / f64::from(len));
    (0..out_len).map(move |i| {
        #[expect(clippy::cast_possible_truncation, reason = "OpenCV goes on in f32")]
        let position = ((f64::from(i) + 0.5) * scale - 0.5) as f32;
        let floor = position.floor();
        let fraction = position - floor;
        #[expect(clippy::cast_possible_truncation, reason = "fits: within one pixel of the picture")]
        let index = floor as i64;
        Tap { index, weights: [to_fixed(1.0 - fraction), to_fixed(fraction)] }
    })
}

/// A weight from 0 to 1 in fixed point, halves rounded to even.
fn to_fixed(weight: f32) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "0 to 2048")]
    let fixed = (weight * f32::from(ONE)).round_ties_even() as i16;
    fixed
}

/// Weighted sums of neighbouring pixels of `row`, one for each tap and channel, less their four lowest bits.
///
/// OpenCV keeps these bits but drops them before it uses the sums, which then fit 16 bits: 255 * 2048 / 16 < 2^15.
fn horizontal(row: &[u8], taps: &[Tap], sums: &mut [i16]) {
    let (pixels, _) = row.as_chunks::<CHANNELS>();
    for (sums, tap) in sums.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(taps) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the row")]
        let index = tap.index as usize;
        let left = pixels[index];
        let right = pixels[(index + 1).min(pixels.len() - 1)];
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            let full = i32::from(left) * i32::from(tap.weights[0]) + i32::from(right) * i32::from(tap.weights[1]);
            #[expect(clippy::cast_possible_truncation, reason = "15 bits")]
            let short = (full >> 4) as i16;
            *sum = short;
        }
    }
}

/// Weighted sums of two rows. Each product is truncated on its own, as OpenCV's vector code does it.
fn vertical(upper: &[i16], lower: &[i16], [upper_weight, lower_weight]: [i16; 2], out: &mut [u8]) {
    for ((byte, upper), lower) in out.iter_mut().zip(upper).zip(lower) {
        let upper = (i32::from(*upper) * i32::from(upper_weight)) >> 16;
        let lower = (i32::from(*lower) * i32::from(lower_weight)) >> 16;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range of u8")]
        let rounded = ((upper + lower + 2) >> 2).clamp(0, 255) as u8;
        *byte = rounded;
    }
}

/// Rounded means of two by two pixels.
fn halve(src: RgbView<'_>, out_width: usize, out: &mut [u8]) {
    let pairs = src.data.chunks_exact(2 * src.stride());
    for (rows, out_row) in pairs.zip(out.chunks_exact_mut(out_width * CHANNELS)) {
        let (upper, lower) = rows.split_at(src.stride());
        let upper = upper.as_chunks::<{ 2 * CHANNELS }>().0;
        let lower = lower.as_chunks::<{ 2 * CHANNELS }>().0;
        for ((pixel, upper), lower) in out_row.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(upper).zip(lower) {
            for (channel, byte) in pixel.iter_mut().enumerate() {
                let sum = u16::from(upper[channel])
                    + u16::from(upper[channel + CHANNELS])
                    + u16::from(lower[channel])
                    + u16::from(lower[channel + CHANNELS]);
                #[expect(clippy::cast_possible_truncation, reason = "a mean of bytes")]
                let mean = ((sum + 2) >> 2) as u8;
                *byte = mean;
            }
        }
    }
}
