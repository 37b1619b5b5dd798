//! Pixels as the values of an input.

use super::{CropMode, Preprocess, Resize};
use crate::layout::integers;
use crate::setting::three;
use crate::{InputLayout, LayoutError};

/// Fewer values than these are left of 256 when fractions for an input of floats are rounded to integers.
const FEWEST_VALUES: usize = 16;

/// The value of a pixel before it becomes an element.
pub(super) fn real(pixel: u8, mean: f32, scale: f32) -> f32 {
    (f32::from(pixel) - mean) / scale
}

/// The integer that stands for the real `value`: rounded, and not checked. With a quantization, as TensorFlow Lite's
/// `QUANTIZE`, which rounds halves away from zero and saturates; else halves are rounded to even.
pub(super) fn integer(value: f32, layout: &InputLayout) -> f32 {
    let rounded = match layout.quantization() {
        None => return value.round_ties_even(),
        Some(quantization) => (value / quantization.scale).round() + quantization.zero_point as f32,
    };
    match integers(layout.element_type()) {
        Some((lowest, highest)) => rounded.clamp(lowest, highest),
        None => rounded,
    }
}

/// Checks that the values of all pixels are elements of the input.
pub(super) fn check(preprocess: &Preprocess, layout: &InputLayout) -> Result<(), LayoutError> {
    let Preprocess { mean, scale, .. } = *preprocess;
    let is_finite = scale.iter().chain(&mean).all(|value| value.is_finite());
    if !is_finite || scale.contains(&0.0) {
        return Err(LayoutError::BadScale { mean, scale });
    }
    if layout.channels() == 1 {
        check_one_channel(preprocess)?;
    }
    let element_type = layout.element_type();
    let Some((least, most)) = integers(element_type) else {
        return Ok(());
    };
    for (mean, scale) in mean.into_iter().zip(scale) {
        let reals = || (0..=255).map(|pixel| real(pixel, mean, scale));
        let lowest = reals().fold(f32::INFINITY, f32::min);
        let highest = reals().fold(f32::NEG_INFINITY, f32::max);
        let mut values: Vec<f32> = reals().map(|value| integer(value, layout)).collect();
        if values.iter().any(|value| !(least..=most).contains(value)) {
            return Err(LayoutError::OutOfRange {
                element_type,
                lowest,
                highest,
            });
        }
        // They are in order, or in the opposite order.
        values.dedup();
        if values.len() < FEWEST_VALUES {
            return Err(LayoutError::Collapsed {
                element_type,
                lowest,
                highest,
                values: values.len(),
            });
        }
    }
    Ok(())
}

/// Checks that there is one number for an input of one channel.
fn check_one_channel(preprocess: &Preprocess) -> Result<(), LayoutError> {
    for (name, values) in [("mean", preprocess.mean), ("scale", preprocess.scale)] {
        if values != [values[0]; 3] {
            let values = three(&values);
            return Err(LayoutError::OneChannel { name, values });
        }
    }
    match preprocess.resize {
        Resize::Timm {
            mode: CropMode::Border { fill },
            ..
        } if fill != [fill[0]; 3] => Err(LayoutError::OneChannel {
            name: "resize",
            values: preprocess.resize.to_string(),
        }),
        _ => Ok(()),
    }
}
