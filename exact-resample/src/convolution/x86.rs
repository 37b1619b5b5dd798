//! The passes for processors with AVX2, and with AVX-512 as of Ice Lake and Zen 4.
//!
//! No instruction multiplies bytes with weights of 22 bits and adds up the products, so weights are split: for AVX2's
//! multiply-add of pairs into two parts of 16 bits, the lower of which has 8 significant ones, for AVX-512's
//! multiply-add of fours into three parts of 8 bits. Each part has its own sum, and the sums are exact.

#[cfg(target_arch = "x86")]
#[allow(clippy::wildcard_imports, reason = "a long list of intrinsics")]
use std::arch::x86::*;
#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports, reason = "a long list of intrinsics")]
use std::arch::x86_64::*;

use std::collections::TryReserveError;

use fearless_simd::{Avx2, Avx512, i8x32, i16x16, prelude::*, u8x16, u8x32};

use super::passes::{GROUP, Part};
use super::weights::{HALF, PRECISION_BITS, Weights, reserved};
use crate::CHANNELS;

/// Bytes of a row that the vertical pass sums at a time.
pub(super) const BLOCK: usize = 32;
/// Pixels that the horizontal pass treats at a time; windows are padded to a multiple of it.
const STEP: usize = 8;
const STEP_BYTES: usize = STEP * CHANNELS;
/// Bytes of the widest load of a step. It may reach behind the step.
const LOAD: usize = 32;
const LOW_BITS: i32 = 8;

/// Returns the two parts of a weight.
fn split(weight: i32) -> (i16, i16) {
    let low = weight & ((1 << LOW_BITS) - 1);
    let narrow = |part: i32| i16::try_from(part).expect("a weight has at most 24 bits");
    (narrow(weight >> LOW_BITS), narrow(low))
}

/// The weights of one [`STEP`] for AVX2: high parts of pixels 0 and 1, their low parts, high parts of 4 and 5, their
/// low parts; then the same of pixels 2 and 3, 6 and 7.
type Pairs = [i16; 2 * STEP];

fn pairs(weights: &[i32]) -> Pairs {
    let mut pairs = [0; 2 * STEP];
    for (i, weight) in weights.iter().enumerate() {
        let lane = i % 4 / 2 * 8 + i / 4 * 4 + i % 2;
        (pairs[lane], pairs[lane + 2]) = split(*weight);
    }
    pairs
}

/// The weights of one [`STEP`] for AVX-512: high, middle and low parts of pixels 0 to 3, and four idle lanes; then
/// the same of pixels 4 to 7.
type Fours = [i8; 4 * STEP];

fn fours(weights: &[i32]) -> Fours {
    let mut fours = [0; 4 * STEP];
    for (i, weight) in weights.iter().enumerate() {
        let lane = i / 4 * 16 + i % 4;
        let [low, middle, high] = split_bytes(*weight);
        (fours[lane], fours[lane + 4], fours[lane + 8]) = (high, middle, low);
    }
    fours
}

/// A mask of the pixels of one [`STEP`] that belong to the window, laid out like the pixels: 1 or 0.
type Ones = [i8; 4 * STEP];

fn ones(weights: &[i32]) -> Ones {
    let mut ones = [0; 4 * STEP];
    for (i, weight) in weights.iter().enumerate() {
        for channel in 0..CHANNELS {
            ones[i / 4 * 16 + channel * 4 + i % 4] = i8::from(*weight != 0);
        }
    }
    ones
}

/// Returns the weight of each window, if none has two that differ, zeros aside: the box filter. Its pixels can be added
/// up before the sum is multiplied, once.
fn uniform(weights: &Weights) -> Option<Vec<i32>> {
    let of_window = |weights: &[i32]| {
        let weight = weights
            .iter()
            .copied()
            .find(|weight| *weight != 0)
            .unwrap_or(0);
        let same = weights.iter().all(|other| *other == 0 || *other == weight);
        same.then_some(weight)
    };
    weights
        .iter()
        .map(|(_, weights)| of_window(weights))
        .collect()
}

