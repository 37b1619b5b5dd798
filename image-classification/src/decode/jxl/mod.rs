//! JPEG XL, in the colours of sRGB.

mod boxes;
mod features;

use std::io::{self, BufRead, Cursor, ErrorKind, Read};

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
/// Most bytes of the codestream before a preview and the frames: its header and a colour profile.
const MOST_HEADER: usize = 4 << 20;
/// Most bytes of a preview. For each [`PIECE`] of it the decoder reads the header again.
const MOST_PREVIEW: usize = 64 << 10;
/// Bytes of the codestream that the decoder gets at a time. It keeps all frames in them, of which the smallest have a few
/// bytes, before they can be counted.
const PIECE: usize = 4096;
/// Most frames before the first one that is shown, on which that may depend: the decoder renders one inside of the other,
/// and a stack of 2 MiB ends after some hundreds. Each costs a pass over the whole image.
const MOST_HIDDEN: usize = 64;
/// Most bytes of a colour profile, compressed or not. The decoder allocates up to 256 MiB several times, which the file
/// may claim in a few bytes.
const MOST_PROFILE: u64 = 4 << 20;

pub(super) fn header<R: BufRead>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    let mut codestream = Codestream::new(source).map_err(unreadable)?;
    open(&mut codestream, length, limits).map(|(_, header, _)| header)
}

pub(super) fn decode<R: BufRead>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let mut codestream = Codestream::new(source).map_err(unreadable)?;
    let (mut image, header, start) = open(&mut codestream, length, limits)?;
    load(&mut image, start.chain(codestream))?;
    features::check(&image)?;
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
        return Err(unsupported(format!("an image of {samples} channels")));
    }
    let mut pixels = buffer_of(spare, header.buffer)?;
    let count = pixels.len() / RGB;
    stream.write_to_buffer(&mut pixels[..count * samples]);
    if samples == 1 {
        super::rgb::expand(&mut pixels, count, |grey| [grey; RGB]);
    }
    header.image(pixels, 1)
}

/// Reads frames up to the first one that is shown. Those behind it do not count.
fn load(image: &mut JxlImage, mut source: impl Read) -> Result<(), DecodeError> {
    let mut piece = Vec::with_capacity(PIECE);
    let mut fed = Ok(());
    loop {
        let is_shown = image.num_loaded_keyframes() > 0;
        let hidden = match image.frame_by_keyframe(0) {
            Some(frame) if is_shown => frame.index(),
            _ => image.num_loaded_frames(),
        };
        if hidden > MOST_HIDDEN {
            return Err(unsupported(format!(
                "{hidden} frames before the first one that is shown, but the limit is {MOST_HIDDEN}"
            )));
        }
        if is_shown {
            return Ok(());
        }
        fed?;
        fill(&mut piece, &mut source)?;
        fed = image.feed_bytes(&piece).map(drop).map_err(failed);
    }
}

/// Reads the next [`PIECE`], whole although each byte may have its own box: the decoder parses a header that is not whole
/// from its beginning for each piece.
fn fill(piece: &mut Vec<u8>, source: impl Read) -> Result<(), DecodeError> {
    piece.clear();
    let count = source.take(PIECE as u64).read_to_end(piece);
    if count.map_err(unreadable)? == 0 {
        return Err(DecodeError::CutShort { format: FORMAT });
    }
    Ok(())
}

/// Reads the header. Less than 32 MiB are allocated, whatever the file claims. Returns the bytes behind the header that were
/// read, too.
fn open<R: BufRead>(
    codestream: &mut Codestream<R>,
    length: u64,
    limits: &DecodeLimits,
) -> Result<(JxlImage, ImageHeader, Cursor<Vec<u8>>), DecodeError> {
    // The tracker's limit is what is announced.
    let tracker = AllocTracker::with_limit(TABLES as usize);
    let mut uninitialized = JxlImage::builder()
        .alloc_tracker(tracker.clone())
        .build_uninit();
    let mut start = Vec::new();
    let end = loop {
        let before = start.len();
        if before >= MOST_HEADER {
            return Err(damaged("its header does not end"));
        }
        // The header is parsed from its beginning each time: as much again makes that a few times.
        let most = before.max(PIECE) as u64;
        let count = codestream.take(most).read_to_end(&mut start);
        if count.map_err(unreadable)? == 0 {
            return Err(DecodeError::CutShort { format: FORMAT });
        }
        // The decoder would look for boxes in anything else.
        if !start.starts_with(&SIGNATURE) {
            return Err(damaged("it has no codestream"));
        }
        if let Some(end) = end_of_header(&start)? {
            break end;
        }
    };
    let mut rest = Cursor::new(start.split_off(end));
    uninitialized.feed_bytes(&start).map_err(failed)?;
    let (mut preview, mut piece) = (0, Vec::new());
    let image = loop {
        match uninitialized.try_init().map_err(failed)? {
            InitializeResult::NeedMoreData(more) => uninitialized = more,
            InitializeResult::Initialized(image) => break image,
        }
        if preview >= MOST_PREVIEW {
            return Err(unsupported(format!(
                "a preview of more than {MOST_PREVIEW} bytes"
            )));
        }
        fill(&mut piece, rest.by_ref().chain(&mut *codestream))?;
        preview += piece.len();
        uninitialized.feed_bytes(&piece).map_err(failed)?;
    };
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
    Ok((image, header, rest))
}

