//! The comparison of the labels of two runs.

use image_classification::Labels;
use serde::Serialize;

use super::lookup::key;

/// The difference between the labels of a run and the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LabelDifference {
    /// The same names in another order.
    Order,
    /// Other names.
    Names,
    /// Another number of classes.
    Number,
    /// One of the two has no labels.
    Presence,
}

/// The labels of a run and its number of classes, as far as they are known.
pub type Classes<'a> = (Option<&'a Labels>, Option<usize>);

impl LabelDifference {
    /// Compares the labels of a run with those of the reference. If both lack labels, a different number of classes is
    /// a difference.
    pub fn between(reference: Classes, run: Classes) -> Option<Self> {
        let ((reference, reference_count), (run, run_count)) = (reference, run);
        let (reference, run) = match (reference, run) {
            (Some(reference), Some(run)) => (reference, run),
            (None, None) => {
                let differ = reference_count.zip(run_count).filter(|(a, b)| a != b);
                return differ.map(|_| Self::Number);
            }
            _ => return Some(Self::Presence),
        };
        if reference.len() != run.len() {
            return Some(Self::Number);
        }
        // Model API writes `tabby,_tabby_cat` for `tabby, tabby cat`.
        let names = |labels: &Labels| -> Vec<String> {
            let names = (0..labels.len()).filter_map(|class_id| labels.get(class_id));
            names.map(key).collect()
        };
        let (mut reference, mut run) = (names(reference), names(run));
        if reference == run {
            return None;
        }
        reference.sort_unstable();
        run.sort_unstable();
        Some(if reference == run {
            Self::Order
        } else {
            Self::Names
        })
    }

    /// Describes the difference to the run called `reference`.
    pub fn text(self, reference: &str) -> String {
        match self {
            Self::Order => format!("the labels of {reference}, in another order"),
            Self::Names => format!("other labels than {reference}"),
            Self::Number => format!("another number of classes than {reference}"),
            Self::Presence => {
                format!("only one of this run and {reference} has labels")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_names_and_number_are_told_apart() {
        let labels = |names: &[&str]| {
            Labels::from_names(names.iter().map(|name| (*name).to_owned()).collect())
        };
        let reference = labels(&["a", "b", "b"]);
        let reference = (Some(&reference), Some(3));
        let with = |names: &[&str]| {
            let run = labels(names);
            LabelDifference::between(reference, (Some(&run), Some(names.len())))
        };
        assert_eq!(with(&["a", "b", "b"]), None);
        assert_eq!(with(&["A", "b ", "B"]), None);
        assert_eq!(with(&["b", "a", "b"]), Some(LabelDifference::Order));
        assert_eq!(with(&["b", "a", "a"]), Some(LabelDifference::Names));
        assert_eq!(with(&["a", "b"]), Some(LabelDifference::Number));
        let without = |reference, count| LabelDifference::between(reference, (None, Some(count)));
        assert_eq!(without(reference, 3), Some(LabelDifference::Presence));
        assert_eq!(without((None, Some(3)), 3), None);
        assert_eq!(without((None, Some(3)), 4), Some(LabelDifference::Number));
        assert_eq!(without((None, None), 4), None);
    }
}
