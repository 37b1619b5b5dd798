//! The difference between two values.

use model_file::expose::Shown;

/// The difference of two values, or of two outputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Apart {
    /// max |x − y|.
    pub max_error: f64,
    /// max |x − y| / max |x|, the latter of finite numbers.
    pub relative_error: f64,
    /// True if integers differ, which have no rounding.
    pub not_equal: bool,
    /// Least and largest value of both.
    pub ranges: [[f64; 2]; 2],
    /// Σ (x − y)² / Σ x² of finite numbers, if there are some above 0.
    pub noise: Option<f64>,
}

impl Apart {
    /// Returns whether the difference exceeds `limit`. NaN differs from every value.
    pub fn is_beyond(&self, limit: f64) -> bool {
        self.not_equal || self.relative_error.is_nan() || self.relative_error > limit
    }

    /// Returns the difference of two values whose shapes differ.
    fn infinite(ranges: [[f64; 2]; 2]) -> Self {
        Self {
            max_error: f64::INFINITY,
            relative_error: f64::INFINITY,
            not_equal: true,
            ranges,
            noise: None,
        }
    }

    /// Returns the difference of two rows of numbers.
    pub fn of_rows(one: &[f32], other: &[f32]) -> Self {
        let ranges = [one, other].map(|row| {
            let empty = [f32::INFINITY, f32::NEG_INFINITY];
            let range = row.iter().fold(empty, |[least, most], value| {
                [least.min(*value), most.max(*value)]
            });
            range.map(f64::from)
        });
        if one.len() != other.len() {
            return Self::infinite(ranges);
        }
        let (mut error, mut has_nan) = (0.0_f64, false);
        let finite = one.iter().filter(|x| x.is_finite());
        let largest = finite.fold(0.0_f32, |largest, x| largest.max(x.abs()));
        for (x, y) in one.iter().zip(other) {
            // Infinities are equal. NaN is not.
            if x != y {
                let apart = (f64::from(*x) - f64::from(*y)).abs();
                has_nan |= apart.is_nan();
                error = error.max(apart);
            }
        }
        Self {
            noise: noise(one, other),
            ..Self::new(error, has_nan, largest.into(), ranges)
        }
    }

    /// Returns the difference of two values, or `None` if one has a number that its encoding cannot hold.
    pub fn of_values(one: &Shown<'_>, other: &Shown<'_>) -> Option<Self> {
        let apart = if let (Some(one), Some(other)) = (one.singles(), other.singles()) {
            Self::of_rows(one, other)
        } else {
            Self::of_elements(one, other)?
        };
        Some(if one.shape == other.shape {
            apart
        } else {
            Self::infinite(apart.ranges)
        })
    }

    /// Returns the difference of integers, or of numbers that take more than one `f32`.
    fn of_elements(one: &Shown<'_>, other: &Shown<'_>) -> Option<Self> {
        let range = |shown: &Shown<'_>| {
            let (mut range, mut largest) = ([f64::INFINITY, f64::NEG_INFINITY], 0.0_f64);
            for place in 0..shown.len() {
                let value = shown.number(place)?;
                range = [range[0].min(value), range[1].max(value)];
                if value.is_finite() {
                    largest = largest.max(value.abs());
                }
            }
            Some((range, largest))
        };
        let ((range_of_one, largest), (range_of_other, _)) = (range(one)?, range(other)?);
        let (mut error, mut has_nan, mut not_equal) = (0.0_f64, false, false);
        for place in 0..one.len().min(other.len()) {
            let apart = match (one.integer(place), other.integer(place)) {
                (Some(x), Some(y)) => {
                    not_equal |= x != y;
                    x.abs_diff(y) as f64
                }
                _ => match (one.number(place)?, other.number(place)?) {
                    (x, y) if x == y => 0.0,
                    (x, y) => (x - y).abs(),
                },
            };
            has_nan |= apart.is_nan();
            error = error.max(apart);
        }
        let apart = Self::new(error, has_nan, largest, [range_of_one, range_of_other]);
        Some(Self { not_equal, ..apart })
    }

    /// `largest` is of the finite numbers.
    fn new(error: f64, has_nan: bool, largest: f64, ranges: [[f64; 2]; 2]) -> Self {
        let max_error = if has_nan { f64::NAN } else { error };
        Self {
            max_error,
            relative_error: if max_error == 0.0 {
                0.0
            } else {
                max_error / largest
            },
            not_equal: false,
            ranges,
            noise: None,
        }
    }
}

/// Returns Σ (x − y)² / Σ x².
fn noise(one: &[f32], other: &[f32]) -> Option<f64> {
    let (mut signal, mut noise) = (0.0, 0.0);
    for (x, y) in one.iter().zip(other) {
        let (x, y) = (f64::from(*x), f64::from(*y));
        signal += x * x;
        noise += (x - y) * (x - y);
    }
    let share = noise / signal;
    share.is_finite().then_some(share)
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
        // As in the mask of an attention.
        assert_eq!(
            relative(&[f32::NEG_INFINITY, 1.0], &[f32::NEG_INFINITY, 2.0]),
            1.0
        );
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
