//! Rows of samples to RGB of 8 bits, as Pillow converts them.

use std::io::{BufRead, Seek};

use super::super::ifd::Directory;
use super::super::rgb::{Depth, RGB, rgb_from_ink};
use super::super::{DecodeError, ImageNote};
use super::{damaged, failed, tag, unsupported};

/// More samples than any photo has.
const MOST_SAMPLES: u64 = 6;
/// Values for the samples of a pixel that are read, whatever the file has.
const MOST_VALUES: u64 = 4096;

/// The samples of a pixel.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    /// Samples of a pixel, extra ones included.
    pub(super) count: u64,
    /// Bits of a sample.
    pub(super) bits: u64,
    kind: Kind,
    /// 0 is white.
    is_inverted: bool,
    /// Colours were multiplied by the sample with this number.
    alpha: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Gray,
    GraySigned,
    Float,
    Palette,
    Rgb,
    Cmyk,
    /// From JPEG, which makes RGB of it.
    YCbCr,
}

impl Samples {
    /// Reads the tags; combinations that Pillow does not read are rejected.
    pub(super) fn read<R: BufRead + Seek>(
        directory: &Directory,
        source: &mut R,
        compression: u64,
        is_planar: bool,
        fill_order: u64,
    ) -> Result<Self, DecodeError> {
        let mut list = |tag| {
            let values = directory.numbers(source, tag, MOST_VALUES);
            let values = values.map_err(failed)?;
            Ok::<_, DecodeError>(values.unwrap_or_default())
        };
        let photometric = list(tag::PHOTOMETRIC)?.first().copied().unwrap_or(0);
        let mut count = list(tag::SAMPLES)?.first().copied().unwrap_or(1);
        let mut extra = list(tag::EXTRA_SAMPLES)?;
        // Planes at the end that may be anything need not be read.
        if is_planar && extra.iter().all(|extra| *extra == 0) && (extra.len() as u64) < count {
            count -= extra.len() as u64;
            extra.clear();
        }
        if matches!(photometric, 8..=10) {
            return Err(unsupported("the colour space CIELAB"));
        }
        let mut all_bits = list(tag::BITS)?;
        let format = match &*list(tag::SAMPLE_FORMAT)? {
            [] => 1,
            [first, rest @ ..] if rest.iter().all(|format| format == first) => *first,
            _ => return Err(unsupported("samples of several types")),
        };
        if all_bits.is_empty() {
            all_bits.push(1);
        }
        if all_bits.len() == 1 {
            all_bits = vec![all_bits[0]; count.min(MOST_SAMPLES + 1) as usize];
        }
        all_bits.truncate(count as usize);
        if count == 0 || all_bits.len() as u64 != count || count > MOST_SAMPLES {
            return Err(unsupported(format!("{count} samples a pixel")));
        }
        let bits = all_bits[0];
        if all_bits.iter().any(|other| *other != bits) {
            return Err(unsupported("samples of several sizes"));
        }
        let colours = match photometric {
            2 | 6 => 3,
            5 => 4,
            _ => 1,
        };
        // The tag may be missing with one sample too many, which is alpha then.
        if extra.is_empty() && photometric == 2 && count == 4 {
            extra.push(2);
        }
        let name = || {
            unsupported(format!(
                "{count} samples of {bits} bits, photometric interpretation {photometric}, sample format {format}"
            ))
        };
        if count != colours + extra.len() as u64 || (fill_order == 2 && !extra.is_empty()) {
            return Err(name());
        }
        // The meaning of others is unknown; an alpha channel always comes first.
        if extra.iter().skip(1).any(|extra| *extra != 0) {
            return Err(name());
        }
        let (is_signed, is_float) = (format == 2, format == 3);
        let kind = match (photometric, bits, extra.len()) {
            _ if is_float => match (photometric, bits, extra.len()) {
                (0 | 1, 32, 0) => Kind::Float,
                _ => return Err(name()),
            },
            (1, 8, 0) if is_signed => Kind::Gray,
            (1, 16 | 32, 0) if is_signed => Kind::GraySigned,
            _ if format != 1 && format != 4 => return Err(name()),
            (0 | 1, 1 | 2 | 4 | 8 | 16, 0) | (1, 12 | 32, 0) | (1, 8, 1) => Kind::Gray,
            (3, 1 | 2 | 4 | 8, 0) | (3, 8, 1) => Kind::Palette,
            (2, 8, _) | (2, 16, 0 | 1) => Kind::Rgb,
            (5, 8, _) | (5, 16, 0) => Kind::Cmyk,
            (6, 8, 0) if compression == 7 => Kind::YCbCr,
            (6, ..) => return Err(unsupported("YCbCr without JPEG compression")),
            _ => return Err(name()),
        };
        if is_planar && count > 1 && !matches!(bits, 8 | 16) {
            return Err(name());
        }
        let has_alpha = extra.first() == Some(&1);
        if has_alpha && matches!(kind, Kind::Gray | Kind::Palette | Kind::Cmyk) {
            return Err(unsupported(
                "grey or ink that was multiplied by an alpha channel",
            ));
        }
        Ok(Self {
            count,
            bits,
            kind,
            // Pillow does not invert 16 bits.
            is_inverted: photometric == 0 && bits <= 8,
            alpha: has_alpha.then_some(colours as usize),
        })
    }

