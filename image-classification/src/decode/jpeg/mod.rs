//! JPEG, to the byte as libjpeg-turbo decodes it.
//!
//! The decoder is chosen only here. `libjpeg-turbo-rs` gives the bytes of libjpeg-turbo
//! (ISLOW transform, "fancy" upsampling), which training pipelines see through Pillow and OpenCV;
//! the decoder of the `image` crate differs in 3 bytes of 100. Its vector code is `unsafe`; `fuzz/`
//! has a target for it.

mod frame;
mod planes;
mod scans;

use std::borrow::Cow;
use std::io::{BufRead, Cursor, ErrorKind, Seek};

use libjpeg_turbo_rs::decode::pipeline::{Decoder, ImageInfo};
use libjpeg_turbo_rs::{ColorSpace, JpegError, PixelFormat, ScalingFactor};

pub(super) use self::frame::Frame;
use self::planes::Planes;
use super::format::Format;
use super::header::ImageHeader;
use super::limits::check_size;
use super::rgb::{RGB, buffer_of, capacity_of, rgb_from_ink, shrink};
use super::{DecodeError, DecodeLimits, Image, ImageNote};

const FORMAT: &str = "JPEG";
/// Real progressive files have about 10 scans; each one costs a pass over the whole image.
const MOST_SCANS: usize = 500;

pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    spare: Vec<u8>,
    reduction: impl FnOnce(u32, u32) -> u32,
) -> Result<Image, DecodeError> {
    let header = header(Cursor::new(bytes), limits)?;
    // libjpeg fills in the missing part, and the answer would be confident but wrong.
    if !scans::have_their_end(bytes) {
        return Err(DecodeError::CutShort { format: FORMAT });
    }
    let frame = header.jpeg.as_ref().expect("the header of a JPEG");
    let (bytes, ids) = if frame.has_equal_ids() {
        let ids = frame.ids();
        let count = ids.len();
        let renumbered = scans::renumbered(bytes, &ids);
        let name = "components with the same id that a scan does not repeat";
        let renumbered = renumbered.ok_or_else(|| unsupported(name))?;
        (Cow::Owned(renumbered), (1..=count as u8).collect())
    } else {
        (Cow::Borrowed(bytes), frame.ids())
    };
    let mut decoder = decoder(&bytes, frame, limits)?;
    // libjpeg does the same by default if scans of a progressive JPEG are missing.
    decoder.set_block_smoothing(true);
    let has_ink = matches!(
        decoder.jpeg_color_space(),
        ColorSpace::Cmyk | ColorSpace::Ycck
    );
    decoder.set_output_format(if has_ink {
        PixelFormat::Cmyk
    } else {
        PixelFormat::Rgb
    });
    let (upright_width, upright_height) = header.upright();
    let reduction = match reduction(upright_width, upright_height) {
        reduction if header.is_reducible() => reduction,
        _ => 1,
    };
    let is_complete = !frame.is_progressive() || scans::are_complete(&bytes, &ids);
    // libjpeg smooths what coarse scans give, and planes are decoded without that.
    if frame.has_own_upsampling() && !is_complete {
        return Err(unsupported(
            "missing last scans of channels with this sampling",
        ));
    }
    let pixels = if frame.has_own_upsampling() {
        upsampled(decoder, frame, capacity_of(spare, header.pixel_bytes(1))?)?
    } else {
        decoder.set_scale(ScalingFactor::try_new(1, reduction).map_err(failed)?);
        let size = decoder.output_buffer_size().map_err(failed)?;
        let mut pixels = buffer_of(spare, size as u64)?;
        let ImageInfo { width, height, .. } =
            decoder.decode_image_into(&mut pixels).map_err(failed)?;
        drop(decoder);
        if has_ink {
            let count = width * height;
            shrink(&mut pixels, count, rgb_from_inverted_ink);
            pixels.truncate(count * RGB);
        }
        pixels
    };
    let note = (!is_complete).then_some(ImageNote::ScansMissing);
    header
        .image(pixels, reduction)
        .map(|image| image.noted(note))
}

