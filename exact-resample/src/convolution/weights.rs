//! Windows of source pixels and their weights.

use std::collections::TryReserveError;
use std::f64::consts::PI;
use std::ops::Range;

use crate::Filter;

/// Fractional bits of a weight: 32 less 8 for the pixel and 2 for sums outside of its range (negative lobes).
///
/// Weights that were rounded to fewer bits are shifted to these, with which the sums round alike.
pub(super) const PRECISION_BITS: i32 = 32 - 8 - 2;

/// One half in the fixed point of the sums.
pub(super) const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// A filter that weights source pixels by their distance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Convolution {
    kernel: fn(f64) -> f64,
    /// Pixels from the centre that the kernel reaches.
    support: f64,
}

impl Convolution {
    /// `None` for `Nearest`, which has no weights.
    pub(crate) fn of(filter: Filter) -> Option<Self> {
        let (kernel, support): (fn(f64) -> f64, f64) = match filter {
            Filter::Nearest => return None,
            Filter::Box => (box_kernel, 0.5),
            Filter::Bilinear => (triangle_kernel, 1.0),
            Filter::Bicubic => (cubic_kernel, 2.0),
            Filter::Lanczos => (lanczos_kernel, 3.0),
        };
        Some(Self { kernel, support })
    }
}

/// Returns 1 for x in (-0.5, 0.5].
fn box_kernel(x: f64) -> f64 {
    if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 }
}

/// Returns the triangle of height 1 over (-1, 1).
fn triangle_kernel(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 { 1.0 - x } else { 0.0 }
}

/// Evaluates the cubic convolution of Keys over (-2, 2).
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

/// Evaluates a sinc windowed by a sinc three times as wide, over [-3, 3).
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
pub(super) struct Window {
    pub(super) start: usize,
    pub(super) len: usize,
}

/// The windows and weights of one axis, computed one after the other: Pillow's `precompute_coeffs` and
/// `normalize_coeffs_8bpc`, and their likes in torch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coefficients {
    /// Pixels of the whole axis.
    source_len: usize,
    /// The position at which the first target pixel begins.
    from: f64,
    /// Target pixels.
    pub(crate) len: usize,
    scale: f64,
    support: f64,
    inverse: f64,
    kernel: fn(f64) -> f64,
    /// The source pixel from which positions count.
    first: usize,
    /// Fractional bits that weights are rounded to.
    bits: i32,
}

impl Coefficients {
    /// Returns the windows of `len` target pixels of `scale` source pixels each, which begin at `from` in an axis of
    /// `source_len` pixels.
    pub(crate) fn new(
        source_len: usize,
        from: f64,
        scale: f64,
        len: usize,
        filter: Convolution,
    ) -> Self {
        let filter_scale = scale.max(1.0);
        Self {
            source_len,
            from,
            len,
            scale,
            support: filter.support * filter_scale,
            inverse: 1.0 / filter_scale,
            kernel: filter.kernel,
            first: 0,
            bits: PRECISION_BITS,
        }
    }

    /// Changes the weights to 16 bits. As many of them are fractional as the largest weight leaves.
    pub(crate) fn in_16_bits(self) -> Result<Self, TryReserveError> {
        let mut real = self.memory()?;
        let mut largest = 0.0_f64;
        for index in 0..self.len {
            let sum = self.real(index, &mut real);
            let divisor = if sum == 0.0 { 1.0 } else { sum };
            let weights = real.iter().map(|weight| weight / divisor);
            largest = weights.fold(largest, f64::max);
        }
        let fits = |bits: &i32| 0.5 + largest * f64::from(1 << (bits + 1)) < f64::from(1 << 15);
        let bits = (0..PRECISION_BITS).take_while(fits).count();
        Ok(Self {
            bits: i32::try_from(bits).expect("at most 22"),
            ..self
        })
    }

    /// Pixels of the whole axis.
    pub(super) fn source_len(&self) -> usize {
        self.source_len
    }

    /// Returns the most source pixels of a window.
    pub(crate) fn most(&self) -> usize {
        self.widest().min(self.source_len)
    }

    /// Returns the most source pixels of a window in an axis without ends.
    fn widest(&self) -> usize {
        to_index(self.support.ceil()) * 2 + 1
    }

    fn center(&self, index: usize) -> f64 {
        self.from + (as_f64(index) + 0.5) * self.scale
    }

    /// Returns the range of source pixels of the target pixel `index`.
    fn range(&self, index: usize) -> Range<usize> {
        let center = self.center(index);
        let start = to_index(center - self.support + 0.5);
        let end = to_index(center + self.support + 0.5).min(self.source_len);
        start..end.clamp(start, start + self.widest())
    }

