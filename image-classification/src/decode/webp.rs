//! WebP. The decoder gives lossless images in four channels; it does so without a second buffer where the file claims
//! an alpha channel.

use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

use image::ImageFormat;

use super::codecs;
use super::header::ImageHeader;
use super::limits::{MOST_METADATA, SMALL};
use super::orientation::Metadata;
use super::patched::Patched;
use super::rgb::{RGB, buffer_of};
use super::{DecodeError, DecodeLimits, Image, vp8l};

const FORMAT: &str = "WebP";
/// Bytes that show the kind of a file.
const HEAD: usize = 25;
/// The place of the first chunk.
const CHUNKS: u64 = 12;
/// The place of the flags of an extended file.
const FLAGS: usize = 20;
const ANIMATION: u8 = 0b10;
const ALPHA: u8 = 0b1_0000;
const EXIF: u8 = 0b1000;
const XMP: u8 = 0b100;

pub(super) fn header<R: BufRead + Seek>(
    mut source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    let head = head(&mut source).map_err(DecodeError::Unreadable)?;
    let mut source = patched(source, &head).map_err(DecodeError::Unreadable)?;
    let mut header = codecs::header(&mut source, ImageFormat::WebP, limits)?;
    header.working = working(&header, &head, length) + table_bytes(&mut source, &header, &head)?;
    if is_animated(&head) {
        header.buffer = header.pixel_bytes(1);
    }
    Ok(header)
}

pub(super) fn decode<R: BufRead + Seek>(
    mut source: R,
    length: u64,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let head = head(&mut source).map_err(DecodeError::Unreadable)?;
    if !is_animated(&head) {
        let source = patched(source, &head).map_err(DecodeError::Unreadable)?;
        return codecs::decode(source, ImageFormat::WebP, limits, spare);
    }
    let header = header(&mut source, length, limits)?;
    let frame = Frame::read(&mut source).map_err(DecodeError::Unreadable)?;
    let frame = frame.ok_or(DecodeError::CutShort { format: FORMAT })?;
    let (width, height) = (header.width as usize, header.height as usize);
    // Memory was counted for frames within the image.
    if frame.left + frame.width > width || frame.top + frame.height > height {
        return Err(DecodeError::Damaged {
            format: FORMAT,
            source: "a frame exceeds the image".into(),
        });
    }
    let image = decode(
        Cursor::new(&frame.file),
        frame.file.len() as u64,
        limits,
        Vec::new(),
    )?;
    if (frame.width, frame.height) == (width, height) {
        return header.image(image.into_rgb(), 1);
    }
    // Around the frame the image is transparent black.
    let mut pixels = buffer_of(spare, header.buffer)?;
    pixels.fill(0);
    let rows = pixels.chunks_exact_mut(width * RGB).skip(frame.top);
    for (row, frame_row) in rows.zip(image.rgb().chunks_exact(frame.width * RGB)) {
        row[frame.left * RGB..][..frame_row.len()].copy_from_slice(frame_row);
    }
    header.image(pixels, 1)
}

fn is_animated(head: &[u8; HEAD]) -> bool {
    head[12..16] == *b"VP8X" && head[FLAGS] & ANIMATION != 0
}

/// The first frame of an animation, as a separate file: the decoder would blend it, and keep a canvas.
struct Frame {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    file: Vec<u8>,
}

/// Bytes of a frame before its chunks.
const PLACE: usize = 16;

/// Returns a number of three bytes in the place of a frame.
fn number(place: &[u8; PLACE], at: usize) -> u32 {
    u32::from_le_bytes([place[at], place[at + 1], place[at + 2], 0])
}

impl Frame {
    /// Reads the first frame, if there is one.
    fn read<R: BufRead + Seek>(source: &mut R) -> io::Result<Option<Self>> {
        let Some(frame) = find_chunk(source, CHUNKS, |chunk| chunk.kind == *b"ANMF")? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        source.take(frame.length.into()).read_to_end(&mut content)?;
        let Some((place, chunks)) = content.split_first_chunk() else {
            return Ok(None);
        };
        let number = |at| number(place, at);
        let has_alpha = chunks.starts_with(b"ALPH");
        let mut file = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0".to_vec();
        file.extend([if has_alpha { ALPHA } else { 0 }, 0, 0, 0]);
        // Width and height, less one.
        file.extend_from_slice(&place[6..12]);
        file.extend_from_slice(chunks);
        let length = (file.len() as u32 - 8).to_le_bytes();
        file[4..8].copy_from_slice(&length);
        Ok(Some(Self {
            left: number(0) as usize * 2,
            top: number(3) as usize * 2,
            width: number(6) as usize + 1,
            height: number(9) as usize + 1,
            file,
        }))
    }
}

/// Returns the first bytes, padded with zeros.
fn head<R: Read + Seek>(source: &mut R) -> io::Result<[u8; HEAD]> {
    let mut head = [0; HEAD];
    source.rewind()?;
    let mut bytes = Vec::new();
    source.take(HEAD as u64).read_to_end(&mut bytes)?;
    head[..bytes.len()].copy_from_slice(&bytes);
    source.rewind()?;
    Ok(head)
}

