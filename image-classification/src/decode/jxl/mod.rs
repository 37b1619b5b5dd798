//! JPEG XL, in the colours of sRGB.

mod boxes;

use std::io::{self, BufRead, ErrorKind, Read};

use image::metadata::Orientation;
use jxl_bitstream::Bitstream;
use jxl_color::icc::read_icc;
use jxl_oxide::{AllocTracker, EnumColourEncoding, InitializeResult, JxlImage, RenderingIntent};
use jxl_oxide_common::Bundle as _;

use self::boxes::{Codestream, SIGNATURE};
use super::format::Format;
use super::header::ImageHeader;
use super::limits::{SMALL, check_size, within};
use super::rgb::{RGB, buffer_of};
use super::{DecodeError, DecodeLimits, Image};

const FORMAT: &str = "JPEG XL";
/// Bytes that rendering takes at most for a pixel: planes of floats for each stage, and patches.
const MOST_BYTES_PER_PIXEL: u64 = 48;
/// Bytes of tables and groups, whatever the size.
const TABLES: u64 = 16 << 20;
/// Most bytes of the codestream before the image: its header, a colour profile and a preview.
const MOST_HEADER: usize = 4 << 20;
/// Most bytes of a colour profile, compressed or not. The decoder allocates up to 256 MiB several times, which the file
/// may claim in a few bytes.
const MOST_PROFILE: u64 = 4 << 20;

pub(super) fn header<R: BufRead>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    let mut codestream = Codestream::new(source).map_err(unreadable)?;
    open(&mut codestream, length, limits).map(|(_, header)| header)
}

pub(super) fn decode<R: BufRead>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let mut codestream = Codestream::new(source).map_err(unreadable)?;
    let (mut image, header) = open(&mut codestream, length, limits)?;
    let mut piece = [0; 4096];
    loop {
        let count = codestream.read(&mut piece).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        image.feed_bytes(&piece[..count]).map_err(failed)?;
    }
    image.finalize().map_err(failed)?;
    if image.num_loaded_keyframes() == 0 {
        return Err(DecodeError::CutShort { format: FORMAT });
    }
    // The others are the file's own levels, as other formats give them.
    if image.image_header().metadata.xyb_encoded {
        let encoding = if image.pixel_format().is_grayscale() {
            EnumColourEncoding::gray_srgb(RenderingIntent::Relative)
        } else {
            EnumColourEncoding::srgb(RenderingIntent::Relative)
        };
        image.request_color_encoding(encoding);
    }
    let render = image.render_frame(0).map_err(failed)?;
    let mut stream = render.stream_no_alpha();
    let samples = stream.channels() as usize;
    if (stream.width(), stream.height()) != (header.width, header.height)
        || !matches!(samples, 1 | 3)
    {
        return Err(DecodeError::Unsupported {
            format: FORMAT,
            source: format!("an image of {samples} channels").into(),
        });
    }
    let mut pixels = buffer_of(spare, header.buffer)?;
    let count = pixels.len() / RGB;
    stream.write_to_buffer(&mut pixels[..count * samples]);
    if samples == 1 {
        super::rgb::expand(&mut pixels, count, |grey| [grey; RGB]);
    }
    header.image(pixels, 1)
}

/// Reads the header and the bytes that were read with it. Less than 32 MiB are allocated, whatever the file claims.
fn open<R: BufRead>(
    codestream: &mut Codestream<R>,
    length: u64,
    limits: &DecodeLimits,
) -> Result<(JxlImage, ImageHeader), DecodeError> {
    const FIRST_READ: usize = 4096;
    // The tracker's limit is what is announced.
    let tracker = AllocTracker::with_limit(TABLES as usize);
    let mut uninitialized = JxlImage::builder()
        .alloc_tracker(tracker.clone())
        .build_uninit();
    let mut start = Vec::new();
    let image = loop {
        let before = start.len();
        if before >= MOST_HEADER {
            return Err(damaged("its header does not end"));
        }
        // The header is parsed from its beginning each time: as much again makes that a few times.
        let most = before.max(FIRST_READ) as u64;
        let count = codestream.take(most).read_to_end(&mut start);
        if count.map_err(unreadable)? == 0 {
            return Err(DecodeError::CutShort { format: FORMAT });
        }
        // The decoder would look for boxes in anything else.
        if !start.starts_with(&SIGNATURE) {
            return Err(damaged("it has no codestream"));
        }
        check_profile(&start)?;
        uninitialized.feed_bytes(&start[before..]).map_err(failed)?;
        match uninitialized.try_init().map_err(failed)? {
            InitializeResult::NeedMoreData(more) => uninitialized = more,
            InitializeResult::Initialized(image) => break image,
        }
    };
    drop(start);
    let (width, height) = (image.width(), image.height());
    check_size(width, height, limits)?;
    let pixels = u64::from(width) * u64::from(height);
    let buffer = pixels * RGB as u64;
    within("a decoded size in bytes", buffer, limits.decoded_bytes)?;
    let rendering = pixels * MOST_BYTES_PER_PIXEL;
    tracker.expand_limit(rendering as usize);
    let header = ImageHeader {
        format: Format::JpegXl,
        width,
        height,
        // The decoder applies it.
        orientation: Orientation::NoTransforms,
        buffer,
        working: rendering + TABLES + 4 * MOST_PROFILE + 4 * length + SMALL,
        jpeg: None,
    };
    Ok((image, header))
}