/// Returns the decoder of a file whose frame is `frame`.
fn decoder<'a>(
    bytes: &'a [u8],
    frame: &Frame,
    limits: &DecodeLimits,
) -> Result<Decoder<'a>, DecodeError> {
    let codec_limits = libjpeg_turbo_rs::DecodeLimits {
        max_pixels: limits.pixels,
        max_memory: Some(limits.decoded_bytes),
        max_scans: MOST_SCANS,
        ..libjpeg_turbo_rs::DecodeLimits::default()
    };
    if frame.is_baseline && scans::are_of_some_components(bytes, frame.ids().len()) {
        return Err(unsupported(
            "baseline scans of several components, but not of all",
        ));
    }
    let decoder = Decoder::new_with_limits(bytes, codec_limits).map_err(failed)?;
    // Memory was counted for the first frame; no encoder writes a file with another one.
    if frame.is(decoder.header()) {
        Ok(decoder)
    } else {
        Err(damaged("the frames contradict each other"))
    }
}

/// Returns the RGB of three or four components that are sampled differently.
fn upsampled(
    decoder: Decoder<'_>,
    frame: &Frame,
    mut pixels: Vec<u8>,
) -> Result<Vec<u8>, DecodeError> {
    let space = decoder.jpeg_color_space();
    Planes::decode(decoder, frame)?.rows(|row| match space {
        ColorSpace::YCbCr => {
            let rgb = row.as_chunks().0.iter().map(|ycc| rgb_from_ycc(*ycc));
            pixels.extend(rgb.flatten());
        }
        ColorSpace::Cmyk | ColorSpace::Ycck => {
            for pixel in row.as_chunks::<4>().0 {
                let mut ink = *pixel;
                if space == ColorSpace::Ycck {
                    let [y, cb, cr, _] = ink;
                    ink[..RGB].copy_from_slice(&rgb_from_ycc([y, cb, cr]).map(|level| 255 - level));
                }
                pixels.extend_from_slice(&rgb_from_inverted_ink(ink));
            }
        }
        _ => pixels.extend_from_slice(row),
    })?;
    Ok(pixels)
}

/// Returns the conversion of `jdcolor.c`, in fixed point with 16 bits.
fn rgb_from_ycc([y, cb, cr]: [u8; 3]) -> [u8; RGB] {
    const HALF: i32 = 1 << 15;
    let fixed = |factor: f64| (factor * 65536.0 + 0.5) as i32;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((fixed(1.402) * cr + HALF) >> 16);
    let green = y + ((-fixed(0.344_14) * cb - fixed(0.714_14) * cr + HALF) >> 16);
    let blue = y + ((fixed(1.772) * cb + HALF) >> 16);
    [red, green, blue].map(|level| level.clamp(0, 255) as u8)
}

/// Decodes a strip or tile of a TIFF of `size` pixels into interleaved samples; YCbCr becomes RGB.
pub(super) fn decode_chunk(
    bytes: &[u8],
    tables: Option<&[u8]>,
    size: (usize, usize),
    samples: usize,
    is_ycbcr: bool,
    most_bytes: u64,
    limits: &DecodeLimits,
) -> Result<Vec<u8>, DecodeError> {
    let bytes = match tables {
        // Both begin with a start and end with an end.
        Some([0xff, 0xd8, tables @ .., 0xff, 0xd9]) => {
            let image = bytes.get(2..).unwrap_or_default();
            Cow::Owned([b"\xff\xd8", tables, image].concat())
        }
        _ => Cow::Borrowed(bytes),
    };
    let header = header(Cursor::new(&*bytes), limits)?;
    let frame = header.jpeg.as_ref().expect("the header of a JPEG");
    let (width, height) = (frame.width as usize, frame.height as usize);
    if width != size.0 || height < size.1 || frame.factors().count() != samples {
        return Err(damaged("a strip or tile has another size than the image"));
    }
    if frame.decode_bytes(1) > most_bytes || frame.precision != 8 {
        return Err(unsupported("strips or tiles of this kind"));
    }
    if is_ycbcr && frame.has_own_upsampling() {
        return Err(unsupported("luma that is sampled less than chroma"));
    }
    let mut decoder = decoder(&bytes, frame, limits)?;
    let mut out = capacity_of(Vec::new(), (width * height * samples) as u64)?;
    if is_ycbcr {
        decoder.set_output_format(PixelFormat::Rgb);
        let needed = decoder.output_buffer_size().map_err(failed)?;
        out.resize(needed, 0);
        decoder.decode_image_into(&mut out).map_err(failed)?;
        return Ok(out);
    }
    // The samples as they are, whatever colours a JPEG by itself would have.
    Planes::decode(decoder, frame)?.rows(|row| out.extend_from_slice(row))?;
    Ok(out)
}

