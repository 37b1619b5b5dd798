//! Pillow's `Image.resize` for RGB pictures of 8 bits a channel.
//!
//! The arithmetic follows Pillow 13's `src/libImaging/Resample.c`: separable convolution in two passes, the first one
//! limited to what the second one reads, each rounded to 8 bits. Weights are computed in `f64`, normalized, and
//! rounded to 22 fractional bits; sums are exact in `i32`, so that the order of addition is free.
//! `Nearest` follows `ImagingScaleAffine` of `src/libImaging/Geometry.c`.

use std::f64::consts::PI;
use std::ops::Range;

use crate::{CHANNELS, Filter, RgbView, SourceBox, target_size};

/// Fractional bits of a weight: 32 less 8 for the pixel and 2 for sums outside of its range (negative lobes).
const PRECISION_BITS: i32 = 32 - 8 - 2;

/// Rows that the horizontal pass treats at a time: its vector code shares the loading of weights among them.
const GROUP: usize = 4;

/// One half in the fixed point of the sums.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Resamples `src`, or the part of it in `source_box`, to `width` x `height` pixels as Pillow's `Image.resize` does.
///
/// Returns `width * height * 3` bytes, laid out like the source. An unchanged size with an aligned box is a copy.
///
/// The bytes are those of Pillow 13.0 without `reducing_gap`. Where a picture shrinks much more in height than in
/// width, 333 x 500 to 224 x 224 for example, they differ in rounding from those of older versions, which resample
/// along x first.
///
/// # Panics
///
/// If a side of the target is zero or above `i32::MAX`, if the target exceeds the address space, or if `source_box`
/// is empty, is not a number, or reaches outside of the picture. All of these are mistakes of the caller, who
/// chooses them knowing the size of the picture; pixel values never panic.
#[must_use]
pub fn resize(
    src: RgbView<'_>,
    source_box: Option<SourceBox>,
    width: u32,
    height: u32,
    filter: Filter,
) -> Vec<u8> {
    let (out_width, out_height, out_len) = target_size(width, height);
    let (columns, rows) = axes(src, source_box);

    if let (Some(left), Some(top)) = (columns.copied_from(out_width), rows.copied_from(out_height))
    {
        return crop(src, left, top, out_width, out_height);
    }
    let (kernel, support): (fn(f64) -> f64, f64) = match filter {
        Filter::Nearest => return nearest(src, columns, rows, out_width, out_height, out_len),
        Filter::Box => (box_kernel, 0.5),
        Filter::Bilinear => (triangle_kernel, 1.0),
        Filter::Bicubic => (cubic_kernel, 2.0),
        Filter::Lanczos => (lanczos_kernel, 3.0),
    };

    let needs_horizontal = !columns.is_whole(out_width);
    let needs_vertical = !rows.is_whole(out_height);
    let mut horizontal = Weights::new(columns, out_width, kernel, support);
    let mut vertical = Weights::new(rows, out_height, kernel, support);
    let (used_columns, used_rows) = (horizontal.used(), vertical.used());
    let whole = Part {
        data: src.data,
        stride: src.stride(),
    };
    let mut out = vec![0; out_len];
    if used_columns.is_empty() || used_rows.is_empty() {
        // A sliver at the edge that `f32` rounds away: Pillow's box filter sums up nothing and gives black.
        return out;
    }
    // Neither pass would be a copy, which has been made above.
    if !needs_horizontal {
        VerticalPass::new(&vertical).rows(whole, &mut out);
    } else if !needs_vertical {
        HorizontalPass::new(&horizontal).rows(whole, &mut out);
    } else if horizontal_first(src, width, height) {
        // Each pass rounds, so that their order shows in the bytes.
        vertical.shift(used_rows.start);
        narrow_then_flatten(whole.rows(used_rows), &horizontal, &vertical, &mut out);
    } else {
        horizontal.shift(used_columns.start);
        flatten_then_narrow(
            whole.columns(used_columns),
            &horizontal,
            &vertical,
            &mut out,
        );
    }
    out
}

