//! BMP as Pillow reads it, where the decoder of the `image` crate differs: pixels that run-length data skip, samples of
//! 5 and 6 bits, and headers with unusual values.

use std::borrow::Cow;
use std::io::{BufRead, Cursor, Read as _, Seek};

use image::ImageFormat;

use super::codecs::{self, levels_of_few_bits};
use super::header::ImageHeader;
use super::rgb::RGB;
use super::{DecodeError, DecodeLimits, Image};

/// Bytes of the file header.
const FILE_HEADER: usize = 14;
/// The place of the offset of the pixels in the file header.
const OFFSET: usize = 10;
/// Bytes of a colour in the palette.
const COLOUR: usize = 4;
/// More than the bytes of all headers and of the largest palette.
const HEADERS: u64 = 2048;

/// The compression of pixels whose bits have masks.
const BIT_FIELDS: u32 = 3;

/// Reads what [`decode`] reads first. `length` is that of the file.
pub(super) fn header<R: BufRead + Seek>(
    mut source: R,
    length: u64,
    limits: &DecodeLimits,
) -> Result<ImageHeader, DecodeError> {
    let mut start = Vec::new();
    source.rewind().map_err(DecodeError::Unreadable)?;
    source
        .take(HEADERS)
        .read_to_end(&mut start)
        .map_err(DecodeError::Unreadable)?;
    let start = Bitmap(&start).repaired();
    let mut header = codecs::header(Cursor::new(&start), ImageFormat::Bmp, limits)?;
    // Files of run-length data, and those that are repaired, are copied.
    header.working += length;
    Ok(header)
}

pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let bitmap = Bitmap(bytes);
    let mut file = bitmap.repaired();
    let palette = bitmap.palette_of_runs().map(|(place, colours)| {
        // Skipped pixels have index 0; the decoder makes them black, so that it gets a palette of indices.
        let entries = file.to_mut()[place..].chunks_exact_mut(COLOUR);
        for (index, entry) in entries.take(colours.len()).enumerate() {
            entry[..RGB].fill(index as u8);
        }
        colours
    });
    let mut image = codecs::decode(Cursor::new(&file), ImageFormat::Bmp, limits, spare)?;
    if let Some(palette) = palette {
        for pixel in image.pixels.as_chunks_mut::<RGB>().0 {
            *pixel = palette
                .get(usize::from(pixel[0]))
                .copied()
                .unwrap_or_default();
        }
    }
    if let Some(most) = bitmap.few_bits() {
        levels_of_few_bits(&mut image.pixels, most);
    }
    Ok(image)
}

/// A file with its headers.
struct Bitmap<'a>(&'a [u8]);

impl<'a> Bitmap<'a> {
    fn read(&self, at: usize) -> Option<u32> {
        let bytes = self.0.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    /// Returns the size of the information header.
    fn size(&self) -> Option<u32> {
        self.read(FILE_HEADER)
    }

    fn is_core(&self) -> bool {
        self.size() == Some(12)
    }

    /// Returns a number of the information header; core headers have none of these.
    fn number(&self, at: usize) -> Option<u32> {
        if self.is_core() {
            return None;
        }
        self.read(FILE_HEADER + at)
    }

    /// Returns the place of the planes, which the bits of a pixel follow.
    fn planes(&self) -> usize {
        FILE_HEADER + if self.is_core() { 8 } else { 12 }
    }

    fn bits(&self) -> Option<u32> {
        Some(self.read(self.planes())? >> 16)
    }

    fn compression(&self) -> Option<u32> {
        self.number(16)
    }

    /// Returns the file with the values that the decoder needs in the place of those that Pillow ignores.
    fn repaired(&self) -> Cow<'a, [u8]> {
        let mut file = Cow::Borrowed(self.0);
        // Pillow reads pixels from the header, too, if their offset is there. They must keep their bytes.
        if (1..FILE_HEADER as u32).contains(&self.read(OFFSET).unwrap_or(0)) {
            return file;
        }
        let mut set = |place: usize, value: &[u8]| {
            if let Some(found) = self.0.get(place..place + value.len())
                && found != value
            {
                file.to_mut()[place..][..value.len()].copy_from_slice(value);
            }
        };
        if let Some(offset) = self.offset_of_pixels() {
            set(OFFSET, &offset.to_le_bytes());
        }
        set(self.planes(), &[1, 0]);
        if self.has_usual_masks() {
            set(FILE_HEADER + 16, &[0; 4]);
        }
        file
    }

    /// Returns whether pixels of 24 bits have masks, which are those that such pixels have anyway.
    fn has_usual_masks(&self) -> bool {
        self.bits() == Some(24)
            && self.compression() == Some(BIT_FIELDS)
            && [40, 44, 48].map(|at| self.number(at)) == [Some(0xff_0000), Some(0xff00), Some(0xff)]
    }

    /// Returns the offset of the pixels, for files that state none, or that of the palette.
    fn offset_of_pixels(&self) -> Option<u32> {
        let stated = self.read(OFFSET)?;
        let behind_header = (FILE_HEADER as u32).checked_add(self.size()?)?;
        let bits = self.bits()?;
        let palette = if bits > 8 {
            0
        } else if self.is_core() {
            RGB as u32 * (1 << bits)
        } else {
            let colours = match self.number(32)? {
                0 => 1 << bits,
                count => count.min(1 << bits),
            };
            COLOUR as u32 * colours
        };
        // Only the oldest of the headers with masks has them behind itself.
        let has_masks = self.compression() == Some(BIT_FIELDS) && self.size()? == 40;
        let masks = if has_masks { 12 } else { 0 };
        match stated {
            0 => behind_header.checked_add(masks + palette),
            _ if stated == behind_header && palette > 0 => behind_header.checked_add(palette),
            _ => None,
        }
    }

    /// Returns the place of the palette and its colours, if the pixels are run-length data.
    fn palette_of_runs(&self) -> Option<(usize, Vec<[u8; RGB]>)> {
        const RLE8: u32 = 1;
        const RLE4: u32 = 2;
        if !matches!(self.compression()?, RLE8 | RLE4) {
            return None;
        }
        let place = FILE_HEADER + self.number(0)? as usize;
        let most = 1_usize
            .checked_shl(self.bits()?)
            .filter(|most| *most <= 256)?;
        let count = match self.number(32)? as usize {
            0 => most,
            count => count.min(most),
        };
        let entries = self.0.get(place..)?.chunks_exact(COLOUR).take(count);
        let colours = entries.map(|entry| [entry[2], entry[1], entry[0]]);
        Some((place, colours.collect()))
    }

    /// Returns the largest samples of red, green and blue of 16 bits a pixel.
    fn few_bits(&self) -> Option<[u32; RGB]> {
        if self.bits()? != 16 {
            return None;
        }
        if self.compression()? != BIT_FIELDS {
            return Some([31; RGB]);
        }
        let most = |at| self.number(at).map(|mask| (1 << mask.count_ones()) - 1);
        let most = [most(40)?, most(44)?, most(48)?];
        most.iter()
            .all(|most| (1..=255).contains(most))
            .then_some(most)
    }
}
