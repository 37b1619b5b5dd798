//! The resize of tensors of floats, which rounds nothing to bytes.
//!
//! torch multiplies and adds with one rounding on processors with AVX2 and FMA, in the order of the source pixels.
//! Its compiler orders a few of the other operations as it likes: about one value of fifty differs in its last bit.

use std::collections::TryReserveError;

use super::Filter;
use crate::convolution::{reserved, to_index};
use crate::{CHANNELS, RgbView, target_size};

/// Resamples `src` to `width` x `height` pixels as torchvision's `resize` does with a tensor of the type `float32`, in
/// which each byte is its entry of `levels`.
///
/// Returns `width * height * 3` values, laid out like the source. `None` for the nearest neighbours, which
/// [`resize`](super::resize) gives.
///
/// # Panics
///
/// Panics in the same cases as [`resize`](super::resize).
///
/// # Errors
///
/// If memory for the result or the intermediate buffers is missing; see [`memory_bytes_f32`].
pub fn resize_f32(
    src: RgbView<'_>,
    width: u32,
    height: u32,
    filter: Filter,
    levels: &[f32; 256],
) -> Option<Result<Vec<f32>, TryReserveError>> {
    let filter = Kernel::of(filter)?;
    Some(resample(src, width, height, filter, levels))
}

/// Returns an upper bound of the bytes that [`resize_f32`] allocates for an image of `size`, with the result; width
/// first.
#[must_use]
pub fn memory_bytes_f32(size: (u32, u32), to: (u32, u32), filter: Filter) -> u64 {
    const SMALL: u64 = 1 << 12;
    const VALUE: u64 = size_of::<f32>() as u64;
    let channels = CHANNELS as u64;
    let weights = |from: u32, to: u32| {
        let windows = Kernel::of(filter).map_or(0, |kernel| {
            let axis = Axis::new(from as usize, to.max(1) as usize, kernel);
            (axis.most as u64 + 1) * u64::from(to)
        });
        windows * VALUE + u64::from(to) * size_of::<Window>() as u64
    };
    let row = u64::from(size.0) + u64::from(to.0);
    let out = u64::from(to.0) * u64::from(to.1);
    let weights = weights(size.0, to.0) + weights(size.1, to.1);
    (out + row) * channels * VALUE + weights + SMALL
}

#[derive(Debug, Clone, Copy)]
struct Kernel {
    value: fn(f32) -> f32,
    support: f32,
}

impl Kernel {
    fn of(filter: Filter) -> Option<Self> {
        let (value, support): (fn(f32) -> f32, _) = match filter {
            Filter::Bilinear => (triangle, 1.0),
            Filter::Bicubic => (cubic, 2.0),
            Filter::Nearest | Filter::NearestExact | Filter::Lanczos => return None,
        };
        Some(Self { value, support })
    }
}

fn triangle(x: f32) -> f32 {
    let x = x.abs();
    if x < 1.0 { 1.0 - x } else { 0.0 }
}

fn cubic(x: f32) -> f32 {
    let x = x.abs();
    if x < 1.0 {
        (1.5_f32.mul_add(x, -2.5) * x).mul_add(x, 1.0)
    } else if x < 2.0 {
        (-0.5_f32).mul_add(x, 2.5).mul_add(x, -4.0).mul_add(x, 2.0)
    } else {
        0.0
    }
}

/// The source pixels of one target pixel, and the place of their weights.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: usize,
    len: usize,
    weights: usize,
}

/// One axis, before its weights are computed.
#[derive(Debug, Clone, Copy)]
struct Axis {
    from: usize,
    to: usize,
    scale: f32,
    support: f32,
    inverse: f32,
    /// The most source pixels of a window.
    most: usize,
    kernel: Kernel,
}

impl Axis {
    fn new(from: usize, to: usize, kernel: Kernel) -> Self {
        let scale = from as f32 / to as f32;
        let (support, inverse) = if scale >= 1.0 {
            (kernel.support * scale, 1.0 / scale)
        } else {
            (kernel.support, 1.0)
        };
        let most = to_index(f64::from(support).ceil()) * 2 + 1;
        Self {
            from,
            to,
            scale,
            support,
            inverse,
            most: most.min(from),
            kernel,
        }
    }

