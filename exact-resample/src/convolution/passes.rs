//! The two passes of the separable convolution, with the kernels for any processor.

use std::collections::TryReserveError;
use std::ops::Range;

use super::weights::{Coefficients, HALF, PRECISION_BITS, Weights, Window, reserved};
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
use super::x86;
use crate::{CHANNELS, RgbView};

/// Rows that the horizontal pass treats at a time: its vector code shares the loading of weights among them.
pub(super) const GROUP: usize = 4;

/// Rows of more pixels are long: a table of their weights would take many megabytes.
pub(super) const LONG_ROW: usize = 1 << 20;

/// Target rows of fewer bytes are narrow.
pub(super) const NARROW: usize = 32;

/// Rows of an image, or of a part of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    /// From the first byte of the first row to the last byte of the last one.
    pub(super) data: &'a [u8],
    /// Bytes from the start of one row to the start of the next.
    pub(super) stride: usize,
}

impl<'a> Part<'a> {
    /// Returns all of an image.
    pub(crate) fn whole(image: RgbView<'a>) -> Self {
        Self {
            data: image.data,
            stride: image.stride(),
        }
    }

    /// Returns the rows in `range`.
    pub(crate) fn rows(self, range: Range<usize>) -> Self {
        Self {
            data: &self.data[range.start * self.stride..range.end * self.stride],
            ..self
        }
    }

    /// Returns the columns in `range`, counted in pixels; rows keep their distance.
    pub(crate) fn columns(self, range: Range<usize>) -> Self {
        let cut = self.stride - range.end * CHANNELS;
        Self {
            data: &self.data[range.start * CHANNELS..self.data.len() - cut],
            ..self
        }
    }

    /// Returns the bytes of the window's rows. An empty window has no bytes, at any position.
    pub(super) fn rows_of(self, window: Window) -> &'a [u8] {
        if window.len == 0 {
            return &[];
        }
        let start = window.start * self.stride;
        &self.data[start..start + (window.len - 1) * self.stride + self.row_len()]
    }

    /// Returns the number of rows.
    pub(super) fn height(self) -> usize {
        self.data.len().div_ceil(self.stride)
    }

    /// Bytes of each row that belong to the part.
    pub(crate) fn row_len(self) -> usize {
        match self.data.len() % self.stride {
            0 => self.stride,
            len => len,
        }
    }
}

/// Scales a sum back and clips it to a byte.
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Resamples along x.
pub(super) enum HorizontalPass {
    /// All weights at hand, for rows of usual length.
    Table {
        #[cfg_attr(
            any(target_arch = "x86", target_arch = "x86_64"),
            expect(dead_code, reason = "only other processors read it")
        )]
        weights: Weights,
    },
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    Avx2(Box<x86::HorizontalPass>),
    /// One window's weights at a time: all of them would take more than the image.
    Long(Coefficients),
}

impl HorizontalPass {
    pub(super) fn new(axis: Coefficients) -> Result<Self, TryReserveError> {
        if axis.source_len() > LONG_ROW {
            return Ok(Self::Long(axis));
        }
        let weights = Weights::new(&axis)?;
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        {
            let level = fearless_simd::Level::new();
            if let Some(avx2) = level.as_avx2() {
                let pass = x86::HorizontalPass::new(avx2, level.as_avx512(), &weights)?;
                return Ok(Self::Avx2(Box::new(pass)));
            }
        }
        Ok(Self::Table { weights })
    }

    pub(super) fn is_long(&self) -> bool {
        matches!(self, Self::Long(_))
    }

    /// Fills `out` with as many rows as it has room for, of one pixel for each window. `src` may have more rows.
    pub(super) fn rows(&mut self, src: Part<'_>, out: &mut [u8]) -> Result<(), TryReserveError> {
        match self {
            Self::Table { weights } => horizontal_portable(src, weights, out),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Self::Avx2(pass) => pass.rows(src, out),
            Self::Long(axis) => return horizontal_long(src, axis, out),
        }
        Ok(())
    }
}

