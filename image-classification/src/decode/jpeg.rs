//! JPEG, to the byte as libjpeg-turbo decodes it.
//!
//! The decoder is chosen here and nowhere else. `libjpeg-turbo-rs` gives the bytes of libjpeg-turbo
//! (ISLOW transform, "fancy" upsampling), which training pipelines see through Pillow and OpenCV;
//! the decoder of the `image` crate differs in 3 bytes of 100. Its vector code is `unsafe`; `fuzz/`
//! has a target for it.

use std::io::{BufRead, Cursor, ErrorKind, Seek, SeekFrom};

use image::ImageFormat;
use image::metadata::Orientation;
use libjpeg_turbo_rs::decode::pipeline::{Decoder, ImageInfo};
use libjpeg_turbo_rs::{ColorSpace, FrameHeader, JpegError, PixelFormat, ScalingFactor};

use super::header::{ImageHeader, SMALL};
use super::rgb::{RGB, buffer_of, shrink};
use super::{DecodeError, DecodeLimits, Image, check_size};

const FORMAT: &str = "JPEG";
/// Real progressive files have about 10 scans; each one costs a pass over the whole image.
const MOST_SCANS: usize = 500;

/// The most tables that the scans of a progressive file refer to: four of each kind in each scan.
const MOST_TABLES: u64 = 8 * MOST_SCANS as u64;
/// Bytes of a Huffman table in the decoder, which asserts that it is no larger.
const TABLE: u64 = 8192;
/// Bytes of a scan in the decoder without its tables.
const SCAN: u64 = 512;

pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    spare: Vec<u8>,
    reduction: impl FnOnce(u32, u32) -> u32,
) -> Result<Image, DecodeError> {
    // libjpeg fills in what is missing, and the answer would be a confident wrong one.
    if !has_its_end(bytes) {
        return Err(DecodeError::CutShort { format: FORMAT });
    }
    let codec_limits = libjpeg_turbo_rs::DecodeLimits {
        max_pixels: limits.pixels,
        max_memory: Some(limits.decoded_bytes),
        max_scans: MOST_SCANS,
        ..libjpeg_turbo_rs::DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, codec_limits).map_err(failed)?;
    let mut header = header(Cursor::new(bytes), limits)?;
    // Memory was counted for the first frame; a file with another one is none that anything wrote.
    if !header
        .jpeg
        .as_ref()
        .is_some_and(|frame| frame.is(decoder.header()))
    {
        return Err(damaged("the frames contradict each other"));
    }
    // A damaged EXIF block is no reason to refuse the pixels.
    header.orientation = decoder
        .exif_orientation()
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms);
    let four_channels = matches!(
        decoder.jpeg_color_space(),
        ColorSpace::Cmyk | ColorSpace::Ycck
    );
    decoder.set_output_format(if four_channels {
        PixelFormat::Cmyk
    } else {
        PixelFormat::Rgb
    });
    let (upright_width, upright_height) = header.upright();
    let reduction = reduction(upright_width, upright_height);
    decoder.set_scale(ScalingFactor::try_new(1, reduction).map_err(failed)?);
    let size = decoder.output_buffer_size().map_err(failed)?;
    let mut pixels = buffer_of(spare, size as u64)?;
    let ImageInfo { width, height, .. } = decoder.decode_image_into(&mut pixels).map_err(failed)?;
    drop(decoder);
    if four_channels {
        let count = width * height;
        shrink(&mut pixels, count, rgb_from_cmyk);
        pixels.truncate(count * RGB);
    }
    header.image(pixels, reduction)
}

/// The start of frame.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    width: u64,
    height: u64,
    /// Bits of a sample.
    precision: u8,
    is_progressive: bool,
    is_lossless: bool,
    /// Horizontal and vertical sampling factors of each component.
    components: Vec<(u64, u64)>,
    /// Bytes of the file.
    length: u64,
    /// The most Huffman tables that the decoder keeps: for a progressive file, all that the file defines.
    tables: u64,
    /// The orientation from the EXIF block before the frame.
    orientation: Orientation,
}

