//! Resizing to the nearest value: RTen multiplies by the inverse of a scale where ONNX divides by the scale, and where
//! a coordinate comes to lie at the edge between two values, the rounding of the product takes the other one.

use std::iter;

/// The conversion of an output coordinate into an input coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coordinates {
    HalfPixel,
    PytorchHalfPixel,
    Asymmetric,
    AlignCorners,
}

/// The rounding of a coordinate to an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    Floor,
    Ceil,
    PreferFloor,
    PreferCeil,
}

/// One dimension that is resized.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    /// The size of the input, if it is known.
    pub(crate) from: Option<usize>,
    pub(crate) to: Length,
}

/// The output's size as the model states it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    Scale(f32),
    Size(usize),
}

/// So many places are tried if the size of the input is unknown.
const TRIED: usize = 8_192;

impl Axis {
    /// Returns whether RTen picks ONNX's value everywhere, or `None` if that is unknown.
    pub(crate) fn is_right(self, coordinates: Coordinates, rounding: Rounding) -> Option<bool> {
        // `scale` divides; RTen multiplies with `inverse`.
        let (scale, inverse, to) = match (self.to, self.from) {
            (Length::Scale(scale), from) => {
                let to = from.map(|from| (from as f32 * scale) as usize);
                (scale, 1.0 / scale, to)
            }
            (Length::Size(to), Some(from)) => {
                let (from, to_f32) = (from as f32, to as f32);
                (to_f32 / from, from / to_f32, Some(to))
            }
            (Length::Size(_), None) => return None,
        };
        if !(scale.is_finite() && scale > 0.0) {
            return None;
        }
        // RTen computes these as ONNX specifies.
        if coordinates == Coordinates::AlignCorners
            || to == Some(1) && coordinates == Coordinates::PytorchHalfPixel
        {
            return Some(true);
        }
        let last = self.from.map_or(f32::INFINITY, |from| from as f32 - 1.0);
        let place = |coordinate: f32| round(coordinate.clamp(0.0, last), rounding);
        let places = 0..to.unwrap_or(TRIED).min(1 << 20);
        let offset = if coordinates == Coordinates::Asymmetric {
            0.0
        } else {
            0.5
        };
        Some(
            places
                .map(|at| at as f32 + offset)
                .all(|at| place(at / scale - offset) == place(at * inverse - offset)),
        )
    }
}

fn round(coordinate: f32, rounding: Rounding) -> f32 {
    let half = coordinate.fract() == 0.5;
    match rounding {
        Rounding::Floor => coordinate.floor(),
        Rounding::Ceil => coordinate.ceil(),
        Rounding::PreferFloor if half => coordinate.floor(),
        Rounding::PreferCeil if half => coordinate.ceil(),
        Rounding::PreferFloor | Rounding::PreferCeil => coordinate.round(),
    }
}

/// Pairs the sizes of an input with the stated sizes of the output; `None` if their numbers differ.
pub(crate) fn axes(from: Option<&[Option<usize>]>, to: &[Length]) -> Option<Vec<Axis>> {
    let sizes: Vec<Option<usize>> = match from {
        Some(from) => from.to_vec(),
        None => iter::repeat_n(None, to.len()).collect(),
    };
    let pairs = sizes.into_iter().zip(to);
    let axes = pairs.map(|(from, to)| Axis { from, to: *to });
    (from.is_none_or(|from| from.len() == to.len())).then(|| axes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The indices that ONNX Runtime 1.31.1 and RTen 0.27 select (`tests/operators.rs` compares both).
    #[test]
    fn a_product_that_rounds_to_the_other_side_is_found() {
        let axis = |from, scale| Axis {
            from: Some(from),
            to: Length::Scale(scale),
        };
        let floor = |scale| axis(20, scale).is_right(Coordinates::Asymmetric, Rounding::Floor);
        assert_eq!(floor(1.2), Some(false));
        for scale in [0.5, 1.0, 2.0, 4.0] {
            assert_eq!(floor(scale), Some(true), "{scale}");
        }
        let half = |scale| axis(20, scale).is_right(Coordinates::HalfPixel, Rounding::PreferFloor);
        assert_eq!((half(0.9), half(2.0)), (Some(false), Some(true)));
        let unknown = |to| Axis { from: None, to };
        let right = |axis: Axis| axis.is_right(Coordinates::Asymmetric, Rounding::Floor);
        assert_eq!(right(unknown(Length::Scale(2.0))), Some(true));
        assert_eq!(right(unknown(Length::Scale(1.2))), Some(false));
        assert_eq!(right(unknown(Length::Size(7))), None);
        assert_eq!(right(axis(20, f32::NAN)), None);
    }
}
