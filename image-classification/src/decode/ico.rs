//! ICO: the image that Pillow takes, a PNG or a bitmap.

use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};

use super::header::ImageHeader;
use super::{DecodeError, DecodeLimits, Image, bmp, png};

const HEAD: usize = 6;
const ENTRY: usize = 16;
/// More bytes than the header and the palette of a bitmap have.
const MOST_BITMAP_HEADER: u64 = 4096;
/// Upper bound of the images of an icon.
const MOST_ENTRIES: u16 = 1024;

const CUT_SHORT: DecodeError = DecodeError::CutShort { format: "ICO" };

/// Returns the file that the bitmap in `data` would be, which has no file header. Its height counts the mask, which follows
/// the pixels and is not needed.
fn bitmap(data: &[u8]) -> Option<Vec<u8>> {
    const FILE_HEADER: u32 = 14;
    const HEIGHT: usize = 8;
    let number = |at: usize| Some(u32::from_le_bytes(*data.get(at..)?.first_chunk()?));
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
    file.extend_from_slice(data);
    let height = (height / 2).to_le_bytes();
    file.get_mut(FILE_HEADER as usize + HEIGHT..)?[..4].copy_from_slice(&height);
    Some(file)
}

pub(super) fn header<R: BufRead + Seek>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    let mut chosen = choose(source, length)?;
    let mut header = if chosen.is_png().map_err(failed)? {
        let length = chosen.length;
        png::header(chosen, length, limits)?
    } else {
        let mut start = Vec::new();
        let read = chosen.take(MOST_BITMAP_HEADER).read_to_end(&mut start);
        read.map_err(failed)?;
        let bitmap = bitmap(&start).ok_or(CUT_SHORT)?;
        bmp::header(Cursor::new(bitmap), length, limits)?
    };
    // The image's bytes, and a file of them.
    header.working += 3 * length;
    Ok(header)
}

pub(super) fn decode<R: BufRead + Seek>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let mut chosen = choose(source, length)?;
    if chosen.is_png().map_err(failed)? {
        let length = chosen.length;
        return png::decode(chosen, length, limits, spare);
    }
    let mut data = Vec::new();
    chosen.read_to_end(&mut data).map_err(failed)?;
    bmp::decode(&bitmap(&data).ok_or(CUT_SHORT)?, limits, spare)
}

/// Chooses the image: the largest one; of several the one with the fewest bits.
fn choose<R: BufRead + Seek>(mut source: R, length: u64) -> Result<Section<R>, DecodeError> {
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
    let start = u64::from(number(12)).min(length);
    source.seek(SeekFrom::Start(start)).map_err(failed)?;
    Ok(Section {
        source,
        start,
        length: u64::from(number(8)).min(length - start),
        place: 0,
    })
}

fn failed(error: io::Error) -> DecodeError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CUT_SHORT,
        _ => DecodeError::Unreadable(error),
    }
}

/// A part of a file, which is read as a file: the whole part may not fit into memory.
struct Section<R> {
    source: R,
    start: u64,
    length: u64,
    place: u64,
}

impl<R: BufRead + Seek> Section<R> {
    fn is_png(&mut self) -> io::Result<bool> {
        let mut head = Vec::new();
        self.take(8).read_to_end(&mut head)?;
        self.rewind()?;
        Ok(head == b"\x89PNG\r\n\x1a\n")
    }
}

impl<R: BufRead> Read for Section<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Section<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let left = self.length.saturating_sub(self.place);
        if left == 0 {
            return Ok(&[]);
        }
        let buffer = self.source.fill_buf()?;
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        Ok(&buffer[..buffer.len().min(most)])
    }

    fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.place += count as u64;
    }
}

impl<R: Seek> Seek for Section<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.place.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        let whole = place.and_then(|place| Some((place, self.start.checked_add(place)?)));
        let (place, whole) = whole.ok_or(io::ErrorKind::InvalidInput)?;
        self.source.seek(SeekFrom::Start(whole))?;
        self.place = place;
        Ok(place)
    }
}