/// Returns whether the pixels are in a chunk without loss, and without a flag for an alpha channel in the header.
fn is_lossless<R: BufRead + Seek>(source: &mut R, head: &[u8; HEAD]) -> io::Result<bool> {
    if head[12..16] == *b"VP8X" && head[FLAGS] & (ALPHA | ANIMATION) != 0 {
        return Ok(false);
    }
    let pixels = find_chunk(source, CHUNKS, |chunk| {
        matches!(&chunk.kind, b"VP8L" | b"VP8 " | b"ALPH")
    })?;
    Ok(pixels.is_some_and(|chunk| chunk.kind == *b"VP8L"))
}

/// Returns the beginning of EXIF and of XMP. As libwebp does: without its flag in the header a chunk does not count. A chunk
/// that does not end within the file does not count either. The decoder would allocate what they claim, up to 4 GB.
pub(super) fn metadata<R: BufRead + Seek>(source: &mut R) -> io::Result<Metadata> {
    let head = head(source)?;
    if head[12..16] != *b"VP8X" {
        return Ok(Metadata::default());
    }
    let end = source.seek(SeekFrom::End(0))?;
    let mut block = |flag, kind| {
        let chunk = find_chunk(source, CHUNKS, |chunk| chunk.kind == kind)?;
        let chunk = chunk.filter(|chunk| chunk.place + u64::from(chunk.length) <= end);
        let Some(chunk) = chunk.filter(|_| head[FLAGS] & flag != 0) else {
            return Ok(None);
        };
        let most = u64::from(chunk.length).min(MOST_METADATA);
        let mut block = Vec::with_capacity(most as usize);
        source.by_ref().take(most).read_to_end(&mut block)?;
        io::Result::Ok(Some(block))
    };
    Ok(Metadata {
        exif: block(EXIF, *b"EXIF")?,
        xmp: block(XMP, *b"XMP ")?,
    })
}

/// The head of a chunk, and the place of its content in the file.
struct Chunk {
    kind: [u8; 4],
    length: u32,
    place: u64,
}

/// Finds the first chunk from `start` on that `is_wanted`; the source stands at its content then.
fn find_chunk<R: BufRead + Seek>(
    source: &mut R,
    start: u64,
    is_wanted: impl Fn(&Chunk) -> bool,
) -> io::Result<Option<Chunk>> {
    let mut place = source.seek(SeekFrom::Start(start))?;
    loop {
        let mut head = [0; 8];
        if let Err(error) = source.read_exact(&mut head) {
            let is_end = error.kind() == io::ErrorKind::UnexpectedEof;
            return if is_end { Ok(None) } else { Err(error) };
        }
        place += 8;
        let [kind @ .., l0, l1, l2, l3] = head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let chunk = Chunk {
            kind,
            length,
            place,
        };
        if is_wanted(&chunk) {
            return Ok(Some(chunk));
        }
        let padded = i64::from(length) + i64::from(length % 2);
        source.seek_relative(padded)?;
        place += padded.unsigned_abs();
    }
}

/// Returns an upper bound of the bytes of the Huffman tables that the decoder has at a time: those of the lossless pixels,
/// or those of the alpha channel of lossy ones.
fn table_bytes<R: BufRead + Seek>(
    source: &mut R,
    header: &ImageHeader,
    head: &[u8; HEAD],
) -> Result<u64, DecodeError> {
    if head[12..16] == *b"VP8 " {
        return Ok(0);
    }
    let size = (header.width, header.height);
    if !is_animated(head) {
        let has_alpha = head[FLAGS] & ALPHA != 0;
        return table_bytes_of(source, CHUNKS..u64::MAX, size, has_alpha);
    }
    let Some((chunks, place)) = first_frame(source, CHUNKS..u64::MAX)? else {
        return Ok(0);
    };
    let number = |at| number(&place, at);
    let frame = (number(6) + 1, number(9) + 1);
    // A frame that exceeds the image is not decoded.
    if number(0) * 2 + frame.0 > size.0 || number(3) * 2 + frame.1 > size.1 {
        return Ok(0);
    }
    table_bytes_of(source, chunks, frame, true)
}

/// Does [`table_bytes`] for the chunks at these places. The decoder looks into a frame too, even if nothing says that
/// there is an animation, and at an alpha channel only if the header claims one.
fn table_bytes_of<R: BufRead + Seek>(
    source: &mut R,
    places: Range<u64>,
    size: (u32, u32),
    has_alpha: bool,
) -> Result<u64, DecodeError> {
    let frame = first_frame(source, places.clone())?;
    let mut most = 0;
    for places in [Some(places), frame.map(|(chunks, _)| chunks)]
        .iter()
        .flatten()
    {
        for kind in [*b"VP8L", *b"ALPH"] {
            let Some(chunk) = find_in(source, places, kind)? else {
                continue;
            };
            let mut stream = source.take(chunk.length.into());
            let is_alpha = kind == *b"ALPH";
            if is_alpha && !has_alpha {
                continue;
            }
            if is_alpha {
                const COMPRESSION: u8 = 0b11;
                let mut flags = [0];
                let count = stream.read(&mut flags).map_err(DecodeError::Unreadable)?;
                if count == 0 || flags[0] & COMPRESSION == 0 {
                    continue;
                }
            }
            most = most.max(vp8l::table_bytes(stream, size, !is_alpha)?);
        }
    }
    Ok(most)
}

