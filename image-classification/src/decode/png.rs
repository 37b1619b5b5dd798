//! PNG row by row, without the chunks that are not needed.

use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};

use flate2::read::ZlibDecoder;
use png::{BitDepth, ColorType, Decoder, DecodingError, InterlaceInfo, Reader, Transformations};

use super::format::Format;
use super::header::ImageHeader;
use super::limits::{MOST_METADATA, SMALL, check_size, within};
use super::orientation::Metadata;
use super::rgb::{Depth, RGB, capacity_of};
use super::{DecodeError, DecodeLimits, Image};

const FORMAT: &str = "PNG";
const CUT_SHORT: DecodeError = DecodeError::CutShort { format: FORMAT };
/// Most bytes of chunks besides the pixels that the decoder keeps. Of those that may become large, it keeps EXIF alone.
const ANCILLARY: u64 = 2 << 20;
/// The blocks so far, a chunk, and its text while it grows: at most as many times the bytes of the largest.
const METADATA_BUFFERS: u64 = 8;
/// Most bytes that compressed texts become in total. Each may replace the one before, so all are inflated. Pillow rejects files
/// whose texts have more.
const MOST_INFLATED: u64 = 64 << 20;

pub(super) fn header<R: BufRead + Seek>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    open(source, length, limits).map(|(_, header)| header)
}

pub(super) fn decode<R: BufRead + Seek>(
    source: R,
    length: u64,
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let (mut reader, header) = open(source, length, limits)?;
    let mut pixels = capacity_of(spare, header.buffer)?;
    let (color, depth) = reader.output_color_type();
    let mut row = Row {
        samples: color.samples(),
        is_deep: depth == BitDepth::Sixteen,
        depth: Depth::default(),
    };
    let stride = header.width as usize * RGB;
    if reader.info().interlaced {
        // Passes are spread over the whole image.
        pixels.resize(header.buffer as usize, 0);
        let mut rgb = Vec::new();
        for _ in 0..interlaced_rows(header.width, header.height) {
            let data = reader.next_interlaced_row().map_err(failed)?;
            let data = data.ok_or(CUT_SHORT)?;
            rgb.clear();
            row.append(data.data(), &mut rgb);
            if let InterlaceInfo::Adam7(place) = data.interlace() {
                png::expand_interlaced_row(&mut pixels, stride, &rgb, place, 8 * RGB as u8);
            }
        }
    } else {
        for _ in 0..header.height {
            let data = reader.next_row().map_err(failed)?.ok_or(CUT_SHORT)?;
            row.append(data.data(), &mut pixels);
        }
    }
    match reader.next_row() {
        // Pillow does not need what is behind the pixels: their checksum, and the last chunk.
        Err(DecodingError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => {}
        rest => drop(rest.map_err(failed)?),
    }
    drop(reader);
    header
        .image(pixels, 1)
        .map(|image| image.noted(row.depth.note()))
}

/// Returns the number of rows of all passes that have any.
fn interlaced_rows(width: u32, height: u32) -> u32 {
    // The first column and row of each pass, and the rows from one to the next.
    let passes = [
        (0, 0, 8),
        (4, 0, 8),
        (0, 4, 8),
        (2, 0, 4),
        (0, 2, 4),
        (1, 0, 2),
        (0, 1, 2),
    ];
    let passes = passes.iter().filter(|(left, _, _)| *left < width);
    passes
        .map(|(_, top, step)| height.saturating_sub(*top).div_ceil(*step))
        .sum()
}

/// Converts rows of the decoder to RGB.
struct Row {
    samples: usize,
    is_deep: bool,
    depth: Depth,
}

impl Row {
    fn append(&mut self, row: &[u8], out: &mut Vec<u8>) {
        let depth = &mut self.depth;
        let mut upper = |bytes: &[u8]| depth.upper(u16::from_be_bytes([bytes[0], bytes[1]]));
        match (self.samples, self.is_deep) {
            (1 | 2, false) => {
                out.extend(
                    row.chunks_exact(self.samples)
                        .flat_map(|pixel| [pixel[0]; RGB]),
                );
            }
            (1 | 2, true) => out.extend(
                row.chunks_exact(2 * self.samples)
                    .flat_map(|pixel| [upper(pixel); RGB]),
            ),
            (RGB, false) => out.extend_from_slice(row),
            (samples, false) => {
                let pixels = row.chunks_exact(samples);
                out.extend(pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]));
            }
            (samples, true) => out.extend(
                row.chunks_exact(2 * samples)
                    .flat_map(|pixel| [upper(pixel), upper(&pixel[2..]), upper(&pixel[4..])]),
            ),
        }
    }
}

