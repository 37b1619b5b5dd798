//! OpenCV's `cv2.resize(..., interpolation=cv2.INTER_LINEAR)` for images of three 8-bit channels.
//!
//! The arithmetic follows OpenCV's `modules/imgproc/src/resize.cpp`: the four pixels around the position are weighted
//! in fixed point with 11 fractional bits, without averaging over larger areas when the image shrinks. Weights are
//! computed in `f32`.

use std::collections::TryReserveError;

use crate::{CHANNELS, RgbView, target_size, zeros};

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
///
/// # Errors
///
/// If there is no memory for the result; see [`memory_bytes`].
pub fn resize_linear(
    src: RgbView<'_>,
    width: u32,
    height: u32,
) -> Result<Vec<u8>, TryReserveError> {
    let (out_width, _, out_len) = target_size(width, height);
    let mut out = zeros(out_len)?;
    if (width, height) == src.size() {
        out.copy_from_slice(src.data);
        return Ok(out);
    }
    // Without overflow: sides are at most `i32::MAX`.
    if (width * 2, height * 2) == (src.width, src.height) {
        halve(src, out_width, &mut out);
        return Ok(out);
    }

    let columns: Vec<Tap> = taps(src.width, width)
        .map(|tap| tap.clamped(src.width))
        .collect();
    let rows: Vec<Tap> = taps(src.height, height).collect();
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(avx2) = fearless_simd::Level::new().as_avx2() {
        x86::linear(avx2, src, &columns, &rows, &mut out);
        return Ok(out);
    }
    linear_portable(src, &columns, &rows, &mut out);
    Ok(out)
}

/// Returns an upper bound of the bytes that [`resize_linear`] allocates for a target of `to`, with the result; width
/// first.
#[must_use]
pub fn memory_bytes(to: (u32, u32)) -> u64 {
    const SMALL: u64 = 1 << 16;
    let (width, height) = (u64::from(to.0), u64::from(to.1));
    // Taps of both axes, columns once more as the processor takes them, and two rows of sums.
    width * height * CHANNELS as u64 + 64 * (width + height) + SMALL
}

/// Resamples along both axes, for any processor.
fn linear_portable(src: RgbView<'_>, columns: &[Tap], rows: &[Tap], out: &mut [u8]) {
    let stride = columns.len() * CHANNELS;
    let sums = [vec![0; stride], vec![0; stride]];
    each_row(
        src,
        rows,
        sums,
        out.chunks_exact_mut(stride),
        |row, sums| horizontal(&row[..src.stride()], columns, sums),
        vertical,
    );
}

/// Calls `horizontal` for the source rows in use, and `vertical` with two of its results for each target row.
///
/// `horizontal` gets the source from the row on, to the end of the image. Sums of a row that serves neighbouring
/// target rows are kept.
#[inline]
fn each_row<'a>(
    src: RgbView<'_>,
    rows: &[Tap],
    mut sums: [Vec<i16>; 2],
    out: impl Iterator<Item = &'a mut [u8]>,
    mut horizontal: impl FnMut(&[u8], &mut [i16]),
    mut vertical: impl FnMut(&[i16], &[i16], [i16; 2], &mut [u8]),
) {
    let mut held = [None; 2];
    for (out_row, tap) in out.zip(rows) {
        let wanted = [tap.index, tap.index + 1].map(|y| y.clamp(0, i64::from(src.height) - 1));
        if held[1] == Some(wanted[0]) {
            sums.swap(0, 1);
            held.swap(0, 1);
        }
        for ((sums, held), wanted) in sums.iter_mut().zip(&mut held).zip(wanted) {
            if *held != Some(wanted) {
                let y = usize::try_from(wanted).expect("clamped to the rows of the image");
                horizontal(&src.data[y * src.stride()..], sums);
                *held = Some(wanted);
            }
        }
        vertical(&sums[0], &sums[1], tap.weights, out_row);
    }
}

/// Two neighbouring source pixels, `index` and `index + 1`, with their weights.
#[derive(Debug, Clone, Copy)]
struct Tap {
    index: i64,
    weights: [i16; 2],
}

impl Tap {
    /// Moves a tap at the edge inside of the image, as OpenCV does along x (along y it only clamps the rows).
    fn clamped(self, len: u32) -> Self {
        if self.index < 0 {
            Self {
                index: 0,
                weights: [ONE, 0],
            }
        } else if self.index >= i64::from(len) - 1 {
            Self {
                index: i64::from(len) - 1,
                weights: [ONE, 0],
            }
        } else {
            self
        }
    }
}

