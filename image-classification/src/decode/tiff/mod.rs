//! TIFF as Pillow reads it: the first image, row by row.
//!
//! The reader supports the variants that Pillow supports, and rejects the others by name. It decompresses strips and
//! tiles as streams, so that it holds only rows in addition to the pixels.

mod chunks;
mod fax;
mod pixels;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{BufRead, Cursor, ErrorKind, Seek};

use self::chunks::{JPEG, Rows};
use self::pixels::Samples;
use super::format::Format;
use super::header::ImageHeader;
use super::ifd::Directory;
use super::limits::{MOST_METADATA, MOST_ROW_BYTES, MOST_SIDE, SMALL, check_size, within};
use super::orientation::{self, Metadata};
use super::rgb::{RGB, capacity_of};
use super::{DecodeError, DecodeLimits, Image, jpeg};

const FORMAT: &str = "TIFF";
/// Most values of a palette: three for each of the colours that 16 bits can number.
const MOST_PALETTE: u64 = 3 << 16;
/// Bytes of the tables that strips or tiles of JPEG share, which are read. Real ones have less than 2000.
const MOST_JPEG_TABLES: u64 = 1 << 20;
/// Most bytes that are read of strips or tiles, for each byte of the file and of the rows that they give. Those that do not
/// overlap have at most the bytes of the file, and blank ones that are stored once have about as many as their rows. The
/// tables of JPEG are read for each of them.
const MOST_READS: u64 = 8;
/// Pixels of tiles that may lie outside of the image, in addition to three times its own.
const MOST_OUTSIDE: u64 = 64 << 20;

mod tag {
    pub(super) const SUBFILE_TYPE: u16 = 254;
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const BITS: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const SAMPLES: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_COUNTS: u16 = 279;
    pub(super) const PLANAR: u16 = 284;
    pub(super) const T4_OPTIONS: u16 = 292;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const PALETTE: u16 = 320;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_HEIGHT: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_COUNTS: u16 = 325;
    pub(super) const SUB_IFDS: u16 = 330;
    pub(super) const EXTRA_SAMPLES: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
    pub(super) const JPEG_TABLES: u16 = 347;
    pub(super) const XMP: u16 = 700;
    pub(super) const DNG_VERSION: u16 = 50706;
}

/// The tags that decide how an image is read.
#[derive(Debug)]
struct Layout {
    width: u32,
    height: u32,
    samples: Samples,
    compression: u64,
    predictor: u64,
    /// True if every sample of a pixel has its own chunks.
    is_planar: bool,
    /// The tag with the offsets of strips or tiles.
    offsets: u16,
    /// The size of a strip or tile.
    chunk: (u32, u32),
    t4_options: u64,
    fill_order: u64,
    big_endian: bool,
    /// The number of strips or tiles that are read; a list may have more.
    chunks: u64,
}

impl Layout {
    /// Planes with separate chunks.
    fn planes(&self) -> u64 {
        if self.is_planar {
            self.samples.count
        } else {
            1
        }
    }

    /// Returns the number of bytes of a row of a chunk.
    fn row_bytes(&self) -> u64 {
        let samples = self.samples.count / self.planes();
        (u64::from(self.chunk.0) * samples * self.samples.bits).div_ceil(8)
    }

    /// Returns the number of chunks that a row of the image crosses.
    fn across(&self) -> u64 {
        self.width.div_ceil(self.chunk.0).into()
    }

    /// Returns the number of bytes of all rows that are read of the chunks.
    fn bytes(&self) -> u64 {
        self.row_bytes() * self.across() * self.planes() * u64::from(self.height)
    }

    /// Returns an upper bound of the bytes of a chunk of JPEG while it is decoded.
    fn jpeg_bytes(&self, length: u64) -> u64 {
        let (width, height) = (self.chunk.0.into(), self.chunk.1.min(self.height).into());
        jpeg::Frame::most_bytes(width, height, self.samples.count, length)
    }
}

