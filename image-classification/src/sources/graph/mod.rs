//! The kind of a model's output, from the operators at the end of its graph.
//!
//! From the output back, operators that keep the values are skipped; the first other one decides. If it is unknown,
//! no kind is stated: a guess would be worse than the outputs of the first images.

mod heads;
pub(super) mod ir;
pub(super) mod onnx;
pub(super) mod tensorflow;
pub(super) mod tflite;

use backend_api::{BackendInfo, DeclaredOutput};

pub(crate) use self::heads::Heads;
use self::heads::{
    Budget, MOST_PARTS, Part, Walk, are_independent, find_ends, is_along_batch, joins,
};
use super::{SourceError, SourceSettings};
use crate::{OutputKind, Quantization, WithOrigin};

/// More operators than these do not only change shapes.
const MOST_STEPS: usize = 64;
/// The most outputs that a message lists.
const MOST_LISTED: usize = 20;

/// The effect of an operator on the scores.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// Keeps the values, in another shape or representation.
    Same,
    /// Converts them to integers: only ids stay valid.
    Integers,
    /// Keeps logits logits: an addition or a multiplication of constants, a `Relu`.
    Linear,
    /// Keeps logits logits, but not each value: a mean over positions.
    Pooled,
    /// Bounds each value by itself: probabilities stay probabilities.
    Bounds,
    /// Converts its input to values of this kind.
    Gives(OutputKind),
    /// Sorts the scores: their positions are ranks, not classes.
    Sorts,
    /// Gives values that do not identify classes, for this reason.
    NoClasses(&'static str),
    /// Joins several values, at least two of which depend on the image.
    Joins(Vec<Part>),
    /// Does anything else.
    Unknown,
}

impl Step {
    /// Returns whether what comes before this step has no effect on what the output means.
    const fn is_last(&self) -> bool {
        matches!(
            self,
            Self::Gives(OutputKind::Logits) | Self::NoClasses(_) | Self::Joins(_) | Self::Unknown
        )
    }
}

const WORST_IDS: &str = "gives the ids of the worst classes";
const UNSORTED_IDS: &str = "gives the ids of the best classes in any order";
const OTHER_IDS: &str = "looks for the best along a dimension other than the classes";
const JOINED_IDS: &str = "joins class ids of several heads";
const OTHER_SOFTMAX: &str = "works along a dimension other than the classes";

/// The end of a graph at one of its outputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct End {
    /// The names of the output.
    names: Vec<String>,
    /// True if an engine may have the outputs in another order or others of them.
    pub is_by_name: bool,
    /// The settings that follow from it.
    pub settings: SourceSettings,
    /// The operator that sorts the scores, if the output is in that order.
    pub sorted_by: Option<String>,
    /// The operator whose output does not identify classes, and the reason.
    pub no_classes: Option<(String, &'static str)>,
    /// The heads that the output joins, if they are not independent probabilities.
    pub heads: Option<Heads>,
    /// The places of the outputs that certainly are not the scores of these class ids.
    unrelated: Vec<usize>,
    /// The places of the outputs that are the scores of these class ids.
    related: Vec<usize>,
}

impl End {
    fn new<V: Copy>(
        names: Vec<String>,
        walk: &Walk<V>,
        quantization: Option<(Quantization, String)>,
    ) -> Self {
        Self {
            names,
            is_by_name: false,
            settings: settings(decide(walk.steps()), quantization),
            sorted_by: sorted_by(walk.steps()),
            no_classes: no_classes(walk.steps()),
            heads: Heads::find(walk.steps()),
            unrelated: Vec::new(),
            related: Vec::new(),
        }
    }

    fn holds_ids(&self) -> bool {
        let output = self.settings.output.as_ref();
        output.is_some_and(|output| output.value == OutputKind::ClassIds)
    }