fn open<R: BufRead + Seek>(
    mut source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<(Reader<R>, ImageHeader), DecodeError> {
    // A damaged chunk that is not needed is no reason to reject the pixels.
    let mut chunks = Chunks::default();
    chunks.read(&mut source).unwrap_or_default();
    let metadata = METADATA_BUFFERS * chunks.sizes.largest as u64;
    if chunks.sizes.inflated > MOST_INFLATED {
        return Err(DecodeError::Unsupported {
            format: FORMAT,
            source: format!(
                "compressed texts of {} bytes so far, but the limit is {MOST_INFLATED}",
                chunks.sizes.inflated
            )
            .into(),
        });
    }
    let blocks = chunks.metadata();
    blocks.check_reach(FORMAT)?;
    let orientation = blocks.orientation();
    drop(blocks);
    source.rewind().map_err(DecodeError::Unreadable)?;
    let mut decoder = Decoder::new(source);
    // Colour profiles and texts are not read, however large they become.
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_ignore_text_chunk(true);
    // Palettes are looked up, and few bits become 8.
    decoder.set_transformations(Transformations::EXPAND);
    let info = decoder.read_header_info().map_err(failed)?;
    let (width, height) = (info.width, info.height);
    check_size(width, height, limits)?;
    let row = info.raw_row_length() as u64;
    // A row at a time is expanded to at most four channels of 16 bits.
    let out_row = 8 * u64::from(width);
    let bytes = out_row + ANCILLARY;
    decoder.set_limits(png::Limits {
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
    });
    let reader = decoder.read_info().map_err(failed)?;
    let info = reader.info();
    let palette = info.palette.as_ref().map_or(0, |palette| palette.len());
    // The decoder panics.
    if info.color_type == ColorType::Indexed && (palette % RGB != 0 || palette > 256 * RGB) {
        return Err(DecodeError::Damaged {
            format: FORMAT,
            source: format!("the palette has {palette} bytes, but colours have 3, up to 768")
                .into(),
        });
    }
    let buffer = u64::from(width) * u64::from(height) * RGB as u64;
    within("a decoded size in bytes", buffer, limits.decoded_bytes)?;
    // The row before and this one, in a buffer that doubles while it grows, and a row on its way out.
    let working = 2 * row * u64::from(height.min(2))
        + row
        + out_row
        + RGB as u64 * u64::from(width)
        + 2 * length.min(ANCILLARY)
        + SMALL;
    let header = ImageHeader {
        format: Format::Png,
        width,
        height,
        orientation,
        buffer,
        working: working.max(metadata + SMALL),
        jpeg: None,
    };
    Ok((reader, header))
}

/// The blocks of the chunks, wherever these are in the file. Of several with the same key the last one counts, as in Pillow.
#[derive(Default)]
struct Chunks {
    exif: Option<Vec<u8>>,
    /// The text of `ImageMagick`'s raw profile.
    profile: Option<Vec<u8>>,
    /// XMP in UTF-8 or Latin-1, in a text of any kind.
    xmp: Option<Vec<u8>>,
    /// XMP in the kind of text that it belongs in, in any encoding.
    international_xmp: Option<Vec<u8>>,
    sizes: Sizes,
}

#[derive(Default)]
struct Sizes {
    /// Bytes of the largest chunk or text that was read.
    largest: usize,
    /// Bytes of all texts that were compressed.
    inflated: u64,
}

impl Chunks {
    fn read<R: BufRead + Seek>(&mut self, source: &mut R) -> io::Result<()> {
        const SIGNATURE: u64 = 8;
        const CHECK_SUM: i64 = 4;
        source.seek(SeekFrom::Start(SIGNATURE))?;
        // The frames of an animation, and whether the image is one of them.
        let (mut frames, mut is_frame) = (0_u32, false);
        let mut has_pixels = false;
        loop {
            let mut head = [0; 8];
            match source.read_exact(&mut head) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                read => read?,
            }
            let [l0, l1, l2, l3, kind @ ..] = head;
            let length = u32::from_be_bytes([l0, l1, l2, l3]);
            match &kind {
                b"IEND" => break,
                b"IDAT" => has_pixels = true,
                b"fcTL" if !has_pixels => is_frame = true,
                // Pillow reads the chunks behind the first frame only to load the second one.
                b"fcTL" if frames.saturating_add((!is_frame).into()) > 1 && frames > 0 => break,
                _ => (),
            }
            let is_wanted = matches!(&kind, b"eXIf" | b"iTXt" | b"tEXt" | b"zTXt" | b"acTL");
            if !is_wanted {
                source.seek_relative(i64::from(length) + CHECK_SUM)?;
                continue;
            }
            let most = u64::from(length).min(MOST_METADATA);
            let mut data = Vec::with_capacity(most as usize);
            source.take(most).read_to_end(&mut data)?;
            source.seek_relative((u64::from(length) - most).cast_signed() + CHECK_SUM)?;
            self.sizes.largest = self.sizes.largest.max(data.len());
            match (&kind, data.first_chunk()) {
                (b"acTL", Some(count)) if !has_pixels => frames = u32::from_be_bytes(*count),
                (b"eXIf", _) => self.exif = Some(data),
                _ => self.keep(kind, &data).unwrap_or_default(),
            }
            if self.sizes.inflated > MOST_INFLATED {
                break;
            }
        }
        Ok(())
    }

    /// Keeps a text that may state an orientation; `None` if it is damaged.
    fn keep(&mut self, kind: [u8; 4], data: &[u8]) -> Option<()> {
        const XMP: &[u8] = b"XML:com.adobe.xmp";
        let end = data.iter().position(|byte| *byte == 0)?;
        let (key, rest) = (&data[..end], &data[end + 1..]);
        let place = match key {
            XMP => &mut self.xmp,
            b"Raw profile type exif" => &mut self.profile,
            // A block as it is.
            b"exif" if kind == *b"tEXt" => &mut self.exif,
            _ => return None,
        };
        let text = match &kind {
            b"tEXt" => rest.to_vec(),
            b"zTXt" => inflated(rest.get(1..)?, &mut self.sizes).unwrap_or_default(),
            _ => international(rest, &mut self.sizes)?,
        };
        if kind == *b"iTXt" {
            if key == XMP {
                self.international_xmp = Some(text.clone());
            }
            std::str::from_utf8(&text).ok()?;
        }
        *place = Some(text);
        Some(())
    }

    fn metadata(self) -> Metadata {
        let xmp = self.xmp.filter(|text| !text.is_empty());
        let profile = self.profile.as_deref();
        Metadata {
            exif: self.exif.or_else(|| profile.and_then(raw_profile)),
            xmp: xmp.or(self.international_xmp),
        }
    }
}