/// Returns the three signed parts of a weight, lowest first: low + 2^8 middle + 2^16 high.
fn split_bytes(weight: i32) -> [i8; 3] {
    let [low, ..] = weight.to_le_bytes();
    let low = low.cast_signed();
    let rest = (weight - i32::from(low)) >> 8;
    let [middle, ..] = rest.to_le_bytes();
    let middle = middle.cast_signed();
    let high = (rest - i32::from(middle)) >> 8;
    [
        low,
        middle,
        i8::try_from(high).expect("a weight has at most 24 bits"),
    ]
}

/// The steps of all windows, one window after the other.
enum Steps {
    Pairs(Vec<Pairs>),
    Fours(Avx512, Vec<Fours>),
    /// With the weight of each window.
    Ones(Avx512, Vec<Ones>, Vec<i32>),
}

/// Splits the weights of all windows into `count` steps each.
fn steps<T: Copy>(
    weights: &Weights,
    count: usize,
    step: fn(&[i32]) -> T,
) -> Result<Vec<T>, TryReserveError> {
    let mut all = reserved(weights.windows.len() * count)?;
    for (i, (_, weights)) in weights.iter().enumerate() {
        all.extend(weights.chunks(STEP).map(step));
        all.resize((i + 1) * count, step(&[]));
    }
    Ok(all)
}

pub(super) struct HorizontalPass {
    avx2: Avx2,
    steps: Steps,
    /// Halves of steps in each window, as many as the longest one needs: with the same number everywhere the
    /// processor predicts the loops, which is worth more than the steps without weight.
    halves: usize,
    /// First byte of each window in a row.
    starts: Vec<usize>,
    /// Results of a group: for each window the pixels of all rows, four bytes each.
    pixels: Vec<[u8; 4 * GROUP]>,
    /// Rows that are too close to the end of the source for whole windows, and room for their results.
    padded: Vec<u8>,
    padded_out: Vec<u8>,
}

impl HorizontalPass {
    pub(super) fn new(
        avx2: Avx2,
        avx512: Option<Avx512>,
        weights: &Weights,
    ) -> Result<Self, TryReserveError> {
        let len = weights
            .iter()
            .map(|(window, _)| window.len)
            .max()
            .unwrap_or(0);
        let count = len.div_ceil(STEP);
        let steps = match (avx512, uniform(weights)) {
            (Some(avx512), Some(of_windows)) => {
                Steps::Ones(avx512, steps(weights, count, ones)?, of_windows)
            }
            (Some(avx512), None) => Steps::Fours(avx512, steps(weights, count, fours)?),
            (None, _) => Steps::Pairs(steps(weights, count, pairs)?),
        };
        let starts: Vec<usize> = weights
            .windows
            .iter()
            .map(|window| window.start * CHANNELS)
            .collect();
        let pixels = vec![[0; 4 * GROUP]; starts.len().next_multiple_of(4)];
        Ok(Self {
            avx2,
            steps,
            halves: len.div_ceil(STEP / 2),
            starts,
            pixels,
            padded: Vec::new(),
            padded_out: Vec::new(),
        })
    }

    pub(super) fn rows(&mut self, src: Part<'_>, out: &mut [u8]) {
        let group = GROUP * src.stride;
        let out_group = GROUP * self.starts.len() * CHANNELS;
        // A window may reach behind the end of its row, but not behind the source.
        let whole = group + window_bytes(self.halves.div_ceil(2));
        for (i, out) in out.chunks_mut(out_group).enumerate() {
            let rows = &src.data[i * group..];
            if out.len() == out_group && rows.len() >= whole {
                self.group(&rows[..whole], src.stride, out);
                continue;
            }
            let rows = &rows[..rows.len().min(group)];
            let mut padded = std::mem::take(&mut self.padded);
            let mut padded_out = std::mem::take(&mut self.padded_out);
            padded.resize(whole, 0);
            padded_out.resize(out_group, 0);
            padded[..rows.len()].copy_from_slice(rows);
            self.group(&padded, src.stride, &mut padded_out);
            out.copy_from_slice(&padded_out[..out.len()]);
            (self.padded, self.padded_out) = (padded, padded_out);
        }
    }

