//! The formulas that comparisons and evaluations share.

use crate::share::{Share, percent, percent_beside};
use crate::text::grouped;

/// The quantile of the standard normal distribution for a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// A share of images, and how well so many images determine it.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Rate {
    /// The number of images that count.
    pub count: usize,
    /// The number of all images.
    pub of: usize,
    /// `count / of`; 0 of 0 is 0.
    pub share: f64,
    /// The lower end of the 95 % interval.
    pub low: f64,
    /// The upper end of the 95 % interval.
    pub high: f64,
}

impl Rate {
    /// `count` of `of`, with Wilson's score interval (Wilson 1927), which unlike the normal
    /// approximation stays within 0 and 1 and means something for 28 of 28.
    pub fn new(count: usize, of: usize) -> Self {
        let share = if of == 0 {
            0.0
        } else {
            count as f64 / of as f64
        };
        let [low, high] = wilson(share, of as f64);
        Self {
            count,
            of,
            share,
            low,
            high,
        }
    }

    /// Returns the remark on a share that is at least `least`, where so few images leave it open: Wilson's
    /// interval begins below `least`.
    pub fn too_few(&self, least: Share) -> Option<String> {
        if self.low >= least.value() {
            return None;
        }
        let begins = percent_beside(self.low, least);
        let begins = format!("the 95 % interval begins at {begins} %");
        // Wilson's interval of n of n begins at n / (n + Z²).
        let enough = (Z * Z * least.odds()).ceil();
        Some(if !enough.is_finite() {
            format!("no number of images establishes {least}: {begins}")
        } else if self.count == self.of {
            let enough = grouped(enough as usize);
            format!(
                "too few images to establish {least}: {begins}; {enough} images without a miss are needed"
            )
        } else {
            let enough = least_images(|n| wilson(self.share, n)[0] >= least.value());
            let enough = enough_text(enough, "share stays");
            format!("too few images to establish {least}: {begins}; {enough}")
        })
    }
}

impl std::fmt::Display for Rate {
    /// Formats the rate: `27/28, 96.4 % (95 %: 82.3 to 99.4)`; `0/0` has no percentage.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.of == 0 {
            return write!(f, "0/0");
        }
        write!(
            f,
            "{}/{}, {} % (95 %: {} to {})",
            grouped(self.count),
            grouped(self.of),
            percent(self.share),
            percent(self.low),
            percent(self.high)
        )
    }
}

/// Returns the upper end of the 95 % interval of a drop: of `of` images the first run alone is right on `only_first`
/// and the second alone on `only_second`.
///
/// Tango's score interval for paired shares (1998), which for images without a difference is Wilson's for 0 of `of`.
pub fn largest_drop(only_first: usize, only_second: usize, of: usize) -> f64 {
    largest_drop_of(only_first as f64, only_second as f64, of as f64)
}