    /// Returns the end at the output that the engine takes the scores from: the one with its name, or the one at its place
    /// if the order is known.
    pub fn of<'a>(ends: &'a [Self], info: &BackendInfo) -> Option<&'a Self> {
        ends.get(Self::place(ends, info)?)
    }

    fn place(ends: &[Self], info: &BackendInfo) -> Option<usize> {
        let is_named = |end: &Self| end.names.contains(&info.output.name);
        let by_place = || {
            let is_ordered = ends.len() == 1 || ends.iter().all(|end| !end.is_by_name);
            let is_same = is_ordered && ends.len() == info.outputs.len();
            let place = info.output_place().filter(|_| is_same)?;
            (place < ends.len()).then_some(place)
        };
        ends.iter().position(is_named).or_else(by_place)
    }

    /// Rejects an assumed output if class ids in another output come from other values: it holds features, or the
    /// scores of another head.
    ///
    /// # Errors
    ///
    /// [`SourceError::Unrelated`].
    pub fn check_assumed(ends: &[Self], info: &BackendInfo) -> Result<(), SourceError> {
        let Some(place) = Self::place(ends, info).filter(|_| info.output_is_assumed) else {
            return Ok(());
        };
        if ends.iter().any(|end| end.related.contains(&place)) {
            return Ok(());
        }
        match ends.iter().find(|end| end.unrelated.contains(&place)) {
            None => Ok(()),
            Some(ids) => {
                let outputs = info.outputs.iter().take(MOST_LISTED);
                let outputs: Vec<String> = outputs.map(DeclaredOutput::to_string).collect();
                Err(SourceError::Unrelated {
                    output: info.output.name.clone(),
                    ids: ids.names.first().cloned().unwrap_or_default(),
                    outputs: outputs.join(", "),
                })
            }
        }
    }

    /// Rejects an output that does not identify classes.
    ///
    /// # Errors
    ///
    /// [`SourceError::Sorted`] and [`SourceError::NoClasses`].
    pub fn check(&self) -> Result<(), SourceError> {
        if let Some(operator) = self.sorted_by.clone() {
            return Err(SourceError::Sorted { operator });
        }
        match self.no_classes.clone() {
            Some((operator, reason)) => Err(SourceError::NoClasses { operator, reason }),
            None => Ok(()),
        }
    }
}

/// Returns the kind of the values after `steps`, which begin at the output, and the operator that decides.
fn decide(steps: impl Iterator<Item = (Step, String)>) -> Option<(OutputKind, String)> {
    let (mut linear, mut integers, mut bounds) = (None, false, false);
    for (step, operator) in steps.take(MOST_STEPS) {
        match step {
            Step::Same => {}
            Step::Integers => integers = true,
            Step::Bounds => bounds = true,
            Step::Linear | Step::Pooled => linear = linear.or(Some(operator)),
            Step::Gives(kind) => {
                let is_one_hot = kind == OutputKind::OneHot;
                let is_whole = !integers || is_one_hot || kind == OutputKind::ClassIds;
                let is_probability = matches!(
                    kind,
                    OutputKind::Probabilities | OutputKind::IndependentProbabilities
                );
                let kind = match kind {
                    _ if linear.is_none() || is_one_hot => kind,
                    OutputKind::Logits | OutputKind::LogProbabilities => OutputKind::Logits,
                    _ if is_probability => OutputKind::Numbers,
                    _ => return None,
                };
                // Bounds of 0 and 1 may make probabilities of logits.
                return (is_whole && (!bounds || is_probability || is_one_hot))
                    .then(|| (kind, linear.unwrap_or(operator)));
            }
            Step::Joins(parts) if are_independent(&parts) => {
                let kind = match linear {
                    None => OutputKind::IndependentProbabilities,
                    Some(_) => OutputKind::Numbers,
                };
                return (!integers).then(|| (kind, linear.unwrap_or(operator)));
            }
            Step::Joins(_) | Step::Sorts | Step::NoClasses(_) | Step::Unknown => return None,
        }
    }
    None
}

/// Returns the operator that sorts the values after `steps`, which begin at the output. A softmax of sorted logits is
/// sorted.
fn sorted_by(steps: impl Iterator<Item = (Step, String)>) -> Option<String> {
    for (step, operator) in steps.take(MOST_STEPS) {
        match step {
            Step::Sorts => return Some(operator),
            Step::Gives(OutputKind::Logits | OutputKind::ClassIds | OutputKind::OneHot)
            | Step::Pooled
            | Step::NoClasses(_)
            | Step::Unknown => return None,
            Step::Joins(parts) => return parts.into_iter().find_map(|part| part.sorted_by),
            Step::Same | Step::Integers | Step::Linear | Step::Bounds | Step::Gives(_) => {}
        }
    }
    None
}

/// Returns the operator after which `steps`, which begin at the output, do not identify classes, and the reason.
fn no_classes(steps: impl Iterator<Item = (Step, String)>) -> Option<(String, &'static str)> {
    for (step, operator) in steps.take(MOST_STEPS) {
        match step {
            Step::Same | Step::Integers | Step::Linear | Step::Bounds => {}
            Step::NoClasses(reason) => return Some((operator, reason)),
            Step::Joins(parts) => return parts.iter().find_map(|part| part.reason(&operator)),
            _ => return None,
        }
    }
    None
}

