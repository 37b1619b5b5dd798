//! The formats that the `image` crate decodes: BMP, PNM, QOI, TGA, WebP.

use std::error::Error;
use std::io::{BufRead, Seek};

use image::codecs::pnm::PnmDecoder;
use image::metadata::Orientation;
use image::{ColorType, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::format::Format;
use super::header::ImageHeader;
use super::limits::{SMALL, check_size, within};
use super::rgb::{Depth, RGB, buffer_of, to_rgb};
use super::{DecodeError, DecodeLimits, Image, webp};

pub(super) fn header<R: BufRead + Seek>(
    source: R,
    format: ImageFormat,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    open(source, format, limits).map(|(_, header)| header)
}

pub(super) fn decode<R: BufRead + Seek>(
    mut source: R,
    format: ImageFormat,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let most = match format {
        ImageFormat::Pnm => Some(largest_sample(&mut source)?),
        _ => None,
    };
    let (decoder, header) = open(source, format, limits)?;
    let (color, total) = (decoder.color_type(), decoder.total_bytes() as usize);
    let is_few_bits = decoder.original_color_type() == ExtendedColorType::Rgb5x1;
    let pixels = header.width as usize * header.height as usize;
    let is_fresh = spare.capacity() < header.buffer as usize;
    let mut buffer = buffer_of(spare, header.buffer)?;
    if !is_fresh {
        // Decoders omit channels that the file omits.
        buffer.fill(0);
    }
    decoder
        .read_image(&mut buffer[..total])
        .map_err(|source| failed(format, source))?;
    if let Some(most) = most {
        round_as_pillow(&mut buffer[..total], color, most);
    }
    let mut depth = Depth::default();
    let mut pixels =
        to_rgb(buffer, pixels, color, &mut depth).ok_or_else(|| DecodeError::Panicked {
            format: name(format),
        })?;
    if is_few_bits {
        levels_of_few_bits(&mut pixels, [31; RGB]);
    }
    let note = depth.note();
    header.image(pixels, 1).map(|image| image.noted(note))
}

/// Returns the decoder, and the header.
fn open<'a, R: BufRead + Seek + 'a>(
    mut source: R,
    format: ImageFormat,
    limits: &DecodeLimits,
) -> Result<(impl ImageDecoder + 'a, ImageHeader), DecodeError> {
    let orientation = match format {
        // A damaged block is no reason to reject the pixels.
        ImageFormat::WebP => {
            let blocks = webp::metadata(&mut source).map_err(DecodeError::Unreadable)?;
            blocks.check_reach("WebP")?;
            blocks.orientation()
        }
        _ => Orientation::NoTransforms,
    };
    source.rewind().map_err(DecodeError::Unreadable)?;
    let mut reader = ImageReader::with_format(source, format);
    let mut codec_limits = image::Limits::default();
    // For the decoder's allocations in addition to the image. The exact check is below.
    codec_limits.max_alloc = Some(limits.decoded_bytes);
    reader.limits(codec_limits);
    let decoder = reader
        .into_decoder()
        .map_err(|source| failed(format, source))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits)?;
    let total = decoder.total_bytes();
    within("a decoded size in bytes", total, limits.decoded_bytes)?;
    let header = ImageHeader {
        format: ours(format),
        width,
        height,
        orientation,
        buffer: total.max(u64::from(width) * u64::from(height) * RGB as u64),
        // A text of numbers, lines and palettes.
        working: SMALL + 32 * u64::from(width),
        jpeg: None,
    };
    Ok((decoder, header))
}

/// Returns the largest sample that the header of a PNM states.
fn largest_sample<R: BufRead + Seek>(source: &mut R) -> Result<u32, DecodeError> {
    source.rewind().map_err(DecodeError::Unreadable)?;
    let decoder = PnmDecoder::new(source).map_err(|source| failed(ImageFormat::Pnm, source))?;
    Ok(decoder.header().maximal_sample())
}