/// Finds the first frame at these places. Returns the places of its chunks, and its own on the canvas.
fn first_frame<R: BufRead + Seek>(
    source: &mut R,
    places: Range<u64>,
) -> Result<Option<(Range<u64>, [u8; PLACE])>, DecodeError> {
    let Some(frame) = find_in(source, &places, *b"ANMF")? else {
        return Ok(None);
    };
    let mut place = [0; PLACE];
    match source.read_exact(&mut place) {
        Ok(()) => (),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(DecodeError::Unreadable(error)),
    }
    let end = frame.place + u64::from(frame.length);
    Ok(Some((frame.place + PLACE as u64..end, place)))
}

/// Finds the first chunk of a kind at these places.
fn find_in<R: BufRead + Seek>(
    source: &mut R,
    places: &Range<u64>,
    kind: [u8; 4],
) -> Result<Option<Chunk>, DecodeError> {
    find_chunk(source, places.start, |chunk| {
        chunk.kind == kind && chunk.place < places.end
    })
    .map_err(DecodeError::Unreadable)
}

/// Returns a reader that claims an alpha channel for a lossless image; the decoder looks at the claim only to choose
/// its output. Of an image with flags for chunks that it lacks, which the decoder rejects, the reader takes them away.
fn patched<R: BufRead + Seek>(mut source: R, head: &[u8; HEAD]) -> io::Result<Patched<R>> {
    let is_extended = head[12..16] == *b"VP8X";
    // The highest bits of the size in VP8L's own header.
    let place = if is_extended { FLAGS } else { 24 };
    let mut byte = head[place];
    if is_lossless(&mut source, head)? {
        byte |= ALPHA;
    } else if is_extended && byte & (ALPHA | ANIMATION) == ALPHA {
        let is_alpha = |chunk: &Chunk| matches!(&chunk.kind, b"VP8L" | b"ALPH");
        if find_chunk(&mut source, CHUNKS, is_alpha)?.is_none() {
            byte &= !ALPHA;
        }
    }
    for (flag, kind) in [(EXIF, *b"EXIF"), (XMP, *b"XMP ")] {
        let is_wrong = is_extended && byte & flag != 0;
        if is_wrong && find_chunk(&mut source, CHUNKS, |chunk| chunk.kind == kind)?.is_none() {
            byte &= !flag;
        }
    }
    source.rewind()?;
    Ok(Patched::new(source, place as u64, byte))
}

/// Bytes that the decoder takes: planes of a lossy image, four channels of a lossless one or of its alpha, the canvas
/// and the frame of an animation.
fn working(header: &ImageHeader, head: &[u8; HEAD], length: u64) -> u64 {
    let pixels = u64::from(header.width) * u64::from(header.height);
    let padded = u64::from(header.width).next_multiple_of(16)
        * u64::from(header.height).next_multiple_of(16);
    // A lossless image is decoded in the buffer itself, the alpha channel of a lossy one outside it.
    let (lossy, lossless, alpha) = (padded * 3 / 2, pixels, pixels * 5);
    let decoder = match &head[12..16] {
        b"VP8 " => lossy,
        b"VP8L" => lossless,
        // A frame in four channels and its file, besides the canvas.
        _ if head[FLAGS] & ANIMATION != 0 => pixels * 4 + (lossy + alpha).max(lossless) + length,
        _ if head[FLAGS] & ALPHA != 0 => lossy + alpha,
        _ => lossy.max(lossless),
    };
    // Partitions are read whole; one may claim 16 MiB that the file has not.
    decoder + 3 * length + (16 << 20) + SMALL
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::BufReader;

    use super::*;

    /// Counts the bytes that are read.
    struct Counted<'a> {
        source: Cursor<&'a [u8]>,
        count: &'a Cell<u64>,
    }

    impl Read for Counted<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.source.read(out)?;
            self.count.set(self.count.get() + count as u64);
            Ok(count)
        }
    }

    impl Seek for Counted<'_> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.source.seek(to)
        }
    }

    #[test]
    fn many_chunks_are_read_a_few_times() {
        const HEADER: &[u8] = b"VP8X\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0";
        // One pixel without loss.
        const PIXELS: &[u8] = b"VP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0";
        let chunks = b"none\0\0\0\0".repeat(100_000);
        let content = [b"WEBP", HEADER, &chunks, PIXELS].concat();
        let length = (content.len() as u32).to_le_bytes();
        let file = [b"RIFF", &length[..], &content].concat();
        let count = Cell::new(0);
        let source = Counted {
            source: Cursor::new(&file),
            count: &count,
        };
        let limits = DecodeLimits::default();
        let length = file.len() as u64;
        let header = header(BufReader::new(source), length, &limits).unwrap();
        assert_eq!((header.width, header.height), (1, 1));
        let times = count.get() / length;
        assert!(times < 10, "the file was read {times} times");
    }
}