/// Returns whether a softmax over the dimensions `over` of `dims` is certainly none over the classes: each is 1, so
/// that every value is 1, or they are the batch.
fn is_over_no_classes(over: std::ops::Range<usize>, dims: &[Option<usize>]) -> bool {
    let is_one = |dim: &Option<usize>| *dim == Some(1);
    let is_batch = over == (0..1) && !dims[1..].iter().all(is_one);
    let over = dims.get(over).unwrap_or_default();
    is_batch || (!over.is_empty() && over.iter().all(is_one))
}

/// Returns the step of an operator that gives the ids of the `count` best along the dimension `axis` of `dims`, as far
/// as they are known. `dims` have the size of the output.
fn best_ids(axis: i64, dims: Option<&[Option<usize>]>, of_largest: bool, is_sorted: bool) -> Step {
    let place = dims.and_then(|dims| normalized(axis, dims.len()).map(|axis| (axis, dims)));
    let is_one = place.is_some_and(|(axis, dims)| dims[axis] == Some(1));
    if !of_largest {
        Step::NoClasses(WORST_IDS)
    } else if !is_sorted && !is_one {
        Step::NoClasses(UNSORTED_IDS)
    } else if place.is_some_and(|(axis, dims)| !may_be_classes(axis, dims)) {
        Step::NoClasses(OTHER_IDS)
    } else {
        Step::Gives(OutputKind::ClassIds)
    }
}

/// Returns whether the dimension `axis` of `dims` may be the one of the classes: every other one but the batch is 1 or
/// open.
fn may_be_classes(axis: usize, dims: &[Option<usize>]) -> bool {
    let batch = usize::from(dims.len() > 1);
    let mut others = dims.iter().enumerate().skip(batch);
    axis >= batch && others.all(|(index, dim)| index == axis || dim.is_none_or(|dim| dim == 1))
}

/// Returns the settings that the end of a graph states.
fn settings(
    decided: Option<(OutputKind, String)>,
    quantization: Option<(Quantization, String)>,
) -> SourceSettings {
    SourceSettings {
        output: decided.map(|(kind, operator)| {
            WithOrigin::new(kind, format!("the model's last operator, {operator}"))
        }),
        quantization: quantization.map(|(quantization, by)| WithOrigin::new(quantization, by)),
        ..SourceSettings::default()
    }
}

/// Returns whether a softmax over the dimensions `over` of `dims` is one over the classes: every other dimension is 1,
/// except the first, the batch.
fn is_over_classes(over: std::ops::Range<usize>, dims: &[Option<usize>]) -> bool {
    let batch = usize::from(dims.len() > 1);
    let others_are_one = dims
        .iter()
        .enumerate()
        .skip(batch)
        .all(|(index, dim)| over.contains(&index) || *dim == Some(1));
    let classes = dims.get(over.clone()).unwrap_or_default();
    over.start >= batch && others_are_one && classes.iter().any(|dim| *dim != Some(1))
}