    fn weights(self) -> Result<(Vec<Window>, Vec<f32>), TryReserveError> {
        let mut windows = reserved(self.to)?;
        let mut weights: Vec<f32> = reserved(self.to * self.most)?;
        for index in 0..self.to {
            // C takes 0.5 for a double.
            let center = (f64::from(self.scale) * (index as f64 + 0.5)) as f32;
            let start = to_index(f64::from(center - self.support) + 0.5);
            let end = to_index(f64::from(center + self.support) + 0.5).min(self.from);
            let len = end.saturating_sub(start).min(self.most);
            let first = weights.len();
            let value = |x: usize| {
                let distance = f64::from(x as f32 - center) + 0.5;
                (self.kernel.value)((distance * f64::from(self.inverse)) as f32)
            };
            weights.extend((start..start + len).map(value));
            let sum = weights[first..]
                .iter()
                .fold(0.0, |sum, weight| sum + weight);
            if sum != 0.0 {
                for weight in &mut weights[first..] {
                    *weight /= sum;
                }
            }
            windows.push(Window {
                start,
                len,
                weights: first,
            });
        }
        Ok((windows, weights))
    }
}

fn resample(
    src: RgbView<'_>,
    width: u32,
    height: u32,
    kernel: Kernel,
    levels: &[f32; 256],
) -> Result<Vec<f32>, TryReserveError> {
    let (out_width, out_height, len) = target_size(width, height);
    let columns = (width != src.width)
        .then(|| Axis::new(src.width as usize, out_width, kernel).weights())
        .transpose()?;
    let rows = (height != src.height)
        .then(|| Axis::new(src.height as usize, out_height, kernel).weights())
        .transpose()?;
    let stride = out_width * CHANNELS;
    let mut out: Vec<f32> = reserved(len)?;
    out.resize(len, 0.0);
    let mut pixels: Vec<f32> = reserved(src.stride())?;
    let mut row: Vec<f32> = reserved(stride)?;
    row.resize(stride, 0.0);
    // The first target row whose window has not ended.
    let mut first = 0;
    for y in 0..src.height as usize {
        pixels.clear();
        pixels.extend(src.row(y).iter().map(|byte| levels[usize::from(*byte)]));
        match &columns {
            Some((windows, weights)) => narrow(&pixels, windows, weights, &mut row),
            None => row.copy_from_slice(&pixels),
        }
        let Some((windows, weights)) = &rows else {
            out[y * stride..][..stride].copy_from_slice(&row);
            continue;
        };
        while windows
            .get(first)
            .is_some_and(|window| window.start + window.len <= y)
        {
            first += 1;
        }
        let open = windows[first..]
            .iter()
            .take_while(|window| window.start <= y);
        for (index, window) in open.enumerate() {
            if y < window.start + window.len {
                let weight = weights[window.weights + y - window.start];
                add(&row, weight, &mut out[(first + index) * stride..][..stride]);
            }
        }
    }
    Ok(out)
}

fn narrow(pixels: &[f32], windows: &[Window], weights: &[f32], out: &mut [f32]) {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(avx2) = fearless_simd::Level::new().as_avx2() {
        x86::narrow(avx2, pixels, windows, weights, out);
        return;
    }
    narrow_inlined(pixels, windows, weights, out);
}

fn add(row: &[f32], weight: f32, out: &mut [f32]) {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(avx2) = fearless_simd::Level::new().as_avx2() {
        x86::add(avx2, row, weight, out);
        return;
    }
    add_inlined(row, weight, out);
}

#[inline(always)]
fn narrow_inlined(pixels: &[f32], windows: &[Window], weights: &[f32], out: &mut [f32]) {
    let (pixels, _) = pixels.as_chunks::<CHANNELS>();
    let (targets, _) = out.as_chunks_mut::<CHANNELS>();
    for (target, window) in targets.iter_mut().zip(windows) {
        let weights = &weights[window.weights..][..window.len];
        let mut sums = [0.0_f32; CHANNELS];
        for (pixel, weight) in pixels[window.start..][..window.len].iter().zip(weights) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum = value.mul_add(*weight, *sum);
            }
        }
        *target = sums;
    }
}

#[inline(always)]
fn add_inlined(row: &[f32], weight: f32, out: &mut [f32]) {
    for (sum, value) in out.iter_mut().zip(row) {
        *sum = value.mul_add(weight, *sum);
    }
}

/// The same for processors with FMA, where a multiplication with an addition is one instruction.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod x86 {
    use super::{Window, add_inlined, narrow_inlined};

    fearless_simd::kernel!(
        pub(super) fn narrow(
            avx2: Avx2,
            pixels: &[f32],
            windows: &[Window],
            weights: &[f32],
            out: &mut [f32],
        ) {
            narrow_inlined(pixels, windows, weights, out);
        }
    );

    fearless_simd::kernel!(
        pub(super) fn add(avx2: Avx2, row: &[f32], weight: f32, out: &mut [f32]) {
            add_inlined(row, weight, out);
        }
    );
}