pub(super) fn header<R: BufRead + Seek>(
    mut source: R,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    open(&mut source, limits).map(|(header, _, _)| header)
}

pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let mut source = Cursor::new(bytes);
    let (header, layout, directory) = open(&mut source, limits)?;
    let mut numbers = |tag, most| directory.numbers(&mut source, tag, most).map_err(failed);
    let offsets = numbers(layout.offsets, layout.chunks)?.unwrap_or_default();
    let counts = match layout.offsets {
        tag::TILE_OFFSETS => tag::TILE_COUNTS,
        _ => tag::STRIP_COUNTS,
    };
    let counts = numbers(counts, layout.chunks)?.unwrap_or_default();
    let palette = if layout.samples.has_palette() {
        numbers(tag::PALETTE, MOST_PALETTE)?
    } else {
        None
    };
    let tables = directory
        .bytes(&mut source, tag::JPEG_TABLES, MOST_JPEG_TABLES)
        .map_err(failed)?;
    // Strips and tiles may overlap: the whole file is reversed once.
    let bytes = if layout.fill_order == 2 && layout.compression != JPEG {
        Cow::Owned(bytes.iter().map(|byte| byte.reverse_bits()).collect())
    } else {
        Cow::Borrowed(bytes)
    };
    let chunk = |index: u64| -> Result<&[u8], DecodeError> {
        let index = index as usize;
        let offset = offsets
            .get(index)
            .ok_or_else(|| damaged("a strip or tile is missing"))?;
        let start = usize::try_from(*offset).unwrap_or(usize::MAX);
        let rest = bytes
            .get(start..)
            .ok_or(DecodeError::CutShort { format: FORMAT })?;
        // If there are no counts, all bytes up to the end of the file may belong to the chunk.
        let count = counts
            .get(index)
            .map_or(rest.len(), |count| *count as usize);
        Ok(&rest[..count.min(rest.len())])
    };
    let convert = pixels::Converter::new(&layout.samples, palette, layout.big_endian)?;

    let read = Cell::new(0);
    let most = MOST_READS * (bytes.len() as u64 + layout.bytes());
    let across = layout.across();
    let down = u64::from(layout.height.div_ceil(layout.chunk.1));
    let row_bytes = layout.row_bytes() as usize;
    let out_row = layout.width as usize * RGB;
    let mut rows = vec![vec![0; row_bytes]; layout.planes() as usize];
    let mut interleaved = Vec::new();
    let mut convert = convert;
    let mut pixels = capacity_of(spare, header.pixel_bytes(1))?;
    for band in 0..down {
        let top = band as u32 * layout.chunk.1;
        let height = layout.chunk.1.min(layout.height - top) as usize;
        let start = pixels.len();
        for column in 0..across {
            let left = column as usize * layout.chunk.0 as usize;
            let width = (layout.chunk.0 as usize).min(layout.width as usize - left);
            let mut readers = Vec::new();
            for plane in 0..layout.planes() {
                let data = chunk((plane * down + band) * across + column)?;
                readers.push(Rows::new(
                    &layout,
                    data,
                    &read,
                    tables.as_deref(),
                    height,
                    limits,
                )?);
            }
            for y in 0..height {
                for (reader, row) in readers.iter_mut().zip(&mut rows) {
                    reader.read(row).map_err(failed)?;
                }
                let out_start = start + y * out_row;
                // Memory for a row is used only after its data have been read: a damaged file stops earlier.
                if pixels.len() == out_start {
                    pixels.resize(out_start + out_row, 0);
                }
                let out = &mut pixels[out_start + left * RGB..][..width * RGB];
                let row = match &*rows {
                    [row] => row,
                    rows => {
                        interleave(rows, layout.samples.bits, &mut interleaved);
                        &interleaved
                    }
                };
                convert.row(row, out.as_chunks_mut().0);
            }
            if read.get() > most {
                return Err(unsupported(format!(
                    "strips or tiles that overlap: {} bytes are read of them, but the limit is {most}",
                    read.get()
                )));
            }
        }
    }
    let notes = convert.note();
    header.image(pixels, 1).map(|image| image.noted(notes))
}

