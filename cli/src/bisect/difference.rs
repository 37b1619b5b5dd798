//! How far two values are apart.

use model_file::expose::Shown;

/// The difference of two values, or of two outputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Apart {
    /// max |x − y|.
    pub max_error: f64,
    /// max |x − y| / max |x|.
    pub relative_error: f64,
    /// Whether integers differ, which have no rounding.
    pub not_equal: bool,
    /// Least and largest value of both.
    pub ranges: [[f64; 2]; 2],
}

impl Apart {
    /// Whether it is beyond the limit. NaN differs from everything.
    pub fn is_beyond(&self, limit: f64) -> bool {
        self.not_equal || self.relative_error.is_nan() || self.relative_error > limit
    }

    /// Of two values with other shapes.
    fn infinite(ranges: [[f64; 2]; 2]) -> Self {
        Self {
            max_error: f64::INFINITY,
            relative_error: f64::INFINITY,
            not_equal: true,
            ranges,
        }
    }

    /// Of two rows of numbers.
    pub fn of_rows(one: &[f32], other: &[f32]) -> Self {
        Self::new(
            (one.len(), other.len()),
            |place| Some(one[place].into()),
            |place| Some(other[place].into()),
        )
        .unwrap_or_else(|| Self::infinite([[f64::NAN; 2]; 2]))
    }

    /// Of two values; `None` if one of them has a number that it could not show.
    pub fn of_values(one: &Shown<'_>, other: &Shown<'_>) -> Option<Self> {
        let lengths = (one.len(), other.len());
        let mut apart = Self::new(lengths, |at| one.number(at), |at| other.number(at))?;
        if one.shape != other.shape {
            return Some(Self::infinite(apart.ranges));
        }
        let differs = |place: usize| match (one.integer(place), other.integer(place)) {
            (Some(one), Some(other)) => one.abs_diff(other),
            _ => 0,
        };
        let most = (0..one.len()).map(differs).max().unwrap_or(0);
        if most > 0 {
            apart.not_equal = true;
            apart.max_error = most as f64;
        }
        Some(apart)
    }

    fn new(
        (ones, others): (usize, usize),
        one: impl Fn(usize) -> Option<f64>,
        other: impl Fn(usize) -> Option<f64>,
    ) -> Option<Self> {
        let empty = [f64::INFINITY, f64::NEG_INFINITY];
        let mut ranges = [empty; 2];
        let (mut error, mut largest, mut has_nan) = (0.0_f64, 0.0_f64, false);
        let widen = |range: &mut [f64; 2], value: f64| {
            range[0] = range[0].min(value);
            range[1] = range[1].max(value);
        };
        for place in 0..ones.max(others) {
            let x = if place < ones {
                Some(one(place)?)
            } else {
                None
            };
            let y = if place < others {
                Some(other(place)?)
            } else {
                None
            };
            for (range, value) in ranges.iter_mut().zip([x, y]) {
                if let Some(value) = value {
                    widen(range, value);
                    has_nan |= value.is_nan();
                }
            }
            if let (Some(x), Some(y)) = (x, y) {
                largest = largest.max(x.abs());
                if x != y {
                    error = error.max((x - y).abs());
                }
            }
        }
        if ones != others {
            return Some(Self::infinite(ranges));
        }
        if has_nan {
            error = f64::NAN;
        }
        Some(Self {
            max_error: error,
            relative_error: if error == 0.0 { 0.0 } else { error / largest },
            not_equal: false,
            ranges,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_file::expose::{Encoding, Exposure, What};

    fn relative(one: &[f32], other: &[f32]) -> f64 {
        Apart::of_rows(one, other).relative_error
    }

    #[test]
    fn errors_are_relative_to_the_largest_value() {
        let apart = Apart::of_rows(&[1.0, -4.0], &[1.0, -3.0]);
        assert_eq!((apart.max_error, apart.relative_error), (1.0, 0.25));
        assert_eq!(apart.ranges, [[-4.0, 1.0], [-3.0, 1.0]]);
        assert_eq!(relative(&[0.0], &[0.0]), 0.0);
        assert_eq!(relative(&[0.0], &[1.0]), f64::INFINITY);
        assert_eq!(relative(&[f32::INFINITY, 1.0], &[f32::INFINITY, 1.0]), 0.0);
        for (one, other) in [
            (&[f32::NAN][..], &[1.0][..]),
            (&[f32::INFINITY], &[1.0]),
            (&[1.0], &[1.0, 2.0]),
        ] {
            assert!(
                Apart::of_rows(one, other).is_beyond(1e30),
                "{one:?} {other:?}"
            );
        }
    }

    #[test]
    fn integers_are_compared_exactly() {
        let exposure = Exposure {
            values: vec![("i".into(), Encoding::Integer { unsigned: false })],
            what: What::Integers,
        };
        // Of rank 0.
        let (one, other) = ([1 << 60, 0], [(1 << 60) + 1, 0]);
        let (one, other) = (
            exposure.integers(&one).unwrap(),
            exposure.integers(&other).unwrap(),
        );
        let same = Apart::of_values(&one[0], &one[0]).unwrap();
        assert!(!same.is_beyond(0.0));
        let apart = Apart::of_values(&one[0], &other[0]).unwrap();
        assert!(apart.is_beyond(1.0) && apart.max_error == 1.0);
    }
}