/// Checks the size of the colour profile behind the header in `start`, if it is there. The decoder tells damage.
fn check_profile(start: &[u8]) -> Result<(), DecodeError> {
    let within = |bytes| within("a colour profile size in bytes", bytes, MOST_PROFILE);
    let mut bits = Bitstream::new(start);
    let Ok(header) = jxl_oxide::ImageHeader::parse(&mut bits, ()) else {
        return Ok(());
    };
    if !header.metadata.colour_encoding.want_icc() {
        return Ok(());
    }
    let compressed = bits.clone().read_u64();
    within(compressed.unwrap_or_default())?;
    let profile = read_icc(&mut bits).unwrap_or_default();
    within(stated_size(&profile))
}

/// Returns the number at the beginning of a compressed profile: 7 bits in each byte, the lowest ones first.
fn stated_size(profile: &[u8]) -> u64 {
    const MORE: u8 = 0x80;
    const MOST_BYTES: usize = 9;
    let bytes = profile.iter().take(MOST_BYTES);
    let count = bytes.clone().take_while(|byte| **byte & MORE != 0).count() + 1;
    bytes
        .take(count)
        .rev()
        .fold(0, |size, byte| size << 7 | u64::from(byte & !MORE))
}

fn damaged(why: &'static str) -> DecodeError {
    DecodeError::Damaged {
        format: FORMAT,
        source: why.into(),
    }
}

fn unreadable(error: io::Error) -> DecodeError {
    match error.kind() {
        ErrorKind::InvalidData => DecodeError::Damaged {
            format: FORMAT,
            source: error.into(),
        },
        _ => DecodeError::Unreadable(error),
    }
}

fn failed(source: Box<dyn std::error::Error + Send + Sync>) -> DecodeError {
    let text = source.to_string();
    if text.contains("memory") || text.contains("alloc") {
        DecodeError::Memory {
            format: FORMAT,
            source,
        }
    } else {
        DecodeError::Damaged {
            format: FORMAT,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits from the lowest one on.
    #[derive(Default)]
    struct Bits(Vec<bool>);

    impl Bits {
        fn put(&mut self, value: u64, count: u32) {
            self.0
                .extend((0..count).map(|place| value >> place & 1 == 1));
        }

        fn bytes(&self) -> Vec<u8> {
            let byte = |bits: &[bool]| {
                bits.iter()
                    .rev()
                    .fold(0, |byte, bit| byte << 1 | u8::from(*bit))
            };
            self.0.chunks(8).map(byte).collect()
        }
    }

    /// Returns a header of 8 x 8 pixels with a colour profile that claims a compressed size.
    fn with_profile(bytes: u64) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.put(0x0aff, 16);
        // A small size: 8 rows, and as many columns.
        bits.put(1, 1);
        bits.put(0, 5);
        bits.put(1, 3);
        // Metadata: not the default, nothing more, 8 bits, no other channels, not XYB.
        bits.put(0, 1);
        bits.put(0, 1);
        bits.put(0, 1 + 2);
        bits.put(1, 1);
        bits.put(0, 2);
        bits.put(0, 1);
        // Colours: not the default, a profile, RGB; no extension; default weights.
        bits.put(0, 1);
        bits.put(1, 1);
        bits.put(1, 2);
        bits.put(0, 2);
        bits.put(1, 1);
        // 12 bits, then 8 at a time.
        bits.put(3, 2);
        bits.put(bytes & 0xfff, 12);
        for place in [12, 20] {
            bits.put(1, 1);
            bits.put(bytes >> place & 0xff, 8);
        }
        bits.put(0, 1);
        bits.bytes()
    }

    #[test]
    fn a_colour_profile_has_a_limit() {
        let error = |bytes| {
            let file = with_profile(bytes);
            header(&file[..], file.len() as u64, &DecodeLimits::default()).unwrap_err()
        };
        let text =
            "the image has a colour profile size in bytes of 268435455, but the limit is 4194304";
        assert_eq!(error((1 << 28) - 1).to_string(), text);
        assert_eq!(error(MOST_PROFILE).code(), "damaged-picture");
        for (start, expected) in [
            (&b""[..], 0),
            (b"\x05\xff", 5),
            (b"\x80\x80\x80\x80\x01", 1 << 28),
            (&[0xff; 20], (1 << 63) - 1),
        ] {
            assert_eq!(stated_size(start), expected, "{start:?}");
        }
    }
}
