//! Grey of colors, as Pillow's `convert("L")` computes it.

use std::collections::TryReserveError;

use super::reserved;
use crate::Image;

/// Returns the image with the luma of each pixel in all three channels, so that every resampler works on it: each
/// channel is resampled by itself.
pub(super) fn grey(image: &Image) -> Result<Image, TryReserveError> {
    let (pixels, _) = image.rgb().as_chunks::<3>();
    let mut grey = reserved(image.rgb().len())?;
    for pixel in pixels {
        grey.extend_from_slice(&[luma(*pixel); 3]);
    }
    Ok(Image::from_rgb(image.width(), image.height(), grey).expect("the size is the image's"))
}

/// `L24` of Pillow's `Convert.c`: ITU-R 601-2 with 16 bits of fraction, rounded to nearest.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    let sum = u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471;
    // The factors sum up to 1 << 16.
    ((sum + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_luma_is_pillows() {
        // `Image.new("RGB", (1, 1), color).convert("L").getpixel((0, 0))` of Pillow 13.0.0.
        for (color, expected) in [
            ([255, 0, 0], 76),
            ([0, 255, 0], 150),
            ([0, 0, 255], 29),
            ([1, 2, 3], 2),
            ([200, 100, 50], 124),
            ([12, 250, 99], 162),
        ] {
            assert_eq!(luma(color), expected, "{color:?}");
        }
        for grey in 0..=255 {
            assert_eq!(luma([grey; 3]), grey);
        }
    }
}