    pub(super) fn is_float(&self) -> bool {
        self.kind == Kind::Float
    }

    pub(super) fn has_palette(&self) -> bool {
        self.kind == Kind::Palette
    }

    pub(super) fn is_ycbcr(&self) -> bool {
        self.kind == Kind::YCbCr
    }
}

/// Converts rows, and tracks the range of the values.
pub(super) struct Converter {
    samples: Samples,
    palette: Vec<[u8; RGB]>,
    big_endian: bool,
    depth: Depth,
    /// The largest float; `None` where there is one beyond 0 to 1, or none at all.
    largest: Option<f32>,
}

impl Converter {
    pub(super) fn new(
        samples: &Samples,
        palette: Option<Vec<u64>>,
        big_endian: bool,
    ) -> Result<Self, DecodeError> {
        let mut colours = Vec::new();
        if samples.kind == Kind::Palette {
            // All reds, then all greens, then all blues, in 16 bits.
            let palette = palette.ok_or_else(|| damaged("there is no palette"))?;
            let length = palette.len() / RGB;
            let level = |place: usize| (palette[place] / 256).min(255) as u8;
            colours.extend((0..length).map(|place| {
                [
                    level(place),
                    level(length + place),
                    level(2 * length + place),
                ]
            }));
            // Indices beyond the palette are black.
            colours.resize(256, [0; RGB]);
        }
        Ok(Self {
            samples: samples.clone(),
            palette: colours,
            big_endian,
            depth: Depth::default(),
            largest: Some(0.0),
        })
    }

    /// Returns a remark on the rows so far.
    pub(super) fn note(&self) -> Option<ImageNote> {
        if self.samples.is_float() {
            let largest = self.largest?;
            return (largest > 0.0).then_some(ImageNote::UnitFloats);
        }
        self.depth.note()
    }