/// Returns the text of an `iTXt` chunk, from behind its key on. `sizes` are those of [`inflated`].
fn international(data: &[u8], sizes: &mut Sizes) -> Option<Vec<u8>> {
    let [is_compressed, method, rest @ ..] = data else {
        return None;
    };
    // The language, and the keyword in that language.
    let mut parts = rest.splitn(3, |byte| *byte == 0);
    let text = parts.nth(2)?;
    match (is_compressed, method) {
        (0, _) => Some(text.to_vec()),
        (_, 0) => inflated(text, sizes),
        _ => None,
    }
}

/// Returns the EXIF data that `ImageMagick` writes: three lines, then hexadecimal digits.
fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.splitn(4, |byte| *byte == b'\n');
    let digits = lines.skip(3).flatten();
    let mut digits = digits
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|digit| char::from(*digit).to_digit(16));
    let mut block = Vec::new();
    while let (Some(high), Some(low)) = (digits.next(), digits.next()) {
        block.push((high? * 16 + low?) as u8);
    }
    Some(block)
}

/// Returns the text of compressed data, or its beginning if they are cut short. Its bytes are counted in `sizes`.
fn inflated(data: &[u8], sizes: &mut Sizes) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    // As many bytes as Pillow takes.
    let read = ZlibDecoder::new(data)
        .take(MOST_METADATA)
        .read_to_end(&mut text);
    sizes.largest = sizes.largest.max(text.len());
    sizes.inflated += text.len() as u64;
    match read {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => None,
        _ => {
            // While it grew, it had up to twice as many.
            text.shrink_to_fit();
            Some(text)
        }
    }
}

