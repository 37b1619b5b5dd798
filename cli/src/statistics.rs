//! The few formulas that `compare` and `evaluate` share.

use crate::share::{Share, percent};

/// The quantile of the standard normal distribution for a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// A share of pictures, and how well so many pictures determine it.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Rate {
    /// How many of them.
    pub count: usize,
    /// Of how many.
    pub of: usize,
    /// `count / of`; 0 of 0 is 0.
    pub share: f64,
    /// The 95 % interval.
    pub low: f64,
    pub high: f64,
}

impl Rate {
    /// `count` of `of`, with Wilson's score interval (Wilson 1927), which unlike the normal
    /// approximation stays within 0 and 1 and means something for 28 of 28.
    pub fn new(count: usize, of: usize) -> Self {
        if of == 0 {
            return Self {
                count,
                of,
                share: 0.0,
                low: 0.0,
                high: 1.0,
            };
        }
        let n = of as f64;
        let share = count as f64 / n;
        let centre = share + Z * Z / (2.0 * n);
        let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        Self {
            count,
            of,
            share,
            low: if count == 0 {
                0.0
            } else {
                (centre - half) / scale
            },
            high: if count == of {
                1.0
            } else {
                (centre + half) / scale
            },
        }
    }

    /// The remark on a share that is at least `least`, where so few images leave it open: Wilson's
    /// interval begins below `least`.
    pub fn too_few(&self, least: Share) -> Option<String> {
        if self.low >= least.value() {
            return None;
        }
        // Wilson's interval of n of n begins at n / (n + Z²).
        let enough = (Z * Z * least.odds()).ceil();
        let enough = if enough.is_finite() {
            format!("{enough} images without a miss would")
        } else {
            "no number of images would".to_owned()
        };
        Some(format!(
            "too few images to establish {least}: the 95 % interval begins at {} %; {enough}",
            percent(self.low)
        ))
    }
}

impl std::fmt::Display for Rate {
    /// `27/28, 96.4 % (95 %: 82.3 to 99.4)`; `0/0` says nothing more.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.of == 0 {
            return write!(f, "0/0");
        }
        write!(
            f,
            "{}/{}, {} % (95 %: {} to {})",
            self.count,
            self.of,
            percent(self.share),
            percent(self.low),
            percent(self.high)
        )
    }
}

/// How values are distributed.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Distribution {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Distribution {
    /// Percentiles by nearest rank: each is one of the values. `None` without values.
    ///
    /// `values` gives all of them every time it is asked, in any order: they are never in memory
    /// together, however many there are.
    pub fn of<I>(values: impl Fn() -> I) -> anyhow::Result<Option<Self>>
    where
        I: Iterator<Item = anyhow::Result<f64>>,
    {
        let (mut count, mut sum, mut max) = (0_usize, 0.0, f64::NEG_INFINITY);
        for value in values() {
            let value = value?;
            count += 1;
            sum += value;
            max = max.max(value);
        }
        if count == 0 {
            return Ok(None);
        }
        let rank = |share: f64| ((share * count as f64).ceil() as usize).max(1) - 1;
        let [p50, p90, p99] = select(values, [rank(0.50), rank(0.90), rank(0.99)])?;
        Ok(Some(Self {
            mean: sum / count as f64,
            p50,
            p90,
            p99,
            max,
        }))
    }
}

/// The values at `ranks`, from 0, in ascending order: a radix selection, which finds 16 bits of each in a
/// pass over all of them.
fn select<I, const N: usize>(
    values: impl Fn() -> I,
    mut ranks: [usize; N],
) -> anyhow::Result<[f64; N]>
where
    I: Iterator<Item = anyhow::Result<f64>>,
{
    const DIGITS: usize = 1 << 16;
    let mut found = [0_u64; N];
    for shift in [48, 32, 16, 0] {
        let mut counts = [(); N].map(|()| vec![0_usize; DIGITS]);
        for value in values() {
            let key = ordered(value?);
            for (found, counts) in found.iter().zip(&mut counts) {
                // What begins as the value that is looked for.
                if key.checked_shr(shift + 16).unwrap_or(0) == *found {
                    counts[(key >> shift) as usize % DIGITS] += 1;
                }
            }
        }
        for ((found, rank), counts) in found.iter_mut().zip(&mut ranks).zip(&counts) {
            let mut digit = 0;
            while *rank >= counts[digit] {
                *rank -= counts[digit];
                digit += 1;
            }
            *found = *found << 16 | digit as u64;
        }
    }
    Ok(found.map(unordered))
}

const SIGN: u64 = 1 << 63;

/// Whole numbers in the order of [`f64::total_cmp`].
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn unordered(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

/// `McNemar`'s exact test: the probability that two equally good runs, of which one alone was right
/// `only_first` times and the other alone `only_second` times, differ at least as much. Two-sided
/// binomial (`McNemar` 1947, in the exact form).
pub fn mcnemar(only_first: usize, only_second: usize) -> f64 {
    let n = only_first + only_second;
    let least = only_first.min(only_second);
    // ln C(n, k) - n ln 2, summed up as logarithms grow: n may be thousands.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=least {
        if k > 0 {
            term += ((n - k + 1) as f64 / k as f64).ln();
        }
        tail += term.exp();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 5e-5
    }

    #[test]
    fn wilsons_interval_is_that_of_the_tables() {
        // The formula, computed with Python's floats.
        for (count, of, low, high) in [
            (28, 28, 0.87935, 1.0),
            (27, 28, 0.82288, 0.99369),
            (98, 100, 0.92998, 0.99450),
            (0, 10, 0.0, 0.27753),
        ] {
            let rate = Rate::new(count, of);
            assert!(near(rate.low, low) && near(rate.high, high), "{rate:?}");
        }
        assert_eq!((Rate::new(0, 0).low, Rate::new(0, 0).high), (0.0, 1.0));
    }

    #[test]
    fn percentiles_are_values() {
        let of =
            |values: &[f64]| Distribution::of(|| values.iter().map(|value| Ok(*value))).unwrap();
        assert_eq!(of(&[]), None);
        let one = of(&[3.0]).unwrap();
        assert_eq!((one.mean, one.p50, one.p99, one.max), (3.0, 3.0, 3.0, 3.0));
        let ten = of(&[10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]).unwrap();
        assert_eq!((ten.p50, ten.p90, ten.p99, ten.max), (5.0, 9.0, 10.0, 10.0));
        assert_eq!(of(&[1.0, f64::INFINITY]).unwrap().max, f64::INFINITY);
    }

    #[test]
    fn selecting_is_sorting() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut values: Vec<f64> = (0..999)
            .map(|_| match random.u8(..4) {
                0 => 0.0,
                1 => -random.f64(),
                2 => random.f64() * 1e-9,
                _ => f64::from(random.u8(..3)),
            })
            .collect();
        let ranks = [0, 1, 249, 500, 998];
        let found = select(|| values.iter().map(|value| Ok(*value)), ranks).unwrap();
        values.sort_by(f64::total_cmp);
        assert_eq!(found, ranks.map(|rank| values[rank]));
    }

    #[test]
    fn mcnemars_test_is_the_binomial_one() {
        // Sums of math.comb in Python's whole numbers.
        assert_eq!(mcnemar(0, 0), 1.0);
        assert!(near(mcnemar(1, 9), 0.02148));
        assert!(near(mcnemar(9, 1), 0.02148));
        assert!(near(mcnemar(5, 5), 1.0));
        assert!(mcnemar(1000, 1200) < 1e-4 && mcnemar(1000, 1200) > 1e-6);
    }
}
