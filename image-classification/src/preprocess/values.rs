//! Pixels as the values of an input.

use super::{CropMode, Interpolation, Preprocess, Resize};
use crate::layout::integers;
use crate::setting::three;
use crate::{InputLayout, LayoutError};

/// Fewer values than these are left of 256 when fractions for an input of floats are rounded to integers.
const FEWEST_VALUES: usize = 16;

/// Returns the value of a pixel before it becomes an element.
pub(super) fn real(pixel: u8, mean: f32, scale: f32) -> f32 {
    (f32::from(pixel) - mean) / scale
}

/// Evaluates `$fill` with `$convert` bound to the conversion of real values to the elements of `$layout`.
macro_rules! for_element_type {
    ($layout:expr, $convert:ident => $fill:expr) => {{
        use backend_api::ElementType;
        use half::{bf16, f16};
        macro_rules! integers {
            ($rust:ty) => {{
                let $convert = |value| $crate::preprocess::values::integer(value, $layout) as $rust;
                $fill
            }};
        }
        macro_rules! floats {
            ($from:expr) => {{
                let $convert = $from;
                $fill
            }};
        }
        match $layout.element_type() {
            ElementType::U8 => integers!(u8),
            ElementType::U16 => integers!(u16),
            ElementType::U32 => integers!(u32),
            ElementType::U64 => integers!(u64),
            ElementType::I8 => integers!(i8),
            ElementType::I16 => integers!(i16),
            ElementType::I32 => integers!(i32),
            ElementType::I64 => integers!(i64),
            ElementType::F16 => floats!(f16::from_f32),
            ElementType::Bf16 => floats!(bf16::from_f32),
            ElementType::F64 => floats!(f64::from),
            _ => floats!(std::convert::identity::<f32>),
        }
    }};
}
pub(super) use for_element_type;

/// Returns the integer that stands for the real `value`: rounded, and not checked. A quantization states its rounding and
/// saturates; without one, halves are rounded to even.
pub(super) fn integer(value: f32, layout: &InputLayout) -> f32 {
    let rounded = unlimited(value, layout);
    match integers(layout.element_type()) {
        Some((lowest, highest)) if layout.quantization().is_some() => {
            rounded.clamp(lowest, highest)
        }
        _ => rounded,
    }
}

/// Does [`integer`] without the limits of the type.
fn unlimited(value: f32, layout: &InputLayout) -> f32 {
    match layout.quantization() {
        None => value.round_ties_even(),
        Some(quantization) => quantization.quantized(value),
    }
}

/// Integers of an input that stand for other values than those of the pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Clipping {
    /// The quantization of the input ends before the values of the pixels do.
    Pixels {
        /// The number of the 256 values of a pixel that are clipped by more than a step; of the channel with the most.
        values: usize,
        /// The largest distance, in steps.
        steps: f32,
    },
    /// The resize may return values below 0 and above 255, which the input cannot hold.
    Overshoot,
}