/// The horizontal pass, then the vertical one. Of the first one's rows only those are held that a window spans, which
/// keeps them in the processor's caches.
fn narrow_then_flatten(src: Part<'_>, horizontal: &Weights, vertical: &Weights, out: &mut [u8]) {
    let stride = horizontal.windows.len() * CHANNELS;
    let mut narrow = HorizontalPass::new(horizontal);
    let mut flatten = VerticalPass::new(vertical);
    // Room for many rows besides one window's, so that rows are moved to the front only now and then.
    let capacity = vertical.stride + vertical.stride.max(32) + GROUP;
    let mut band = vec![0; capacity * stride];
    let mut held = 0..0;
    for (out_row, (window, weights)) in out.chunks_exact_mut(stride).zip(vertical.iter()) {
        while held.end < window.start + window.len {
            if held.len() + GROUP > capacity {
                let kept = window.start.clamp(held.start, held.end)..held.end;
                band.copy_within((kept.start - held.start) * stride..held.len() * stride, 0);
                held = kept;
            }
            let count = GROUP.min(src.height() - held.end);
            let rest = Part {
                data: &src.data[held.end * src.stride..],
                ..src
            };
            narrow.rows(rest, &mut band[held.len() * stride..][..count * stride]);
            held.end += count;
        }
        let band = Part {
            data: &band[..held.len() * stride],
            stride,
        };
        let window = Window {
            start: window.start.saturating_sub(held.start),
            ..window
        };
        flatten.row(band.rows_of(window), stride, weights, out_row);
    }
}

/// The vertical pass, then the horizontal one, a group of rows at a time.
fn flatten_then_narrow(src: Part<'_>, horizontal: &Weights, vertical: &Weights, out: &mut [u8]) {
    let stride = src.row_len();
    let mut narrow = HorizontalPass::new(horizontal);
    let mut flatten = VerticalPass::new(vertical);
    let mut band = vec![0; GROUP * stride];
    let mut windows = vertical.iter();
    for out_rows in out.chunks_mut(GROUP * horizontal.windows.len() * CHANNELS) {
        let mut count = 0;
        for (row, (window, weights)) in band
            .chunks_exact_mut(stride)
            .zip(windows.by_ref().take(GROUP))
        {
            flatten.row(src.rows_of(window), src.stride, weights, row);
            count += 1;
        }
        narrow.rows(
            Part {
                data: &band[..count * stride],
                stride,
            },
            out_rows,
        );
    }
}

/// The order of the passes, as of Pillow 13.0: the vertical one is first where the height shrinks by more than twice
/// the pixels that the width shrinks by. Sizes are of the whole picture, whatever the source box. Older versions
/// have the horizontal pass first (12.2 makes an exception for pictures over 100 times as high as wide).
fn horizontal_first(src: RgbView<'_>, width: u32, height: u32) -> bool {
    let shrinks_by = |from: u32, to: u32| i64::from(from) - i64::from(to);
    let (columns, rows) = (shrinks_by(src.width, width), shrinks_by(src.height, height));
    !(rows > 0 && rows > columns * 2)
}

/// One axis of the source: its length in pixels, and the interval to resample, rounded to `f32` as in Pillow.
#[derive(Debug, Clone, Copy)]
struct Axis {
    len: usize,
    from: f32,
    to: f32,
}

impl Axis {
    /// Whether the interval is the whole axis and `out_len` its length, so that Pillow skips the pass.
    #[expect(clippy::float_cmp, reason = "Pillow compares exactly, too")]
    fn is_whole(self, out_len: usize) -> bool {
        self.len == out_len && self.from == 0.0 && self.to == as_f32(out_len)
    }

    /// The first pixel, if the interval starts on a pixel and has the length `out_len`, so that Pillow only copies.
    #[expect(clippy::float_cmp, reason = "Pillow compares exactly, too")]
    fn copied_from(self, out_len: usize) -> Option<usize> {
        let aligned = self.from.fract() == 0.0 && self.to - self.from == as_f32(out_len);
        let first = to_index(f64::from(self.from));
        // Above 2^24 the `f32` edges are not exact any more; never crop beyond the end.
        (aligned && first + out_len <= self.len).then_some(first)
    }

    /// Source pixels for each target pixel.
    fn scale(self, out_len: usize) -> f64 {
        f64::from(self.to - self.from) / as_f64(out_len)
    }
}