impl Frame {
    /// Reads segments up to the start of frame.
    pub(super) fn read<R: BufRead + Seek>(mut source: R) -> std::io::Result<Self> {
        let invalid = || std::io::Error::from(ErrorKind::InvalidData);
        let mut orientation = Orientation::NoTransforms;
        let mut start = [0; 2];
        source.read_exact(&mut start)?;
        loop {
            // As the decoder does: what is between segments is passed over.
            let mut byte = [0];
            source.read_exact(&mut byte)?;
            if byte != [0xff] {
                continue;
            }
            while byte == [0xff] {
                source.read_exact(&mut byte)?;
            }
            let [kind] = byte;
            match kind {
                0x00 | 0x01 | 0xd0..=0xd8 => continue,
                // The end of the image or a scan before any frame.
                0xd9 | 0xda => return Err(invalid()),
                _ => (),
            }
            let mut length = [0; 2];
            source.read_exact(&mut length)?;
            let length = u16::from_be_bytes(length).checked_sub(2);
            let length = length.ok_or_else(invalid)?;
            if kind == 0xe1 {
                let mut segment = vec![0; length.into()];
                source.read_exact(&mut segment)?;
                let exif = segment.strip_prefix(b"Exif\0\0");
                if let Some(found) = exif.and_then(Orientation::from_exif_chunk) {
                    orientation = found;
                }
                continue;
            }
            // DHT, JPG and DAC have numbers between those of frames.
            if !matches!(kind, 0xc0..=0xcf) || matches!(kind, 0xc4 | 0xc8 | 0xcc) {
                source.seek_relative(length.into())?;
                continue;
            }
            let mut segment = vec![0; length.into()];
            source.read_exact(&mut segment)?;
            let [precision, h0, h1, w0, w1, _, components @ ..] = &*segment else {
                return Err(invalid());
            };
            let is_progressive = matches!(kind, 0xc2 | 0xc6 | 0xca | 0xce);
            return Ok(Self {
                width: u16::from_be_bytes([*w0, *w1]).into(),
                height: u16::from_be_bytes([*h0, *h1]).into(),
                precision: *precision,
                is_progressive,
                is_lossless: matches!(kind, 0xc3 | 0xc7 | 0xcb | 0xcf),
                components: components
                    .chunks_exact(3)
                    .map(|component| {
                        let factors = component[1];
                        ((factors >> 4).max(1).into(), (factors & 15).max(1).into())
                    })
                    .collect(),
                length: source.seek(SeekFrom::End(0))?,
                tables: if is_progressive {
                    tables(&mut source)?
                } else {
                    0
                },
                orientation,
            });
        }
    }

    /// Returns whether this is the frame that the decoder found.
    fn is(&self, found: &FrameHeader) -> bool {
        (self.width, self.height) == (found.width.into(), found.height.into())
            && self.precision == found.precision
            && self.is_progressive == found.is_progressive
            && self.is_lossless == found.is_lossless
            && self.components.len() == found.components.len()
    }

    pub(super) fn is_progressive(&self) -> bool {
        self.is_progressive
    }

    pub(super) fn pixels(&self) -> u64 {
        self.width * self.height
    }

