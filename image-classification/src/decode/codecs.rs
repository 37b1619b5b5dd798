//! The formats that the `image` crate decodes: BMP, PNM, QOI, TGA, WebP.

use std::io::{BufRead, Seek};

use image::{ColorType, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::format::Format;
use super::header::{ImageHeader, SMALL};
use super::orientation::Metadata;
use super::rgb::{Depth, RGB, buffer_of, to_rgb};
use super::{DecodeError, DecodeLimits, Image, check_size, within};

pub(super) fn header<R: BufRead + Seek>(
    source: R,
    format: ImageFormat,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    open(source, format, limits).map(|(_, header)| header)
}

pub(super) fn decode<R: BufRead + Seek>(
    source: R,
    format: ImageFormat,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
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
    if format == ImageFormat::Pnm && color == ColorType::Rgb16 {
        round_to_upper(&mut buffer[..total]);
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

/// The decoder, and the header.
fn open<'a, R: BufRead + Seek + 'a>(
    mut source: R,
    format: ImageFormat,
    limits: &DecodeLimits,
) -> Result<(impl ImageDecoder + 'a, ImageHeader), DecodeError> {
    source.rewind().map_err(DecodeError::Unreadable)?;
    let mut reader = ImageReader::with_format(source, format);
    let mut codec_limits = image::Limits::default();
    // For the decoder's allocations in addition to the image. The exact check is below.
    codec_limits.max_alloc = Some(limits.decoded_bytes);
    reader.limits(codec_limits);
    let mut decoder = reader
        .into_decoder()
        .map_err(|source| failed(format, source))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits)?;
    let total = decoder.total_bytes();
    within("a decoded size in bytes", total, limits.decoded_bytes)?;
    // A damaged block is no reason to reject the pixels.
    let metadata = Metadata {
        exif: decoder.exif_metadata().unwrap_or(None),
        xmp: decoder.xmp_metadata().unwrap_or(None),
    };
    let header = ImageHeader {
        format: ours(format),
        width,
        height,
        orientation: metadata.orientation(),
        buffer: total.max(u64::from(width) * u64::from(height) * RGB as u64),
        // A text of numbers, lines and palettes.
        working: SMALL + 32 * u64::from(width),
        jpeg: None,
    };
    Ok((decoder, header))
}

/// Rounds samples of 16 bits to 8 upper bits, as Pillow does for the colours of PNM alone.
fn round_to_upper(samples: &mut [u8]) {
    for sample in samples.as_chunks_mut::<2>().0 {
        let value = u32::from(u16::from_ne_bytes(*sample));
        let level = (value * 255 + 32767) / 65535;
        *sample = ((level << 8) as u16).to_ne_bytes();
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
            source: source.into(),
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
            source: source.into(),
        },
    }
}