    pub(super) fn row(&mut self, row: &[u8], out: &mut [[u8; RGB]]) {
        let count = self.samples.count as usize;
        match (self.samples.kind, self.samples.bits) {
            (Kind::Palette, 8) => {
                for (pixel, samples) in out.iter_mut().zip(row.chunks_exact(count)) {
                    *pixel = self.palette[usize::from(samples[0])];
                }
            }
            (Kind::Palette, bits) => {
                for (x, pixel) in out.iter_mut().enumerate() {
                    *pixel = self.palette[usize::from(packed(row, x, bits))];
                }
            }
            (Kind::Gray, 8) => {
                let flip = if self.samples.is_inverted { 255 } else { 0 };
                for (pixel, samples) in out.iter_mut().zip(row.chunks_exact(count)) {
                    *pixel = [samples[0] ^ flip; RGB];
                }
            }
            (Kind::Gray, bits @ (1 | 2 | 4)) => {
                let flip = if self.samples.is_inverted { 255 } else { 0 };
                let level = 255 / ((1 << bits) - 1);
                for (x, pixel) in out.iter_mut().enumerate() {
                    *pixel = [(packed(row, x, bits) * level) ^ flip; RGB];
                }
            }
            (Kind::Gray, 12) => {
                for (x, pixel) in out.iter_mut().enumerate() {
                    // Three bytes hold two samples.
                    let bytes = &row[x / 2 * 3..];
                    let upper = match x % 2 {
                        0 => bytes[0],
                        _ => bytes[1] << 4 | bytes[2] >> 4,
                    };
                    *pixel = [upper; RGB];
                }
            }
            (Kind::Gray, 16) => {
                for (pixel, sample) in out.iter_mut().zip(row.as_chunks().0) {
                    let [level] = self.upper([*sample]);
                    *pixel = [level; RGB];
                }
            }
            (Kind::Gray, _) => {
                for (pixel, sample) in out.iter_mut().zip(row.as_chunks().0) {
                    let value = if self.big_endian {
                        u32::from_be_bytes(*sample)
                    } else {
                        u32::from_le_bytes(*sample)
                    };
                    // Pillow treats them as signed.
                    *pixel = [value.cast_signed().clamp(0, 255) as u8; RGB];
                }
            }
            (Kind::GraySigned, 16) => {
                for (pixel, sample) in out.iter_mut().zip(row.as_chunks().0) {
                    let value = if self.big_endian {
                        i16::from_be_bytes(*sample)
                    } else {
                        i16::from_le_bytes(*sample)
                    };
                    *pixel = [value.clamp(0, 255) as u8; RGB];
                }
            }
            (Kind::GraySigned, _) => {
                for (pixel, sample) in out.iter_mut().zip(row.as_chunks().0) {
                    let value = if self.big_endian {
                        i32::from_be_bytes(*sample)
                    } else {
                        i32::from_le_bytes(*sample)
                    };
                    *pixel = [value.clamp(0, 255) as u8; RGB];
                }
            }
            (Kind::Float, _) => self.floats(row, out),
            (Kind::Rgb, 16) => {
                for (pixel, samples) in out.iter_mut().zip(row.chunks_exact(2 * count)) {
                    let samples = samples.as_chunks().0;
                    *pixel = self.upper([samples[0], samples[1], samples[2]]);
                    if let Some(alpha) = self.samples.alpha {
                        let [alpha] = self.upper([samples[alpha]]);
                        *pixel = divided(*pixel, alpha);
                    }
                }
            }
            (Kind::Rgb | Kind::YCbCr, _) => {
                for (pixel, samples) in out.iter_mut().zip(row.chunks_exact(count)) {
                    *pixel = [samples[0], samples[1], samples[2]];
                    if let Some(alpha) = self.samples.alpha {
                        *pixel = divided(*pixel, samples[alpha]);
                    }
                }
            }
            (Kind::Cmyk, 16) => {
                for (pixel, samples) in out.iter_mut().zip(row.chunks_exact(2 * count)) {
                    let samples = samples.as_chunks().0;
                    *pixel =
                        rgb_from_ink(self.upper([samples[0], samples[1], samples[2], samples[3]]));
                }
            }
            (Kind::Cmyk, _) => {
                for (pixel, samples) in out.iter_mut().zip(row.chunks_exact(count)) {
                    *pixel = rgb_from_ink([samples[0], samples[1], samples[2], samples[3]]);
                }
            }
        }
    }

    /// Returns the upper 8 bits of 16.
    fn upper<const N: usize>(&mut self, samples: [[u8; 2]; N]) -> [u8; N] {
        samples.map(|bytes| {
            let value = if self.big_endian {
                u16::from_be_bytes(bytes)
            } else {
                u16::from_le_bytes(bytes)
            };
            self.depth.upper(value)
        })
    }

    /// Floats from 0 to 255, rounded down.
    fn floats(&mut self, row: &[u8], out: &mut [[u8; RGB]]) {
        for (pixel, sample) in out.iter_mut().zip(row.as_chunks().0) {
            let value = if self.big_endian {
                f32::from_be_bytes(*sample)
            } else {
                f32::from_le_bytes(*sample)
            };
            let is_unit = (0.0..=1.0).contains(&value);
            self.largest = self
                .largest
                .filter(|_| is_unit)
                .map(|largest| largest.max(value));
            // A cast saturates, and turns NaN into 0.
            *pixel = [value as u8; RGB];
        }
    }
}

/// Returns sample `x` of a row of `bits` a sample.
fn packed(row: &[u8], x: usize, bits: u64) -> u8 {
    let bits = bits as usize;
    let place = x * bits;
    let shift = 8 - bits - place % 8;
    let mask = ((1_u16 << bits) - 1) as u8;
    row[place / 8] >> shift & mask
}

/// Returns a colour that was multiplied by alpha.
fn divided(pixel: [u8; RGB], alpha: u8) -> [u8; RGB] {
    match alpha {
        0 => [0; RGB],
        255 => pixel,
        alpha => pixel.map(|level| (u32::from(level) * 255 / u32::from(alpha)).min(255) as u8),
    }
}
