//! Conversions to RGB of 8 bits a channel within one buffer: an image is never held twice.

use image::ColorType;

use super::{DecodeError, ImageNote};

/// Bytes of a pixel in RGB of 8 bits a channel.
pub(super) const RGB: usize = 3;

/// Returns a buffer of `len` bytes in the memory of `spare`, or an error where there is no memory. The bytes are
/// arbitrary: old content of the memory, or zeros.
pub(super) fn buffer_of(mut spare: Vec<u8>, len: u64) -> Result<Vec<u8>, DecodeError> {
    let failed = || DecodeError::Allocation { bytes: len };
    let len = usize::try_from(len).map_err(|_| failed())?;
    if spare.capacity() < len {
        // Growing would copy unneeded bytes, and hold both buffers.
        drop(spare);
        Vec::<u8>::new()
            .try_reserve_exact(len)
            .map_err(|_| failed())?;
        // There is room. Zeros come from the system without being written, so pixels that a file does not have
        // take no memory.
        return Ok(vec![0; len]);
    }
    spare.resize(len, 0);
    Ok(spare)
}

/// Returns an empty buffer with room for `len` bytes in the memory of `spare`. The system hands out fresh memory when
/// it is first written, so that a file without pixels takes none.
pub(super) fn capacity_of(mut spare: Vec<u8>, len: u64) -> Result<Vec<u8>, DecodeError> {
    let failed = || DecodeError::Allocation { bytes: len };
    let len = usize::try_from(len).map_err(|_| failed())?;
    spare.clear();
    if spare.capacity() < len {
        spare = Vec::new();
        spare.try_reserve_exact(len).map_err(|_| failed())?;
    }
    Ok(spare)
}

/// The upper 8 bits of 16, and the largest value so far.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Depth {
    largest: u16,
}

impl Depth {
    /// Largest number of used bits at which 16-bit values count as values of fewer bits.
    const FEW: u32 = 12;

    pub(super) fn upper(&mut self, value: u16) -> u8 {
        self.largest = self.largest.max(value);
        (value >> 8) as u8
    }

    /// Returns a remark if the image is nearly black, but not black.
    pub(super) fn note(self) -> Option<ImageNote> {
        let bits = u16::BITS - self.largest.leading_zeros();
        (1..=Self::FEW)
            .contains(&bits)
            .then_some(ImageNote::FewBits { bits })
    }
}

/// Returns the colour that Pillow makes of ink: a blend with black in fixed point (`cmyk2rgb` in its `Convert.c`).
pub(super) fn rgb_from_ink([c, m, y, k]: [u8; 4]) -> [u8; RGB] {
    let light = 255 - u32::from(k);
    [c, m, y].map(|ink| {
        let product = u32::from(ink) * light + 128;
        let blended = ((product >> 8) + product) >> 8;
        (light - blended) as u8
    })
}

/// Turns the first `pixels` pixels of `color` in `buffer` into RGB; `buffer` has room for either form and ends
/// with the RGB. 16 bits keep their upper 8, and `depth` sees them.
pub(super) fn to_rgb(
    mut buffer: Vec<u8>,
    pixels: usize,
    color: ColorType,
    depth: &mut Depth,
) -> Option<Vec<u8>> {
    let mut upper = |bytes: [u8; 2]| depth.upper(u16::from_ne_bytes(bytes));
    match color {
        ColorType::L8 => expand(&mut buffer, pixels, |grey| [grey; RGB]),
        ColorType::La8 => spread(&mut buffer, pixels, |[grey, _]: [u8; 2]| [grey; RGB]),
        ColorType::Rgb8 => (),
        ColorType::Rgba8 => shrink(&mut buffer, pixels, |[r, g, b, _]: [u8; 4]| [r, g, b]),
        ColorType::L16 => spread(&mut buffer, pixels, |grey| [upper(grey); RGB]),
        ColorType::La16 => shrink(&mut buffer, pixels, |[a, b, _, _]: [u8; 4]| {
            [upper([a, b]); RGB]
        }),
        ColorType::Rgb16 => shrink(&mut buffer, pixels, |[a, b, c, d, e, f]: [u8; 6]| {
            [upper([a, b]), upper([c, d]), upper([e, f])]
        }),
        ColorType::Rgba16 => shrink(&mut buffer, pixels, |[a, b, c, d, e, f, _, _]: [u8; 8]| {
            [upper([a, b]), upper([c, d]), upper([e, f])]
        }),
        _ => return None,
    }
    buffer.truncate(pixels * RGB);
    Some(buffer)
}