impl Preprocess {
    /// Returns the clipping of the values in an input of `layout`, if there is any. One step is rounding: ranges are
    /// often from -1 to 127 / 128.
    pub(crate) fn clipping(&self, layout: &InputLayout) -> Option<Clipping> {
        let (least, most) = integers(layout.element_type())?;
        let beyond = |pixel: f32, channel: usize| {
            let real = (pixel - self.mean[channel]) / self.scale[channel];
            let value = unlimited(real, layout);
            (least - value).max(value - most)
        };
        let mut clipped = (0, 0.0_f32);
        for channel in 0..layout.channels() {
            let steps = (0_u8..=255).map(|pixel| beyond(pixel.into(), channel));
            let steps: Vec<f32> = steps.filter(|steps| *steps > 1.0).collect();
            let furthest = steps.iter().copied().fold(clipped.1, f32::max);
            clipped = (clipped.0.max(steps.len()), furthest);
        }
        if let (values @ 1.., steps) = clipped {
            return Some(Clipping::Pixels { values, steps });
        }
        let overshoots = self.interpolation == Interpolation::TorchvisionBicubicF32
            && (0..layout.channels()).any(|channel| {
                [-2.0, 257.0]
                    .iter()
                    .any(|pixel| beyond(*pixel, channel) > 0.0)
            });
        overshoots.then_some(Clipping::Overshoot)
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

#[cfg(test)]
mod tests {
    use backend_api::{Dim, Element, ElementType, TensorSpec};

    use super::*;
    use crate::{ColorOrder, Halves, Image, InputQuantization, Quantization};

    fn layout(element_type: ElementType, dims: [usize; 4]) -> InputLayout {
        let dims = dims.map(Dim::Fixed).to_vec();
        InputLayout::from_spec(&TensorSpec::new("x", element_type, dims), None, None).unwrap()
    }

    fn preprocess(mean: f32, scale: f32) -> Preprocess {
        Preprocess {
            color: ColorOrder::Rgb,
            mean: [mean; 3],
            scale: [scale; 3],
            ..Preprocess::OPENVINO_SAMPLE
        }
    }

    fn quantization(scale: f32, zero_point: i32, halves: Halves) -> InputQuantization {
        InputQuantization {
            quantization: Quantization { scale, zero_point },
            halves,
        }
    }

    /// Returns the values of the pixel (0, 101, 255).
    fn values<T: Element>(preprocess: &Preprocess, layout: &InputLayout) -> Vec<T> {
        let image = Image::from_rgb(1, 1, vec![0, 101, 255]).unwrap();
        let tensor = preprocess.tensor(&image, layout).unwrap();
        assert_eq!(tensor.element_type(), layout.element_type());
        tensor.into_vec().unwrap()
    }

    #[test]
    fn every_element_type_gets_the_same_values() {
        fn of<T: Element>() -> Vec<T> {
            values(&preprocess(0.0, 1.0), &layout(T::TYPE, [1, 3, 1, 1]))
        }
        assert_eq!(of::<u8>(), [0, 101, 255]);
        assert_eq!(of::<u16>(), [0, 101, 255]);
        assert_eq!(of::<u32>(), [0, 101, 255]);
        assert_eq!(of::<u64>(), [0, 101, 255]);
        assert_eq!(of::<i16>(), [0, 101, 255]);
        assert_eq!(of::<i32>(), [0, 101, 255]);
        assert_eq!(of::<i64>(), [0, 101, 255]);
        assert_eq!(of::<f32>(), [0.0, 101.0, 255.0]);
        assert_eq!(of::<f64>(), [0.0, 101.0, 255.0]);
        let halves = of::<half::bf16>().into_iter();
        assert_eq!(
            halves.map(f32::from).collect::<Vec<_>>(),
            [0.0, 101.0, 255.0]
        );
    }

    #[test]
    fn integers_are_rounded_to_even_and_never_wrapped() {
        let i8s = layout(ElementType::I8, [1, 3, 1, 1]);
        assert_eq!(
            values::<i8>(&preprocess(128.0, 1.0), &i8s),
            [-128, -27, 127]
        );
        let i32s = layout(ElementType::I32, [1, 3, 1, 1]);
        // 0.5, 50.5 and 127.5 to even.
        assert_eq!(values::<i32>(&preprocess(0.0, 2.0), &i32s), [0, 50, 128]);
        assert_eq!(values::<i32>(&preprocess(1.0, -2.0), &i32s), [0, -50, -127]);
        let error = |preprocess: Preprocess, layout: &InputLayout| {
            let error = preprocess.check(layout).unwrap_err();
            assert!(!error.hint().is_empty());
            error.to_string()
        };
        assert_eq!(
            error(preprocess(0.0, 1.0), &i8s),
            "(pixel - mean) / scale goes from 0 to 255, but the model's input takes i8"
        );
        let u8s = layout(ElementType::U8, [1, 1, 1, 3]);
        let text = error(preprocess(128.0, 1.0), &u8s);
        assert!(text.contains("from -128 to 127"), "{text}");
        // Normalized values would be five integers.
        let text = error(preprocess(127.5, 58.0), &i32s);
        assert!(text.contains("only 5 of 256 values"), "{text}");
        let text = error(preprocess(0.0, 255.0), &u8s);
        assert!(text.contains("only 2 of 256 values"), "{text}");
    }

    #[test]
    fn real_values_are_quantized_as_the_interpreter_does() {
        let quantized = |scale, zero_point, element_type| {
            let quantization = quantization(scale, zero_point, Halves::AwayFromZero);
            layout(element_type, [1, 1, 1, 3]).quantized(Some(quantization))
        };
        // 127.5 / 128 * 128 = 127.5 is rounded to 128, and saturates.
        let i8s = quantized(1.0 / 128.0, 0, ElementType::I8);
        assert_eq!(
            values::<i8>(&preprocess(127.5, 128.0), &i8s),
            [-128, -27, 127]
        );
        let u8s = quantized(1.0 / 128.0, 127, ElementType::U8);
        assert_eq!(values::<u8>(&preprocess(127.0, 128.0), &u8s), [0, 101, 255]);
        // Pixels in place of real values from -1 to 1 saturate.
        let error = preprocess(0.0, 1.0).check(&u8s).unwrap_err();
        assert!(matches!(error, LayoutError::Collapsed { values: 2, .. }));
        let floats = quantized(0.5, 3, ElementType::F32);
        assert_eq!(floats.quantization(), None);
    }

    /// With scale 2, the real values 1, 101 and 255 of the pixels are 0.5, 50.5 and 127.5 steps. ONNX's `QuantizeLinear`
    /// gives 0, 50 and 128 for them, and TensorFlow Lite's `QUANTIZE` 1, 51 and 128.
    #[test]
    fn the_format_of_the_model_decides_the_rounding_of_halves() {
        let image = Image::from_rgb(1, 1, vec![1, 101, 255]).unwrap();
        for (halves, expected) in [
            (Halves::ToEven, [7, 57, 135]),
            (Halves::AwayFromZero, [8, 58, 135]),
        ] {
            let layout = layout(ElementType::U8, [1, 1, 1, 3]);
            let layout = layout.quantized(Some(quantization(2.0, 7, halves)));
            let tensor = preprocess(0.0, 1.0).tensor(&image, &layout).unwrap();
            assert_eq!(tensor.as_slice::<u8>().unwrap(), expected, "{halves}");
        }
    }

    #[test]
    fn clipping_by_more_than_a_step_is_found() {
        let quantized = |scale, zero_point| {
            let quantization = quantization(scale, zero_point, Halves::ToEven);
            layout(ElementType::I8, [1, 1, 1, 3]).quantized(Some(quantization))
        };
        // From -1 to 1 in steps of 1/128: the end is half a step beyond.
        let centred = preprocess(127.5, 127.5);
        assert_eq!(centred.clipping(&quantized(1.0 / 128.0, 0)), None);
        // From 0 to 1 in the same steps: the real value 1 is 128.
        assert_eq!(
            preprocess(0.0, 255.0).clipping(&quantized(1.0 / 128.0, 0)),
            None
        );
        // From -1 to 1 in steps of 1/160: the integers end at -0.8 and 0.79.
        let clipping = centred.clipping(&quantized(1.0 / 160.0, 0));
        let Some(Clipping::Pixels { values, steps }) = clipping else {
            panic!("{clipping:?}")
        };
        assert_eq!((values, steps), (51, 33.0));
        let bytes = layout(ElementType::U8, [1, 1, 1, 3]);
        let float = |interpolation| Preprocess {
            interpolation,
            ..preprocess(0.0, 1.0)
        };
        let bicubic = float(Interpolation::TorchvisionBicubicF32);
        assert_eq!(bicubic.clipping(&bytes), Some(Clipping::Overshoot));
        assert_eq!(
            bicubic.clipping(&layout(ElementType::I32, [1, 1, 1, 3])),
            None
        );
        assert_eq!(
            bicubic.clipping(&layout(ElementType::F32, [1, 1, 1, 3])),
            None
        );
        assert_eq!(
            float(Interpolation::TorchvisionBilinearF32).clipping(&bytes),
            None
        );
        assert_eq!(
            float(Interpolation::TorchvisionBicubic).clipping(&bytes),
            None
        );
    }

    #[test]
    fn one_channel_gets_grey_and_one_mean() {
        for (dims, width, height) in [([2, 1, 1, 2], 2, 1), ([2, 2, 1, 1], 1, 2)] {
            let layout = layout(ElementType::F32, dims);
            let image = Image::from_rgb(width, height, vec![255, 0, 0, 1, 2, 3]).unwrap();
            let tensor = preprocess(1.0, 5.0).tensor(&image, &layout).unwrap();
            assert_eq!(tensor.shape()[1..], dims[1..]);
            assert_eq!(tensor.as_slice::<f32>().unwrap(), [15.0, 0.2]);
        }
        let grey = Preprocess {
            color: ColorOrder::Grey,
            ..preprocess(0.0, 1.0)
        };
        let three = layout(ElementType::U8, [1, 3, 1, 1]);
        let image = Image::from_rgb(1, 1, vec![200, 100, 50]).unwrap();
        let tensor = grey.tensor(&image, &three).unwrap();
        assert_eq!(tensor.as_slice::<u8>().unwrap(), [124; 3]);
        let several = Preprocess {
            mean: [1.0, 2.0, 1.0],
            ..grey
        };
        let one = layout(ElementType::F32, [1, 1, 2, 2]);
        let error = several.check(&one).unwrap_err().to_string();
        assert_eq!(
            error,
            "mean is 1,2,1, but the model's input has one channel"
        );
        let ground = Preprocess {
            resize: "border:0.9:1,2,3".parse().unwrap(),
            ..grey
        };
        assert!(ground.check(&one).is_err());
    }
}