/// The axes of `src`, limited to `source_box`.
fn axes(src: RgbView<'_>, source_box: Option<SourceBox>) -> (Axis, Axis) {
    let (width, height) = (src.width as usize, src.height as usize);
    let Some(SourceBox {
        left,
        top,
        right,
        bottom,
    }) = source_box
    else {
        return (
            Axis {
                len: width,
                from: 0.0,
                to: as_f32(width),
            },
            Axis {
                len: height,
                from: 0.0,
                to: as_f32(height),
            },
        );
    };
    // Written so that NaN fails too.
    assert!(
        left >= 0.0 && top >= 0.0 && right <= as_f64(width) && bottom <= as_f64(height),
        "source box {left}, {top}, {right}, {bottom} reaches outside of the picture of {width} x {height} pixels"
    );
    assert!(
        left < right && top < bottom,
        "source box {left}, {top}, {right}, {bottom} is empty"
    );
    // Pillow takes the box as C floats.
    let axis = |len, from: f64, to: f64| Axis {
        len,
        from: from as f32,
        to: to as f32,
    };
    (axis(width, left, right), axis(height, top, bottom))
}

/// Copies a rectangle of `src`.
fn crop(src: RgbView<'_>, left: usize, top: usize, width: usize, height: usize) -> Vec<u8> {
    if left == 0 && width == src.width as usize {
        return src.data[top * src.stride()..][..height * src.stride()].to_vec();
    }
    let mut out = Vec::with_capacity(width * height * CHANNELS);
    for row in src.data.chunks_exact(src.stride()).skip(top).take(height) {
        out.extend_from_slice(&row[left * CHANNELS..][..width * CHANNELS]);
    }
    out
}

/// Pillow's `ImagingScaleAffine` without interpolation. Targets outside of the source stay black.
fn nearest(
    src: RgbView<'_>,
    columns: Axis,
    rows: Axis,
    width: usize,
    height: usize,
    len: usize,
) -> Vec<u8> {
    let columns = nearest_positions(columns, width);
    let mut out = vec![0; len];
    for (out_row, y) in out
        .chunks_exact_mut(width * CHANNELS)
        .zip(nearest_positions(rows, height))
    {
        let (row, _) = src.row(y).as_chunks::<CHANNELS>();
        for (pixel, x) in out_row
            .as_chunks_mut::<CHANNELS>()
            .0
            .iter_mut()
            .zip(&columns)
        {
            *pixel = row[*x];
        }
    }
    out
}

/// The source pixel of each of `out_len` target pixels, up to the first one outside of the source, if any.
fn nearest_positions(axis: Axis, out_len: usize) -> Vec<usize> {
    let scale = axis.scale(out_len);
    // Pillow adds up the positions, so that their rounding errors add up too; multiplying would differ.
    let first = f64::from(axis.from) + scale * 0.5;
    let positions = std::iter::successors(Some(first), |position| Some(position + scale));
    positions
        .take(out_len)
        .map(to_index)
        .take_while(|&index| index < axis.len)
        .collect()
}

/// 1 for x in (-0.5, 0.5].
fn box_kernel(x: f64) -> f64 {
    if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 }
}

/// The triangle of height 1 over (-1, 1).
fn triangle_kernel(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 { 1.0 - x } else { 0.0 }
}

/// Cubic convolution (Keys) over (-2, 2).
fn cubic_kernel(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Sinc windowed by a sinc three times as wide, over [-3, 3).
fn lanczos_kernel(x: f64) -> f64 {
    fn sinc(x: f64) -> f64 {
        if x == 0.0 {
            return 1.0;
        }
        let x = x * PI;
        x.sin() / x
    }
    if (-3.0..3.0).contains(&x) {
        sinc(x) * sinc(x / 3.0)
    } else {
        0.0
    }
}

/// The source pixels that make up one target pixel of an axis.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: usize,
    len: usize,
}

/// The weights of one axis.
#[derive(Debug)]
struct Weights {
    /// One for each target pixel.
    windows: Vec<Window>,
    /// For each window `stride` weights in fixed point; those from `Window::len` on are 0.
    values: Vec<i32>,
    stride: usize,
}

