//! PNG, with 8 bits a channel from the decoder on, and without the chunks that nobody reads.

use std::io::{BufRead, Seek};

use image::metadata::Orientation;
use image::{ColorType, ImageFormat};
use png::{BitDepth, Decoder, DecodingError, Reader, Transformations};

use super::header::{ImageHeader, SMALL};
use super::rgb::{RGB, buffer_of, to_rgb};
use super::{DecodeError, DecodeLimits, Image, check_size, within};

const FORMAT: &str = "PNG";
/// Most bytes of the chunks besides the pixels: EXIF data, above all.
const ANCILLARY: u64 = 16 << 20;

pub(super) fn header<R: BufRead + Seek>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    open(source, length, limits).map(|(_, header)| header)
}

pub(super) fn decode<R: BufRead + Seek>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let (mut reader, header) = open(source, length, limits)?;
    let mut buffer = buffer_of(spare, header.buffer)?;
    let pixels = buffer.len() / samples(&reader).max(RGB);
    let color = match samples(&reader) {
        1 => ColorType::L8,
        2 => ColorType::La8,
        3 => ColorType::Rgb8,
        _ => ColorType::Rgba8,
    };
    reader.next_frame(&mut buffer).map_err(failed)?;
    drop(reader);
    let pixels = to_rgb(buffer, pixels, color).ok_or(DecodeError::Panicked { format: FORMAT })?;
    header.image(pixels, 1)
}

fn open<R: BufRead + Seek>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<(Reader<R>, ImageHeader), DecodeError> {
    let mut decoder = Decoder::new(source);
    // Colour profiles and texts are not read, however large they become.
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_ignore_text_chunk(true);
    // The upper 8 bits of 16 remain, and palettes are looked up.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let info = decoder.read_header_info().map_err(failed)?;
    let (width, height) = (info.width, info.height);
    check_size(width, height, limits)?;
    let row = info.raw_row_length() as u64;
    let deep = info.bit_depth == BitDepth::Sixteen;
    // A row at a time is expanded to at most four channels.
    let out_row = 4 * u64::from(width);
    let bytes = out_row + ANCILLARY;
    decoder.set_limits(png::Limits {
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
    });
    let reader = decoder.read_info().map_err(failed)?;
    let orientation = reader.info().exif_metadata.as_ref();
    let orientation = orientation
        .and_then(|exif| Orientation::from_exif_chunk(exif))
        .unwrap_or(Orientation::NoTransforms);
    let pixels = u64::from(width) * u64::from(height);
    let samples = samples(&reader) as u64;
    within(
        "a decoded size in bytes",
        pixels * samples * if deep { 2 } else { 1 },
        limits.decoded_bytes,
    )?;
    let header = ImageHeader {
        format: ImageFormat::Png,
        width,
        height,
        orientation,
        buffer: pixels * samples.max(RGB as u64),
        // The row before and this one, in a buffer that doubles while it grows, and a row on its way out.
        working: 2 * row * u64::from(height.min(2))
            + row
            + out_row
            + 2 * length.min(ANCILLARY)
            + SMALL,
        jpeg: None,
    };
    Ok((reader, header))
}

fn samples<R: BufRead + Seek>(reader: &Reader<R>) -> usize {
    reader.output_color_type().0.samples()
}

fn failed(source: DecodingError) -> DecodeError {
    match source {
        DecodingError::LimitsExceeded => DecodeError::Memory {
            format: FORMAT,
            source: source.into(),
        },
        _ => DecodeError::Damaged {
            format: FORMAT,
            source: source.into(),
        },
    }
}
