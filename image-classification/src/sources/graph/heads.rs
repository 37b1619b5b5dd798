//! Outputs that join several heads, and outputs whose scores belong to other outputs.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

use super::{End, JOINED_IDS, MOST_STEPS, SourceError, Step, decide, no_classes, sorted_by};
use crate::OutputKind;

/// The inputs of one operator that are looked at. Of joined values more are, while all are independent probabilities.
pub(super) const MOST_PARTS: usize = 256;
/// The joined values that are looked at for all outputs of a graph. A hostile one joins the same again and again.
const MOST_JOINED: usize = 1 << 14;
/// Values that are looked at behind an output of class ids, and such outputs. Hostile graphs fan out.
const MOST_VISITS: usize = 1 << 16;
const MOST_IDS: usize = 4;

/// The values on the way from an output back, each with the step that makes it and its operator.
#[derive(Debug, Clone)]
pub(super) struct Walk<V>(pub Vec<(V, Step, String)>);

impl<V> Default for Walk<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V: Copy> Walk<V> {
    /// Goes back from `value` to the step behind which nothing matters. `make` returns the step that makes a value, its
    /// operator, and the value before.
    pub fn back_from(
        value: V,
        mut make: impl FnMut(V) -> Option<(Step, String, Option<V>)>,
    ) -> Self {
        let mut next = Some(value);
        let values = std::iter::from_fn(|| {
            let value = next?;
            let (step, operator, before) = make(value)?;
            next = before.filter(|_| !step.is_last());
            Some((value, step, operator))
        });
        Self(values.take(MOST_STEPS).collect())
    }

    /// Returns the steps with their operators.
    pub fn steps(&self) -> impl Iterator<Item = (Step, String)> {
        let steps = self.0.iter();
        steps.map(|(_, step, operator)| (step.clone(), operator.clone()))
    }

    /// Returns the end of this walk as a part of a joined value.
    pub fn part(&self) -> Part {
        Part {
            kind: decide(self.steps()).map(|(kind, _)| kind),
            sorted_by: sorted_by(self.steps()),
            no_classes: no_classes(self.steps()),
        }
    }

    /// Returns the values that have an entry for each class, or its id, back to the operator that computes them. The
    /// flag is true if that operator is known.
    fn scores(&self) -> (Vec<V>, bool) {
        let mut values = Vec::new();
        for (value, step, _) in &self.0 {
            values.push(*value);
            match step {
                Step::Gives(OutputKind::Logits) => return (values, true),
                Step::NoClasses(_) | Step::Joins(_) | Step::Unknown => return (values, false),
                _ => {}
            }
        }
        (values, false)
    }
}

/// One of the values that an operator joins. The default is an unknown one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Part {
    pub kind: Option<OutputKind>,
    pub sorted_by: Option<String>,
    pub no_classes: Option<(String, &'static str)>,
}

impl Part {
    /// Returns why the joined values do not identify classes, if this is one of them.
    pub fn reason(&self, joining: &str) -> Option<(String, &'static str)> {
        let holds_ids = self.kind == Some(OutputKind::ClassIds);
        let ids = holds_ids.then(|| (joining.to_owned(), JOINED_IDS));
        self.no_classes.clone().or(ids)
    }

    fn is_independent(&self) -> bool {
        self.kind == Some(OutputKind::IndependentProbabilities)
    }
}

/// The number of joined values that may still be looked at in a graph.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(MOST_JOINED))
    }
}