impl Weights {
    /// Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`.
    fn new(axis: Axis, out_len: usize, kernel: fn(f64) -> f64, support: f64) -> Self {
        let scale = axis.scale(out_len);
        let filter_scale = scale.max(1.0);
        let support = support * filter_scale;
        let inverse = 1.0 / filter_scale;
        let stride = to_index(support.ceil()) * 2 + 1;

        let mut windows = Vec::with_capacity(out_len);
        let mut values = vec![0; out_len * stride];
        let mut real = Vec::with_capacity(stride);
        for (i, values) in values.chunks_exact_mut(stride).enumerate() {
            let center = f64::from(axis.from) + (as_f64(i) + 0.5) * scale;
            let start = to_index(center - support + 0.5);
            let end = to_index(center + support + 0.5).min(axis.len);
            real.clear();
            real.extend((start..end).map(|x| kernel((as_f64(x) - center + 0.5) * inverse)));
            // From left to right, as Pillow adds them.
            let sum: f64 = real.iter().fold(0.0, |sum, weight| sum + weight);
            for (value, weight) in values.iter_mut().zip(&real) {
                *value = to_fixed(if sum == 0.0 { *weight } else { weight / sum });
            }
            windows.push(Window {
                start,
                len: real.len(),
            });
        }
        Self {
            windows,
            values,
            stride,
        }
    }

    /// The windows, each with its weights.
    fn iter(&self) -> impl Iterator<Item = (Window, &[i32])> {
        let values = self.values.chunks_exact(self.stride);
        self.windows
            .iter()
            .zip(values)
            .map(|(window, values)| (*window, &values[..window.len]))
    }

    /// Counts source pixels from `first` on, before which no window may begin.
    fn shift(&mut self, first: usize) {
        for window in &mut self.windows {
            window.start -= first;
        }
    }

    /// The source pixels that the windows span together. They only ever move forward.
    fn used(&self) -> Range<usize> {
        let first = self.windows.first().map_or(0, |window| window.start);
        let end = self
            .windows
            .last()
            .map_or(0, |window| window.start + window.len);
        first..end.max(first)
    }
}

/// Rows of a picture, or of a part of it.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    /// From the first byte of the first row to the last byte of the last one.
    data: &'a [u8],
    /// Bytes from the start of one row to the start of the next.
    stride: usize,
}

impl<'a> Part<'a> {
    /// The rows in `range`.
    fn rows(self, range: Range<usize>) -> Self {
        Self {
            data: &self.data[range.start * self.stride..range.end * self.stride],
            ..self
        }
    }

    /// The columns in `range`, counted in pixels; rows keep their distance.
    fn columns(self, range: Range<usize>) -> Self {
        let cut = self.stride - range.end * CHANNELS;
        Self {
            data: &self.data[range.start * CHANNELS..self.data.len() - cut],
            ..self
        }
    }

    /// From the first byte of the window's rows on. An empty window has no bytes, wherever it lies.
    fn rows_of(self, window: Window) -> &'a [u8] {
        if window.len == 0 {
            return &[];
        }
        let start = window.start * self.stride;
        &self.data[start..start + (window.len - 1) * self.stride + self.row_len()]
    }

    /// Number of rows.
    fn height(self) -> usize {
        self.data.len().div_ceil(self.stride)
    }

    /// Bytes of each row that belong to the part.
    fn row_len(self) -> usize {
        match self.data.len() % self.stride {
            0 => self.stride,
            len => len,
        }
    }
}

/// Rounds half away from zero by adding and truncating, as Pillow does.
fn to_fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    // The cast truncates.
    (if weight < 0.0 {
        scaled - 0.5
    } else {
        scaled + 0.5
    }) as i32
}

/// Scales a sum back and clips it to a byte.
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Truncates; negative positions and NaN become 0.
fn to_index(position: f64) -> usize {
    // The cast saturates.
    position as usize
}

/// A length or index as `f64`, exact: it is at most `i32::MAX`.
fn as_f64(index: usize) -> f64 {
    index as f64
}

/// A length as `f32`, rounded as C converts it for Pillow.
fn as_f32(len: usize) -> f32 {
    len as f32
}

/// Resamples along x.
struct HorizontalPass<'w> {
    weights: &'w Weights,
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    avx2: Option<x86::HorizontalPass>,
}

impl<'w> HorizontalPass<'w> {
    fn new(weights: &'w Weights) -> Self {
        Self {
            weights,
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            avx2: {
                let level = fearless_simd::Level::new();
                level
                    .as_avx2()
                    .map(|avx2| x86::HorizontalPass::new(avx2, level.as_avx512(), weights))
            },
        }
    }