/// Turns pixels of one byte into three, from the last one on.
pub(super) fn expand(buffer: &mut [u8], pixels: usize, rgb: impl Fn(u8) -> [u8; RGB]) {
    for index in (0..pixels).rev() {
        let pixel = rgb(buffer[index]);
        buffer[index * RGB..][..RGB].copy_from_slice(&pixel);
    }
}

/// Turns pixels of two bytes into three, from the last one on.
fn spread(buffer: &mut [u8], pixels: usize, mut rgb: impl FnMut([u8; 2]) -> [u8; RGB]) {
    for index in (0..pixels).rev() {
        let pixel = rgb([buffer[2 * index], buffer[2 * index + 1]]);
        buffer[index * RGB..][..RGB].copy_from_slice(&pixel);
    }
}

/// Turns pixels of `N` > 3 bytes into three, from the first one on.
pub(super) fn shrink<const N: usize>(
    buffer: &mut [u8],
    pixels: usize,
    mut rgb: impl FnMut([u8; N]) -> [u8; RGB],
) {
    for index in 0..pixels {
        let pixel = buffer[index * N..].first_chunk();
        let pixel = rgb(*pixel.expect("the buffer holds all pixels"));
        buffer[index * RGB..][..RGB].copy_from_slice(&pixel);
    }
}

#[cfg(test)]
mod tests {
    use image::DynamicImage;

    use super::*;

    /// `to_rgb` of 2 x 1 pixels.
    fn converted(image: &DynamicImage) -> Vec<u8> {
        let mut buffer = image.as_bytes().to_vec();
        buffer.resize(buffer.len().max(6), 9);
        to_rgb(buffer, 2, image.color(), &mut Depth::default()).unwrap()
    }

    #[test]
    fn eight_bits_keep_their_value_and_sixteen_their_upper_half() {
        let la = image::GrayAlphaImage::from_raw(2, 1, vec![1, 2, 3, 4]).unwrap();
        assert_eq!(converted(&la.into()), [1, 1, 1, 3, 3, 3]);
        let l = image::GrayImage::from_raw(2, 1, vec![1, 2]).unwrap();
        assert_eq!(converted(&l.into()), [1, 1, 1, 2, 2, 2]);
        let rgba = image::RgbaImage::from_raw(2, 1, (1..=8).collect()).unwrap();
        assert_eq!(converted(&rgba.into()), [1, 2, 3, 5, 6, 7]);
        let raw = [0x01ff_u16, 0x0200, 0x03f0, 0x04ff];
        let l = image::ImageBuffer::from_raw(2, 1, raw[..2].to_vec()).unwrap();
        assert_eq!(converted(&DynamicImage::ImageLuma16(l)), [1, 1, 1, 2, 2, 2]);
        let la = image::ImageBuffer::from_raw(2, 1, raw.to_vec()).unwrap();
        assert_eq!(
            converted(&DynamicImage::ImageLumaA16(la)),
            [1, 1, 1, 3, 3, 3]
        );
        let raw: Vec<u16> = (0..8).map(|value| value << 8 | 0xff).collect();
        let rgb = image::ImageBuffer::from_raw(2, 1, raw[..6].to_vec()).unwrap();
        assert_eq!(
            converted(&DynamicImage::ImageRgb16(rgb)),
            [0, 1, 2, 3, 4, 5]
        );
        let rgba = image::ImageBuffer::from_raw(2, 1, raw).unwrap();
        assert_eq!(
            converted(&DynamicImage::ImageRgba16(rgba)),
            [0, 1, 2, 4, 5, 6]
        );
    }

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        let error = buffer_of(Vec::new(), u64::MAX >> 2).unwrap_err();
        assert!(matches!(error, DecodeError::Allocation { .. }), "{error:?}");
        assert_eq!(error.code(), "out-of-memory");
        assert_eq!(buffer_of(vec![1, 2, 3], 2).unwrap().len(), 2);
    }
}
