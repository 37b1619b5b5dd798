//! The start of frame, and the memory that decoding takes.

use std::io::{BufRead, ErrorKind, Seek, SeekFrom};

use image::metadata::Orientation;
use libjpeg_turbo_rs::FrameHeader;
use smallvec::{SmallVec, smallvec};

use super::super::limits::SMALL;
use super::super::orientation::Metadata;
use super::super::rgb::RGB;
use super::MOST_SCANS;

/// The most tables that the scans of a progressive file refer to: four of each kind in each scan.
const MOST_TABLES: u64 = 8 * MOST_SCANS as u64;
/// Bytes of EXIF from which on further segments do not count.
const MOST_EXIF: usize = 1 << 17;
/// Bytes of a Huffman table in the decoder, which asserts that it is no larger.
const TABLE: u64 = 8192;
/// Bytes of a scan in the decoder without its tables.
const SCAN: u64 = 512;

/// The start of frame, and what the segments before the first scan state.
#[derive(Debug, Clone)]
pub(in crate::decode) struct Frame {
    pub(super) width: u64,
    pub(super) height: u64,
    /// Bits of a sample.
    pub(super) precision: u8,
    is_progressive: bool,
    is_lossless: bool,
    /// True if each scan has all coefficients of its components, in Huffman codes.
    pub(super) is_baseline: bool,
    components: SmallVec<[Component; 4]>,
    /// Bytes of the file.
    length: u64,
    /// The most Huffman tables that the decoder keeps: for a progressive file, all that the file defines.
    tables: u64,
    pub(super) orientation: Orientation,
}

#[derive(Debug, Clone, Copy)]
struct Component {
    id: u8,
    /// Horizontal and vertical sampling factors.
    factors: (u64, u64),
}

