//! PNG row by row, without the chunks that are not needed.

use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};

use flate2::read::ZlibDecoder;
use png::{BitDepth, Decoder, DecodingError, InterlaceInfo, Reader, Transformations};

use super::format::Format;
use super::header::ImageHeader;
use super::limits::{SMALL, check_size, within};
use super::orientation::Metadata;
use super::rgb::{Depth, RGB, capacity_of};
use super::{DecodeError, DecodeLimits, Image};

const FORMAT: &str = "PNG";
/// Most bytes of a chunk besides the pixels that is read.
const ANCILLARY: u64 = 16 << 20;

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
        while let Some(data) = reader.next_interlaced_row().map_err(failed)? {
            rgb.clear();
            row.append(data.data(), &mut rgb);
            if let InterlaceInfo::Adam7(place) = data.interlace() {
                png::expand_interlaced_row(&mut pixels, stride, &rgb, place, 8 * RGB as u8);
            }
        }
    } else {
        while let Some(data) = reader.next_row().map_err(failed)? {
            row.append(data.data(), &mut pixels);
        }
    }
    drop(reader);
    header
        .image(pixels, 1)
        .map(|image| image.noted(row.depth.note()))
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
    let metadata = metadata(&mut source).unwrap_or_default();
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
    let buffer = u64::from(width) * u64::from(height) * RGB as u64;
    within("a decoded size in bytes", buffer, limits.decoded_bytes)?;
    let header = ImageHeader {
        format: Format::Png,
        width,
        height,
        orientation: metadata.orientation(),
        buffer,
        // The row before and this one, in a buffer that doubles while it grows, and a row on its way out.
        working: 2 * row * u64::from(height.min(2))
            + row
            + out_row
            + RGB as u64 * u64::from(width)
            + 2 * length.min(ANCILLARY)
            + SMALL,
        jpeg: None,
    };
    Ok((reader, header))
}

/// Returns the blocks that may state an orientation, wherever they are in the file.
fn metadata<R: BufRead + Seek>(source: &mut R) -> io::Result<Metadata> {
    const SIGNATURE: u64 = 8;
    const CHECK_SUM: i64 = 4;
    source.seek(SeekFrom::Start(SIGNATURE))?;
    let (mut metadata, mut profile) = (Metadata::default(), None);
    loop {
        let mut head = [0; 8];
        match source.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            read => read?,
        }
        let [l0, l1, l2, l3, kind @ ..] = head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        if !matches!(&kind, b"eXIf" | b"iTXt" | b"tEXt" | b"zTXt") || u64::from(length) > ANCILLARY
        {
            if &kind == b"IEND" {
                break;
            }
            source.seek_relative(i64::from(length) + CHECK_SUM)?;
            continue;
        }
        let mut data = Vec::new();
        source.take(length.into()).read_to_end(&mut data)?;
        source.seek_relative(CHECK_SUM)?;
        match &kind {
            b"eXIf" => metadata.exif = Some(data),
            b"iTXt" => metadata.xmp = xmp(&data).or(metadata.xmp),
            compression => profile = raw_profile(&data, compression == b"zTXt").or(profile),
        }
    }
    metadata.exif = metadata.exif.or(profile);
    Ok(metadata)
}

/// Returns the text of an `iTXt` chunk with XMP.
fn xmp(data: &[u8]) -> Option<Vec<u8>> {
    let rest = data.strip_prefix(b"XML:com.adobe.xmp\0")?;
    let [is_compressed, _, rest @ ..] = rest else {
        return None;
    };
    // The language, and the keyword in that language.
    let mut parts = rest.splitn(3, |byte| *byte == 0);
    let text = parts.nth(2)?;
    if *is_compressed == 0 {
        return Some(text.to_vec());
    }
    inflated(text)
}

/// Returns the EXIF data that `ImageMagick` writes: three lines, then hexadecimal digits.
fn raw_profile(data: &[u8], is_compressed: bool) -> Option<Vec<u8>> {
    let rest = data.strip_prefix(b"Raw profile type exif\0")?;
    let text = if is_compressed {
        inflated(rest.get(1..)?)?
    } else {
        rest.to_vec()
    };
    let lines = text.splitn(4, |byte| *byte == b'\n');
    let digits: Vec<u8> = lines
        .skip(3)
        .flatten()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let (pairs, _) = digits.as_chunks::<2>();
    pairs
        .iter()
        .map(|pair| {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            Some((high? * 16 + low?) as u8)
        })
        .collect()
}

fn inflated(data: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut source = ZlibDecoder::new(data).take(ANCILLARY);
    source.read_to_end(&mut text).ok().map(|_| text)
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

    /// Returns a file up to the end of its header.
    fn grey_of_16_bits(width: u32, height: u32) -> Vec<u8> {
        let mut header = b"IHDR".to_vec();
        header.extend(width.to_be_bytes());
        header.extend(height.to_be_bytes());
        header.extend([16, 0, 0, 0, 0]);
        let mut check = flate2::Crc::new();
        check.update(&header);
        let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
        file.extend(header);
        file.extend(check.sum().to_be_bytes());
        file
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