/// Reads the size of a JPEG and the properties that decide its memory.
pub(super) fn header<R: BufRead + Seek>(
    mut source: R,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    let read = |source: &mut R| {
        source.rewind()?;
        Frame::read(source)
    };
    let frame = match read(&mut source) {
        Ok(frame) => frame,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(DecodeError::CutShort { format: FORMAT });
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(damaged("there is no frame before the first scan"));
        }
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return Err(DecodeError::UnsupportedFormat { format: "JPEG-LS" });
        }
        Err(error) => return Err(DecodeError::Unreadable(error)),
    };
    let (width, height) = (frame.width as u32, frame.height as u32);
    if height == 0 && width > 0 {
        return Err(unsupported("a height that follows the first scan (DNL)"));
    }
    check_size(width, height, limits)?;
    let orientation = frame.orientation;
    Ok(ImageHeader {
        format: Format::Jpeg,
        width,
        height,
        orientation,
        buffer: 0,
        working: 0,
        jpeg: Some(frame),
    })
}

fn damaged(why: &str) -> DecodeError {
    failed(JpegError::CorruptData(why.to_owned()))
}

fn unsupported(what: &str) -> DecodeError {
    failed(JpegError::Unsupported(what.to_owned()))
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

/// Returns the colour that Pillow makes of four channels of a JPEG: it treats them as inverted, as Adobe writes them
/// (`CMYK;I` in its JPEG plugin).
fn rgb_from_inverted_ink(ink: [u8; 4]) -> [u8; RGB] {
    rgb_from_ink(ink.map(|ink| 255 - ink))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a file with a frame of three components and empty scans of some of them.
    fn of_scans(scans: &[&[u8]]) -> Vec<u8> {
        let mut file = b"\xff\xd8\xff\xc0\0\x11\x08\0\x08\0\x08\x03".to_vec();
        file.extend([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
        for ids in scans {
            file.extend([0xff, 0xda, 0, 6 + 2 * ids.len() as u8, ids.len() as u8]);
            file.extend(ids.iter().flat_map(|id| [*id, 0]));
            file.extend([0, 63, 0]);
        }
        file.extend(b"\xff\xd9");
        file
    }

    #[test]
    fn scans_of_some_components_are_named() {
        let error = |scans: &[&[u8]]| {
            Image::decode(&of_scans(scans), &DecodeLimits::default()).unwrap_err()
        };
        for scans in [&[&[1, 2][..], &[3]], &[&[1], &[2, 3][..]]] {
            let error = error(scans);
            assert_eq!(error.code(), "unsupported-picture", "{error:?}");
            assert!(format!("{error:?}").contains("baseline scans of several"));
            assert_eq!(error.hint(), "convert the image to PNG or JPEG");
        }
        // These have no tables.
        for scans in [&[&[1, 2, 3][..]][..], &[&[1], &[2], &[3]]] {
            assert_eq!(error(scans).code(), "damaged-picture");
        }
    }
}
