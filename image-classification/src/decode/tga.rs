//! TGA as Pillow reads it, where the decoder of the `image` crate differs: bits of attributes, flags that nobody writes,
//! and one bit a pixel.

use std::io::{BufRead, Cursor, Seek};

use image::ImageFormat;

use super::header::ImageHeader;
use super::patched::Patched;
use super::{DecodeError, DecodeLimits, Image, codecs};

const FORMAT: &str = "TGA";
const CUT_SHORT: DecodeError = DecodeError::CutShort { format: FORMAT };
const HEADER: usize = 18;
/// The kind of an image without colours. The next bit is set for run-length data.
const GREY: u8 = 3;
/// The place of the bits of a pixel.
const BITS: usize = 16;
/// The place of the bits of attributes and of the flags.
const FLAGS: usize = 17;

/// Reads what [`decode`] reads first.
pub(super) fn header<R: BufRead + Seek>(
    mut source: R,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    let mut head = [0; HEADER];
    source.rewind().map_err(DecodeError::Unreadable)?;
    source.read_exact(&mut head).map_err(cut_short)?;
    let targa = Targa::new(head)?;
    if targa.has_single_bits() {
        let mut header = codecs::header(Cursor::new(targa.of_bytes()), ImageFormat::Tga, limits)?;
        // A file with a byte for each bit.
        header.working += header.pixel_bytes(1);
        return Ok(header);
    }
    source.rewind().map_err(DecodeError::Unreadable)?;
    codecs::header(targa.patched(source), ImageFormat::Tga, limits)
}

pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let targa = Targa::new(*bytes.first_chunk().ok_or(CUT_SHORT)?)?;
    if !targa.has_single_bits() {
        let source = targa.patched(Cursor::new(bytes));
        return codecs::decode(source, ImageFormat::Tga, limits, spare);
    }
    // Checks the size.
    header(Cursor::new(bytes), limits)?;
    let file = targa.with_bytes(bytes).ok_or(CUT_SHORT)?;
    codecs::decode(Cursor::new(file), ImageFormat::Tga, limits, spare)
}

fn cut_short(error: std::io::Error) -> DecodeError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => CUT_SHORT,
        _ => DecodeError::Unreadable(error),
    }
}

/// The header of a file.
struct Targa([u8; HEADER]);

impl Targa {
    fn new(header: [u8; HEADER]) -> Result<Self, DecodeError> {
        let [_, has_palette, kind, ..] = header;
        // Pillow looks up the grey levels in the palette; other programs ignore it.
        if has_palette == 1 && kind & 7 == GREY {
            return Err(DecodeError::Unsupported {
                format: FORMAT,
                source: "grey levels with a palette".into(),
            });
        }
        Ok(Self(header))
    }

    /// Returns whether a pixel is a bit, black or white.
    fn has_single_bits(&self) -> bool {
        self.0[1..3] == [0, GREY] && self.0[BITS] == 1
    }

    /// Returns the flags that the decoder reads as Pillow reads the file: the origin, and the bits of attributes that
    /// belong to the bits of a colour, whatever the file states.
    fn flags(&self) -> u8 {
        const ORIGIN: u8 = 0x30;
        let [_, _, kind, _, _, _, _, map_bits, ..] = self.0;
        let attributes = match (kind & 7, self.0[BITS]) {
            (1, _) if map_bits == 32 => 8,
            (2, 32) | (GREY, 16) => 8,
            _ => 0,
        };
        self.0[FLAGS] & ORIGIN | attributes
    }

    fn patched<R>(&self, source: R) -> Patched<R> {
        Patched::new(source, FLAGS as u64, self.flags())
    }

    /// Returns the header of the same image with a byte for each bit.
    fn of_bytes(&self) -> [u8; HEADER] {
        let mut header = self.0;
        // No text before the pixels.
        header[0] = 0;
        header[BITS] = 8;
        header[FLAGS] = self.flags();
        header
    }

    /// Returns the file with a byte for each bit; `None` if it is cut short.
    fn with_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let number = |at: usize| usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]));
        let (width, height) = (number(12), number(14));
        let place = HEADER + usize::from(self.0[0]);
        let stride = width.div_ceil(8);
        let rows = bytes.get(place..)?.get(..stride * height)?;
        let mut file = Vec::with_capacity(HEADER + width * height);
        file.extend(self.of_bytes());
        for row in rows.chunks_exact(stride) {
            let bit = |x: usize| row[x / 8] >> (7 - x % 8) & 1;
            file.extend((0..width).map(|x| 255 * bit(x)));
        }
        Some(file)
    }
}