    fn group(&mut self, rows: &[u8], stride: usize, out: &mut [u8]) {
        if self.halves == 0 {
            // Pillow's sum of no pixels.
            out.fill(0);
            return;
        }
        let (starts, pixels) = (&self.starts, &mut self.pixels);
        match &self.steps {
            Steps::Pairs(steps) => {
                sum_pairs(self.avx2, rows, stride, steps, self.halves, starts, pixels);
            }
            Steps::Fours(avx512, steps) => {
                let count = self.halves.div_ceil(2);
                sum_fours(*avx512, rows, stride, steps, count, starts, pixels);
            }
            Steps::Ones(avx512, steps, weights) => {
                let count = self.halves.div_ceil(2);
                sum_ones(*avx512, rows, stride, steps, weights, count, starts, pixels);
            }
        }
        sort_pixels(self.avx2, &self.pixels, out);
    }
}

/// Bytes from the start of a window of `count` steps to the end of its last load.
fn window_bytes(count: usize) -> usize {
    count * STEP_BYTES + LOAD - STEP_BYTES
}

// In both kernels the rows have one length, which lets one check of bounds do for all of them.

fearless_simd::kernel!(
    fn sum_pairs(
        avx2: Avx2,
        rows: &[u8],
        stride: usize,
        steps: &[Pairs],
        halves: usize,
        starts: &[usize],
        pixels: &mut [[u8; 4 * GROUP]],
    ) {
        // Spreads four pixels over 16-bit lanes: r0 r1 g0 g1 b0 b1 0 0, r2 r3 g2 g3 b2 b3 0 0. The index
        // 128 gives 0.
        let spread: __m256i = u8x32::from_slice(
            avx2,
            &[
                0, 128, 3, 128, 1, 128, 4, 128, 2, 128, 5, 128, 128, 128, 128, 128, 6, 128, 9, 128,
                7, 128, 10, 128, 8, 128, 11, 128, 128, 128, 128, 128,
            ],
        )
        .into();
        // The same for pixels that start at the fourth byte of a load.
        let spread_late: __m256i = u8x32::from_slice(
            avx2,
            &[
                4, 128, 7, 128, 5, 128, 8, 128, 6, 128, 9, 128, 128, 128, 128, 128, 10, 128, 13,
                128, 11, 128, 14, 128, 12, 128, 15, 128, 128, 128, 128, 128,
            ],
        )
        .into();
        let load = |bytes: &[u8; 16]| -> __m256i {
            let bytes: __m128i = u8x16::from_slice(avx2, bytes).into();
            _mm256_broadcastsi128_si256(bytes)
        };
        let weights = |step: &Pairs| -> __m256i { i16x16::from_slice(avx2, step).into() };
        // Repeats the weights in the way of the pixels; where pixels have 0, any will do.
        let first = |step| {
            (
                _mm256_shuffle_epi32::<0b00_00_00_00>(step),
                _mm256_shuffle_epi32::<0b01_01_01_01>(step),
            )
        };
        let second = |step| {
            (
                _mm256_shuffle_epi32::<0b10_10_10_10>(step),
                _mm256_shuffle_epi32::<0b11_11_11_11>(step),
            )
        };
        let multiply =
            |sums: &mut [__m256i; 2], pixels: __m256i, (high, low): (__m256i, __m256i)| {
                sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(pixels, high));
                sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(pixels, low));
            };
        let whole =
            |[high, low]: [__m256i; 2]| _mm256_add_epi32(_mm256_slli_epi32::<LOW_BITS>(high), low);
        // Adds the halves of both sums and scales back.
        let finish = |first: __m256i, second: __m256i| {
            let sums = _mm256_add_epi32(
                _mm256_permute2x128_si256::<0x20>(first, second),
                _mm256_permute2x128_si256::<0x31>(first, second),
            );
            _mm256_srai_epi32::<PRECISION_BITS>(sums)
        };
        // The halves of a sum are added in the end: only one of them starts with the rounding.
        let rounding = _mm256_setr_epi32(HALF, HALF, HALF, HALF, 0, 0, 0, 0);

        let count = halves.div_ceil(2);
        let len = rows.len() - 3 * stride;
        let row0 = &rows[..len];
        let row1 = &rows[stride..][..len];
        let row2 = &rows[2 * stride..][..len];
        let row3 = &rows[3 * stride..][..len];
        for (pixel, (window, start)) in pixels.iter_mut().zip(steps.chunks_exact(count).zip(starts))
        {
            let row0 = &row0[*start..][..window_bytes(count)];
            let row1 = &row1[*start..][..window_bytes(count)];
            let row2 = &row2[*start..][..window_bytes(count)];
            let row3 = &row3[*start..][..window_bytes(count)];
            let mut sums = [[_mm256_setzero_si256(), rounding]; GROUP];

            let chunks0 = row0.as_chunks::<STEP_BYTES>().0.iter();
            let chunks1 = row1.as_chunks::<STEP_BYTES>().0.iter();
            let chunks2 = row2.as_chunks::<STEP_BYTES>().0.iter();
            let chunks3 = row3.as_chunks::<STEP_BYTES>().0.iter();
            let chunks = chunks0.zip(chunks1).zip(chunks2).zip(chunks3);
            let (full, last) = window.split_at(halves / 2);
            for (step, (((chunk0, chunk1), chunk2), chunk3)) in full.iter().zip(chunks) {
                let chunks = [chunk0, chunk1, chunk2, chunk3];
                let step = weights(step);
                for (sums, [head @ .., _, _, _, _, _, _, _, _]) in sums.iter_mut().zip(chunks) {
                    multiply(sums, _mm256_shuffle_epi8(load(head), spread), first(step));
                }
                for (sums, [_, _, _, _, _, _, _, _, tail @ ..]) in sums.iter_mut().zip(chunks) {
                    multiply(
                        sums,
                        _mm256_shuffle_epi8(load(tail), spread_late),
                        second(step),
                    );
                }
            }
            if let [step] = last {
                let step = weights(step);
                for (sums, row) in sums.iter_mut().zip([row0, row1, row2, row3]) {
                    let head = row[full.len() * STEP_BYTES..].first_chunk();
                    let bytes = load(head.expect("the slice ends with a whole load"));
                    multiply(sums, _mm256_shuffle_epi8(bytes, spread), first(step));
                }
            }

            let [sum0, sum1, sum2, sum3] = sums.map(whole);
            let words = _mm256_packs_epi32(finish(sum0, sum1), finish(sum2, sum3));
            let bytes = _mm256_packus_epi16(words, words);
            // Rows 0 and 2 are in one half, rows 1 and 3 in the other.
            let bytes = _mm_unpacklo_epi32(
                _mm256_castsi256_si128(bytes),
                _mm256_extracti128_si256::<1>(bytes),
            );
            let bytes: u8x16<_> = bytes.simd_into(avx2);
            bytes.store_slice(pixel);
        }
    }
);