fn largest_drop_of(b: f64, c: f64, n: f64) -> f64 {
    // Whether `drop` is beyond the interval.
    let is_beyond = |drop: f64| {
        let square = 2.0 * n;
        let linear = (2.0 * n - b + c) * drop - b - c;
        let constant = -c * drop * (1.0 - drop);
        // The most likely share of images on which the second run alone is right, given the drop.
        let root = (linear * linear - 4.0 * square * constant).max(0.0).sqrt();
        let second = (root - linear) / (2.0 * square);
        let variance = n * (2.0 * second + drop * (1.0 - drop));
        n * drop - (b - c) > Z * variance.max(0.0).sqrt()
    };
    if n <= 0.0 {
        return 1.0;
    }
    let (mut low, mut high) = ((b - c) / n, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if is_beyond(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Returns the 95 % interval of a drop, its lower and upper end: of `of` images the first run alone is right on
/// `only_first` and the second alone on `only_second`. See [`largest_drop`]; the lower end is the largest drop of the
/// other direction.
pub fn drop_interval(only_first: usize, only_second: usize, of: usize) -> [f64; 2] {
    [
        -largest_drop(only_second, only_first, of),
        largest_drop(only_first, only_second, of),
    ]
}

/// Returns the remark on a drop of at most `most` that too few images leave open. See [`largest_drop`].
pub fn too_few_for_drop(
    only_first: usize,
    only_second: usize,
    of: usize,
    most: Share,
) -> Option<String> {
    let largest = largest_drop(only_first, only_second, of);
    if largest <= most.value() {
        return None;
    }
    let enough = images_for_drop(only_first, only_second, of, most.value());
    let enough = enough_text(enough, "shares stay");
    Some(format!(
        "too few images to establish a drop of at most {most}: the 95 % interval ends at {} %; {enough}",
        percent_beside(largest, most)
    ))
}

/// Returns the least number of images, with the shares of these, whose interval ends at `most` or below.
fn images_for_drop(only_first: usize, only_second: usize, of: usize, most: f64) -> Option<u64> {
    let share = |count: usize| count as f64 / of.max(1) as f64;
    let (first, second) = (share(only_first), share(only_second));
    least_images(|n| largest_drop_of(first * n, second * n, n) <= most)
}

/// Describes the number of images that would suffice.
fn enough_text(enough: Option<u64>, stay: &str) -> String {
    match enough {
        Some(enough) => format!(
            "{} images are needed if the {stay} the same",
            grouped(enough as usize)
        ),
        None => format!("no number of images suffices if the {stay} the same"),
    }
}

/// Returns the least number of images that `is_enough`.
fn least_images(is_enough: impl Fn(f64) -> bool) -> Option<u64> {
    /// More images than anybody has.
    const MOST: u64 = 1 << 40;
    let is_enough = |images: u64| is_enough(images as f64);
    let (mut too_few, mut enough) = (0, MOST);
    if !is_enough(enough) {
        return None;
    }
    while enough - too_few > 1 {
        let middle = u64::midpoint(too_few, enough);
        if is_enough(middle) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    Some(enough)
}

/// Returns Wilson's score interval for a share of `n`, which need not be whole.
fn wilson(share: f64, n: f64) -> [f64; 2] {
    let z2 = Z * Z;
    let centre = n * share + z2 / 2.0;
    let half = Z * (n * share * (1.0 - share) + z2 / 4.0).sqrt();
    let low = (centre - half) / (n + z2);
    let high = (centre + half) / (n + z2);
    [
        if share <= 0.0 { 0.0 } else { low },
        if share >= 1.0 { 1.0 } else { high },
    ]
}

/// Returns the 95 % interval of the mean over strata (classes) of the share `count / of` in each, `None` without any.
///
/// The images of a class are independent draws of it. With *C* classes, *n* images in a class, of
/// which the share *p* is right, the variance of the mean *m* of the shares is estimated as
/// V = [Σ p(1 − p)/n + max(m(1 − m), q(1 − q)) Σ 1/n²] / C², where q = (Σ p/n²) / (Σ 1/n²). The first
/// term is too small by the true Σ p(1 − p)/n², since a class of few images rarely shows its
/// variance, and one of a single image never does; the second is at least that (Jensen). The interval is
/// Wilson's with the effective number of images m(1 − m)/V (Kott and Carr 1997; Franco et al. 2019).
/// With one image for each class it is the interval of the plain share, where a binomial variance is
/// never too small (Hoeffding 1956).
pub fn mean_of_shares(strata: impl Iterator<Item = (usize, usize)>) -> Option<[f64; 2]> {
    let (mut strata_count, mut sum, mut within) = (0.0, 0.0, 0.0);
    let (mut weights, mut weighted, mut inverses) = (0.0, 0.0, 0.0);
    for (count, of) in strata.filter(|(_, of)| *of > 0) {
        let n = of as f64;
        let share = count as f64 / n;
        strata_count += 1.0;
        sum += share;
        within += share * (1.0 - share) / n;
        inverses += 1.0 / n;
        weights += 1.0 / (n * n);
        weighted += share / (n * n);
    }
    if strata_count == 0.0 {
        return None;
    }
    let mean = sum / strata_count;
    let few = weighted / weights;
    let between = (mean * (1.0 - mean)).max(few * (1.0 - few)).max(0.0);
    let variance = within + between * weights;
    let n = if variance > 0.0 {
        strata_count * strata_count * mean * (1.0 - mean) / variance
    } else {
        // The limit where the classes are equally good.
        strata_count * strata_count / inverses
    };
    Some(wilson(mean, n))
}

/// The mean and the percentiles of values.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Distribution {
    /// The mean.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    pub mean: f64,
    /// The median.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    pub p50: f64,
    /// The 90th percentile.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    pub p90: f64,
    /// The 99th percentile.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    pub p99: f64,
    /// The largest value.
    #[cfg_attr(feature = "schemars", schemars(with = "Option<f64>"))]
    pub max: f64,
}

impl Distribution {
    /// Percentiles by nearest rank: each is one of the values. `None` without values.
    ///
    /// `values` gives all of them every time it is asked, in any order: they are never in memory
    /// together, however many there are.
    ///
    /// # Errors
    ///
    /// The first error of `values`.
    pub fn of<I, E>(values: impl Fn() -> I) -> Result<Option<Self>, E>
    where
        I: Iterator<Item = Result<f64, E>>,
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
        let ranks = [50, 90, 99].map(|percent| (count * percent).div_ceil(100) - 1);
        let [p50, p90, p99] = select(values, ranks)?;
        Ok(Some(Self {
            mean: sum / count as f64,
            p50,
            p90,
            p99,
            max,
        }))
    }
}

/// Returns the values at `ranks`, from 0, in ascending order: a radix selection, which finds 16 bits of each in a
/// pass over all of them.
fn select<I, E, const N: usize>(
    values: impl Fn() -> I,
    mut ranks: [usize; N],
) -> Result<[f64; N], E>
where
    I: Iterator<Item = Result<f64, E>>,
{
    const DIGITS: usize = 1 << 16;
    let mut found = [0_u64; N];
    for shift in [48, 32, 16, 0] {
        let mut counts = [(); N].map(|()| vec![0_usize; DIGITS]);
        for value in values() {
            let key = ordered(value?);
            for (found, counts) in found.iter().zip(&mut counts) {
                // The values that share the leading bits of the wanted one.
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

/// Returns the result of `McNemar`'s exact test: the probability that two equally good runs, one alone of which was
/// right `only_first` times and the other alone `only_second` times, differ at least as much. Two-sided
/// binomial (`McNemar` 1947, in the exact form).
pub fn mcnemar(only_first: usize, only_second: usize) -> f64 {
    let n = only_first + only_second;
    let least = only_first.min(only_second);
    // C(n, least) as a factor and a power of 2: logarithms would cancel nine digits of a million pairs.
    let (mut factor, mut power) = (1.0, -(n as i64));
    for k in 1..=least {
        factor *= (n - least + k) as f64 / k as f64;
        if factor > STEP {
            factor /= STEP;
            power += STEP_POWER;
        }
    }
    // The terms below, relative to the largest.
    let (mut tail, mut term) = (1.0, 1.0);
    for k in (1..=least).rev() {
        term *= k as f64 / (n - k + 1) as f64;
        tail += term;
    }
    let mut probability = 2.0 * tail * factor;
    while power <= -STEP_POWER {
        probability /= STEP;
        power += STEP_POWER;
    }
    (probability * 2.0_f64.powi(power as i32)).min(1.0)
}

/// 2 to the power of [`STEP_POWER`].
const STEP: f64 = (1_u128 << STEP_POWER) as f64;
const STEP_POWER: i64 = 100;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde_json::Value;

    use super::*;

    /// Returns the cases that `tests/reference/intervals.py` computed.
    fn cases(name: &str) -> Vec<Value> {
        let table = std::fs::read(classify_tests::small_model("intervals.json")).unwrap();
        let table: Value = serde_json::from_slice(&table).unwrap();
        table[name].as_array().unwrap().clone()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        let values = value.as_array().unwrap().iter();
        values.map(|value| value.as_f64().unwrap()).collect()
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-10 * b.abs() + 1e-300
    }

    #[test]
    fn wilson_interval_solves_the_score_equation() {
        for case in cases("wilson") {
            let [count, of, low, high] = numbers(&case)[..] else {
                panic!("{case}")
            };
            let rate = Rate::new(count as usize, of as usize);
            assert!(
                near(rate.low, low) && (rate.high - high).abs() < 1e-12,
                "{rate:?}: {low} to {high}"
            );
        }
        assert_eq!((Rate::new(0, 0).low, Rate::new(0, 0).high), (0.0, 1.0));
    }

    #[test]
    fn interval_of_a_drop_solves_the_score_equation() {
        for case in cases("drop_interval") {
            let [first, second, of, low, high] = numbers(&case)[..] else {
                panic!("{case}")
            };
            let found = drop_interval(first as usize, second as usize, of as usize);
            assert!((found[0] - low).abs() < 1e-8, "{case}: {found:?}");
            assert!((found[1] - high).abs() < 1e-8, "{case}: {found:?}");
        }
        for of in [1, 24, 1000] {
            let same = (largest_drop(0, 0, of) - Rate::new(0, of).high).abs();
            assert!(same < 1e-12, "{of}: {same}");
        }
        assert_eq!(largest_drop(0, 0, 0), 1.0);
    }

    /// Checks exact sums over the trinomial distribution: the interval ends below the true drop for at most 2.5 % of
    /// samples on average, and for few more at single points.
    #[test]
    fn interval_of_a_drop_covers_the_true_drop() {
        for n in [24_usize, 60] {
            let ends = |first| (0..=n - first).map(move |second| largest_drop(first, second, n));
            let beyond: Vec<Vec<f64>> = (0..=n).map(|first| ends(first).collect()).collect();
            let (mut mean, mut most, mut points) = (0.0, 0.0_f64, 0.0);
            for (p, q) in [0.02, 0.05, 0.1, 0.2, 0.3]
                .into_iter()
                .flat_map(|p| [0.0, 0.01, 0.05, 0.1, 0.2].map(|q| (p, q)))
            {
                let mut missed = 0.0;
                let mut of_first = (1.0_f64 - p - q).powi(n as i32);
                for (first, ends) in beyond.iter().enumerate() {
                    let mut term = of_first;
                    for (second, end) in ends.iter().enumerate() {
                        if *end < p - q {
                            missed += term;
                        }
                        term *=
                            (n - first - second) as f64 / (second + 1) as f64 * q / (1.0 - p - q);
                    }
                    of_first *= (n - first) as f64 / (first + 1) as f64 * p / (1.0 - p - q);
                }
                mean += missed;
                most = most.max(missed);
                points += 1.0;
            }
            mean /= points;
            assert!((0.005..0.03).contains(&mean), "{n} images: {mean}");
            assert!(most < 0.06, "{n} images: {most}");
        }
    }

    #[test]
    fn the_remark_on_a_drop_says_how_many_images_are_enough() {
        for percent in [1, 2, 5, 50] {
            let most = Share::percent(percent);
            let enough = (1..1000_usize).find(|n| too_few_for_drop(0, 0, *n, most).is_none());
            let remark = too_few_for_drop(0, 0, 1, most).unwrap();
            let words = format!("{} images are needed if", enough.unwrap());
            assert!(remark.contains(&words), "{remark}: {words}");
        }
        // A tenth of the answers is lost, as many are gained.
        let most = Share::percent(1);
        let enough = (1..1000_usize).find(|n| too_few_for_drop(*n, *n, 10 * n, most).is_none());
        let remark = too_few_for_drop(2, 2, 20, most).unwrap();
        let words = format!(
            "; {} images are needed if",
            grouped(images_for_drop(2, 2, 20, 0.01).unwrap() as usize)
        );
        assert!(remark.contains(&words), "{remark}: {words}");
        let rounded_up = images_for_drop(2, 2, 20, 0.01).unwrap().div_ceil(10);
        assert_eq!(enough.map(|n| n as u64), Some(rounded_up));
        for (lost, most) in [(0, 0), (1, 5)] {
            let remark = too_few_for_drop(lost, 0, 9, Share::percent(most)).unwrap();
            assert!(remark.contains("no number of images suffices"), "{remark}");
        }
    }

    #[test]
    fn interval_of_a_mean_of_shares_is_the_documented_formula() {
        for case in cases("mean_of_shares") {
            let strata: Vec<(usize, usize)> =
                serde_json::from_value(case["strata"].clone()).unwrap();
            let found = mean_of_shares(strata.into_iter()).unwrap();
            let right = numbers(&case["interval"]);
            assert!(
                (found[0] - right[0]).abs() < 1e-12 && (found[1] - right[1]).abs() < 1e-12,
                "{case}: {found:?}"
            );
        }
        assert_eq!(mean_of_shares([].into_iter()), None);
        assert_eq!(mean_of_shares([(0, 0)].into_iter()), None);
        // With one image for each class it is Wilson's.
        let plain = Rate::new(7, 10);
        let strata = (0..10).map(|class| (usize::from(class < 7), 1));
        let [low, high] = mean_of_shares(strata).unwrap();
        assert!((low - plain.low).abs() < 1e-12 && (high - plain.high).abs() < 1e-12);
    }

    /// Checks exact sums over the binomial distribution, not random numbers: the share of all `p` between 0 and 1 that
    /// the interval holds is 95 % within half a point; for single `p` it oscillates.
    #[test]
    fn wilson_interval_covers_95_percent_on_average() {
        for n in [10, 28, 100, 189, 500] {
            const GRID: usize = 400;
            let rates: Vec<Rate> = (0..=n).map(|count| Rate::new(count, n)).collect();
            let mut mean = 0.0;
            let mut least = 1.0_f64;
            for place in 0..GRID {
                let p = (place as f64 + 0.5) / GRID as f64;
                let mut probability = 0.0;
                // ln of the probability of each count.
                let mut term = n as f64 * (1.0 - p).ln();
                for (count, rate) in rates.iter().enumerate() {
                    if count > 0 {
                        let odds = (n - count + 1) as f64 / count as f64 * p / (1.0 - p);
                        term += odds.ln();
                    }
                    if (rate.low..=rate.high).contains(&p) {
                        probability += term.exp();
                    }
                }
                mean += probability / GRID as f64;
                least = least.min(probability);
            }
            assert!((0.948..0.96).contains(&mean), "n = {n}: {mean}");
            assert!(least > 0.83, "n = {n}: {least}");
        }
    }

    /// Returns the shares of images whose classes are right with probabilities `truth`, `images` of each class.
    fn coverage(
        random: &mut fastrand::Rng,
        rounds: usize,
        truth: &[f64],
        images: impl Fn(usize) -> usize,
    ) -> f64 {
        let mean = truth.iter().sum::<f64>() / truth.len() as f64;
        let covers = |_: &usize| {
            let strata: Vec<(usize, usize)> = truth
                .iter()
                .enumerate()
                .map(|(class, p)| {
                    let of = images(class);
                    ((0..of).filter(|_| random.f64() < *p).count(), of)
                })
                .collect();
            let [low, high] = mean_of_shares(strata.into_iter()).unwrap();
            low <= mean && mean <= high
        };
        (0..rounds).filter(covers).count() as f64 / rounds as f64
    }

    #[test]
    fn interval_of_a_mean_of_shares_covers_95_percent() {
        let mixed = |classes: usize| -> Vec<f64> {
            (0..classes)
                .map(|class| [0.5, 0.8, 0.95, 1.0][class % 4])
                .collect()
        };
        let mut random = fastrand::Rng::with_seed(1997);
        // Two standard errors of 3000 rounds are 0.8 %, of 500 rounds 1.9 %.
        for (classes, images, rounds, low, high) in [
            (10, 1, 3000, 0.94, 0.985),
            (10, 3, 3000, 0.94, 0.97),
            (10, 10, 3000, 0.94, 0.97),
            (10, 50, 3000, 0.94, 0.965),
            (1000, 1, 500, 0.95, 0.99),
            (1000, 5, 500, 0.94, 0.98),
        ] {
            let found = coverage(&mut random, rounds, &mixed(classes), |_| images);
            assert!(
                (low..high).contains(&found),
                "{classes} classes of {images} images: {found}"
            );
        }
        for p in [0.5, 0.8, 0.95] {
            let found = coverage(&mut random, 3000, &[p; 10], |_| 10);
            assert!((0.935..0.975).contains(&found), "{p}: {found}");
        }
        // Classes of very different size, where the small ones are worse, better, or the same.
        for (small, large) in [(0.5, 1.0), (0.8, 0.95), (0.9, 0.9), (0.95, 0.8)] {
            let truth: Vec<f64> = (0..20).map(|class| [small, large][class % 2]).collect();
            let images = |class: usize| [1, 100][class % 2];
            let found = coverage(&mut random, 2000, &truth, images);
            assert!(found > 0.92, "{small} and {large}: {found}");
        }
    }

    #[test]
    fn the_remark_says_how_many_images_are_enough() {
        for percent in [50, 90, 95, 98, 99] {
            let least = Share::percent(percent);
            let enough = (1..1000_usize).find(|n| Rate::new(*n, *n).too_few(least).is_none());
            let remark = Rate::new(1, 1).too_few(least).unwrap();
            let words = format!("{} images without a miss are needed", enough.unwrap());
            assert!(remark.contains(&words), "{remark}: {words}");
        }
        let remark = Rate::new(9, 9).too_few(Share::percent(100)).unwrap();
        assert!(
            remark.starts_with("no number of images establishes 100 %: the"),
            "{remark}"
        );
        assert_eq!(Rate::new(0, 9).too_few(Share::percent(0)), None);
    }

    #[test]
    fn the_end_of_an_interval_is_not_rounded_to_the_limit() {
        let remark = Rate::new(196, 200).too_few(Share::percent(95)).unwrap();
        let words = "too few images to establish 95 %: the 95 % interval begins at 94.97 %; 203 images are needed if the \
                     share stays the same";
        assert_eq!(remark, words);
        let same = Rate::new(95, 100).too_few(Share::percent(95)).unwrap();
        assert!(
            same.ends_with("no number of images suffices if the share stays the same"),
            "{same}"
        );
    }

    #[test]
    fn percentiles_are_values() {
        let of = |values: &[f64]| {
            Distribution::of(|| values.iter().map(|value| Ok::<_, Infallible>(*value))).unwrap()
        };
        assert_eq!(of(&[]), None);
        let one = of(&[3.0]).unwrap();
        assert_eq!((one.mean, one.p50, one.p99, one.max), (3.0, 3.0, 3.0, 3.0));
        let ten = of(&[10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]).unwrap();
        assert_eq!((ten.p50, ten.p90, ten.p99, ten.max), (5.0, 9.0, 10.0, 10.0));
        assert_eq!(of(&[1.0, f64::INFINITY]).unwrap().max, f64::INFINITY);
        for case in cases("percentiles") {
            let found = of(&numbers(&case["values"])).unwrap();
            assert_eq!(
                [found.p50, found.p90, found.p99].to_vec(),
                numbers(&case["percentiles"])
            );
        }
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
        let found = select(
            || values.iter().map(|value| Ok::<_, Infallible>(*value)),
            ranks,
        )
        .unwrap();
        values.sort_by(f64::total_cmp);
        assert_eq!(found, ranks.map(|rank| values[rank]));
    }

    #[test]
    fn mcnemar_is_exact_for_a_million_pairs_too() {
        for case in cases("mcnemar") {
            let [first, second, right] = numbers(&case)[..] else {
                panic!("{case}")
            };
            let found = mcnemar(first as usize, second as usize);
            assert!(near(found, right), "{case}: {found}");
        }
        assert_eq!(mcnemar(0, 5000), 0.0);
    }
}