impl Frame {
    /// Reads segments up to the first scan.
    pub(super) fn read<R: BufRead + Seek>(mut source: R) -> std::io::Result<Self> {
        const EXIF: &[u8] = b"Exif\0\0";
        const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
        let invalid = || std::io::Error::from(ErrorKind::InvalidData);
        let mut metadata = Metadata::default();
        let mut frame = None;
        let mut start = [0; 2];
        source.read_exact(&mut start)?;
        loop {
            // As the decoder does: bytes between segments are skipped.
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
                0xd9 | 0xda => break,
                // The frame of JPEG-LS.
                0xf7 => return Err(ErrorKind::Unsupported.into()),
                _ => (),
            }
            let mut length = [0; 2];
            source.read_exact(&mut length)?;
            let length = u16::from_be_bytes(length).checked_sub(2);
            let length = length.ok_or_else(invalid)?;
            // The numbers of DHT, JPG and DAC are between the numbers of frames.
            let is_frame = matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc);
            if kind != 0xe1 && !is_frame {
                source.seek_relative(length.into())?;
                continue;
            }
            let mut segment: SmallVec<[u8; 32]> = smallvec![0; length.into()];
            source.read_exact(&mut segment)?;
            if is_frame {
                let read = Self::from_segment(kind, &segment).ok_or_else(invalid)?;
                frame.get_or_insert(read);
            } else if segment.starts_with(EXIF) {
                // Long data continue in further segments, which Pillow joins; the orientation is near the beginning.
                match &mut metadata.exif {
                    Some(exif) if exif.len() < MOST_EXIF => exif.extend(&segment[EXIF.len()..]),
                    Some(_) => {}
                    exif => *exif = Some(segment.into_vec()),
                }
            } else if let Some(xmp) = segment.strip_prefix(XMP) {
                metadata.xmp = Some(xmp.to_vec());
            }
        }
        let frame = frame.ok_or_else(invalid)?;
        Ok(Self {
            length: source.seek(SeekFrom::End(0))?,
            tables: if frame.is_progressive {
                tables(&mut source)?
            } else {
                0
            },
            orientation: metadata.orientation(),
            ..frame
        })
    }

    fn from_segment(kind: u8, segment: &[u8]) -> Option<Self> {
        let [precision, h0, h1, w0, w1, count, components @ ..] = segment else {
            return None;
        };
        let components = components.as_chunks::<3>().0.get(..usize::from(*count))?;
        Some(Self {
            width: u16::from_be_bytes([*w0, *w1]).into(),
            height: u16::from_be_bytes([*h0, *h1]).into(),
            precision: *precision,
            is_progressive: matches!(kind, 0xc2 | 0xc6 | 0xca | 0xce),
            is_lossless: matches!(kind, 0xc3 | 0xc7 | 0xcb | 0xcf),
            is_baseline: matches!(kind, 0xc0 | 0xc1),
            components: components
                .iter()
                .map(|[id, factors, _]| Component {
                    id: *id,
                    factors: ((factors >> 4).max(1).into(), (factors & 15).max(1).into()),
                })
                .collect(),
            length: 0,
            tables: 0,
            orientation: Orientation::NoTransforms,
        })
    }

    /// Returns whether this is the frame that the decoder found.
    pub(super) fn is(&self, found: &FrameHeader) -> bool {
        (self.width, self.height) == (found.width.into(), found.height.into())
            && self.precision == found.precision
            && self.is_progressive == found.is_progressive
            && self.is_lossless == found.is_lossless
            && self.components.len() == found.components.len()
    }

    pub(in crate::decode) fn is_progressive(&self) -> bool {
        self.is_progressive
    }

    pub(super) fn ids(&self) -> SmallVec<[u8; 4]> {
        self.components
            .iter()
            .map(|component| component.id)
            .collect()
    }

    pub(super) fn has_equal_ids(&self) -> bool {
        let before = |place: usize| self.components[..place].iter();
        let mut components = self.components.iter().enumerate();
        components.any(|(place, one)| before(place).any(|other| other.id == one.id))
    }

    pub(super) fn factors(&self) -> impl Iterator<Item = (u64, u64)> + Clone {
        self.components.iter().map(|component| component.factors)
    }

    pub(super) fn most_factors(&self) -> (u64, u64) {
        let most = |factor: fn((u64, u64)) -> u64| self.factors().map(factor).max().unwrap_or(1);
        (most(|factors| factors.0), most(|factors| factors.1))
    }

    /// Returns whether channels are upsampled here and not by the decoder, which cannot reduce them then: four, and
    /// three of which chroma has more samples than luma.
    pub(super) fn has_own_upsampling(&self) -> bool {
        let most = self.most_factors();
        match self.components.len() {
            3 => self.components[0].factors != most,
            4 => self.factors().any(|factors| factors != most),
            _ => false,
        }
    }

    /// Returns whether [`decode_bytes`](Self::decode_bytes) depends on the reduction.
    pub(in crate::decode) fn is_reducible(&self) -> bool {
        !self.has_own_upsampling()
    }

    /// Returns an upper bound of the bytes that decoding a strip or tile of a TIFF takes, with its pixels.
    pub(in crate::decode) fn most_bytes(
        width: u64,
        height: u64,
        components: u64,
        length: u64,
    ) -> u64 {
        let component = Component {
            id: 0,
            factors: (1, 1),
        };
        let frame = Self {
            // Two sides that are padded to whole units.
            width: width.next_multiple_of(32),
            height: height.next_multiple_of(32),
            precision: 8,
            is_progressive: true,
            is_lossless: false,
            is_baseline: false,
            components: SmallVec::from_elem(component, components as usize),
            length,
            tables: MOST_TABLES.min(length / 16),
            orientation: Orientation::NoTransforms,
        };
        // Planes may be upsampled one by one.
        frame.decode_bytes(1) + 2 * components * frame.width * frame.height
    }

    /// Returns an upper bound of the bytes that decoding takes at any time, with the pixels.
    pub(in crate::decode) fn decode_bytes(&self, reduction: u32) -> u64 {
        const BLOCK: u64 = 8;
        let count = self.components.len() as u64;
        let by = u64::from(reduction.max(1));
        // These are decoded whole.
        let by = if self.precision == 8 && !self.is_lossless && self.is_reducible() {
            by
        } else {
            1
        };
        let pixels = self.width.div_ceil(by) * self.height.div_ceil(by);
        let (most_h, most_v) = self.most_factors();
        let columns = self.width.div_ceil(most_h * BLOCK);
        let rows = self.height.div_ceil(most_v * BLOCK);
        let blocks = |(h, v): (u64, u64)| columns * h * rows * v;
        let all_blocks: u64 = self.factors().map(blocks).sum();
        // A reduced component may keep up to its full resolution, which saves upsampling it.
        let plane = |factors: (u64, u64)| {
            let block = if by == 1 || factors == (most_h, most_v) {
                BLOCK.div_ceil(by)
            } else {
                (BLOCK.div_ceil(by) * most_h.max(most_v)).min(BLOCK)
            };
            blocks(factors) * block * block
        };
        let planes: u64 = self.factors().map(plane).sum();
        let even = self.factors().all(|factors| factors == (most_h, most_v));
        // Halved chroma is upsampled by the row; other factors, and four channels, a plane at a time.
        let usual = match count {
            1 => true,
            3 if !self.has_own_upsampling() => {
                (most_h.max(most_v) <= 2) && self.factors().skip(1).all(|chroma| chroma == (1, 1))
            }
            _ => self.has_own_upsampling(),
        };
        let upsampled = if even || usual { 0 } else { pixels * count };
        let coefficients = if self.is_progressive {
            all_blocks * (2 * BLOCK * BLOCK + 1) + self.width
        } else {
            0
        };
        let output = match count {
            // Decoded outside the buffer, then copied.
            4 if !self.has_own_upsampling() => 2 * 4 * pixels,
            _ => RGB as u64 * pixels,
        };
        let deep = if self.precision != 8 || self.is_lossless {
            // Samples of 16 bits, in planes and interleaved, and the result outside the buffer.
            (6 * count + 3) * pixels + 4 * planes
        } else {
            0
        };
        // Each scan may have its own tables.
        let tables = if self.is_progressive {
            TABLE * self.tables + SCAN * MOST_SCANS as u64
        } else {
            0
        };
        let rows = 64 * self.width;
        output + planes + upsampled + coefficients + deep + tables + rows + 4 * self.length + SMALL
    }
}

/// Counts the Huffman tables that a file defines. Bytes that look like a definition count anywhere in the file, so
/// that no
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