/// Does [`HorizontalPass::rows`] for long rows, with the weights of one window at a time.
fn horizontal_long(
    src: Part<'_>,
    axis: &Coefficients,
    out: &mut [u8],
) -> Result<(), TryReserveError> {
    let stride = axis.len * CHANNELS;
    let mut real = axis.memory()?;
    let mut sums = reserved(out.len() / stride)?;
    for index in 0..axis.len {
        sums.clear();
        sums.resize(out.len() / stride, [HALF; CHANNELS]);
        axis.pieces(index, &mut real, |piece, weights| {
            for (row, sums) in src.data.chunks(src.stride).zip(&mut sums) {
                let (pixels, _) = row.as_chunks::<CHANNELS>();
                let pixels = &pixels[piece.start..][..piece.len];
                for (pixel, weight) in pixels.iter().zip(weights) {
                    add_weighted(sums, pixel, *weight);
                }
            }
        });
        for (row, sums) in out.chunks_exact_mut(stride).zip(&sums) {
            row[index * CHANNELS..][..CHANNELS].copy_from_slice(&sums.map(to_byte));
        }
    }
    Ok(())
}

/// Does [`HorizontalPass::rows`] on any processor.
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

/// Resamples along y. Each window is used once, so that its weights are computed when it is its turn.
pub(super) struct VerticalPass {
    axis: Coefficients,
    real: Vec<f64>,
    weights: Vec<i32>,
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    avx2: Option<x86::VerticalPass>,
}

impl VerticalPass {
    /// Returns a pass for rows of `row_len` bytes.
    pub(super) fn new(axis: Coefficients, row_len: usize) -> Result<Self, TryReserveError> {
        let is_narrow = row_len < NARROW;
        Ok(Self {
            axis,
            real: axis.memory()?,
            weights: reserved(if is_narrow { 0 } else { axis.most() })?,
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            avx2: fearless_simd::Level::new()
                .as_avx2()
                .map(x86::VerticalPass::new),
        })
    }

    /// Fills `out` with one row for each window, with the columns of `src`.
    pub(super) fn rows(&mut self, src: Part<'_>, out: &mut [u8]) {
        for (index, out_row) in out.chunks_exact_mut(src.row_len()).enumerate() {
            self.row(index, src, 0, out_row);
        }
    }

    /// Fills `out` with the target row `index`. `src` begins `skipped` rows behind the one that windows count from.
    pub(super) fn row(&mut self, index: usize, src: Part<'_>, skipped: usize, out: &mut [u8]) {
        let rows_of = |window: Window| {
            src.rows_of(Window {
                start: window.start.saturating_sub(skipped),
                ..window
            })
        };
        if out.len() < NARROW {
            // High and narrow images have long windows: one's weights are never all at hand.
            let mut sums = [HALF; NARROW];
            self.axis.pieces(index, &mut self.real, |piece, weights| {
                for (row, weight) in rows_of(piece).chunks(src.stride).zip(weights) {
                    add_weighted(&mut sums, &row[..out.len()], *weight);
                }
            });
            for (byte, sum) in out.iter_mut().zip(sums) {
                *byte = to_byte(sum);
            }
            return;
        }
        self.axis.weights(index, &mut self.real, &mut self.weights);
        let (rows, weights) = (rows_of(self.axis.window(index)), &self.weights);
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if let Some(avx2) = &mut self.avx2 {
            avx2.row(rows, src.stride, weights, out);
            return;
        }
        vertical_portable(rows, src.stride, weights, out);
    }
}

/// Does [`VerticalPass::row`] on any processor.
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

#[cfg(test)]
mod tests {
    use super::super::weights::{Convolution, as_f64};
    use super::*;
    use crate::Filter;

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
            let scale = as_f64(len) / as_f64(out_len);
            for filter in [Filter::Bilinear, Filter::Lanczos] {
                let convolution = Convolution::of(filter).unwrap();
                let axis = Coefficients::new(len, 0.0, scale, out_len, convolution);
                let weights = Weights::new(&axis).unwrap();
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
                        let pass = x86::HorizontalPass::new(avx2, avx512, &weights);
                        pass.unwrap().rows(rows, &mut out);
                        assert!(
                            out == expected,
                            "horizontal, {len} to {out_len}, {across} rows, {avx512:?}"
                        );
                    }

                    let mut out = vec![1; expected.len()];
                    horizontal_long(rows, &axis, &mut out).unwrap();
                    assert!(out == expected, "long, {len} to {out_len}, {across} rows");

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
