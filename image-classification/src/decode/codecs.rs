//! The formats that the `image` crate decodes: BMP, PNM, QOI, TIFF, WebP.

use std::io::{BufRead, Seek, SeekFrom};

use image::metadata::Orientation;
use image::{ImageDecoder, ImageError, ImageFormat, ImageReader};
use tiff::TiffError;
use tiff::tags::Tag;

use super::header::{ImageHeader, SMALL};
use super::rgb::{RGB, buffer_of, to_rgb};
use super::{DecodeError, DecodeLimits, Image, check_size, format_name, jpeg, within};

pub(super) fn header<R: BufRead + Seek>(
    mut source: R,
    format: ImageFormat,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    let mut header = open(&mut source, format, limits)?.1;
    header.working += match format {
        ImageFormat::Tiff => tiff_working(&mut source, length, limits)?,
        ImageFormat::WebP => webp_working(&mut source, &header, length),
        // A text of numbers, lines and palettes.
        _ => 32 * u64::from(header.width),
    };
    Ok(header)
}

pub(super) fn decode<R: BufRead + Seek>(
    source: R,
    format: ImageFormat,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let (decoder, header) = open(source, format, limits)?;
    let (color, total) = (decoder.color_type(), decoder.total_bytes() as usize);
    let pixels = header.width as usize * header.height as usize;
    let mut buffer = buffer_of(spare, header.buffer)?;
    // Decoders leave out what the file leaves out.
    buffer.fill(0);
    decoder
        .read_image(&mut buffer[..total])
        .map_err(|source| failed(format, source))?;
    let pixels = to_rgb(buffer, pixels, color).ok_or_else(|| DecodeError::Panicked {
        format: format_name(format),
    })?;
    header.image(pixels, 1)
}

/// The decoder, and the header without the decoder's own needs.
fn open<'a, R: BufRead + Seek + 'a>(
    mut source: R,
    format: ImageFormat,
    limits: &DecodeLimits,
) -> Result<(impl ImageDecoder + 'a, ImageHeader), DecodeError> {
    source.rewind().map_err(DecodeError::Unreadable)?;
    let mut reader = ImageReader::with_format(source, format);
    let mut codec_limits = image::Limits::default();
    // For what decoders allocate besides the image itself. The exact check is ours, below.
    codec_limits.max_alloc = Some(limits.decoded_bytes);
    reader.limits(codec_limits);
    let mut decoder = reader
        .into_decoder()
        .map_err(|source| failed(format, source))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits)?;
    let total = decoder.total_bytes();
    within("a decoded size in bytes", total, limits.decoded_bytes)?;
    // A damaged EXIF block is no reason to refuse the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let header = ImageHeader {
        format,
        width,
        height,
        orientation,
        buffer: total.max(u64::from(width) * u64::from(height) * RGB as u64),
        working: SMALL,
        jpeg: None,
    };
    Ok((decoder, header))
}

