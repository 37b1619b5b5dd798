//! Planes of a JPEG to interleaved samples, with libjpeg-turbo's "fancy" upsampling (`jdsample.c`).
//!
//! `libjpeg-turbo-rs` does this itself for one and three components; for four it does not upsample.

use libjpeg_turbo_rs::decode::pipeline::Decoder;

use super::super::DecodeError;
use super::super::rgb::capacity_of;
use super::frame::Frame;
use super::{failed, unsupported};

/// The decoded planes of all components.
pub(super) struct Planes {
    width: usize,
    height: usize,
    components: Vec<Component>,
}

struct Component {
    samples: Vec<u8>,
    /// Samples from one row to the next.
    stride: usize,
    /// Samples that belong to the image.
    width: usize,
    height: usize,
    /// Pixels of the image for a sample, horizontally and vertically.
    scale: (usize, usize),
}

impl Planes {
    pub(super) fn decode(decoder: Decoder<'_>, frame: &Frame) -> Result<Self, DecodeError> {
        let (most_h, most_v) = frame.most_factors();
        if frame
            .factors()
            .any(|(h, v)| most_h % h != 0 || most_v % v != 0)
        {
            return Err(unsupported("chroma with fractional sampling"));
        }
        let raw = decoder.decode_raw().map_err(failed)?;
        let components = frame.factors().zip(raw.planes).zip(raw.plane_widths);
        let components = components
            .map(|(((h, v), samples), stride)| {
                let part = |side: usize, factor: u64, most: u64| {
                    (side as u64 * factor).div_ceil(most) as usize
                };
                Component {
                    samples,
                    stride,
                    width: part(raw.width, h, most_h),
                    height: part(raw.height, v, most_v),
                    scale: ((most_h / h) as usize, (most_v / v) as usize),
                }
            })
            .collect();
        Ok(Self {
            width: raw.width,
            height: raw.height,
            components,
        })
    }

    /// Calls `row` with every row of interleaved samples, from the top.
    pub(super) fn rows(&self, mut row: impl FnMut(&[u8])) -> Result<(), DecodeError> {
        let count = self.components.len();
        let mut interleaved = capacity_of(Vec::new(), (self.width * count) as u64)?;
        interleaved.resize(self.width * count, 0);
        // Upsampled rows are longer than the image by less than a sample's pixels.
        let mut full = vec![0; self.width + 16];
        let mut sums = Vec::new();
        for y in 0..self.height {
            for (place, component) in self.components.iter().enumerate() {
                component.row(y, &mut sums, &mut full);
                for (pixel, sample) in interleaved.chunks_exact_mut(count).zip(&full) {
                    pixel[place] = *sample;
                }
            }
            row(&interleaved);
        }
        Ok(())
    }
}

impl Component {
    fn stored(&self, y: usize) -> &[u8] {
        &self.samples[y.min(self.height - 1) * self.stride..][..self.width]
    }

    /// Writes row `y` of the image. `sums` is spare memory.
    fn row(&self, y: usize, sums: &mut Vec<u32>, out: &mut [u8]) {
        // Two samples have no neighbours on both sides.
        let is_wide = self.width > 2;
        match self.scale {
            (1, 1) => out[..self.width].copy_from_slice(self.stored(y)),
            (2, 1) if is_wide => {
                sums.clear();
                sums.extend(self.stored(y).iter().map(|sample| u32::from(*sample)));
                widen(sums, 2, [1, 2], out);
            }
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                self.blend(y, sums);
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = ((*sum + bias) >> 2) as u8;
                }
            }
            (2, 2) if is_wide => {
                self.blend(y, sums);
                widen(sums, 4, [8, 7], out);
            }
            (across, down) => {
                let row = self.stored(y / down);
                for (out, sample) in out.chunks_mut(across).zip(row) {
                    out.fill(*sample);
                }
            }
        }
    }

    /// Computes three parts of the nearer of two rows and one part of the other.
    fn blend(&self, y: usize, sums: &mut Vec<u32>) {
        let near = y / 2;
        let far = if y.is_multiple_of(2) {
            near.saturating_sub(1)
        } else {
            near + 1
        };
        let pairs = self.stored(near).iter().zip(self.stored(far));
        sums.clear();
        sums.extend(pairs.map(|(near, far)| 3 * u32::from(*near) + u32::from(*far)));
    }
}

/// Makes two samples of each: three parts of it and one part of its neighbour on that side, rounded by `biases`, and
/// shifted.
fn widen(row: &[u32], shift: u32, biases: [u32; 2], out: &mut [u8]) {
    let last = row.len() - 1;
    for (place, out) in out.chunks_exact_mut(2).take(row.len()).enumerate() {
        let this = row[place];
        let left = row[place.saturating_sub(1)];
        let right = row[(place + 1).min(last)];
        out[0] = ((3 * this + left + biases[0]) >> shift) as u8;
        out[1] = ((3 * this + right + biases[1]) >> shift) as u8;
    }
}