/// Returns the end of the header with its colour profile, whose size is checked; `None` if it is behind `start`.
fn end_of_header(start: &[u8]) -> Result<Option<usize>, DecodeError> {
    let within = |bytes| within("a colour profile size in bytes", bytes, MOST_PROFILE);
    let mut bits = Bitstream::new(start);
    let header = match jxl_oxide::ImageHeader::parse(&mut bits, ()) {
        Ok(header) => header,
        Err(error) if error.unexpected_eof() => return Ok(None),
        Err(error) => return Err(failed(error.into())),
    };
    if header.metadata.colour_encoding.want_icc() {
        let compressed = bits.clone().read_u64();
        within(compressed.unwrap_or_default())?;
        match read_icc(&mut bits) {
            Ok(profile) => within(stated_size(&profile))?,
            Err(error) if error.unexpected_eof() => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        }
    }
    bits.zero_pad_to_byte()
        .map_err(|error| failed(error.into()))?;
    Ok(Some(bits.num_read_bits() / 8))
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

fn unsupported(what: String) -> DecodeError {
    DecodeError::Unsupported {
        format: FORMAT,
        source: what.into(),
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

        /// Adds values with their numbers of bits, then zeros up to a byte.
        fn of(values: &[(u64, u32)]) -> Vec<u8> {
            let mut bits = Self::default();
            for (value, count) in values {
                bits.put(*value, *count);
            }
            bits.bytes()
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

    /// Returns a header of 8 x 8 pixels: 8 bits, not XYB, sRGB.
    fn header_of(is_animated: bool) -> Vec<u8> {
        let animation: &[_] = if is_animated {
            // No orientation, sizes or preview; 100 ticks a second, without end or time codes.
            &[(1, 1), (0, 5), (1, 1), (0, 7)]
        } else {
            &[(0, 1)]
        };
        let start = [(0x0aff, 16), (1, 1), (0, 5), (1, 3), (0, 1)];
        let samples = [(0, 3), (1, 1), (0, 2), (0, 1), (1, 1)];
        let tones: &[_] = if is_animated { &[(1, 1)] } else { &[] };
        Bits::of(&[&start, animation, &samples, tones, &[(0, 2), (1, 1)]].concat())
    }

    /// Returns a frame of black pixels, which is added to the one before if it has no `duration`.
    fn frame(duration: Option<u64>, is_last: bool) -> Vec<u8> {
        frame_with((0, 2), &[], duration, is_last)
    }

    /// Does [`frame`] with flags, and with the bits of what they announce.
    fn frame_with(
        flags: (u64, u32),
        features: &[(u64, u32)],
        duration: Option<u64>,
        is_last: bool,
    ) -> Vec<u8> {
        // A tree of one leaf and samples, each with a code of one symbol that takes no bits.
        let black = [
            (0b00_1001, 6),
            (0, 1),
            (1, 1),
            (0, 2),
            (1, 1),
            (15, 4),
            (0, 1),
            (0, 1),
            (1, 1),
            (15, 4),
            (0, 1),
        ];
        let data = Bits::of(&[features, &black].concat());
        let duration: &[_] = duration.as_slice();
        let mode = u64::from(duration.is_empty());
        let mut values = vec![
            (0, 3),
            (1, 1),
            flags,
            (0, 1),
            (0, 2),
            (3, 2),
            (0, 2),
            (0, 1),
        ];
        values.push((mode, 2));
        if mode == 1 {
            values.push((0, 2));
        }
        values.extend(duration.iter().map(|ticks| (*ticks, 2)));
        values.push((is_last.into(), 1));
        if !is_last {
            values.push((0, 2));
        }
        // No name, filter or extension, and parts in order.
        values.extend([(0, 2), (0, 4), (0, 2), (0, 2), (0, 1)]);
        let mut bytes = Bits::of(&values);
        bytes.extend(Bits::of(&[(0, 2), (data.len() as u64, 10)]));
        bytes.extend(data);
        bytes
    }

    fn decoded(file: &[u8]) -> Result<Image, DecodeError> {
        let limits = DecodeLimits::default();
        decode(file, file.len() as u64, &limits, Vec::new())
    }

    #[test]
    fn hidden_frames_have_a_limit() {
        let file = |hidden| {
            let frames = frame(None, false).repeat(hidden);
            [header_of(false), frames, frame(None, true)].concat()
        };
        for hidden in [0, 1, MOST_HIDDEN] {
            assert_eq!(decoded(&file(hidden)).unwrap().rgb(), [0; 8 * 8 * RGB]);
        }
        // The stack ended with the last ones.
        for hidden in [MOST_HIDDEN + 1, 1000, 100_000] {
            let error = decoded(&file(hidden)).unwrap_err();
            assert_eq!(error.code(), "unsupported-picture");
            let text = "frames before the first one that is shown, but the limit is 64";
            assert!(format!("{error:?}").contains(text), "{error:?}");
        }
    }

    /// Returns the bits of one patch of 1 x 1 pixels in 2^`count` + 1 places.
    fn patches(count: u64) -> Vec<(u64, u32)> {
        let mut bits = vec![(0, 1), (1, 1), (2, 2)];
        // The streams: the number of patches has the second code, that of places the third one.
        bits.extend([1, 0, 0, 0, 0, 0, 0, 2, 0, 0].map(|code| (code, 2)));
        // Each code has one symbol, which takes no bits: 0, 1, and a number of `count` bits.
        let symbol = count + 1;
        let digits = u64::BITS - symbol.leading_zeros();
        let low = symbol - (1 << (digits - 1));
        bits.extend([(1, 1), (15, 4), (0, 4), (0, 4), (0, 1)]);
        bits.extend([(1, 1), (0, 4)]);
        bits.extend([(1, 1), (u64::from(digits) - 1, 4), (low, digits - 1)]);
        bits.extend([(1, 2), (0, 2), (1, 1), (1, 2), (0, 2), (symbol, digits)]);
        bits.push((0, count as u32));
        bits
    }

    #[test]
    fn patches_have_a_limit_and_splines_are_refused() {
        // The flags are 2 and 16, less one in four bits behind the choice of this form.
        const PATCHES: (u64, u32) = (1 | 1 << 2, 6);
        const SPLINES: (u64, u32) = (1 | 15 << 2, 6);
        let file = |flags, features: &[_]| {
            [header_of(false), frame_with(flags, features, None, true)].concat()
        };
        let message = |file: &[u8]| format!("{:?}", decoded(file).unwrap_err());
        // 64 for each of 64 pixels.
        let many = message(&file(PATCHES, &patches(12)));
        assert!(
            many.contains("more than 64 patches on each pixel"),
            "{many}"
        );
        let many = message(&file(PATCHES, &patches(17)));
        assert!(
            many.contains("more than 131072 blendings of patches"),
            "{many}"
        );
        // The decoder reads the whole list, and misses the frame with the patch.
        let few = message(&file(PATCHES, &patches(1)));
        assert!(few.contains("InvalidReference"), "{few}");
        let splines = message(&file(SPLINES, &[]));
        assert!(splines.contains("splines"), "{splines}");
    }

    #[test]
    fn a_spline_of_endless_length_is_refused() {
        let file = b"\xff\x0a\x41\x40\x24\xd8\x63\x10\x00\x48\x00\x0a\x24\xff\x41\x48\x1d\xa3\x03\0\0\0\0\0\0\x24\xf2\xf9\0";
        assert_eq!(decoded(file).unwrap_err().code(), "unsupported-picture");
    }

    #[test]
    fn frames_behind_the_first_do_not_count() {
        let first = [header_of(true), frame(Some(1), false)].concat();
        let others = frame(Some(1), false).repeat(10_000);
        for rest in [b"".to_vec(), vec![0xa5; 9000], others] {
            let image = decoded(&[&first[..], &rest].concat()).unwrap();
            assert_eq!(image.rgb(), [0; 8 * 8 * RGB]);
        }
        let cut = decoded(&first[..first.len() - 1]).unwrap_err();
        assert!(matches!(cut, DecodeError::CutShort { .. }), "{cut:?}");
    }

    #[test]
    fn a_header_ends_where_it_is_whole() {
        assert_eq!(
            end_of_header(&header_of(false)).unwrap(),
            Some(header_of(false).len())
        );
        assert_eq!(end_of_header(&header_of(false)[..3]).unwrap(), None);
    }

    #[test]
    fn pieces_are_whole_although_boxes_are_small() {
        let bytes = [7; 2 * PIECE];
        let parts = bytes.chunks(1).map(<[u8]>::to_vec);
        let boxes = parts.enumerate().flat_map(|(number, part)| {
            let content = [&(number as u32).to_be_bytes(), &part[..]].concat();
            let length = (content.len() as u32 + 8).to_be_bytes();
            [&length, &b"jxlp"[..], &content].concat()
        });
        let file: Vec<_> = b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a"
            .iter()
            .copied()
            .chain(boxes)
            .collect();
        let mut source = Codestream::new(&file[..]).unwrap();
        let mut piece = Vec::new();
        fill(&mut piece, &mut source).unwrap();
        assert_eq!(piece, bytes[..PIECE]);
    }
}