/// Returns the taps of an axis that is resampled from `len` to `out_len` pixels.
fn taps(len: u32, out_len: u32) -> impl Iterator<Item = Tap> {
    // OpenCV inverts the inverse; the result may differ from the quotient in the last bit.
    let scale = 1.0 / (f64::from(out_len) / f64::from(len));
    (0..out_len).map(move |i| {
        // OpenCV goes on in f32.
        let position = ((f64::from(i) + 0.5) * scale - 0.5) as f32;
        let floor = position.floor();
        let fraction = position - floor;
        let index = floor as i64;
        Tap {
            index,
            weights: [to_fixed(1.0 - fraction), to_fixed(fraction)],
        }
    })
}

/// Returns a weight from 0 to 1 in fixed point, halves rounded to even.
fn to_fixed(weight: f32) -> i16 {
    (weight * f32::from(ONE)).round_ties_even() as i16
}

/// Computes weighted sums of neighbouring pixels of `row`, one for each tap and channel, less their four lowest bits.
///
/// OpenCV keeps these bits but drops them before it uses the sums, which then fit 16 bits: 255 * 2048 / 16 < 2^15.
fn horizontal(row: &[u8], taps: &[Tap], sums: &mut [i16]) {
    let (pixels, _) = row.as_chunks::<CHANNELS>();
    for (sums, tap) in sums.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(taps) {
        let index = tap.index as usize;
        let left = pixels[index];
        let right = pixels[(index + 1).min(pixels.len() - 1)];
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            let full = i32::from(left) * i32::from(tap.weights[0])
                + i32::from(right) * i32::from(tap.weights[1]);
            *sum = (full >> 4) as i16;
        }
    }
}

/// Computes weighted sums of two rows. Each product is truncated on its own, as OpenCV's vector code does it.
fn vertical(upper: &[i16], lower: &[i16], [upper_weight, lower_weight]: [i16; 2], out: &mut [u8]) {
    for ((byte, upper), lower) in out.iter_mut().zip(upper).zip(lower) {
        let upper = (i32::from(*upper) * i32::from(upper_weight)) >> 16;
        let lower = (i32::from(*lower) * i32::from(lower_weight)) >> 16;
        *byte = ((upper + lower + 2) >> 2).clamp(0, 255) as u8;
    }
}

/// Computes rounded means of two by two pixels.
fn halve(src: RgbView<'_>, out_width: usize, out: &mut [u8]) {
    let pairs = src.data.chunks_exact(2 * src.stride());
    for (rows, out_row) in pairs.zip(out.chunks_exact_mut(out_width * CHANNELS)) {
        let (upper, lower) = rows.split_at(src.stride());
        let upper = upper.as_chunks::<{ 2 * CHANNELS }>().0;
        let lower = lower.as_chunks::<{ 2 * CHANNELS }>().0;
        for ((pixel, upper), lower) in out_row
            .as_chunks_mut::<CHANNELS>()
            .0
            .iter_mut()
            .zip(upper)
            .zip(lower)
        {
            for (channel, byte) in pixel.iter_mut().enumerate() {
                let sum = u16::from(upper[channel])
                    + u16::from(upper[channel + CHANNELS])
                    + u16::from(lower[channel])
                    + u16::from(lower[channel + CHANNELS]);
                *byte = ((sum + 2) >> 2) as u8;
            }
        }
    }
}