/// Puts the samples of each pixel side by side.
fn interleave(planes: &[Vec<u8>], bits: u64, out: &mut Vec<u8>) {
    let size = (bits / 8) as usize;
    out.clear();
    for place in (0..planes[0].len()).step_by(size) {
        for plane in planes {
            out.extend_from_slice(&plane[place..][..size]);
        }
    }
}

fn open<R: BufRead + Seek>(
    source: &mut R,
    limits: &DecodeLimits,
) -> Result<(ImageHeader, Layout, Directory), DecodeError> {
    let length = source.seek(std::io::SeekFrom::End(0)).map_err(failed)?;
    let directory = Directory::read(source).map_err(failed)?;
    if is_camera_raw(&directory, source).map_err(failed)? {
        return Err(DecodeError::UnsupportedFormat {
            format: "camera raw",
        });
    }
    let layout = layout(&directory, source)?;
    check_size(layout.width, layout.height, limits)?;
    let row = layout.row_bytes();
    within("a row of a strip or tile in bytes", row, MOST_ROW_BYTES)?;
    within(
        "a width of a strip or tile in pixels",
        layout.chunk.0.into(),
        MOST_SIDE,
    )?;
    let pixels = u64::from(layout.width) * u64::from(layout.height);
    within(
        "a decoded size in bytes",
        pixels * RGB as u64,
        limits.decoded_bytes,
    )?;
    // Smaller tiles than the format allows would cost more than their pixels.
    within(
        "a number of strips or tiles",
        layout.chunks,
        MOST_SIDE * layout.planes(),
    )?;
    // Rows of tiles are read whole.
    let tiles = u64::from(layout.chunk.0) * layout.across() * u64::from(layout.height);
    within(
        "a pixel count of all tiles",
        tiles,
        4 * pixels + MOST_OUTSIDE,
    )?;
    let stated = directory.orientation(source).map_err(failed)?;
    let orientation = match stated {
        Some(number) => orientation::from_number(number),
        None => Metadata {
            exif: None,
            xmp: directory
                .bytes(source, tag::XMP, MOST_METADATA)
                .map_err(failed)?,
        }
        .orientation(),
    };
    // Offsets and counts of chunks as they are in the file and as numbers, and those of the palette.
    let palette = if layout.samples.has_palette() {
        directory.count(tag::PALETTE)
    } else {
        0
    };
    within("a palette length", palette, MOST_PALETTE)?;
    let lists = 4 * 8 * layout.chunks + 16 * palette;
    // A row of each plane, one of all of them, and the row of the predictor or of JPEG.
    let rows = 4 * row * layout.planes() + 32 * u64::from(layout.chunk.0);
    let decompressors = layout.planes() * (128 << 10);
    let jpeg = if layout.compression == JPEG {
        let bytes = layout.jpeg_bytes(length);
        within(
            "a decoded strip or tile in bytes",
            bytes,
            4 * limits.decoded_bytes,
        )?;
        bytes
    } else {
        0
    };
    let header = ImageHeader {
        format: Format::Tiff,
        width: layout.width,
        height: layout.height,
        orientation,
        buffer: pixels * RGB as u64,
        // A file with reversed bits is copied.
        working: lists + rows + decompressors + jpeg + length + SMALL,
        jpeg: None,
    };
    Ok((header, layout, directory))
}

/// Returns whether the directory belongs to a camera raw file, whose first image is only a thumbnail.
fn is_camera_raw<R: BufRead + Seek>(
    directory: &Directory,
    source: &mut R,
) -> std::io::Result<bool> {
    const COLOR_FILTER_ARRAY: u64 = 32803;
    const REDUCED: u64 = 1;
    let number = |source: &mut R, tag| directory.number(source, tag);
    Ok(directory.has(tag::DNG_VERSION)
        || number(source, tag::PHOTOMETRIC)? == Some(COLOR_FILTER_ARRAY)
        || (directory.has(tag::SUB_IFDS)
            && number(source, tag::SUBFILE_TYPE)?.unwrap_or(0) & REDUCED != 0))
}