fn failed(source: DecodingError) -> DecodeError {
    match source {
        DecodingError::LimitsExceeded => DecodeError::Memory {
            format: FORMAT,
            source: source.into(),
        },
        _ => DecodeError::Damaged {
            format: FORMAT,
            source: source.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u32).to_be_bytes();
        let mut check = flate2::Crc::new();
        check.update(&kind);
        check.update(content);
        [&length, &kind[..], content, &check.sum().to_be_bytes()].concat()
    }

    /// Returns a file up to the end of its header.
    fn grey_of_16_bits(width: u32, height: u32) -> Vec<u8> {
        let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
        let header = [&sides[..], &[16, 0, 0, 0, 0]].concat();
        [&b"\x89PNG\r\n\x1a\n"[..], &chunk(*b"IHDR", &header)].concat()
    }

    #[test]
    fn compressed_texts_have_a_limit() {
        let compressed = |start: &str| {
            let mut text = start.as_bytes().to_vec();
            text.resize(MOST_METADATA as usize, b' ');
            let mut encoder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            io::Write::write_all(&mut encoder, &text).unwrap();
            let content = [&b"XML:com.adobe.xmp\0\0"[..], &encoder.finish().unwrap()].concat();
            chunk(*b"zTXt", &content)
        };
        let (other, last) = (compressed("none"), compressed("tiff:Orientation=\"6\""));
        let read = |others| {
            let pixels = chunk(*b"IDAT", b"");
            let file = [
                grey_of_16_bits(1, 1),
                other.repeat(others),
                last.clone(),
                pixels,
            ]
            .concat();
            let length = file.len() as u64;
            header(Cursor::new(file), length, &DecodeLimits::default())
        };
        let turned = image::metadata::Orientation::Rotate90;
        assert_eq!(read(63).unwrap().orientation, turned);
        for others in [64, 1000] {
            let error = read(others).unwrap_err();
            assert_eq!(error.code(), "unsupported-picture");
            let text = "compressed texts of 68157440 bytes so far, but the limit is 67108864";
            assert!(format!("{error:?}").contains(text), "{error:?}");
        }
    }

    #[test]
    fn sides_that_take_more_than_the_pixels_are_rejected() {
        let error = |width, height| {
            let file = grey_of_16_bits(width, height);
            let length = file.len() as u64;
            header(Cursor::new(file), length, &DecodeLimits::default()).unwrap_err()
        };
        let wide = error(20_000_000, 8);
        assert_eq!(wide.code(), "too-large", "{wide}");
        assert!(wide.to_string().contains("1048576"), "{wide}");
        assert_ne!(error(1 << 20, 8).code(), "too-large");
        let high = error(1, 178_956_970);
        let text = "the image has a height in pixels of 178956970, but the limit is 1048576";
        assert_eq!(high.to_string(), text);
        assert_ne!(error(1, 1 << 20).code(), "too-large");
    }
}
