//! timm's transform for evaluation, whose sizes follow the input of the model.
//!
//! Facts from timm 1.0, `timm/data/transforms_factory.py` and `timm/data/transforms.py`: with t = ⌊input / fraction⌋ for
//! each side, `center` resizes the image to cover t, `border` to fit into t, `squash` to t. Then the centre is cut out,
//! and a side that is shorter than the input is padded.

use std::collections::TryReserveError;

use super::options::{Centre, CropMode, Resize};
use super::reserved;
use crate::ImageSize;

/// The size that an image of `size` is resized to for an input of `input`; width first.
pub(super) fn resized_size(
    size: (u32, u32),
    input: (u32, u32),
    fraction: f64,
    mode: CropMode,
) -> (u32, u32) {
    let target = (enlarged(input.0, fraction), enlarged(input.1, fraction));
    let ratios = (
        f64::from(size.0) / f64::from(target.0),
        f64::from(size.1) / f64::from(target.1),
    );
    let kept = |ratio: f64| {
        let side = |side: u32| ((f64::from(side) / ratio).round_ties_even() as u32).max(1);
        (side(size.0), side(size.1))
    };
    match mode {
        CropMode::Squash => target,
        CropMode::Center if target.0 == target.1 => short_side(size, target.0),
        CropMode::Center => kept(ratios.0.min(ratios.1)),
        CropMode::Border { .. } => kept(ratios.0.max(ratios.1)),
    }
}

/// ⌊`side / fraction`⌋
fn enlarged(side: u32, fraction: f64) -> u32 {
    ((f64::from(side) / fraction).floor() as u32).max(1)
}

/// The size of an image of `size` with a short side of `short`: torchvision's `Resize`; width first.
pub(super) fn short_side((w, h): (u32, u32), short: u32) -> (u32, u32) {
    let long = |long: u32, side: u32| (u64::from(short) * u64::from(long) / u64::from(side)) as u32;
    if w <= h {
        (short, long(h, w))
    } else {
        (long(w, h), short)
    }
}

/// Returns the resize for an input of `input` without the fraction, where another notation states the same.
pub(super) fn for_input(fraction: f64, mode: CropMode, input: ImageSize) -> Option<Resize> {
    let centre = Centre::HalfEven;
    if input.width != input.height || fraction > 1.0 {
        return None;
    }
    let side = enlarged(input.width, fraction);
    match mode {
        CropMode::Center => Some(Resize::ShortSide {
            short: side,
            centre,
        }),
        CropMode::Squash => Some(Resize::StretchThenCrop {
            size: ImageSize {
                width: side,
                height: side,
            },
            centre,
        }),
        CropMode::Border { .. } => None,
    }
}

/// Cuts the centre of `to` out of the RGB `pixels` of `from`. Sides that are too short are padded with `fill`.
pub(super) fn centre_or_pad<T: Copy>(
    pixels: &[T],
    from: (u32, u32),
    to: (u32, u32),
    centre: Centre,
    fill: [T; 3],
) -> Result<Vec<T>, TryReserveError> {
    // Where the part begins in the image, and where in the result.
    let place = |from: u32, to: u32| {
        if to > from {
            (0, centre.padding(to - from) as usize)
        } else {
            (centre.offset(from - to) as usize, 0)
        }
    };
    let (left, into_left) = place(from.0, to.0);
    let (top, into_top) = place(from.1, to.1);
    let (width, height) = (from.0.min(to.0) as usize, from.1.min(to.1) as usize);
    let count = to.0 as usize * to.1 as usize * 3;
    let mut result = reserved(count)?;
    while result.len() < count {
        result.extend_from_slice(&fill);
    }
    let rows = result.chunks_exact_mut(to.0 as usize * 3).skip(into_top);
    let parts = pixels.chunks_exact(from.0 as usize * 3).skip(top);
    for (row, part) in rows.zip(parts).take(height) {
        row[into_left * 3..][..width * 3].copy_from_slice(&part[left * 3..][..width * 3]);
    }
    Ok(result)
}
