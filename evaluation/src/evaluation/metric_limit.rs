//! Limits on metrics.

use std::fmt;
use std::str::FromStr;

use super::report::RunResults;
use crate::accuracy::{Criterion, Metric, MetricError};
use crate::agreement::Gate;
use crate::share::{AMBIGUOUS, Share};
use crate::text::{chain, number, printable};

/// A metric and its limit, `f1-macro=0.8`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricLimit {
    /// The metric.
    pub metric: Metric,
    /// The limit, from -1 to 1.
    pub value: f64,
    /// The side on which values pass.
    pub bound: Bound,
}

/// The side of a limit on which values pass. The limit itself passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bound {
    /// The limit and values above it.
    #[default]
    AtLeast,
    /// The limit and values below it.
    AtMost,
}

/// A limit on a metric cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricLimitError {
    /// The text is not a name and a number.
    #[error(
        "expected NAME=VALUE with a value from -1 to 1 or in percent, such as f1-macro=0.8 or mcc=80%"
    )]
    Form,
    /// The value is 1 without a unit.
    #[error("{AMBIGUOUS}")]
    Ambiguous,
    /// The name is not that of a metric.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

impl FromStr for MetricLimit {
    type Err = MetricLimitError;

    /// Reads a minimum.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Labels may have the sign.
        let (name, value) = text.rsplit_once('=').ok_or(MetricLimitError::Form)?;
        let (value, divisor) = match value.trim().strip_suffix('%') {
            Some(percent) => (percent.trim(), 100.0),
            None => (value.trim(), 1.0),
        };
        let value: f64 = value.parse().map_err(|_| MetricLimitError::Form)?;
        let value = value / divisor;
        if !(-1.0..=1.0).contains(&value) {
            return Err(MetricLimitError::Form);
        }
        if value.abs() == 1.0 && divisor == 1.0 {
            return Err(MetricLimitError::Ambiguous);
        }
        Ok(Self {
            metric: name.trim().parse()?,
            value,
            bound: Bound::AtLeast,
        })
    }
}

impl fmt::Display for MetricLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.bound {
            Bound::AtLeast => "at least",
            Bound::AtMost => "at most",
        };
        write!(f, "{words} {}", self.value)
    }
}

impl MetricLimit {
    /// Returns the value for a run's results.
    pub(super) fn value(&self, results: &RunResults) -> Result<f64, MetricError> {
        self.metric
            .value(&results.accuracy, results.labels.as_ref())
    }

    /// Returns a value with three significant digits, or with more if it would be on another side of the limit.
    fn rounded(&self, value: f64) -> String {
        let side = |text: &String| {
            let rounded: Option<f64> = text.parse().ok();
            rounded.and_then(|it| it.partial_cmp(&self.value)) == value.partial_cmp(&self.value)
        };
        let texts = [number(value), format!("{value:.6}")];
        let text = texts.into_iter().find(side);
        text.unwrap_or_else(|| value.to_string())
    }

    /// Returns the remark on a share of images that is at least the limit, where so few images leave it open.
    fn too_few(&self, results: &RunResults) -> Option<String> {
        let rate = match (&self.metric, self.bound) {
            (Metric::Top(k), Bound::AtLeast) => results.accuracy.top(*k),
            (Metric::ExactMatch, Bound::AtLeast) => Criterion::ExactMatch.rate(&results.accuracy),
            _ => return None,
        };
        let least = match self.value {
            1.0 => Share::percent(100),
            value => value.to_string().parse().ok()?,
        };
        rate.too_few(least)
    }

    /// Returns the gate for a run's results. Without a value it does not pass.
    pub(super) fn gate(&self, results: &RunResults) -> Gate {
        let name = match self.bound {
            Bound::AtLeast => "metric-min",
            Bound::AtMost => "metric-max",
        };
        let metric = printable(&self.metric.to_string());
        match self.value(results) {
            Ok(value) => {
                let (passed, margin) = match self.bound {
                    Bound::AtLeast => (value >= self.value, value - self.value),
                    Bound::AtMost => (value <= self.value, self.value - value),
                };
                let value = self.rounded(value);
                Gate {
                    remark: passed.then(|| self.too_few(results)).flatten(),
                    margin: Some(margin),
                    ..Gate::new(name, passed, format!("{metric} {value}, {self}"))
                }
            }
            Err(error) => {
                let reason = chain(&error);
                Gate::new(
                    name,
                    false,
                    format!("{metric} has no value: {reason}; {self}"),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rounded_value_stays_on_its_side_of_the_limit() {
        let limit: MetricLimit = "f1-macro=0.8".parse().unwrap();
        for (value, text) in [
            (0.611_462_3, "0.611"),
            (0.8, "0.8"),
            (0.799_96, "0.799960"),
            (0.800_04, "0.800040"),
            (0.799_999_999, "0.799999999"),
        ] {
            assert_eq!(limit.rounded(value), text);
        }
    }

    #[test]
    fn limits_have_a_name_and_a_value() {
        for (text, name, value) in [
            ("f1-macro=0.8", "f1-macro", 0.8),
            ("top5=95%", "top5", 0.95),
            (" mcc = -0.25 ", "mcc", -0.25),
            ("f1:a=b=100%", "f1:a=b", 1.0),
        ] {
            let limit: MetricLimit = text.parse().unwrap();
            assert_eq!(
                (limit.metric.to_string().as_str(), limit.value),
                (name, value)
            );
        }
        for text in [
            "f1-macro",
            "f1-macro=",
            "f1-macro=2",
            "f1-macro=nan",
            "f1-macro=150%",
        ] {
            let error = text.parse::<MetricLimit>().unwrap_err();
            assert!(matches!(error, MetricLimitError::Form), "{text}");
        }
        let error = "mcc=1.0".parse::<MetricLimit>().unwrap_err();
        assert!(matches!(error, MetricLimitError::Ambiguous));
        let error = "f2=0.5".parse::<MetricLimit>().unwrap_err().to_string();
        assert!(
            error.contains("\"f2\" is not a metric; known are"),
            "{error}"
        );
    }
}