impl Budget {
    /// Takes one value. False if none is left.
    fn take(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

/// Returns the step of an operator that joins `inputs`, if several of them depend on the image. Batches that are joined
/// do not join heads. Inputs that are not looked at are unknown, which gives a warning.
pub(super) fn joins<V: Copy>(
    inputs: impl ExactSizeIterator<Item = V> + Clone,
    is_along_batch: bool,
    budget: &Budget,
    is_variable: impl Fn(V) -> bool,
    part: impl Fn(V) -> Part,
) -> Option<Step> {
    let count = inputs.len().min(MOST_JOINED + 1);
    let variable = inputs.clone().take(count);
    let mut variable = variable.filter(|input| is_variable(*input));
    variable.next().and(variable.next())?;
    let mut parts = Vec::new();
    let mut all_are_independent = true;
    for input in inputs {
        let is_of_use = parts.len() < MOST_PARTS || all_are_independent;
        if !is_of_use || !budget.take() {
            break;
        }
        let part = part(input);
        all_are_independent &= part.is_independent();
        parts.push(part);
    }
    parts.resize(count, Part::default());
    (!is_along_batch || are_independent(&parts)).then_some(Step::Joins(parts))
}

/// Returns whether an operator on the dimension `axis` of `rank` ones works along the batch.
pub(super) fn is_along_batch(axis: Option<i64>, rank: Option<usize>) -> bool {
    match (axis, rank) {
        (Some(axis), Some(rank)) => rank > 1 && (axis == 0 || axis == -(rank as i64)),
        (axis, _) => axis == Some(0),
    }
}

/// Returns whether all `parts` are independent probabilities: so is the whole, whichever part a class is in.
pub(super) fn are_independent(parts: &[Part]) -> bool {
    !parts.is_empty() && parts.iter().all(Part::is_independent)
}

/// The heads of a model whose values one output holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heads {
    /// The operator that joins them.
    operator: String,
    kinds: Vec<Option<OutputKind>>,
}

impl Heads {
    /// Finds the operator that joins heads in `steps`, which begin at the output. A softmax or a sigmoid of all joined
    /// values makes one head of them, and a mean may be that of an ensemble: over the joined values.
    pub(super) fn find(steps: impl Iterator<Item = (Step, String)>) -> Option<Self> {
        for (step, operator) in steps {
            match step {
                Step::Same | Step::Integers | Step::Linear | Step::Bounds => {}
                Step::Joins(parts) if !are_independent(&parts) => {
                    let kinds = parts.into_iter().map(|part| part.kind).collect();
                    return Some(Self { operator, kinds });
                }
                _ => return None,
            }
        }
        None
    }

    /// Rejects values that cannot be ranked together: several distributions, or values of different kinds.
    /// `has_several` states that several classes may be right, so that a distribution in each head is no contradiction.
    ///
    /// # Errors
    ///
    /// [`SourceError::Heads`].
    pub fn check(&self, has_several: bool) -> Result<(), SourceError> {
        let is_distribution = |kind: &&OutputKind| {
            matches!(
                kind,
                OutputKind::Probabilities | OutputKind::LogProbabilities | OutputKind::OneHot
            )
        };
        let known = self.kinds.iter().flatten();
        let distributions = known.clone().filter(is_distribution).count();
        let known = known.filter(|kind| **kind != OutputKind::Numbers);
        let kinds: HashSet<&OutputKind> = known.collect();
        if kinds.len() > 1 || distributions > 1 && !has_several {
            return Err(SourceError::Heads {
                operator: self.operator.clone(),
                parts: self.to_string(),
            });
        }
        Ok(())
    }

    /// Returns a warning on values that are ranked together, if the model does not show that they belong together.
    pub fn warning(&self) -> Option<String> {
        let is_p = |kind: &Option<OutputKind>| {
            matches!(
                kind,
                Some(OutputKind::Numbers | OutputKind::IndependentProbabilities)
            )
        };
        // 1 - p next to p is a distribution. The outputs show it.
        if self.kinds.iter().all(is_p)
            && self
                .kinds
                .contains(&Some(OutputKind::IndependentProbabilities))
        {
            return None;
        }
        Some(format!(
            "the classes may come from several heads: the model's operator {} joins {self}; if each head answers a \
             question of its own, the ranking across them has no meaning: cut the model after one head",
            self.operator
        ))
    }
}

/// Writes the kinds of the heads: `2 values (logits, logits)`.
impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST_LISTED: usize = 6;
        let listed = self.kinds.iter().take(MOST_LISTED).map(|kind| match kind {
            Some(kind) => kind.to_string(),
            None => "unknown".to_owned(),
        });
        let mut listed: Vec<String> = listed.collect();
        if self.kinds.len() > MOST_LISTED {
            listed.push("…".to_owned());
        }
        let count = match self.kinds.len() {
            count if count > MOST_JOINED => format!("more than {MOST_JOINED}"),
            count => count.to_string(),
        };
        write!(f, "{count} values ({})", listed.join(", "))
    }
}