/// Bytes that the decoder of TIFF takes: the image once more before it is copied to where it is wanted, a row of
/// a strip or tile, lists of strips, and for JPEG the whole strip or tile.
fn tiff_working<R: BufRead + Seek>(
    mut source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<u64, DecodeError> {
    source.rewind().map_err(DecodeError::Unreadable)?;
    let failed = |source| failed(ImageFormat::Tiff, of_tiff(source));
    let mut decoder = tiff::decoder::Decoder::new(&mut source).map_err(failed)?;
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let (chunk_width, chunk_height) = decoder.chunk_dimensions();
    let mut tag = |tag, default| {
        let value = decoder.find_tag_unsigned::<u64>(tag);
        value.map(|value| value.unwrap_or(default)).map_err(failed)
    };
    let samples = tag(Tag::SamplesPerPixel, 1)?;
    let is_jpeg = matches!(tag(Tag::Compression, 1)?, 6 | 7);
    let bits = decoder.find_tag_unsigned_vec::<u64>(Tag::BitsPerSample);
    let bits = bits.map_err(failed)?.unwrap_or_default();
    let bits = bits.into_iter().max().unwrap_or(1);
    let row = |width: u32| (u64::from(width) * samples).saturating_mul(bits.div_ceil(8));
    let chunk_row = row(chunk_width);
    within(
        "a row of a strip or tile in bytes",
        chunk_row,
        limits.decoded_bytes,
    )?;
    let image = row(width).saturating_mul(u64::from(height));
    let mut chunks = 0;
    if is_jpeg {
        for tag in [Tag::StripOffsets, Tag::TileOffsets] {
            let offsets = decoder.find_tag_unsigned_vec::<u64>(tag).map_err(failed)?;
            for offset in offsets.unwrap_or_default() {
                let reader = decoder.inner();
                reader
                    .seek(SeekFrom::Start(offset))
                    .map_err(DecodeError::Unreadable)?;
                // What is no JPEG is the decoder's to refuse.
                if let Ok(frame) = jpeg::Frame::read(reader) {
                    within("a pixel count", frame.pixels(), limits.pixels)?;
                    chunks = chunks.max(frame.decode_bytes(1).saturating_mul(2));
                }
            }
        }
        chunks += row(chunk_width).saturating_mul(u64::from(chunk_height));
    }
    Ok(image
        .saturating_add(2 * chunk_row)
        .saturating_add(chunks)
        .saturating_add(4 * length))
}

/// Bytes that the decoder of WebP takes: planes of a lossy image, four channels of a lossless one or of its alpha,
/// the canvas and the frame of an animation.
fn webp_working<R: BufRead + Seek>(mut source: R, header: &ImageHeader, length: u64) -> u64 {
    const ANIMATION: u8 = 0b10;
    const ALPHA: u8 = 0b1_0000;
    let pixels = u64::from(header.width) * u64::from(header.height);
    let mut head = [0; 21];
    let read = source
        .rewind()
        .and_then(|()| source.read_exact(&mut head))
        .is_ok();
    let padded = u64::from(header.width).next_multiple_of(16)
        * u64::from(header.height).next_multiple_of(16);
    let (lossy, lossless, alpha) = (padded * 3 / 2, pixels * 4 + pixels, pixels * 5);
    let decoder = match &head[12..16] {
        b"VP8 " if read => lossy,
        b"VP8L" if read => lossless,
        // The canvas, and a frame.
        _ if !read || head[20] & ANIMATION != 0 => pixels * 8 + lossy + alpha,
        _ if head[20] & ALPHA != 0 => (lossy + alpha).max(lossless),
        _ => lossy.max(lossless),
    };
    // Partitions are read whole; one may claim 16 MiB that the file has not.
    decoder + 3 * length + (16 << 20)
}

fn of_tiff(source: TiffError) -> ImageError {
    match source {
        TiffError::UnsupportedError(_) => {
            let kind = image::error::UnsupportedErrorKind::GenericFeature(source.to_string());
            let format = ImageFormat::Tiff.into();
            ImageError::Unsupported(image::error::UnsupportedError::from_format_and_kind(
                format, kind,
            ))
        }
        TiffError::LimitsExceeded => ImageError::Limits(image::error::LimitError::from_kind(
            image::error::LimitErrorKind::InsufficientMemory,
        )),
        source => ImageError::Decoding(image::error::DecodingError::new(
            ImageFormat::Tiff.into(),
            source,
        )),
    }
}

fn failed(format: ImageFormat, source: ImageError) -> DecodeError {
    let format = format_name(format);
    match source {
        ImageError::Unsupported(_) => DecodeError::Unsupported {
            format,
            source: source.into(),
        },
        ImageError::Limits(_) => DecodeError::Memory {
            format,
            source: source.into(),
        },
        _ => DecodeError::Damaged {
            format,
            source: source.into(),
        },
    }
}
