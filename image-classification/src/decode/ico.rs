//! ICO: the image that Pillow takes, a PNG or a bitmap.

use std::io::{BufRead, Cursor, Read as _, Seek, SeekFrom};

use super::header::ImageHeader;
use super::{DecodeError, DecodeLimits, Image, bmp, png};

const HEAD: usize = 6;
const ENTRY: usize = 16;
/// Upper bound of the images of an icon.
const MOST_ENTRIES: u16 = 1024;

const CUT_SHORT: DecodeError = DecodeError::CutShort { format: "ICO" };

/// The bytes of the chosen image.
struct Chosen {
    data: Vec<u8>,
}

impl Chosen {
    fn is_png(&self) -> bool {
        self.data.starts_with(b"\x89PNG\r\n\x1a\n")
    }

    /// Returns the file that a bitmap without a file header would be. Its height counts the mask, which follows the
    /// pixels and is not needed.
    fn bitmap(&self) -> Option<Vec<u8>> {
        const FILE_HEADER: u32 = 14;
        const HEIGHT: usize = 8;
        let number = |at: usize| Some(u32::from_le_bytes(*self.data.get(at..)?.first_chunk()?));
        let (header, height, bits) = (number(0)?, number(HEIGHT)?.cast_signed(), number(12)? >> 16);
        let colours = match number(32)? {
            _ if bits > 8 => 0,
            0 => 1 << bits,
            count => count.min(1 << bits),
        };
        let masks = if number(16)? == 3 && header == 40 {
            12
        } else {
            0
        };
        let pixels = FILE_HEADER
            .checked_add(header)?
            .checked_add(masks + 4 * colours)?;
        let mut file = b"BM\0\0\0\0\0\0\0\0".to_vec();
        file.extend(pixels.to_le_bytes());
        file.extend_from_slice(&self.data);
        let height = (height / 2).to_le_bytes();
        file.get_mut(FILE_HEADER as usize + HEIGHT..)?[..4].copy_from_slice(&height);
        Some(file)
    }
}

pub(super) fn header<R: BufRead + Seek>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    let chosen = choose(source)?;
    let mut header = if chosen.is_png() {
        png::header(Cursor::new(&chosen.data), chosen.data.len() as u64, limits)?
    } else {
        let bitmap = chosen.bitmap().ok_or(CUT_SHORT)?;
        bmp::header(Cursor::new(bitmap), length, limits)?
    };
    // The image's bytes, and a file of them.
    header.working += 3 * length;
    Ok(header)
}

pub(super) fn decode<R: BufRead + Seek>(
    source: R,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let chosen = choose(source)?;
    if chosen.is_png() {
        let length = chosen.data.len() as u64;
        return png::decode(Cursor::new(&chosen.data), length, limits, spare);
    }
    bmp::decode(&chosen.bitmap().ok_or(CUT_SHORT)?, limits, spare)
}

/// Chooses the image: the largest one; of several the one with the fewest bits.
fn choose<R: BufRead + Seek>(mut source: R) -> Result<Chosen, DecodeError> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => CUT_SHORT,
        _ => DecodeError::Unreadable(error),
    };
    let mut head = [0; HEAD];
    source.rewind().map_err(failed)?;
    source.read_exact(&mut head).map_err(failed)?;
    let count = u16::from_le_bytes([head[4], head[5]]).min(MOST_ENTRIES);
    let mut entries = vec![[0; ENTRY]; count.into()];
    for entry in &mut entries {
        source.read_exact(entry).map_err(failed)?;
    }
    let side = |side: u8| if side == 0 { 256 } else { u32::from(side) };
    let bits = |entry: &[u8; ENTRY]| match (u16::from_le_bytes([entry[6], entry[7]]), entry[2]) {
        (0, 0) => 256,
        (0, colours) => u32::from(colours).next_power_of_two().trailing_zeros(),
        (bits, _) => bits.into(),
    };
    // Of equal ones the first.
    let best = entries
        .into_iter()
        .min_by_key(|entry| {
            let pixels = side(entry[0]) * side(entry[1]);
            (u32::MAX - pixels, bits(entry))
        })
        .ok_or(CUT_SHORT)?;
    let number = |at: usize| {
        let bytes = best[at..].first_chunk();
        u32::from_le_bytes(*bytes.expect("four bytes of an entry"))
    };
    let (length, offset) = (number(8), number(12));
    source
        .seek(SeekFrom::Start(offset.into()))
        .map_err(failed)?;
    let mut data = Vec::new();
    source
        .take(length.into())
        .read_to_end(&mut data)
        .map_err(failed)?;
    Ok(Chosen { data })
}