/// Finds the outputs whose scores certainly do not belong to the class ids in another output. `inputs` returns the
/// values that a value is computed from.
pub(super) fn find_ends<V: Copy + Eq + Hash>(
    ends: Vec<(End, Walk<V>)>,
    inputs: impl Fn(&V) -> Vec<V>,
) -> Vec<End> {
    let scores: Vec<(Vec<V>, bool)> = ends.iter().map(|(_, walk)| walk.scores()).collect();
    let mut ends: Vec<End> = ends.into_iter().map(|(end, _)| end).collect();
    if ends.len() < 2 {
        return ends;
    }
    let of_ids = (0..ends.len()).filter(|place| ends[*place].holds_ids() && scores[*place].1);
    for ids in of_ids.take(MOST_IDS).collect::<Vec<_>>() {
        let own: HashSet<V> = scores[ids].0.iter().copied().collect();
        let Some(head) = scores[ids].0.last() else {
            continue;
        };
        let before = before(*head, &inputs);
        for (place, (values, is_known)) in scores.iter().enumerate() {
            if place == ids || values.is_empty() {
                continue;
            }
            if values.iter().any(|value| own.contains(value)) {
                ends[ids].related.push(place);
            } else if *is_known || values.iter().any(|value| before.contains(value)) {
                ends[ids].unrelated.push(place);
            }
        }
    }
    ends
}

