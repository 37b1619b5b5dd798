//! JPEG, to the byte as libjpeg-turbo decodes it.
//!
//! The decoder is chosen here and nowhere else. `libjpeg-turbo-rs` gives the bytes of libjpeg-turbo
//! (ISLOW transform, "fancy" upsampling), which training pipelines see through Pillow and OpenCV;
//! the decoder of the `image` crate differs in 3 bytes of 100. Its vector code is `unsafe`; `fuzz/`
//! has a target for it.

use image::metadata::Orientation;
use libjpeg_turbo_rs::decode::pipeline::{Decoder, ImageInfo};
use libjpeg_turbo_rs::{ColorSpace, DecodeLimits, JpegError, PixelFormat, ScalingFactor};

use super::{DecodeError, Limits, Picture, check_size};

const FORMAT: &str = "JPEG";
/// Real progressive files have about 10 scans; each one costs a pass over the whole picture.
const MOST_SCANS: usize = 500;

pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
    mut spare: Vec<u8>,
    reduction: impl FnOnce(u32, u32) -> u32,
) -> Result<Picture, DecodeError> {
    // libjpeg fills in what is missing, and the answer would be a confident wrong one.
    if !has_its_end(bytes) {
        return Err(DecodeError::CutShort { format: FORMAT });
    }
    let codec_limits = DecodeLimits {
        max_pixels: limits.pixels,
        max_memory: Some(limits.decoded_bytes),
        max_scans: MOST_SCANS,
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, codec_limits).map_err(failed)?;
    let frame = decoder.header();
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    check_size(width, height, limits)?;
    // A damaged EXIF block is no reason to refuse the pixels.
    let orientation = decoder
        .exif_orientation()
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms);
    let four_channels = matches!(
        decoder.jpeg_color_space(),
        ColorSpace::Cmyk | ColorSpace::Ycck
    );
    decoder.set_output_format(if four_channels {
        PixelFormat::Cmyk
    } else {
        PixelFormat::Rgb
    });
    let reduction = if turns(orientation) {
        reduction(height, width)
    } else {
        reduction(width, height)
    };
    decoder.set_scale(ScalingFactor::try_new(1, reduction).map_err(failed)?);
    let size = decoder.output_buffer_size().map_err(failed)?;
    if spare.capacity() < size {
        // Growing would copy what nobody needs.
        spare = vec![0; size];
    } else {
        spare.resize(size, 0);
    }
    let ImageInfo { width, height, .. } = decoder.decode_image_into(&mut spare).map_err(failed)?;
    let pixels = if four_channels {
        rgb_from_cmyk(&spare)
    } else {
        spare
    };
    Picture::from_rgb(width as u32, height as u32, pixels)
        .map(|picture| picture.upright(orientation))
        .ok_or(DecodeError::Panicked { format: FORMAT })
}

/// Whether the picture is higher than wide when the file's is wider than high.
fn turns(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

fn failed(source: JpegError) -> DecodeError {
    let source = Box::new(source);
    match *source {
        JpegError::Unsupported(_) => DecodeError::Unsupported {
            format: FORMAT,
            source,
        },
        JpegError::LimitExceeded { .. } | JpegError::AllocationFailed { .. } => {
            DecodeError::Memory {
                format: FORMAT,
                source,
            }
        }
        JpegError::UnexpectedEof => DecodeError::CutShort { format: FORMAT },
        _ => DecodeError::Damaged {
            format: FORMAT,
            source,
        },
    }
}

/// What Pillow makes of four channels: it takes them for inverted, as Adobe writes them (`CMYK;I`
/// in its JPEG plugin), and blends with black in fixed point (`cmyk2rgb` in its `Convert.c`).
fn rgb_from_cmyk(pixels: &[u8]) -> Vec<u8> {
    let (pixels, _) = pixels.as_chunks::<4>();
    pixels
        .iter()
        .flat_map(|&[c, m, y, k]| {
            [c, m, y].map(|ink| {
                let product = u32::from(255 - ink) * u32::from(k) + 128;
                let blended = ((product >> 8) + product) >> 8;
                (u32::from(k) - blended) as u8
            })
        })
        .collect()
}

/// Whether an end-of-image marker follows the first scan. In a scan every byte `FF` is followed by
/// `00` or a marker, so that `FF D9` is nothing else there; the headers before it are skipped,
/// because an embedded thumbnail has an end of its own. (ITU-T T.81, annex B.)
fn has_its_end(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        match *rest {
            [0xff, START_OF_SCAN, ref scan @ ..] => {
                // From the back, where it is in all files that are whole.
                return scan.windows(2).rev().any(|pair| pair == [0xff, 0xd9]);
            }
            // Fill bytes, and markers without a segment.
            [0xff, 0xff, ..] => rest = &rest[1..],
            [0xff, 0x01 | 0xd0..=0xd8, ..] => rest = &rest[2..],
            [0xff, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(next) = rest.get(2 + length.max(2)..) else {
                    return false;
                };
                rest = next;
            }
            // Not a marker: let the decoder say what is wrong.
            [first, ..] if first != 0xff => return true,
            _ => return false,
        }
    }
}
