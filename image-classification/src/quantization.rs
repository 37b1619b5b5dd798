//! Integers that stand for real values.

use std::fmt;

/// The affine quantization of an integer input or output: the real value is `scale × (q − zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Quantization {
    /// The real value of one step.
    pub scale: f32,
    /// The integer that represents 0.
    pub zero_point: i32,
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scale {}, zero point {}", self.scale, self.zero_point)
    }
}

impl Quantization {
    /// Returns the real value of `quantized`, which holds an integer.
    pub fn dequantized(self, quantized: f32) -> f32 {
        (f64::from(self.scale) * (f64::from(quantized) - f64::from(self.zero_point))) as f32
    }
}

/// The rounding of a value halfway between two integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Halves {
    /// To the even integer, as ONNX's `QuantizeLinear` and OpenVINO's `FakeQuantize` define it.
    ToEven,
    /// To the integer farther from zero, as the reference kernel of TensorFlow Lite's `QUANTIZE` does it.
    AwayFromZero,
}

impl fmt::Display for Halves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToEven => "halves to even",
            Self::AwayFromZero => "halves away from zero",
        })
    }
}

/// The quantization of an integer input, with the rounding that the model's format defines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputQuantization {
    /// The scale and the zero point.
    pub quantization: Quantization,
    /// The rounding of halves, before the zero point is added.
    pub halves: Halves,
}

impl fmt::Display for InputQuantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.quantization, self.halves)
    }
}

impl InputQuantization {
    /// Returns the integer of a real value, which may lie outside of the input's type.
    pub fn quantized(self, value: f32) -> f32 {
        let Quantization { scale, zero_point } = self.quantization;
        let steps = value / scale;
        let rounded = match self.halves {
            Halves::ToEven => steps.round_ties_even(),
            Halves::AwayFromZero => steps.round(),
        };
        rounded + zero_point as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of `onnx.reference.ReferenceEvaluator` 1.23.2 and of ONNX Runtime 1.31.1 for `QuantizeLinear` to int8,
    /// and of the reference kernel of `QUANTIZE` in `ai-edge-litert` 2.3.0. All three round before they add the zero
    /// point. The optimized kernel of the latter rounds halves to even on x86-64.
    #[test]
    fn halves_are_rounded_as_the_format_defines() {
        let values = [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, -4.25];
        for (halves, zero_point, expected) in [
            (Halves::ToEven, 0, [-4, -2, -2, 0, 0, 2, 2, 4, -4]),
            (Halves::ToEven, 3, [-1, 1, 1, 3, 3, 5, 5, 7, -1]),
            (Halves::AwayFromZero, 0, [-4, -3, -2, -1, 1, 2, 3, 4, -4]),
            (Halves::AwayFromZero, 3, [-1, 0, 1, 2, 4, 5, 6, 7, -1]),
        ] {
            let quantization = InputQuantization {
                quantization: Quantization {
                    scale: 1.0,
                    zero_point,
                },
                halves,
            };
            let found = values.map(|value| quantization.quantized(value) as i32);
            assert_eq!(found, expected, "{quantization}");
        }
    }
}