    /// Upper bound of the bytes that decoding takes at any time, with the pixels.
    pub(super) fn decode_bytes(&self, reduction: u32) -> u64 {
        const BLOCK: u64 = 8;
        let count = self.components.len() as u64;
        let by = u64::from(reduction.max(1));
        // These are decoded whole.
        let by = if self.precision == 8 && !self.is_lossless {
            by
        } else {
            1
        };
        let pixels = self.width.div_ceil(by) * self.height.div_ceil(by);
        let most =
            |factor: fn(&(u64, u64)) -> u64| self.components.iter().map(factor).max().unwrap_or(1);
        let (most_h, most_v) = (most(|factors| factors.0), most(|factors| factors.1));
        let columns = self.width.div_ceil(most_h * BLOCK);
        let rows = self.height.div_ceil(most_v * BLOCK);
        let blocks = |(h, v): &(u64, u64)| columns * h * rows * v;
        let all_blocks: u64 = self.components.iter().map(blocks).sum();
        // A reduced component may keep up to its full resolution, which saves upsampling it.
        let plane = |factors: &(u64, u64)| {
            let block = if by == 1 || *factors == (most_h, most_v) {
                BLOCK.div_ceil(by)
            } else {
                (BLOCK.div_ceil(by) * most_h.max(most_v)).min(BLOCK)
            };
            blocks(factors) * block * block
        };
        let planes: u64 = self.components.iter().map(plane).sum();
        let even = self
            .components
            .iter()
            .all(|factors| *factors == (most_h, most_v));
        // Halved chroma is upsampled by the row; other factors, and four channels, a plane at a time.
        let usual = matches!(&*self.components, [_])
            || matches!(&*self.components, [(1 | 2, 1 | 2), (1, 1), (1, 1)]);
        let upsampled = if even || usual { 0 } else { pixels * count };
        let coefficients = if self.is_progressive {
            all_blocks * (2 * BLOCK * BLOCK + 1) + self.width
        } else {
            0
        };
        let output = match count {
            // Decoded beside the buffer, then copied.
            4 => 2 * 4 * pixels,
            _ => RGB as u64 * pixels,
        };
        let deep = if self.precision != 8 || self.is_lossless {
            // Samples of 16 bits, in planes and interleaved, and the result beside the buffer.
            (6 * count + 3) * pixels + 4 * planes
        } else {
            0
        };
        // Each scan may have tables of its own.
        let tables = if self.is_progressive {
            TABLE * self.tables + SCAN * MOST_SCANS as u64
        } else {
            0
        };
        let rows = 64 * self.width;
        output + planes + upsampled + coefficients + deep + tables + rows + 4 * self.length + SMALL
    }
}

/// Counts the Huffman tables that a file defines. What looks like a definition anywhere in the file counts, so that no
/// decoder finds more.
fn tables<R: BufRead + Seek>(source: &mut R) -> std::io::Result<u64> {
    const DEFINITION: u8 = 0xc4;
    source.rewind()?;
    let (mut count, mut before) = (0, 0);
    while count < MOST_TABLES {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let mut end = buffer.len();
        let mut is_found = false;
        for (place, &byte) in buffer.iter().enumerate() {
            if before == 0xff && byte == DEFINITION {
                (end, is_found) = (place + 1, true);
                break;
            }
            before = byte;
        }
        source.consume(end);
        if is_found {
            before = DEFINITION;
            let place = source.stream_position()?;
            count += tables_of_segment(source)?;
            let read = source.stream_position()? - place;
            source.seek_relative(-(read as i64))?;
        }
    }
    Ok(count.min(MOST_TABLES))
}

/// Counts the tables of one segment, from its length on.
fn tables_of_segment<R: BufRead>(source: &mut R) -> std::io::Result<u64> {
    let mut length = [0; 2];
    let mut head = [0; 17];
    let mut read = |bytes: &mut [u8]| match source.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    };
    if !read(&mut length)? {
        return Ok(0);
    }
    let mut left = u16::from_be_bytes(length).saturating_sub(2);
    let mut count = 0;
    // The decoder reads the table that it is at, even where the segment is shorter.
    while left > 0 && count < MOST_TABLES && read(&mut head)? {
        let [info, counts @ ..] = head;
        let symbols: u16 = counts.iter().map(|&count| u16::from(count)).sum();
        if info & 0x0f >= 4 || info >> 4 > 1 || symbols > 256 {
            break;
        }
        let mut values = [0; 256];
        if !read(&mut values[..symbols.into()])? {
            break;
        }
        count += 1;
        left = left.saturating_sub(17 + symbols);
    }
    Ok(count)
}

/// Reads the size of a JPEG and what decides its memory.
pub(super) fn header<R: BufRead + Seek>(
    mut source: R,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    let read = |source: &mut R| {
        source.rewind()?;
        Frame::read(source)
    };
    let frame = match read(&mut source) {
        Ok(frame) => frame,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(DecodeError::CutShort { format: FORMAT });
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(damaged("there is no frame before the first scan"));
        }
        Err(error) => return Err(DecodeError::Unreadable(error)),
    };
    let (width, height) = (frame.width as u32, frame.height as u32);
    check_size(width, height, limits)?;
    let orientation = frame.orientation;
    Ok(ImageHeader {
        format: ImageFormat::Jpeg,
        width,
        height,
        orientation,
        buffer: 0,
        working: 0,
        jpeg: Some(frame),
    })
}