fearless_simd::kernel!(
    fn sum_fours(
        avx512: Avx512,
        rows: &[u8],
        stride: usize,
        steps: &[Fours],
        count: usize,
        starts: &[usize],
        pixels: &mut [[u8; 4 * GROUP]],
    ) {
        // Collects the channels: r0 r1 r2 r3 g0 .. b3 and an idle lane, the same of pixels 4 to 7.
        let spread: __m256i = i8x32::from_slice(
            avx512,
            &[
                0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 0, 0, 0, 0, 12, 15, 18, 21, 13, 16, 19, 22,
                14, 17, 20, 23, 0, 0, 0, 0,
            ],
        )
        .into();
        let whole = |[high, middle, low]: [__m256i; 3]| {
            let upper = _mm256_add_epi32(
                _mm256_slli_epi32::<16>(high),
                _mm256_slli_epi32::<8>(middle),
            );
            _mm256_add_epi32(upper, low)
        };
        // As in `sum_pairs`.
        let finish = |first: __m256i, second: __m256i| {
            let sums = _mm256_add_epi32(
                _mm256_permute2x128_si256::<0x20>(first, second),
                _mm256_permute2x128_si256::<0x31>(first, second),
            );
            _mm256_srai_epi32::<PRECISION_BITS>(sums)
        };
        let rounding = _mm256_setr_epi32(HALF, HALF, HALF, HALF, 0, 0, 0, 0);

        let len = rows.len() - 3 * stride;
        let row0 = &rows[..len];
        let row1 = &rows[stride..][..len];
        let row2 = &rows[2 * stride..][..len];
        let row3 = &rows[3 * stride..][..len];
        for (pixel, (window, start)) in pixels.iter_mut().zip(steps.chunks_exact(count).zip(starts))
        {
            let row0 = &row0[*start..][..window_bytes(count)];
            let row1 = &row1[*start..][..window_bytes(count)];
            let row2 = &row2[*start..][..window_bytes(count)];
            let row3 = &row3[*start..][..window_bytes(count)];
            let zero = _mm256_setzero_si256();
            let mut sums = [[zero, zero, rounding]; GROUP];
            for (i, step) in window.iter().enumerate() {
                let step: __m256i = i8x32::from_slice(avx512, step).into();
                let high = _mm256_shuffle_epi32::<0b00_00_00_00>(step);
                let middle = _mm256_shuffle_epi32::<0b01_01_01_01>(step);
                let low = _mm256_shuffle_epi32::<0b10_10_10_10>(step);
                for (sums, row) in sums.iter_mut().zip([row0, row1, row2, row3]) {
                    let bytes: __m256i =
                        u8x32::from_slice(avx512, &row[i * STEP_BYTES..][..LOAD]).into();
                    let pixels = _mm256_permutexvar_epi8(spread, bytes);
                    sums[0] = _mm256_dpbusd_epi32(sums[0], pixels, high);
                    sums[1] = _mm256_dpbusd_epi32(sums[1], pixels, middle);
                    sums[2] = _mm256_dpbusd_epi32(sums[2], pixels, low);
                }
            }
            let [sum0, sum1, sum2, sum3] = sums.map(whole);
            let words = _mm256_packs_epi32(finish(sum0, sum1), finish(sum2, sum3));
            let bytes = _mm256_packus_epi16(words, words);
            // Rows 0 and 2 are in one half, rows 1 and 3 in the other.
            let bytes = _mm_unpacklo_epi32(
                _mm256_castsi256_si128(bytes),
                _mm256_extracti128_si256::<1>(bytes),
            );
            let bytes: u8x16<_> = bytes.simd_into(avx512);
            bytes.store_slice(pixel);
        }
    }
);

