//! Shares as they are written on the command line, compared without rounding.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The most decimals that a share may have. Products with numbers of images then fit into 128 bits.
const MOST_DECIMALS: u32 = 18;

/// A share from 0 to 1, written `0.98` or `98%`: the exact decimal, because 0.864 as a binary fraction
/// is more than 108/125. The whole is written `100%`: `1` may be meant as `1%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The share is `numerator / 10^decimals`; the last digit is not 0.
    numerator: u64,
    decimals: u32,
}

impl Share {
    /// Returns the share of `percent` in a hundred.
    ///
    /// # Panics
    ///
    /// Above 100.
    pub const fn percent(percent: u64) -> Self {
        assert!(percent <= 100, "a share is at most 100 %");
        let (mut numerator, mut decimals) = (percent, 2);
        while decimals > 0 && numerator % 10 == 0 {
            numerator /= 10;
            decimals -= 1;
        }
        Self {
            numerator,
            decimals,
        }
    }

    /// Returns the closest floating-point number.
    pub fn value(self) -> f64 {
        format!("{}e-{}", self.numerator, self.decimals)
            .parse()
            .unwrap_or(f64::NAN)
    }

    /// Returns this share divided by its difference to 1; infinity for 1.
    pub fn odds(self) -> f64 {
        self.numerator as f64 / (self.denominator() - self.numerator) as f64
    }

    /// Returns whether `count / of` is at least this share, exactly. `0 / 0` is not.
    pub fn is_reached(self, count: usize, of: usize) -> bool {
        of > 0 && self.scaled(count as u128) >= self.times(of as u128)
    }

    /// Returns whether the first share minus the second one, each `(count, of)`, is at most this share,
    /// exactly. `0 / 0` is 0.
    pub fn allows_drop(self, from: (usize, usize), to: (usize, usize)) -> bool {
        let (from, from_of) = (from.0 as u128, from.1.max(1) as u128);
        let (to, to_of) = (to.0 as u128, to.1.max(1) as u128);
        match (from * to_of).checked_sub(to * from_of) {
            Some(drop) => self.scaled(drop) <= self.times(from_of * to_of),
            None => true,
        }
    }

    fn denominator(self) -> u64 {
        10_u64.pow(self.decimals)
    }

    fn scaled(self, count: u128) -> u128 {
        count.saturating_mul(u128::from(self.denominator()))
    }

    fn times(self, of: u128) -> u128 {
        of.saturating_mul(u128::from(self.numerator))
    }
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share = parse(text.trim()).ok_or(
            "expected a percentage such as 98%, or a share below 1 such as 0.98, with at most 18 decimals",
        )?;
        if share == Self::percent(100) && !text.contains('%') {
            return Err(AMBIGUOUS);
        }
        Ok(share)
    }
}

/// The reason why a limit of 1 without a unit is rejected: a limit that is read as another one passes in silence.
pub(crate) const AMBIGUOUS: &str = "1 may mean 1 % or the whole; write 1% or 100%";

fn parse(text: &str) -> Option<Share> {
    let (text, percent) = match text.strip_suffix('%') {
        Some(text) => (text.trim_end(), 2),
        None => (text, 0),
    };
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let number = number.strip_prefix('+').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_end_matches('0');
    let zeros = (digits.len() - significant.len()) as i64;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some(Share::percent(0));
    }
    let decimals = fraction.len() as i64 - zeros + percent - i64::from(exponent);
    if decimals <= 0 {
        return (significant == "1" && decimals == 0).then_some(Share::percent(100));
    }
    let decimals = u32::try_from(decimals)
        .ok()
        .filter(|decimals| *decimals <= MOST_DECIMALS)?;
    let numerator = significant.parse().ok()?;
    (numerator < 10_u64.pow(decimals)).then_some(Share {
        numerator,
        decimals,
    })
}

impl fmt::Display for Share {
    /// Returns the exact share in percent: `98 %`, `99.5 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10_u64.pow(self.decimals.saturating_sub(2));
        let percent = self.numerator * 10_u64.pow(2 - self.decimals.min(2));
        write!(f, "{}", percent / scale)?;
        if scale > 1 {
            let width = self.decimals as usize - 2;
            write!(f, ".{:0width$}", percent % scale)?;
        }
        f.write_str(" %")
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

/// Returns a share in percent with one decimal, or with as many as distinguish it from 0 and 1.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    (1..18)
        .map(|decimals| format!("{percent:.decimals$}"))
        .find(|text| {
            let shown = text.parse::<f64>().map(f64::abs);
            shown == Ok(share.abs() * 100.0) || !matches!(shown, Ok(0.0 | 100.0))
        })
        .unwrap_or_else(|| format!("{percent:e}"))
}

