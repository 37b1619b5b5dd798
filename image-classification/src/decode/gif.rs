//! GIF: the first frame on a black canvas, looked up in the palette where it lies.

use std::io::Read;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError};
use image::ImageFormat;
use image::metadata::Orientation;

use super::header::{ImageHeader, SMALL};
use super::rgb::{RGB, buffer_of, expand};
use super::{DecodeError, DecodeLimits, Image, check_size, within};

const FORMAT: &str = "GIF";
/// Bytes of a colour in a palette.
const COLOUR: usize = 3;

/// The place of a frame on the canvas.
struct Frame {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
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
    // Indices without a colour leave the canvas as it is.
    let colour = |index: u8| {
        let colour = palette.get(usize::from(index) * COLOUR..);
        colour.and_then(|rest| rest.first_chunk()).copied()
    };
    let mut canvas = buffer_of(spare, header.buffer)?;
    if frame.covers(&header) {
        let pixels = frame.width * frame.height;
        decoder
            .read_into_buffer(&mut canvas[..pixels])
            .map_err(failed)?;
        expand(&mut canvas, pixels, |index| {
            colour(index).unwrap_or_default()
        });
    } else {
        let mut indices = buffer_of(Vec::new(), frame.pixels())?;
        decoder.read_into_buffer(&mut indices).map_err(failed)?;
        canvas.fill(0);
        let rows = canvas.chunks_exact_mut(header.width as usize * RGB);
        let frame_rows = indices.chunks_exact(frame.width.max(1));
        for (row, indices) in rows.skip(frame.top).zip(frame_rows) {
            let (pixels, _) = row.as_chunks_mut::<RGB>();
            let pixels = pixels.iter_mut().skip(frame.left);
            for (pixel, index) in pixels.zip(indices) {
                *pixel = colour(*index).unwrap_or_default();
            }
        }
    }
    header.image(canvas, 1)
}

fn open<R: Read>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<(Decoder<R>, ImageHeader, Frame), DecodeError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let mut decoder = options.read_info(source).map_err(failed)?;
    let (width, height) = (decoder.width().into(), decoder.height().into());
    check_size(width, height, limits)?;
    let Some(frame) = decoder.next_frame_info().map_err(failed)? else {
        return Err(DecodeError::CutShort { format: FORMAT });
    };
    let frame = Frame {
        left: frame.left.into(),
        top: frame.top.into(),
        width: frame.width.into(),
        height: frame.height.into(),
    };
    // A frame may be larger than its canvas.
    within("a frame's pixel count", frame.pixels(), limits.pixels)?;
    let mut header = ImageHeader {
        format: ImageFormat::Gif,
        width,
        height,
        orientation: Orientation::NoTransforms,
        buffer: u64::from(width) * u64::from(height) * RGB as u64,
        // Extension blocks are kept.
        working: 2 * length + SMALL,
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