    pub(super) fn window(&self, index: usize) -> Window {
        let range = self.range(index);
        Window {
            start: range.start - self.first,
            len: range.len(),
        }
    }

    /// Returns the source pixels that the windows span together. They only ever move forward.
    pub(crate) fn used(&self) -> Range<usize> {
        let (first, last) = (self.range(0), self.range(self.len - 1));
        first.start..last.end.max(first.start)
    }

    /// Counts positions from `first` on. No window may begin before it.
    pub(crate) fn counted_from(self, first: usize) -> Self {
        Self { first, ..self }
    }

    /// Hands the window of `index` to `take` in pieces, each with its weights in fixed point. `real` is memory for
    /// the weights before they are normalized, which takes their sum.
    pub(super) fn pieces(
        &self,
        index: usize,
        real: &mut Vec<f64>,
        mut take: impl FnMut(Window, &[i32]),
    ) {
        const PIECE: usize = 1024;
        let mut fixed = [0; PIECE];
        let mut start = self.window(index).start;
        let sum = self.real(index, real);
        for real in real.chunks(PIECE) {
            let weights = &mut fixed[..real.len()];
            for (weight, real) in weights.iter_mut().zip(real) {
                *weight = self.to_fixed(if sum == 0.0 { *real } else { real / sum });
            }
            let len = real.len();
            take(Window { start, len }, weights);
            start += len;
        }
    }

    /// Fills `weights` for the window of `index`, in fixed point.
    pub(super) fn weights(&self, index: usize, real: &mut Vec<f64>, weights: &mut Vec<i32>) {
        weights.clear();
        self.pieces(index, real, |_, piece| weights.extend_from_slice(piece));
    }

    /// Fills `real` with the kernel's values, and returns their sum.
    fn real(&self, index: usize, real: &mut Vec<f64>) -> f64 {
        let center = self.center(index);
        let value = |x| (self.kernel)((as_f64(x) - center + 0.5) * self.inverse);
        real.clear();
        real.extend(self.range(index).map(value));
        // From left to right, as Pillow adds them.
        real.iter().fold(0.0, |sum, weight| sum + weight)
    }

    /// Returns a weight in fixed point, rounded to its bits. Rounds half away from zero by adding and truncating, as
    /// Pillow does.
    fn to_fixed(self, weight: f64) -> i32 {
        let scaled = weight * f64::from(1 << self.bits);
        // The cast truncates.
        let rounded = (if weight < 0.0 {
            scaled - 0.5
        } else {
            scaled + 0.5
        }) as i32;
        rounded << (PRECISION_BITS - self.bits)
    }

    /// Returns memory for the kernel's values of any window.
    pub(super) fn memory(&self) -> Result<Vec<f64>, TryReserveError> {
        reserved(self.most())
    }
}

/// Returns a vector with room for `len` values.
pub(crate) fn reserved<T>(len: usize) -> Result<Vec<T>, TryReserveError> {
    let mut values = Vec::new();
    values.try_reserve_exact(len)?;
    Ok(values)
}

/// The weights of one axis, all of them.
#[derive(Debug)]
pub(super) struct Weights {
    /// One for each target pixel.
    pub(super) windows: Vec<Window>,
    /// For each window `stride` weights in fixed point; those from `Window::len` on are 0.
    values: Vec<i32>,
    stride: usize,
}

impl Weights {
    pub(super) fn new(axis: &Coefficients) -> Result<Self, TryReserveError> {
        let stride = axis.most();
        let mut real = axis.memory()?;
        let mut windows = reserved(axis.len)?;
        let mut values = reserved(axis.len * stride)?;
        for index in 0..axis.len {
            windows.push(axis.window(index));
            axis.pieces(index, &mut real, |_, piece| values.extend_from_slice(piece));
            values.resize((index + 1) * stride, 0);
        }
        Ok(Self {
            windows,
            values,
            stride,
        })
    }

    /// Returns the windows, each with its weights.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Window, &[i32])> {
        let values = self.values.chunks_exact(self.stride);
        self.windows
            .iter()
            .zip(values)
            .map(|(window, values)| (*window, &values[..window.len]))
    }
}

/// Truncates; negative positions and NaN become 0.
pub(crate) fn to_index(position: f64) -> usize {
    // The cast saturates.
    position as usize
}

/// Returns a length or index as `f64`, exact: it is at most `i32::MAX`.
pub(crate) fn as_f64(index: usize) -> f64 {
    index as f64
}
