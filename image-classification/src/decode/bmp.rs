//! BMP as Pillow reads it, where the decoder of the `image` crate differs: pixels that run-length data skip, and
//! samples of 5 and 6 bits.

use std::borrow::Cow;
use std::io::Cursor;

use image::ImageFormat;

use super::codecs::{self, levels_of_few_bits};
use super::rgb::RGB;
use super::{DecodeError, DecodeLimits, Image};

/// Bytes of the file header.
const FILE_HEADER: usize = 14;
/// The place of the offset of the pixels in the file header.
const OFFSET: usize = 10;
/// Bytes of a colour in the palette.
const COLOUR: usize = 4;

pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    spare: Vec<u8>,
) -> Result<Image, DecodeError> {
    let bitmap = Bitmap(bytes);
    let (mut file, palette) = match bitmap.palette_of_runs() {
        // Skipped pixels have index 0; the decoder makes them black, so that it gets a palette of indices.
        Some((place, colours)) => {
            let mut copy = bytes.to_vec();
            let entries = copy[place..].chunks_exact_mut(COLOUR);
            for (index, entry) in entries.take(colours.len()).enumerate() {
                entry[..RGB].fill(index as u8);
            }
            (Cow::Owned(copy), Some(colours))
        }
        None => (Cow::Borrowed(bytes), None),
    };
    if let Some(offset) = bitmap.offset_behind_palette() {
        file.to_mut()[OFFSET..][..4].copy_from_slice(&offset.to_le_bytes());
    }
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

impl Bitmap<'_> {
    /// Returns a number of the information header; core headers have none of these.
    fn number(&self, at: usize) -> Option<u32> {
        const CORE: u32 = 16;
        let read = |at: usize| {
            let bytes = self.0.get(FILE_HEADER + at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        read(0).filter(|size| *size > CORE)?;
        read(at)
    }

    fn bits(&self) -> Option<u32> {
        Some(self.number(12)? >> 16)
    }

    fn compression(&self) -> Option<u32> {
        self.number(16)
    }

    /// Returns the offset of the pixels, for files that state the palette's offset instead.
    fn offset_behind_palette(&self) -> Option<u32> {
        let stated = u32::from_le_bytes(*self.0.get(OFFSET..)?.first_chunk()?);
        let palette = FILE_HEADER as u32 + self.number(0)?;
        let bits = self.bits().filter(|bits| *bits <= 8)?;
        let colours = match self.number(32)? {
            0 => 1 << bits,
            count => count.min(1 << bits),
        };
        (stated == palette).then_some(palette + COLOUR as u32 * colours)
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
        const BIT_FIELDS: u32 = 3;
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