/// Returns the values that `value` is computed from.
fn before<V: Copy + Eq + Hash>(value: V, inputs: impl Fn(&V) -> Vec<V>) -> HashSet<V> {
    let mut seen = HashSet::new();
    let mut open = inputs(&value);
    let mut looked_at = open.len();
    while let Some(value) = open.pop() {
        if seen.insert(value) && looked_at < MOST_VISITS {
            let inputs = inputs(&value);
            looked_at += inputs.len();
            open.extend(inputs);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: Option<OutputKind>) -> Part {
        Part {
            kind,
            sorted_by: None,
            no_classes: None,
        }
    }

    fn heads(before: Step, kinds: &[Option<OutputKind>]) -> Option<Heads> {
        let parts = kinds.iter().copied().map(part).collect();
        let steps = [before, Step::Joins(parts)];
        Heads::find(steps.into_iter().map(|step| (step, "Concat".to_owned())))
    }

    #[test]
    fn heads_that_cannot_be_ranked_together_are_rejected() {
        let logits = Some(OutputKind::Logits);
        let softmax = Some(OutputKind::Probabilities);
        let sigmoid = Some(OutputKind::IndependentProbabilities);
        let numbers = Some(OutputKind::Numbers);
        // The kinds; rejected; rejected if several classes may be right; a warning.
        for (kinds, is_rejected, of_several, warns) in [
            (&[softmax, softmax][..], true, false, true),
            (
                &[softmax, Some(OutputKind::LogProbabilities)],
                true,
                true,
                true,
            ),
            (&[softmax, sigmoid], true, true, true),
            (&[logits, sigmoid], true, true, true),
            (&[logits, logits, None], false, false, true),
            (&[softmax, None], false, false, true),
            (&[None, None], false, false, true),
            (&[numbers, numbers], false, false, true),
            (&[numbers, sigmoid], false, false, false),
        ] {
            let found = heads(Step::Same, kinds).unwrap();
            assert_eq!(found.check(false).is_err(), is_rejected, "{found}");
            assert_eq!(found.check(true).is_err(), of_several, "{found}");
            assert_eq!(found.warning().is_some(), warns, "{found}");
        }
        let error = heads(Step::Linear, &[softmax, softmax]).unwrap();
        assert_eq!(
            error.check(false).unwrap_err().to_string(),
            "the model's output is not a single classifier: its operator Concat joins 2 values (probabilities, \
             probabilities), which cannot be ranked together"
        );
        assert_eq!(heads(Step::Same, &[sigmoid, sigmoid]), None);
        for one_head in [
            OutputKind::Probabilities,
            OutputKind::IndependentProbabilities,
        ] {
            assert_eq!(heads(Step::Gives(one_head), &[logits, logits]), None);
        }
    }

    #[test]
    fn a_mean_of_heads_is_an_ensemble() {
        let softmax = Some(OutputKind::Probabilities);
        assert_eq!(heads(Step::Pooled, &[softmax, softmax]), None);
    }

    #[test]
    fn many_joined_values_are_looked_at_while_it_is_of_use() {
        let looked_at = Cell::new(0);
        let join = |count: usize, kind: OutputKind, budget: &Budget| {
            looked_at.set(0);
            let part = |_| {
                looked_at.set(looked_at.get() + 1);
                part(Some(kind))
            };
            let joined = joins(0..count, false, budget, |_| true, part);
            let Some(Step::Joins(parts)) = joined else {
                panic!("{joined:?}")
            };
            parts
        };
        let independent = OutputKind::IndependentProbabilities;
        let parts = join(300, independent, &Budget::default());
        assert!(are_independent(&parts) && parts.len() == 300);
        let parts = join(300, OutputKind::Logits, &Budget::default());
        assert_eq!((looked_at.get(), parts.len()), (MOST_PARTS, 300));
        // All outputs of a graph share the budget. What is not looked at is unknown.
        let budget = Budget::default();
        for expected in [MOST_JOINED, 0] {
            let parts = join(1 << 20, independent, &budget);
            assert!(!are_independent(&parts));
            assert_eq!(looked_at.get(), expected);
            let kinds = parts.into_iter().map(|part| part.kind).collect();
            let operator = "Concat".to_owned();
            let heads = Heads { operator, kinds };
            let text = heads.to_string();
            assert!(text.starts_with("more than 16384 values ("), "{text}");
            assert!(heads.warning().is_some());
        }
        let joined = joins(0..9, false, &budget, |n| n == 8, |_| Part::default());
        assert_eq!(joined, None, "the others are constants");
    }

    #[test]
    fn parts_of_ranks_or_ids_are_no_classes() {
        let steps = |part: Part| {
            let steps = [Step::Same, Step::Joins(vec![self::part(None), part])];
            steps.into_iter().map(|step| (step, "Concat".to_owned()))
        };
        let sorted = Part {
            sorted_by: Some("TopK".to_owned()),
            ..part(None)
        };
        assert_eq!(sorted_by(steps(sorted)), Some("TopK".to_owned()));
        let ids = part(Some(OutputKind::ClassIds));
        let expected = Some(("Concat".to_owned(), JOINED_IDS));
        assert_eq!(no_classes(steps(ids)), expected);
    }

    #[test]
    fn joined_batches_are_no_heads() {
        for (axis, rank, expected) in [
            (Some(0), Some(2), true),
            (Some(-2), Some(2), true),
            (Some(0), None, true),
            (Some(0), Some(1), false),
            (Some(1), Some(2), false),
            (Some(-1), None, false),
            (None, None, false),
        ] {
            assert_eq!(is_along_batch(axis, rank), expected, "{axis:?} {rank:?}");
        }
    }
}