    /// Fills `out` with as many rows as it has room for, of one pixel for each window. `src` may have more rows.
    fn rows(&mut self, src: Part<'_>, out: &mut [u8]) {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if let Some(avx2) = &mut self.avx2 {
            avx2.rows(src, out);
            return;
        }
        horizontal_portable(src, self.weights, out);
    }
}

/// [`HorizontalPass::rows`] for any processor.
fn horizontal_portable(src: Part<'_>, weights: &Weights, out: &mut [u8]) {
    let out_rows = out.chunks_exact_mut(weights.windows.len() * CHANNELS);
    for (row, out_row) in src.data.chunks(src.stride).zip(out_rows) {
        let (row, _) = row.as_chunks::<CHANNELS>();
        for (pixel, (window, weights)) in out_row
            .as_chunks_mut::<CHANNELS>()
            .0
            .iter_mut()
            .zip(weights.iter())
        {
            let mut sums = [HALF; CHANNELS];
            for (source, weight) in row[window.start..][..window.len].iter().zip(weights) {
                for (sum, byte) in sums.iter_mut().zip(source) {
                    *sum += i32::from(*byte) * weight;
                }
            }
            *pixel = sums.map(to_byte);
        }
    }
}

/// Resamples along y.
struct VerticalPass<'w> {
    weights: &'w Weights,
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    avx2: Option<x86::VerticalPass>,
}

impl<'w> VerticalPass<'w> {
    fn new(weights: &'w Weights) -> Self {
        Self {
            weights,
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            avx2: fearless_simd::Level::new()
                .as_avx2()
                .map(x86::VerticalPass::new),
        }
    }

    /// Fills `out` with one row for each window, with the columns of `src`.
    fn rows(&mut self, src: Part<'_>, out: &mut [u8]) {
        for (out_row, (window, weights)) in
            out.chunks_exact_mut(src.row_len()).zip(self.weights.iter())
        {
            self.row(src.rows_of(window), src.stride, weights, out_row);
        }
    }

    /// Fills `out` with the sum of as many rows as there are weights. `rows` starts with the first one and ends with
    /// the last one's bytes; from one to the next it is `stride` bytes.
    fn row(&mut self, rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if let Some(avx2) = &mut self.avx2
            && out.len() >= x86::BLOCK
        {
            avx2.row(rows, stride, weights, out);
            return;
        }
        vertical_portable(rows, stride, weights, out);
    }
}

/// [`VerticalPass::row`] for any processor.
fn vertical_portable(rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
    // Columns whose sums stay in registers while all rows of a window go by.
    const BLOCK: usize = 32;
    for (i, block) in out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [HALF; BLOCK];
        for (row, weight) in rows.chunks(stride).zip(weights) {
            // Whole blocks have a constant length, for which the compiler makes vector code.
            if let Some(row) = row[i * BLOCK..].first_chunk::<BLOCK>() {
                add_weighted(&mut sums, row, *weight);
            } else {
                add_weighted(&mut sums, &row[i * BLOCK..], *weight);
            }
        }
        for (byte, sum) in block.iter_mut().zip(sums) {
            *byte = to_byte(sum);
        }
    }
}

/// Adds `row`, times `weight`, to as many `sums`.
#[inline]
fn add_weighted(sums: &mut [i32], row: &[u8], weight: i32) {
    for (sum, byte) in sums.iter_mut().zip(row) {
        *sum += i32::from(*byte) * weight;
    }
}