fearless_simd::kernel!(
    fn sum_ones(
        avx512: Avx512,
        rows: &[u8],
        stride: usize,
        steps: &[Ones],
        weights: &[i32],
        count: usize,
        starts: &[usize],
        pixels: &mut [[u8; 4 * GROUP]],
    ) {
        // As in `sum_fours`.
        let spread: __m256i = i8x32::from_slice(
            avx512,
            &[
                0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 0, 0, 0, 0, 12, 15, 18, 21, 13, 16, 19, 22,
                14, 17, 20, 23, 0, 0, 0, 0,
            ],
        )
        .into();
        let len = rows.len() - 3 * stride;
        let row0 = &rows[..len];
        let row1 = &rows[stride..][..len];
        let row2 = &rows[2 * stride..][..len];
        let row3 = &rows[3 * stride..][..len];
        let windows = steps.chunks_exact(count).zip(starts).zip(weights);
        for (pixel, ((window, start), weight)) in pixels.iter_mut().zip(windows) {
            let row0 = &row0[*start..][..window_bytes(count)];
            let row1 = &row1[*start..][..window_bytes(count)];
            let row2 = &row2[*start..][..window_bytes(count)];
            let row3 = &row3[*start..][..window_bytes(count)];
            let mut sums = [_mm256_setzero_si256(); GROUP];
            for (i, step) in window.iter().enumerate() {
                let step: __m256i = i8x32::from_slice(avx512, step).into();
                for (sum, row) in sums.iter_mut().zip([row0, row1, row2, row3]) {
                    let bytes: __m256i =
                        u8x32::from_slice(avx512, &row[i * STEP_BYTES..][..LOAD]).into();
                    let pixels = _mm256_permutexvar_epi8(spread, bytes);
                    *sum = _mm256_dpbusd_epi32(*sum, pixels, step);
                }
            }
            let weight = _mm256_set1_epi32(*weight);
            // Adds the halves of both sums, multiplies, rounds and scales back.
            let finish = |first: __m256i, second: __m256i| {
                let sums = _mm256_add_epi32(
                    _mm256_permute2x128_si256::<0x20>(first, second),
                    _mm256_permute2x128_si256::<0x31>(first, second),
                );
                let products = _mm256_mullo_epi32(sums, weight);
                let rounded = _mm256_add_epi32(products, _mm256_set1_epi32(HALF));
                _mm256_srai_epi32::<PRECISION_BITS>(rounded)
            };
            let [sum0, sum1, sum2, sum3] = sums;
            let words = _mm256_packs_epi32(finish(sum0, sum1), finish(sum2, sum3));
            let bytes = _mm256_packus_epi16(words, words);
            // As in `sum_fours`.
            let bytes = _mm_unpacklo_epi32(
                _mm256_castsi256_si128(bytes),
                _mm256_extracti128_si256::<1>(bytes),
            );
            let bytes: u8x16<_> = bytes.simd_into(avx512);
            bytes.store_slice(pixel);
        }
    }
);