fn layout<R: BufRead + Seek>(directory: &Directory, source: &mut R) -> Result<Layout, DecodeError> {
    let mut number = |tag, default: Option<u64>| {
        let value = directory.number(source, tag).map_err(failed)?;
        let value = value.or(default);
        value.ok_or_else(|| damaged("a tag that every TIFF has is missing"))
    };
    let side = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let (width, height) = (number(tag::WIDTH, None)?, number(tag::HEIGHT, None)?);
    let (width, height) = (side(width), side(height));
    let compression = number(tag::COMPRESSION, Some(1))?;
    let is_planar = number(tag::PLANAR, Some(1))? == 2;
    let predictor = number(tag::PREDICTOR, Some(1))?;
    let fill_order = number(tag::FILL_ORDER, Some(1))?;
    let t4_options = number(tag::T4_OPTIONS, Some(0))?;
    let is_tiled = directory.has(tag::TILE_WIDTH);
    // Some writers put the tiles into the tags of strips.
    let offsets = if is_tiled && directory.has(tag::TILE_OFFSETS) {
        tag::TILE_OFFSETS
    } else {
        tag::STRIP_OFFSETS
    };
    let chunk = if is_tiled {
        let size = (
            number(tag::TILE_WIDTH, None)?,
            number(tag::TILE_HEIGHT, None)?,
        );
        (side(size.0), side(size.1))
    } else {
        let rows = number(tag::ROWS_PER_STRIP, Some(height.into()))?;
        (width, side(rows).min(height))
    };
    if chunk.0 == 0 || chunk.1 == 0 {
        return Err(if width == 0 || height == 0 {
            DecodeError::Empty
        } else {
            damaged("strips or tiles have no pixels")
        });
    }
    // In real files, tiles are never that much wider than the image.
    if is_tiled && chunk.0 > width.max(1 << 16) {
        return Err(unsupported("tiles much wider than the image"));
    }
    chunks::check_compression(compression)?;
    let samples = Samples::read(directory, source, compression, is_planar, fill_order)?;
    chunks::check(compression, predictor, is_planar, &samples)?;
    let layout = Layout {
        width,
        height,
        samples,
        compression,
        // Other compressions have no predictor, even if the tag states one.
        predictor: if matches!(compression, 5 | 8 | 32946) {
            predictor
        } else {
            1
        },
        is_planar,
        offsets,
        chunk,
        t4_options,
        fill_order,
        big_endian: directory.big_endian,
        chunks: 0,
    };
    let chunks = u64::from(width.div_ceil(chunk.0)) * u64::from(height.div_ceil(chunk.1));
    let chunks = chunks.saturating_mul(layout.planes());
    if chunks > directory.count(offsets) {
        return Err(damaged("strips or tiles are missing"));
    }
    Ok(Layout { chunks, ..layout })
}

fn damaged(why: &'static str) -> DecodeError {
    DecodeError::Damaged {
        format: FORMAT,
        source: why.into(),
    }
}

fn unsupported(what: impl Into<String>) -> DecodeError {
    DecodeError::Unsupported {
        format: FORMAT,
        source: what.into().into(),
    }
}

fn failed(error: std::io::Error) -> DecodeError {
    match error.kind() {
        ErrorKind::UnexpectedEof => DecodeError::CutShort { format: FORMAT },
        ErrorKind::InvalidData | ErrorKind::InvalidInput => DecodeError::Damaged {
            format: FORMAT,
            source: error.into(),
        },
        ErrorKind::Unsupported => DecodeError::Unsupported {
            format: FORMAT,
            source: error.into(),
        },
        _ => DecodeError::Unreadable(error),
    }
}