/// The passes for processors with AVX2, and with AVX-512 as of Ice Lake and Zen 4.
///
/// No instruction multiplies bytes with weights of 22 bits and adds up the products, so weights are split: for AVX2's
/// multiply-add of pairs into two parts of 16 bits, the lower of which has 8 significant ones, for AVX-512's
/// multiply-add of fours into three parts of 8 bits. Each part has its own sum, and the sums are exact.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod x86 {
    #[cfg(target_arch = "x86")]
    #[allow(clippy::wildcard_imports, reason = "a long list of intrinsics")]
    use std::arch::x86::*;
    #[cfg(target_arch = "x86_64")]
    #[allow(clippy::wildcard_imports, reason = "a long list of intrinsics")]
    use std::arch::x86_64::*;

    use fearless_simd::{Avx2, Avx512, i8x32, i16x16, prelude::*, u8x16, u8x32};

    use super::{CHANNELS, GROUP, HALF, PRECISION_BITS, Part, Weights};

    /// Bytes of a row that the vertical pass sums at a time.
    pub(super) const BLOCK: usize = 32;
    /// Pixels that the horizontal pass treats at a time; windows are padded to a multiple of it.
    const STEP: usize = 8;
    const STEP_BYTES: usize = STEP * CHANNELS;
    /// Bytes of the widest load of a step. It may reach behind the step.
    const LOAD: usize = 32;
    const LOW_BITS: i32 = 8;

    /// The two parts of a weight.
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

    /// Which pixels of one [`STEP`] belong to the window, in the way of the pixels: 1 or 0.
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

    /// The weight of each window, if none has two that differ, zeros aside: the box filter. Its pixels can be added up
    /// before the sum is multiplied, once.
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

    /// The three signed parts of a weight, lowest first: low + 2^8 middle + 2^16 high.
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
    fn steps<T: Copy>(weights: &Weights, count: usize, step: fn(&[i32]) -> T) -> Vec<T> {
        let mut all = Vec::with_capacity(weights.windows.len() * count);
        for (i, (_, weights)) in weights.iter().enumerate() {
            all.extend(weights.chunks(STEP).map(step));
            all.resize((i + 1) * count, step(&[]));
        }
        all
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
        /// Rows that are too close to the end of the source for whole windows, and room for what comes of them.
        padded: Vec<u8>,
        padded_out: Vec<u8>,
    }

    impl HorizontalPass {
        pub(super) fn new(avx2: Avx2, avx512: Option<Avx512>, weights: &Weights) -> Self {
            let len = weights
                .iter()
                .map(|(window, _)| window.len)
                .max()
                .unwrap_or(0);
            let count = len.div_ceil(STEP);
            let steps = match (avx512, uniform(weights)) {
                (Some(avx512), Some(of_windows)) => {
                    Steps::Ones(avx512, steps(weights, count, ones), of_windows)
                }
                (Some(avx512), None) => Steps::Fours(avx512, steps(weights, count, fours)),
                (None, _) => Steps::Pairs(steps(weights, count, pairs)),
            };
            let starts: Vec<usize> = weights
                .windows
                .iter()
                .map(|window| window.start * CHANNELS)
                .collect();
            let pixels = vec![[0; 4 * GROUP]; starts.len().next_multiple_of(4)];
            Self {
                avx2,
                steps,
                halves: len.div_ceil(STEP / 2),
                starts,
                pixels,
                padded: Vec::new(),
                padded_out: Vec::new(),
            }
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
                // Pillow's sum of nothing.
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
                    0, 128, 3, 128, 1, 128, 4, 128, 2, 128, 5, 128, 128, 128, 128, 128, 6, 128, 9,
                    128, 7, 128, 10, 128, 8, 128, 11, 128, 128, 128, 128, 128,
                ],
            )
            .into();
            // The same for pixels that start at the fourth byte of a load.
            let spread_late: __m256i = u8x32::from_slice(
                avx2,
                &[
                    4, 128, 7, 128, 5, 128, 8, 128, 6, 128, 9, 128, 128, 128, 128, 128, 10, 128,
                    13, 128, 11, 128, 14, 128, 12, 128, 15, 128, 128, 128, 128, 128,
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
            let whole = |[high, low]: [__m256i; 2]| {
                _mm256_add_epi32(_mm256_slli_epi32::<LOW_BITS>(high), low)
            };
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
            for (pixel, (window, start)) in
                pixels.iter_mut().zip(steps.chunks_exact(count).zip(starts))
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
                    0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 0, 0, 0, 0, 12, 15, 18, 21, 13, 16, 19,
                    22, 14, 17, 20, 23, 0, 0, 0, 0,
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
            for (pixel, (window, start)) in
                pixels.iter_mut().zip(steps.chunks_exact(count).zip(starts))
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
                    0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 0, 0, 0, 0, 12, 15, 18, 21, 13, 16, 19,
                    22, 14, 17, 20, 23, 0, 0, 0, 0,
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
            let load = |start: usize| -> __m256i {
                u8x32::from_slice(avx2, &rows[start..][..BLOCK]).into()
            };
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
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTERS: [Filter; 5] = [
        Filter::Nearest,
        Filter::Box,
        Filter::Bilinear,
        Filter::Bicubic,
        Filter::Lanczos,
    ];

    /// Bytes `(i * step + first) mod 256`.
    fn ramp(len: usize, step: usize, first: usize) -> Vec<u8> {
        (0..len).map(|i| (i * step + first) as u8).collect()
    }

    fn view(width: u32, height: u32, data: &[u8]) -> RgbView<'_> {
        RgbView::new(width, height, data).unwrap()
    }

    #[test]
    fn same_size_is_a_copy() {
        let data = ramp(5 * 4 * 3, 37, 11);
        for filter in FILTERS {
            assert_eq!(resize(view(5, 4, &data), None, 5, 4, filter), data);
        }
    }

    #[test]
    fn constant_stays_constant() {
        let data = [7, 130, 255].repeat(40 * 30);
        for filter in FILTERS {
            for (width, height) in [(1, 1), (13, 30), (40, 7), (100, 90)] {
                let expected = [7, 130, 255].repeat((width * height) as usize);
                assert_eq!(
                    resize(view(40, 30, &data), None, width, height, filter),
                    expected,
                    "{filter:?}"
                );
            }
        }
    }

    #[test]
    fn halving_with_box_is_the_mean() {
        let data = [[0, 10, 255], [4, 20, 255], [8, 30, 255], [12, 40, 254]].concat();
        assert_eq!(
            resize(view(2, 2, &data), None, 1, 1, Filter::Box),
            [6, 25, 255]
        );
    }

    /// Expected bytes from Pillow 13.0.0: `Image.resize((3, 2), filter)`.
    #[test]
    fn equals_pillow() {
        let data = ramp(5 * 4 * 3, 37, 11);
        let expected: [[u8; 18]; 5] = [
            [
                54, 91, 128, 20, 57, 94, 242, 23, 60, 140, 177, 214, 106, 143, 180, 72, 109, 146,
            ],
            [
                89, 126, 163, 127, 36, 73, 166, 139, 112, 175, 148, 121, 85, 122, 159, 124, 161,
                134,
            ],
            [
                90, 127, 148, 126, 102, 131, 161, 135, 110, 157, 147, 137, 132, 145, 133, 124, 140,
                130,
            ],
            [
                83, 124, 148, 125, 100, 136, 165, 133, 106, 162, 146, 135, 138, 152, 131, 118, 141,
                135,
            ],
            [
                83, 126, 143, 124, 105, 145, 162, 128, 106, 162, 143, 134, 142, 159, 129, 116, 140,
                140,
            ],
        ];
        for (filter, expected) in FILTERS.into_iter().zip(expected) {
            assert_eq!(
                resize(view(5, 4, &data), None, 3, 2, filter),
                expected,
                "{filter:?}"
            );
        }
    }

    /// Expected bytes from Pillow 13.0.0: `Image.resize((2, 2), BILINEAR, (0.5, 1.25, 4.0, 3.5))`.
    #[test]
    fn fractional_box_equals_pillow() {
        let data = ramp(5 * 4 * 3, 37, 11);
        let part = SourceBox {
            left: 0.5,
            top: 1.25,
            right: 4.0,
            bottom: 3.5,
        };
        let expected = [120, 157, 148, 109, 125, 158, 167, 144, 108, 135, 167, 146];
        assert_eq!(
            resize(view(5, 4, &data), Some(part), 2, 2, Filter::Bilinear),
            expected
        );
    }

    /// Expected bytes from Pillow 13.0.0; with the horizontal pass first (Pillow 12.1) they are
    /// 74, 79, 84, 173, 178, 183.
    #[test]
    fn tall_pictures_shrink_vertically_first() {
        let data = ramp(2 * 9 * 3, 5, 5);
        let expected = [74, 79, 84, 172, 177, 182];
        assert_eq!(
            resize(view(2, 9, &data), None, 1, 2, Filter::Bicubic),
            expected
        );
    }

    #[test]
    fn aligned_box_of_the_target_size_is_a_crop() {
        let data = ramp(5 * 4 * 3, 37, 11);
        let part = SourceBox {
            left: 1.0,
            top: 2.0,
            right: 4.0,
            bottom: 4.0,
        };
        let expected = [&data[(2 * 5 + 1) * 3..][..9], &data[(3 * 5 + 1) * 3..][..9]].concat();
        for filter in FILTERS {
            assert_eq!(
                resize(view(5, 4, &data), Some(part), 3, 2, filter),
                expected
            );
        }
    }

    #[test]
    #[should_panic(expected = "reaches outside")]
    fn box_outside_of_the_picture_panics() {
        let part = SourceBox {
            left: 0.0,
            top: f64::NAN,
            right: 2.0,
            bottom: 1.0,
        };
        let _ = resize(view(2, 1, &[0; 6]), Some(part), 1, 1, Filter::Box);
    }

    /// Expected bytes from Pillow 13.0.0: `Image.resize((2, 2), LANCZOS, (4.5, 3.5, 5, 4))`.
    #[test]
    fn box_in_the_corner_equals_pillow() {
        let data = ramp(5 * 4 * 3, 37, 11);
        let part = SourceBox {
            left: 4.5,
            top: 3.5,
            right: 5.0,
            bottom: 4.0,
        };
        let expected = [67, 98, 161, 50, 80, 179, 78, 102, 167, 60, 84, 189];
        assert_eq!(
            resize(view(5, 4, &data), Some(part), 2, 2, Filter::Lanczos),
            expected
        );
    }

    /// Expected bytes from Pillow 13.0.0, with a box of `(5 - 1e-9, 0, 5, 40)`.
    #[test]
    fn box_that_rounds_away_equals_pillow() {
        let data = ramp(5 * 40 * 3, 37, 11);
        let part = SourceBox {
            left: 5.0 - 1e-9,
            top: 0.0,
            right: 5.0,
            bottom: 40.0,
        };
        let actual = |filter| resize(view(5, 40, &data), Some(part), 2, 1, filter);
        assert_eq!(actual(Filter::Nearest), [0, 0, 0, 0, 0, 0]);
        assert_eq!(actual(Filter::Box), [0, 0, 0, 0, 0, 0]);
        assert_eq!(actual(Filter::Bilinear), [141, 134, 127, 141, 134, 127]);
    }

    /// The vector code of every level that this processor has, against the portable code.
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    #[test]
    fn vector_code_equals_portable_code() {
        let level = fearless_simd::Level::new();
        let Some(avx2) = level.as_avx2() else { return };
        // Multiplying by a large odd number makes noise of the high bits.
        let noise = |len: usize| -> Vec<u8> {
            (0..len)
                .map(|i| ((i as u32).wrapping_mul(0x9E37_79B1) >> 24) as u8)
                .collect()
        };
        for (len, out_len) in [
            (1, 1),
            (1, 9),
            (5, 3),
            (9, 40),
            (40, 9),
            (101, 100),
            (300, 7),
        ] {
            let axis = Axis {
                len,
                from: 0.0,
                to: len as f32,
            };
            for (kernel, support) in [
                (triangle_kernel as fn(f64) -> f64, 1.0),
                (lanczos_kernel, 3.0),
            ] {
                let weights = Weights::new(axis, out_len, kernel, support);
                for across in [1, 3, 4, 5, 11, 33] {
                    let data = noise(len * across * CHANNELS);

                    let rows = Part {
                        data: &data,
                        stride: len * CHANNELS,
                    };
                    let mut expected = vec![0; across * out_len * CHANNELS];
                    horizontal_portable(rows, &weights, &mut expected);
                    for avx512 in [None, level.as_avx512()] {
                        let mut out = vec![1; expected.len()];
                        x86::HorizontalPass::new(avx2, avx512, &weights).rows(rows, &mut out);
                        assert!(
                            out == expected,
                            "horizontal, {len} to {out_len}, {across} rows, {avx512:?}"
                        );
                    }

                    let stride = across * CHANNELS;
                    let mut expected = vec![0; stride];
                    let mut out = vec![1; stride];
                    for (window, weights) in weights.iter().filter(|_| stride >= x86::BLOCK) {
                        let rows = Part {
                            data: &data,
                            stride,
                        }
                        .rows_of(window);
                        vertical_portable(rows, stride, weights, &mut expected);
                        x86::VerticalPass::new(avx2).row(rows, stride, weights, &mut out);
                        assert!(
                            out == expected,
                            "vertical, {len} to {out_len}, {across} columns"
                        );
                    }
                }
            }
        }
    }
}