/// Returns the index that `axis` means among `rank` dimensions.
fn normalized(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|axis| *axis < rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_operator_that_does_something_decides() {
        let of = |steps: &[Step]| {
            let named = steps
                .iter()
                .enumerate()
                .map(|(n, s)| (s.clone(), n.to_string()));
            decide(named)
        };
        let (logits, softmax, ids) = (
            Step::Gives(OutputKind::Logits),
            Step::Gives(OutputKind::Probabilities),
            Step::Gives(OutputKind::ClassIds),
        );
        let found = |kind, operator: &str| Some((kind, operator.to_owned()));
        assert_eq!(
            of(&[Step::Same, softmax.clone(), logits.clone()]),
            found(OutputKind::Probabilities, "1")
        );
        assert_eq!(
            of(&[Step::Same, Step::Linear, Step::Linear, logits.clone()]),
            found(OutputKind::Logits, "1")
        );
        assert_eq!(
            of(&[Step::Linear, softmax.clone()]),
            found(OutputKind::Numbers, "0")
        );
        let log_softmax = Step::Gives(OutputKind::LogProbabilities);
        assert_eq!(
            of(&[Step::Linear, log_softmax]),
            found(OutputKind::Logits, "0")
        );
        assert_eq!(of(&[Step::Linear, ids.clone()]), None);
        assert_eq!(
            of(&[Step::Bounds, softmax.clone()]),
            found(OutputKind::Probabilities, "1")
        );
        assert_eq!(of(&[Step::Bounds, logits.clone()]), None);
        // Percent of a one-hot are no probabilities either.
        let one_hot = Step::Gives(OutputKind::OneHot);
        for before in [Step::Same, Step::Integers, Step::Bounds] {
            let steps = [before, one_hot.clone(), ids.clone()];
            assert_eq!(of(&steps), found(OutputKind::OneHot, "1"));
        }
        assert_eq!(of(&[Step::Linear, one_hot]), found(OutputKind::OneHot, "0"));
        assert_eq!(of(&[Step::Integers, softmax]), None);
        assert_eq!(of(&[Step::Integers, ids]), found(OutputKind::ClassIds, "1"));
        assert_eq!(of(&[Step::Unknown, logits]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn what_is_computed_from_sorted_values_is_sorted() {
        let of = |steps: &[Step]| sorted_by(steps.iter().map(|s| (s.clone(), format!("{s:?}"))));
        let softmax = Step::Gives(OutputKind::Probabilities);
        let logits = Step::Gives(OutputKind::Logits);
        for steps in [
            &[Step::Sorts][..],
            &[Step::Same, softmax.clone(), Step::Linear, Step::Sorts],
            &[Step::Integers, Step::Sorts],
        ] {
            assert_eq!(of(steps).as_deref(), Some("Sorts"), "{steps:?}");
        }
        for steps in [
            &[softmax, logits.clone(), Step::Sorts][..],
            &[Step::Pooled, Step::Sorts],
            &[Step::Gives(OutputKind::ClassIds), Step::Sorts],
            &[Step::Unknown, Step::Sorts],
        ] {
            assert_eq!(of(steps), None, "{steps:?}");
        }
        assert_eq!(
            decide([(Step::Sorts, String::new()), (logits, String::new())].into_iter()),
            None
        );
        assert!(may_be_classes(1, &[Some(1), Some(5)]));
        assert!(may_be_classes(1, &[Some(1), Some(1)]));
        assert!(may_be_classes(0, &[Some(5)]));
        assert!(may_be_classes(1, &[None, None, Some(1)]));
        assert!(
            !may_be_classes(2, &[Some(1), Some(5), Some(3)]),
            "positions"
        );
        assert!(!may_be_classes(0, &[Some(5), Some(5)]), "the batch");
    }

    #[test]
    fn a_softmax_over_the_batch_or_over_ones_is_over_no_classes() {
        let over = |axis: usize, dims: &[Option<usize>]| is_over_no_classes(axis..axis + 1, dims);
        assert!(over(0, &[Some(1), Some(5)]), "every value is 1");
        assert!(
            over(0, &[Some(3), Some(5)]) && over(0, &[None, Some(5)]),
            "the batch"
        );
        assert!(over(3, &[Some(1), Some(5), Some(1), Some(1)]));
        assert!(!over(1, &[None, Some(5)]) && !over(0, &[Some(5)]));
        assert!(!over(0, &[Some(5), Some(1)]), "classes without a batch");
        assert!(!over(1, &[Some(1), None]));
        assert!(!is_over_no_classes(0..2, &[Some(1), Some(5)]));
    }

    #[test]
    fn a_softmax_may_be_over_something_else() {
        let over = |axis: usize, dims: &[Option<usize>]| is_over_classes(axis..axis + 1, dims);
        assert!(over(1, &[None, Some(5)]));
        assert!(over(1, &[Some(1), Some(5), Some(1), Some(1)]));
        assert!(over(0, &[Some(5)]));
        assert!(!over(0, &[Some(3), Some(5)]), "the batch");
        assert!(!over(3, &[Some(1), Some(5), Some(1), Some(1)]), "one value");
        assert!(!over(1, &[Some(1), Some(5), Some(7), Some(7)]), "positions");
        assert!(!over(1, &[Some(1), Some(5), None, None]));
        assert!(!over(1, &[Some(1), Some(1)]));
        assert!(is_over_classes(1..4, &[Some(1), Some(5), Some(1), Some(1)]));
        assert_eq!(normalized(-1, 2), Some(1));
        assert_eq!(normalized(2, 2), None);
        assert_eq!(normalized(-3, 2), None);
    }
}
