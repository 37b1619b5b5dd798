//! timm's transform for evaluation, whose sizes follow the input of the model.
//!
//! Facts from timm 1.0, `timm/data/transforms_factory.py` and `timm/data/transforms.py`: with t = ⌊input / fraction⌋
//! for each side, `center` resizes the image to cover t, `border` to fit into t, `squash` to t. Then the centre is cut
//! out, and a side that is shorter than the input is padded.

use super::options::{Centre, CropMode, Resize};
use crate::ImageSize;

/// Returns the size that an image of `size` is resized to for an input of `input`; width first.
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

/// Returns ⌊`side / fraction`⌋.
fn enlarged(side: u32, fraction: f64) -> u32 {
    ((f64::from(side) / fraction).floor() as u32).max(1)
}

/// Returns the size of an image of `size` with a short side of `short`: torchvision's `Resize`; width first.
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
