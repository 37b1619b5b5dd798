//! GIF: the first frame on its canvas, looked up in the palette in place.

use std::io::{self, Chain, Cursor, Read};
use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, MemoryLimit};
use image::metadata::Orientation;

use super::format::Format;
use super::header::ImageHeader;
use super::limits::{SMALL, check_size, within};
use super::rgb::{RGB, buffer_of, expand};
use super::{DecodeError, DecodeLimits, Image};

const FORMAT: &str = "GIF";
/// Most bytes of metadata and of a profile that the decoder keeps.
const MOST_EXTENSION: NonZeroU64 = NonZeroU64::new(64 << 10).unwrap();
/// Bytes of a colour in a palette.
const COLOUR: usize = 3;
/// Upper bound of the pixels in a byte of LZW codes.
const MOST_PIXELS_PER_BYTE: u64 = 4096 * 8 / 3;

/// The place of a frame on the canvas, and the index of the canvas around it.
struct Frame {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    background: u8,
}

impl Frame {
    fn pixels(&self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// Returns whether the frame is the whole canvas, so that both have the same pixel layout.
    fn covers(&self, header: &ImageHeader) -> bool {
        let size = (header.width as usize, header.height as usize);
        (self.left, self.top) == (0, 0) && (self.width, self.height) == size
    }
}

pub(super) fn header<R: Read>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    open(source, length, limits).map(|(_, header, _)| header)
}

pub(super) fn decode<R: Read>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let (mut decoder, header, frame) = open(source, length, limits)?;
    let palette = decoder.palette().map_err(failed)?.to_vec();
    // Indices beyond the palette are black.
    let colour = |index: u8| {
        let colour = palette.get(usize::from(index) * COLOUR..);
        let colour = colour.and_then(|rest| rest.first_chunk()).copied();
        colour.unwrap_or_default()
    };
    if frame.covers(&header) {
        let mut canvas = buffer_of(spare, header.buffer)?;
        let pixels = frame.width * frame.height;
        decoder
            .read_into_buffer(&mut canvas[..pixels])
            .map_err(failed)?;
        expand(&mut canvas, pixels, colour);
        return header.image(canvas, 1);
    }
    let mut indices = buffer_of(Vec::new(), frame.pixels())?;
    decoder.read_into_buffer(&mut indices).map_err(failed)?;
    let mut canvas = buffer_of(spare, header.buffer)?;
    let (pixels, _) = canvas.as_chunks_mut::<RGB>();
    pixels.fill(colour(frame.background));
    let rows = pixels.chunks_exact_mut(header.width as usize);
    let frame_rows = indices.chunks_exact(frame.width.max(1));
    for (row, indices) in rows.skip(frame.top).zip(frame_rows) {
        for (pixel, index) in row.iter_mut().skip(frame.left).zip(indices) {
            *pixel = colour(*index);
        }
    }
    header.image(canvas, 1)
}

/// A file that was changed up to its first image.
type Changed<R> = Chain<Cursor<Vec<u8>>, R>;

/// Returns a file whose screen has a palette: without one, an index is a level of grey. Extension blocks before the first
/// image are left out except for the one that states the transparent colour: the decoder keeps metadata and profiles.
fn changed<R: Read>(mut source: R) -> io::Result<Changed<R>> {
    let mut start = Vec::new();
    read_start(&mut source, &mut start)?;
    Ok(Cursor::new(start).chain(source))
}

fn read_start<R: Read>(source: &mut R, start: &mut Vec<u8>) -> io::Result<()> {
    const HEAD: u64 = 13;
    const FLAGS: usize = 10;
    const HAS_PALETTE: u8 = 0x80;
    const COLOURS: u8 = 7;
    const EXTENSION: u8 = 0x21;
    const CONTROL: u8 = 0xf9;
    const CONTROL_BYTES: u8 = 4;
    source.take(HEAD).read_to_end(start)?;
    let Some(flags) = start.get_mut(FLAGS) else {
        return Ok(());
    };
    if *flags & HAS_PALETTE == 0 {
        *flags |= HAS_PALETTE | COLOURS;
        start.extend((0..=u8::MAX).flat_map(|level| [level; COLOUR]));
    } else {
        let colours = 2_u64 << (*flags & COLOURS);
        source.take(colours * COLOUR as u64).read_to_end(start)?;
    }
    // Of several blocks the last one counts.
    let before = start.len();
    loop {
        let Some(kind) = byte(source)? else {
            return Ok(());
        };
        if kind != EXTENSION {
            start.push(kind);
            return Ok(());
        }
        let label = byte(source)?;
        let mut length = byte(source)?;
        if label == Some(CONTROL) {
            start.truncate(before);
            start.extend([EXTENSION, CONTROL]);
            start.extend(length);
            if length != Some(CONTROL_BYTES) {
                return Ok(());
            }
            source.take(CONTROL_BYTES.into()).read_to_end(start)?;
            start.push(0);
            length = byte(source)?;
        }
        while let Some(count @ 1..) = length {
            io::copy(&mut source.take(count.into()), &mut io::sink())?;
            length = byte(source)?;
        }
    }
}

fn byte<R: Read>(source: &mut R) -> io::Result<Option<u8>> {
    let mut byte = [0];
    match source.read_exact(&mut byte) {
        Ok(()) => Ok(Some(byte[0])),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn open<R: Read>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<(Decoder<Changed<R>>, ImageHeader, Frame), DecodeError> {
    let source = changed(source).map_err(DecodeError::Unreadable)?;
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.allow_unknown_blocks(true);
    // For extension blocks behind an unknown block; pixels are read into a buffer of this crate.
    options.set_memory_limit(MemoryLimit::Bytes(MOST_EXTENSION));
    let mut decoder = options.read_info(source).map_err(failed)?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    let Some(frame) = decoder.next_frame_info().map_err(failed)? else {
        return Err(DecodeError::CutShort { format: FORMAT });
    };
    let frame = Frame {
        left: frame.left.into(),
        top: frame.top.into(),
        width: frame.width.into(),
        height: frame.height.into(),
        // As Pillow does: the transparent colour or the first one, not the background of the screen.
        background: frame.transparent.unwrap_or(0),
    };
    // A frame that is not within the screen enlarges it.
    let width = width.max((frame.left + frame.width) as u32);
    let height = height.max((frame.top + frame.height) as u32);
    check_size(width, height, limits)?;
    if frame.pixels() > length.saturating_mul(MOST_PIXELS_PER_BYTE) {
        return Err(DecodeError::CutShort { format: FORMAT });
    }
    let mut header = ImageHeader {
        format: Format::Gif,
        width,
        height,
        orientation: Orientation::NoTransforms,
        buffer: u64::from(width) * u64::from(height) * RGB as u64,
        working: 4 * MOST_EXTENSION.get() + SMALL,
        jpeg: None,
    };
    within(
        "a decoded size in bytes",
        header.buffer,
        limits.decoded_bytes,
    )?;
    if !frame.covers(&header) {
        header.working += frame.pixels();
    }
    Ok((decoder, header, frame))
}

fn failed(source: DecodingError) -> DecodeError {
    DecodeError::Damaged {
        format: FORMAT,
        source: source.into(),
    }
}
