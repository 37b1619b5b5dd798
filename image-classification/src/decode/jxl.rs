//! JPEG XL, in the colours of sRGB.

use std::io::Read;

use image::metadata::Orientation;
use jxl_oxide::{AllocTracker, EnumColourEncoding, InitializeResult, JxlImage, RenderingIntent};

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

pub(super) fn header<R: Read>(
    mut source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    open(&mut source, length, limits).map(|(_, header)| header)
}

pub(super) fn decode<R: Read>(
    mut source: R,
    length: u64,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let (mut image, header) = open(&mut source, length, limits)?;
    let mut piece = [0; 4096];
    loop {
        let count = source.read(&mut piece).map_err(DecodeError::Unreadable)?;
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

/// Reads the header and the bytes that were read with it.
fn open<R: Read>(
    source: &mut R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<(JxlImage, ImageHeader), DecodeError> {
    // The tracker's limit is what is announced.
    let tracker = AllocTracker::with_limit(TABLES as usize);
    let mut uninitialized = JxlImage::builder()
        .alloc_tracker(tracker.clone())
        .build_uninit();
    let mut piece = [0; 4096];
    let image = loop {
        let count = source.read(&mut piece).map_err(DecodeError::Unreadable)?;
        if count == 0 {
            return Err(DecodeError::CutShort { format: FORMAT });
        }
        uninitialized.feed_bytes(&piece[..count]).map_err(failed)?;
        match uninitialized.try_init().map_err(failed)? {
            InitializeResult::NeedMoreData(more) => uninitialized = more,
            InitializeResult::Initialized(image) => break image,
        }
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
        working: rendering + TABLES + 4 * length + SMALL,
        jpeg: None,
    };
    Ok((image, header))
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