/// Rounds the samples of a PNM, of which `most` is the largest, as Pillow does: halves to even, to 8 bits, deep grey to
/// 16 bits. The decoder rounds halves up, to as many bits as `most` has.
fn round_as_pillow(buffer: &mut [u8], color: ColorType, most: u32) {
    let most = most.max(1);
    let rounded = |sample: u32, end: f64| {
        let part = f64::from(sample) / f64::from(most);
        (part * end).round_ties_even().min(end) as u16
    };
    match color {
        ColorType::L8 | ColorType::Rgb8 => {
            if most == 255 {
                return;
            }
            for level in buffer {
                let sample = (u32::from(*level) * most + 127) / 255;
                *level = rounded(sample, 255.0) as u8;
            }
        }
        ColorType::L16 | ColorType::Rgb16 => {
            for value in buffer.as_chunks_mut::<2>().0 {
                let sample = (u32::from(u16::from_ne_bytes(*value)) * most + 32767) / 65535;
                let value_of = match color {
                    ColorType::L16 => rounded(sample, 65535.0),
                    _ => rounded(sample, 255.0) << 8,
                };
                *value = value_of.to_ne_bytes();
            }
        }
        // Pillow reads none with alpha.
        _ => (),
    }
}

/// Gives each channel the level that Pillow gives a sample of fewer bits, of which `most` are the largest values. The
/// decoder rounds to nearest, Pillow rounds down.
pub(super) fn levels_of_few_bits(pixels: &mut [u8], most: [u32; RGB]) {
    for pixel in pixels.as_chunks_mut::<RGB>().0 {
        for (level, most) in pixel.iter_mut().zip(most) {
            let sample = (u32::from(*level) * most + 127) / 255;
            *level = (sample * 255 / most) as u8;
        }
    }
}

fn name(format: ImageFormat) -> &'static str {
    ours(format).name()
}

fn ours(format: ImageFormat) -> Format {
    match format {
        ImageFormat::Bmp => Format::Bmp,
        ImageFormat::Qoi => Format::Qoi,
        ImageFormat::Tga => Format::Tga,
        ImageFormat::WebP => Format::WebP,
        _ => Format::Pnm,
    }
}

pub(super) fn failed(format: ImageFormat, source: ImageError) -> DecodeError {
    let format = name(format);
    match source {
        ImageError::Unsupported(_) => DecodeError::Unsupported {
            format,
            source: shortened(source),
        },
        ImageError::Limits(_) => DecodeError::Memory {
            format,
            source: source.into(),
        },
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::CutShort { format }
        }
        _ => DecodeError::Damaged {
            format,
            source: shortened(source),
        },
    }
}

/// Returns an error without most of what it quotes: lines of a header can be long.
fn shortened(source: ImageError) -> Box<dyn Error + Send + Sync> {
    const MOST_CHARACTERS: usize = 300;
    let text = source.to_string();
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The levels are Python's `round(sample / most * 255)`, which Pillow computes.
    #[test]
    fn samples_between_two_levels_are_rounded_as_pillow_does() {
        let levels = |head: &[u8], samples: &[u8]| {
            let data = [head, samples].concat();
            let image = Image::decode(&data, &DecodeLimits::default()).unwrap();
            image.rgb().iter().step_by(RGB).copied().collect::<Vec<_>>()
        };
        let samples = [0, 10, 30, 50, 70, 90, 100];
        let expected = [0, 26, 76, 128, 178, 230, 255];
        assert_eq!(levels(b"P5 7 1 100\n", &samples), expected);
        assert_eq!(
            levels(b"P6 7 1 100\n", &samples.map(|s| [s; 3]).concat()),
            expected
        );
        let samples = [0_u16, 1, 3, 5, 509, 510].map(u16::to_be_bytes);
        let deep = samples.map(|[a, b]| [a, b, a, b, a, b]).concat();
        assert_eq!(levels(b"P6 6 1 510\n", &deep), [0, 0, 2, 2, 254, 255]);
    }
}