fearless_simd::kernel!(
    fn sort_pixels(avx2: Avx2, pixels: &[[u8; 4 * GROUP]], out: &mut [u8]) {
        // Sorts the pixels into rows, four by four, and drops each one's fourth byte.
        let dense: __m128i = u8x16::from_slice(
            avx2,
            &[0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 128, 128, 128, 128],
        )
        .into();
        let (quads, _) = pixels.as_chunks::<4>();
        let sorted = |quad: &[[u8; 16]; 4]| {
            let [p0, p1, p2, p3] = quad
                .each_ref()
                .map(|pixel| -> __m128i { u8x16::from_slice(avx2, pixel).into() });
            let (low01, high01) = (_mm_unpacklo_epi32(p0, p1), _mm_unpackhi_epi32(p0, p1));
            let (low23, high23) = (_mm_unpacklo_epi32(p2, p3), _mm_unpackhi_epi32(p2, p3));
            let rows = [
                _mm_unpacklo_epi64(low01, low23),
                _mm_unpackhi_epi64(low01, low23),
                _mm_unpacklo_epi64(high01, high23),
                _mm_unpackhi_epi64(high01, high23),
            ];
            rows.map(|row| -> [u8; 16] {
                let bytes: u8x16<_> = _mm_shuffle_epi8(row, dense).simd_into(avx2);
                bytes.into()
            })
        };
        let (out0, out) = out.split_at_mut(out.len() / 4);
        let (out1, out) = out.split_at_mut(out.len() / 3);
        let (out2, out3) = out.split_at_mut(out.len() / 2);
        let (out0, rest0) = out0.as_chunks_mut::<12>();
        let (out1, rest1) = out1.as_chunks_mut::<12>();
        let (out2, rest2) = out2.as_chunks_mut::<12>();
        let (out3, rest3) = out3.as_chunks_mut::<12>();
        if let Some(quad) = quads.get(out0.len()) {
            for (rest, row) in [rest0, rest1, rest2, rest3].into_iter().zip(sorted(quad)) {
                rest.copy_from_slice(&row[..rest.len()]);
            }
        }
        for ((((out0, out1), out2), out3), quad) in
            out0.iter_mut().zip(out1).zip(out2).zip(out3).zip(quads)
        {
            for (out, [row @ .., _, _, _, _]) in
                [out0, out1, out2, out3].into_iter().zip(sorted(quad))
            {
                *out = row;
            }
        }
    }
);