/// Formats the end of an interval in percent, with as many digits as tell it from a limit that it is not.
pub fn percent_beside(end: f64, limit: Share) -> String {
    let limit = limit.value() * 100.0;
    let text = percent(end);
    let is_apart = |text: &String| {
        text.parse()
            .is_ok_and(|shown: f64| (shown < limit) == (end * 100.0 < limit) && shown != limit)
    };
    if is_apart(&text) {
        return text;
    }
    let texts = (2..9).map(|decimals| format!("{:.decimals$}", end * 100.0));
    texts.into_iter().find(is_apart).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_decimals() {
        for (text, value, shown) in [
            ("0.98", 0.98, "98 %"),
            ("98%", 0.98, "98 %"),
            (" 98.0 % ", 0.98, "98 %"),
            ("86.4%", 0.864, "86.4 %"),
            ("0.005", 0.005, "0.5 %"),
            ("1e-4", 1e-4, "0.01 %"),
            ("5E1%", 0.5, "50 %"),
            (".5", 0.5, "50 %"),
            ("+100.000%", 1.0, "100 %"),
            ("0e-999", 0.0, "0 %"),
            ("0", 0.0, "0 %"),
            ("0.3", 0.3, "30 %"),
            ("0.07%", 0.0007, "0.07 %"),
            (
                "0.123456789012345678",
                0.123_456_789_012_345_68,
                "12.3456789012345678 %",
            ),
            ("0.999999999999999999", 1.0, "99.9999999999999999 %"),
        ] {
            let share: Share = text.parse().unwrap();
            assert_eq!(
                (share.value(), &*share.to_string()),
                (value, shown),
                "{text}"
            );
        }
        for text in [
            "",
            "%",
            ".",
            "98",
            "1",
            "1.",
            "+1.0",
            "10e-1",
            "1.1",
            "100.1%",
            "-0.1",
            "nan",
            "inf",
            "1e9",
            "1e-19",
            "0,5",
            "0.5x",
            "1e",
            "e1",
            "0x1",
            "1e99999999999",
        ] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert_eq!(Share::percent(98), "0.98".parse().unwrap());
        assert_eq!(Share::percent(100), "100%".parse().unwrap());
        assert_eq!("1".parse::<Share>(), Err(AMBIGUOUS));
    }

    #[test]
    fn limits_hold_at_the_limit() {
        let share = |text: &str| text.parse::<Share>().unwrap();
        assert!(share("86.4%").is_reached(108, 125));
        assert!(!share("86.4%").is_reached(107, 125));
        assert!(!share("0.864000000000000001").is_reached(108, 125));
        assert!(share("0").is_reached(0, 1) && !share("0").is_reached(0, 0));
        // Every share of a thousand images, as the user would write it.
        for count in 0..=1000 {
            // The whole has to be in percent.
            let fraction = (count < 1000).then(|| format!("{count}e-3"));
            for text in fraction.into_iter().chain([format!("{count}e-1%")]) {
                let share = share(&text);
                assert!(share.is_reached(count, 1000), "{text}");
                assert!(count == 0 || !share.is_reached(count - 1, 1000), "{text}");
                assert!(share.allows_drop((1000, 1000), (1000 - count, 1000)));
                assert!(count == 1000 || !share.allows_drop((1000, 1000), (999 - count, 1000)));
            }
        }
        assert!(share("0").allows_drop((1, 3), (2, 3)) && share("0").allows_drop((1, 3), (2, 6)));
        assert!(!share("0").allows_drop((1, 3), (333, 1000)));
        assert!(share("100%").allows_drop((3, 3), (0, 3)));
        let many = u32::MAX as usize;
        assert!(share("0.999999999999999999").is_reached(many, many));
        assert!(!share("0.999999999999999999").is_reached(many - 1, many));
        assert!(!share("0.000000000000000001").allows_drop((1, many), (0, many)));
    }

    #[test]
    fn a_share_below_1_is_not_shown_as_1_nor_one_above_0_as_0() {
        for (share, shown) in [
            (0.0, "0.0"),
            (1.0, "100.0"),
            (0.9997, "99.97"),
            (0.9996, "99.96"),
            (0.999_4, "99.9"),
            (0.999_99, "99.999"),
            (0.0004, "0.04"),
            (-0.0004, "-0.04"),
            (0.0005, "0.1"),
            (0.5, "50.0"),
            (1.0 - 1e-15, "99.9999999999999"),
        ] {
            assert_eq!(percent(share), shown);
        }
        assert!(percent(f64::MIN_POSITIVE).starts_with("2.2"));
    }
}