/// The same for processors with AVX2.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod x86 {
    #[cfg(target_arch = "x86")]
    #[allow(clippy::wildcard_imports, reason = "a long list of intrinsics")]
    use std::arch::x86::*;
    #[cfg(target_arch = "x86_64")]
    #[allow(clippy::wildcard_imports, reason = "a long list of intrinsics")]
    use std::arch::x86_64::*;

    use fearless_simd::{Avx2, i16x16, prelude::*, u8x16, u8x32};

    use super::{Tap, each_row};
    use crate::{CHANNELS, RgbView};

    /// Lanes that a pixel takes in a row of sums: one of them is idle.
    const LANES: usize = 4;
    /// Pixels that are treated at a time.
    const STEP: usize = 8;
    /// Bytes of the load for one tap, of which the two pixels take six.
    const LOAD: usize = 8;

    /// The taps of [`STEP`] target pixels: the position of the first byte, and the weights, once for each lane.
    #[derive(Clone, Default)]
    struct Columns {
        starts: [usize; STEP],
        weights: [[i16; 2 * LANES]; STEP],
    }

    pub(super) fn linear(
        avx2: Avx2,
        src: RgbView<'_>,
        columns: &[Tap],
        rows: &[Tap],
        out: &mut [u8],
    ) {
        let steps: Vec<Columns> = columns
            .chunks(STEP)
            .map(|taps| {
                let mut step = Columns::default();
                for (i, tap) in taps.iter().enumerate() {
                    step.starts[i] =
                        usize::try_from(tap.index).expect("clamped to the row") * CHANNELS;
                    let [left, right] = tap.weights;
                    step.weights[i] = [left, right, left, right, left, right, left, right];
                }
                step
            })
            .collect();
        let len = steps.len() * STEP * LANES;
        each_row(
            src,
            rows,
            [vec![0; len], vec![0; len]],
            out.chunks_exact_mut(columns.len() * CHANNELS),
            |row, sums| horizontal(avx2, row, &steps, sums),
            |upper, lower, weights, out| vertical(avx2, upper, lower, weights, out),
        );
    }

    /// Returns the end of the image, which is too short for a whole load.
    #[cold]
    fn padded(rest: &[u8]) -> [u8; LOAD] {
        let mut bytes = [0; LOAD];
        bytes[..rest.len()].copy_from_slice(rest);
        bytes
    }

    fearless_simd::kernel!(
        fn horizontal(avx2: Avx2, row: &[u8], steps: &[Columns], sums: &mut [i16]) {
            // Two pixels, r0 g0 b0 r1 g1 b1, become 16-bit lanes r0 r1 g0 g1 b0 b1 0 0; the index 128 gives 0.
            let spread: __m256i = u8x32::from_slice(
                avx2,
                &[
                    0, 128, 3, 128, 1, 128, 4, 128, 2, 128, 5, 128, 128, 128, 128, 128, 0, 128, 3,
                    128, 1, 128, 4, 128, 2, 128, 5, 128, 128, 128, 128, 128,
                ],
            )
            .into();
            let load = |start: usize| {
                let rest = &row[start..];
                let bytes = rest.first_chunk::<LOAD>().copied();
                i64::from_le_bytes(bytes.unwrap_or_else(|| padded(rest)))
            };
            // The sums of two target pixels, less their four lowest bits.
            let pair = |left: usize, right: usize, weights: &[[i16; 2 * LANES]; 2]| {
                let bytes = _mm256_setr_epi64x(load(left), 0, load(right), 0);
                let pixels = _mm256_shuffle_epi8(bytes, spread);
                let weights: __m256i = i16x16::from_slice(avx2, weights.as_flattened()).into();
                _mm256_srai_epi32::<4>(_mm256_madd_epi16(pixels, weights))
            };
            for (sums, step) in sums
                .as_chunks_mut::<{ STEP * LANES }>()
                .0
                .iter_mut()
                .zip(steps)
            {
                let starts = &step.starts;
                let (weights, _) = step.weights.as_chunks::<2>();
                for (i, sums) in sums.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                    // The pack interleaves the halves of its operands: 0 and 1 end up before 2 and 3.
                    let words = _mm256_packs_epi32(
                        pair(starts[4 * i], starts[4 * i + 1], &weights[2 * i]),
                        pair(starts[4 * i + 2], starts[4 * i + 3], &weights[2 * i + 1]),
                    );
                    let words: i16x16<_> =
                        _mm256_permute4x64_epi64::<0b11_01_10_00>(words).simd_into(avx2);
                    words.store_slice(sums);
                }
            }
        }
    );

    fearless_simd::kernel!(
        fn vertical(avx2: Avx2, upper: &[i16], lower: &[i16], weights: [i16; 2], out: &mut [u8]) {
            let (upper_weight, lower_weight) =
                (_mm256_set1_epi16(weights[0]), _mm256_set1_epi16(weights[1]));
            let two = _mm256_set1_epi16(2);
            // Drops the idle lanes: 16 bytes become 12.
            let dense = _mm256_broadcastsi128_si256(
                u8x16::from_slice(
                    avx2,
                    &[0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 128, 128, 128, 128],
                )
                .into(),
            );
            let sum = |upper: &[i16; 16], lower: &[i16; 16]| {
                let upper: __m256i = i16x16::from_slice(avx2, upper).into();
                let lower: __m256i = i16x16::from_slice(avx2, lower).into();
                let upper = _mm256_mulhi_epi16(upper, upper_weight);
                let lower = _mm256_mulhi_epi16(lower, lower_weight);
                _mm256_srai_epi16::<2>(_mm256_add_epi16(_mm256_add_epi16(upper, lower), two))
            };
            let upper = upper.as_chunks::<16>().0.as_chunks::<2>().0;
            let lower = lower.as_chunks::<16>().0.as_chunks::<2>().0;
            let bytes = |(upper, lower): (&[[i16; 16]; 2], &[[i16; 16]; 2])| -> [u8; 32] {
                let words =
                    _mm256_packus_epi16(sum(&upper[0], &lower[0]), sum(&upper[1], &lower[1]));
                let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
                let bytes: u8x32<_> = _mm256_shuffle_epi8(bytes, dense).simd_into(avx2);
                bytes.into()
            };
            let mut steps = upper.iter().zip(lower);
            let (out, rest) = out.as_chunks_mut::<{ STEP * CHANNELS }>();
            for (out, step) in out.iter_mut().zip(&mut steps) {
                let bytes = bytes(step);
                out[..12].copy_from_slice(&bytes[..12]);
                out[12..].copy_from_slice(&bytes[16..28]);
            }
            if let Some(step) = steps.next() {
                let bytes = bytes(step);
                let (early, late) = rest.split_at_mut(rest.len().min(12));
                early.copy_from_slice(&bytes[..early.len()]);
                late.copy_from_slice(&bytes[16..][..late.len()]);
            }
        }
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5 x 4 pixels of the bytes `(i * 37 + 11) mod 256`.
    fn ramp() -> Vec<u8> {
        (0..5 * 4 * 3).map(|i| (i * 37 + 11) as u8).collect()
    }

    fn view(width: u32, height: u32, data: &[u8]) -> RgbView<'_> {
        RgbView::new(width, height, data).unwrap()
    }

    #[test]
    fn same_size_is_a_copy() {
        assert_eq!(resize_linear(view(5, 4, &ramp()), 5, 4).unwrap(), ramp());
    }

    #[test]
    fn constant_stays_constant() {
        let data = [7, 130, 255].repeat(40 * 30);
        for (width, height) in [(1, 1), (20, 15), (13, 30), (40, 7), (100, 90)] {
            let expected = [7, 130, 255].repeat((width * height) as usize);
            assert_eq!(
                resize_linear(view(40, 30, &data), width, height).unwrap(),
                expected
            );
        }
    }

    #[test]
    fn halving_is_the_rounded_mean() {
        let data = [[0, 10, 255], [4, 20, 255], [8, 30, 255], [14, 40, 254]].concat();
        assert_eq!(
            resize_linear(view(2, 2, &data), 1, 1).unwrap(),
            [7, 25, 255]
        );
    }

    /// Expected bytes from OpenCV 5.0.0: `cv2.resize(image, (3, 2), interpolation=cv2.INTER_LINEAR)`.
    #[test]
    fn equals_opencv() {
        let expected = [
            70, 107, 144, 127, 36, 73, 183, 135, 87, 156, 150, 144, 85, 122, 159, 99, 136, 130,
        ];
        assert_eq!(resize_linear(view(5, 4, &ramp()), 3, 2).unwrap(), expected);
    }

    /// Expected bytes from OpenCV 5.0.0: `cv2.resize(image, (3, 3), interpolation=cv2.INTER_LINEAR)`.
    #[test]
    fn enlarging_equals_opencv() {
        let data = [11, 48, 85, 122, 159, 196, 54, 91, 128, 165, 202, 239];
        let expected = [
            [11, 48, 85, 66, 103, 140, 122, 159, 196],
            [33, 70, 107, 88, 125, 162, 144, 181, 218],
            [54, 91, 128, 109, 146, 183, 165, 202, 239],
        ];
        assert_eq!(
            resize_linear(view(2, 2, &data), 3, 3).unwrap(),
            expected.concat()
        );
    }

    /// The vector code against the portable code.
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    #[test]
    fn vector_code_equals_portable_code() {
        let Some(avx2) = fearless_simd::Level::new().as_avx2() else {
            return;
        };
        // Multiplying by a large odd number makes noise of the high bits.
        let data: Vec<u8> = (0..60 * 40 * 3_u32)
            .map(|i| (i.wrapping_mul(0x9E37_79B1) >> 24) as u8)
            .collect();
        for (width, height) in [(1, 1), (1, 40), (2, 3), (60, 40)] {
            let src = view(width, height, &data[..(width * height * 3) as usize]);
            for (out_width, out_height) in [(1, 1), (7, 5), (8, 9), (23, 17), (130, 3)] {
                let columns: Vec<Tap> = taps(width, out_width)
                    .map(|tap| tap.clamped(width))
                    .collect();
                let rows: Vec<Tap> = taps(height, out_height).collect();
                let mut expected = vec![0; (out_width * out_height * 3) as usize];
                linear_portable(src, &columns, &rows, &mut expected);
                let mut out = vec![1; expected.len()];
                x86::linear(avx2, src, &columns, &rows, &mut out);
                assert!(
                    out == expected,
                    "{width} x {height} to {out_width} x {out_height}"
                );
            }
        }
    }
}
