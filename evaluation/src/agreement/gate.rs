//! Gates: limits with their results, and the verdict.

use serde::{Deserialize, Serialize};

use crate::share::Share;
use crate::statistics::Rate;

/// The verdict of a comparison or an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The answers of one run were recorded, as requested. No runs were compared.
    Recorded,
    /// All limits hold.
    Agree,
    /// A limit does not hold.
    Disagree,
    /// Some answers could not be compared, so the verdict is open.
    CouldNotCompare,
}

/// A limit, and whether it holds.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Gate {
    /// A stable name: `finite`, `max-delta`, `logits`, `informative`, `order`, `top1`, `overlap`;
    /// of an evaluation `min-top1`, `max-drop`, `min-truth`.
    pub name: &'static str,
    /// True if the limit holds.
    pub passed: bool,
    /// The value that was found and its limit, for people.
    pub found: String,
    /// A remark, such as too few images to establish the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// The distance of the value from its limit, negative beyond it. `None` if it is not the distance of two shares.
    #[serde(skip)]
    pub margin: Option<f64>,
    /// True if the limit neither holds nor is exceeded: the images show nothing. Then it has not passed.
    #[serde(rename = "open", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_open: bool,
}

impl Gate {
    /// The name of the gate that asks whether agreement would mean anything.
    pub const INFORMATIVE: &str = "informative";
    /// The name of the gate on the largest difference of probabilities.
    pub const MAX_DELTA: &str = "max-delta";
    /// The name of the gate on the drop of accuracy against the reference.
    pub const MAX_DROP: &str = "max-drop";

    /// Returns a gate without a remark and a margin.
    pub fn new(name: &'static str, passed: bool, found: String) -> Self {
        Self {
            name,
            passed,
            found,
            remark: None,
            margin: None,
            is_open: false,
        }
    }

    /// Returns the gate of a share of images: the share itself decides, for any number of images. The remark
    /// warns that a passed share may still be chance.
    pub fn of_share(name: &'static str, what: &str, rate: Rate, least: Share) -> Self {
        let passed = least.is_reached(rate.count, rate.of);
        Self {
            remark: passed.then(|| rate.too_few(least)).flatten(),
            margin: Some(rate.share - least.value()),
            ..Self::new(name, passed, format!("{what} {rate}, at least {least}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::Basis;

    fn read_back<T: Serialize + for<'a> Deserialize<'a>>(value: &T) -> T {
        serde_json::from_value(serde_json::to_value(value).unwrap()).unwrap()
    }

    #[test]
    fn verdicts_are_read_as_they_are_written() {
        for verdict in [
            Verdict::Recorded,
            Verdict::Agree,
            Verdict::Disagree,
            Verdict::CouldNotCompare,
        ] {
            assert_eq!(read_back(&verdict), verdict);
        }
    }

    #[test]
    fn an_open_gate_differs_from_a_failed_one() {
        let failed = Gate::new(Gate::MAX_DROP, false, "a drop".to_owned());
        let open = Gate {
            is_open: true,
            ..failed.clone()
        };
        let [failed, open] = [failed, open].map(|gate| serde_json::to_value(gate).unwrap());
        assert_eq!(open["open"], true);
        assert_eq!([&failed["passed"], &open["passed"]], [false, false]);
        assert!(failed.get("open").is_none(), "{failed}");
    }

    #[test]
    fn rates_and_bases_are_read_as_they_are_written() {
        for rate in [Rate::new(0, 0), Rate::new(2, 3)] {
            assert_eq!(read_back(&rate), rate);
        }
        assert_eq!(read_back(&Basis::Logits), Basis::Logits);
    }
}