fn damaged(why: &str) -> DecodeError {
    failed(JpegError::CorruptData(why.to_owned()))
}

fn failed(source: JpegError) -> DecodeError {
    let source = Box::new(source);
    match *source {
        JpegError::Unsupported(_) => DecodeError::Unsupported {
            format: FORMAT,
            source,
        },
        JpegError::LimitExceeded { .. } | JpegError::AllocationFailed { .. } => {
            DecodeError::Memory {
                format: FORMAT,
                source,
            }
        }
        JpegError::UnexpectedEof => DecodeError::CutShort { format: FORMAT },
        _ => DecodeError::Damaged {
            format: FORMAT,
            source,
        },
    }
}

/// The colour that Pillow makes of four channels: it takes them for inverted, as Adobe writes them (`CMYK;I`
/// in its JPEG plugin), and blends with black in fixed point (`cmyk2rgb` in its `Convert.c`).
fn rgb_from_cmyk([c, m, y, k]: [u8; 4]) -> [u8; RGB] {
    [c, m, y].map(|ink| {
        let product = u32::from(255 - ink) * u32::from(k) + 128;
        let blended = ((product >> 8) + product) >> 8;
        (u32::from(k) - blended) as u8
    })
}

/// Returns whether an end-of-image marker follows the first scan. In a scan every byte `FF` is followed by
/// `00` or a marker, so that `FF D9` is nothing else there; the headers before it are skipped,
/// because an embedded thumbnail has an end of its own. (ITU-T T.81, annex B.)
fn has_its_end(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        match *rest {
            [0xff, START_OF_SCAN, ref scan @ ..] => {
                // From the back, where it is in all files that are whole.
                return scan.windows(2).rev().any(|pair| pair == [0xff, 0xd9]);
            }
            // Fill bytes, and markers without a segment.
            [0xff, 0xff, ..] => rest = &rest[1..],
            [0xff, 0x01 | 0xd0..=0xd8, ..] => rest = &rest[2..],
            [0xff, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(next) = rest.get(2 + length.max(2)..) else {
                    return false;
                };
                rest = next;
            }
            // Not a marker: let the decoder say what is wrong.
            [first, ..] if first != 0xff => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// A segment with `count` tables of one symbol each.
    fn definition(count: u8) -> Vec<u8> {
        let mut table = vec![0; 17];
        table[1] = 1;
        table.push(7);
        let length = 2 + 18 * u16::from(count);
        [
            &[0xff, 0xc4][..],
            &length.to_be_bytes(),
            &table.repeat(count.into()),
        ]
        .concat()
    }

    #[test]
    fn every_definition_of_huffman_tables_is_counted() {
        let of = |bytes: &[u8]| {
            // Definitions cross the ends of such buffers.
            let counts = [1, 5, 8192].map(|size| {
                let mut source = BufReader::with_capacity(size, Cursor::new(bytes));
                tables(&mut source).unwrap()
            });
            assert_eq!(counts, [counts[0]; 3]);
            counts[0]
        };
        assert_eq!(of(b""), 0);
        assert_eq!(of(&[0xff, 0xc4]), 0);
        assert_eq!(of(&definition(3)), 3);
        let two = [&definition(2)[..], &[1, 2, 0xff], &definition(1)].concat();
        assert_eq!(of(&two), 3);
        // Inside another segment, as a decoder with another view of the file may find it.
        let hidden = [&[0xff, 0xc4, 0xff, 0xff, 9][..], &definition(4)].concat();
        assert_eq!(of(&hidden), 4);
        assert_eq!(of(&definition(1).repeat(5000)), MOST_TABLES);
        assert_eq!(of(&definition(2)[..30]), 1, "cut short");
    }
}