pub(super) struct VerticalPass {
    avx2: Avx2,
    /// Room for the high and the low parts of the weights of two rows each.
    pairs: Vec<[[i16; 2]; 2]>,
}

impl VerticalPass {
    pub(super) fn new(avx2: Avx2) -> Self {
        Self {
            avx2,
            pairs: Vec::new(),
        }
    }

    /// Needs an `out` of at least [`BLOCK`] bytes.
    pub(super) fn row(&mut self, rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
        self.pairs.clear();
        self.pairs.extend(weights.chunks(2).map(|pair| {
            let (high0, low0) = split(pair[0]);
            // An odd window's last row is paired with itself, at no weight.
            let (high1, low1) = pair.get(1).map_or((0, 0), |weight| split(*weight));
            [[high0, high1], [low0, low1]]
        }));
        vertical_row(self.avx2, rows, stride, &self.pairs, out);
    }
}

fearless_simd::kernel!(
    fn vertical_row(
        avx2: Avx2,
        rows: &[u8],
        stride: usize,
        pairs: &[[[i16; 2]; 2]],
        out: &mut [u8],
    ) {
        let zero = _mm256_setzero_si256();
        let load =
            |start: usize| -> __m256i { u8x32::from_slice(avx2, &rows[start..][..BLOCK]).into() };
        let broadcast = |[even, odd]: [i16; 2]| -> __m256i {
            _mm256_set1_epi32(i32::from(odd) << 16 | i32::from(even) & 0xffff)
        };
        let finish = |[high, low]: [__m256i; 2]| {
            let sum = _mm256_add_epi32(_mm256_slli_epi32::<LOW_BITS>(high), low);
            _mm256_srai_epi32::<PRECISION_BITS>(_mm256_add_epi32(sum, _mm256_set1_epi32(HALF)))
        };
        let last_row = rows.len().saturating_sub(out.len());
        let mut x = 0;
        loop {
            let mut sums = [[zero; 2]; 4];
            for (i, [high, low]) in pairs.iter().enumerate() {
                let row = i * 2 * stride;
                let (even, odd) = (load(row + x), load((row + stride).min(last_row) + x));
                let (left, right) = (
                    _mm256_unpacklo_epi8(even, odd),
                    _mm256_unpackhi_epi8(even, odd),
                );
                let (high, low) = (broadcast(*high), broadcast(*low));
                let quarters = [
                    _mm256_unpacklo_epi8(left, zero),
                    _mm256_unpackhi_epi8(left, zero),
                    _mm256_unpacklo_epi8(right, zero),
                    _mm256_unpackhi_epi8(right, zero),
                ];
                for (sums, quarter) in sums.iter_mut().zip(quarters) {
                    sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(quarter, high));
                    sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(quarter, low));
                }
            }
            let [sum0, sum1, sum2, sum3] = sums.map(finish);
            let bytes = _mm256_packus_epi16(
                _mm256_packs_epi32(sum0, sum1),
                _mm256_packs_epi32(sum2, sum3),
            );
            let bytes: u8x32<_> = bytes.simd_into(avx2);
            bytes.store_slice(&mut out[x..][..BLOCK]);
            // The last block overlaps the one before it rather than leaving a rest.
            match out.len() - x {
                BLOCK => break,
                left => x += BLOCK.min(left - BLOCK),
            }
        }
    }
);
