//! The end of a TensorFlow graph.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use model_file::tensorflow::{Dims, Graph, Output, Value};

use super::{
    Budget, End, MOST_STEPS, OTHER_SOFTMAX, Step, WORST_IDS, Walk, best_ids, find_ends,
    is_along_batch, is_over_classes, is_over_no_classes, joins, may_be_classes, normalized,
};
use crate::OutputKind;

/// Values that are looked at for all outputs. Hostile graphs fan out.
const MOST_VISITS: usize = 1 << 18;
/// The depth to which dimensions are computed from those of inputs.
const MOST_DEPTH: usize = 48;

/// Reads the end of the graph for each of its outputs.
pub(crate) fn find(graph: &Graph<'_>) -> Vec<End> {
    let values = Values {
        graph,
        visits: Cell::new(0),
        dims: RefCell::default(),
        is_cut: Cell::new(false),
        constants: RefCell::default(),
        budget: Budget::default(),
    };
    let ends = graph.outputs().iter().map(|output| values.end(output));
    find_ends(ends.collect(), |value: &Value| values.inputs(*value))
}

struct Values<'g, 'a> {
    graph: &'g Graph<'a>,
    visits: Cell<usize>,
    /// The dimensions that are known so far, and the depth within which they were computed: `usize::MAX` if no limit cut
    /// them. Where graphs branch, each way would compute them again.
    dims: RefCell<HashMap<Value, (usize, Option<Dims>)>>,
    /// True if a limit cut the dimensions that are computed.
    is_cut: Cell<bool>,
    /// The values that are known to be constants or not. Many heads come from the same features.
    constants: RefCell<HashMap<Value, bool>>,
    budget: Budget,
}

impl<'a> Values<'_, 'a> {
    fn end(&self, output: &Output<'a>) -> (End, Walk<Value>) {
        let value = self.graph.value(output);
        let walk = value.map(|value| self.walk(value, output.dims.clone(), true));
        let walk = walk.unwrap_or_default();
        let mut names = vec![output.name.clone()];
        if !output.is_in_signature {
            // OpenVINO gives a tensor the names of all operators that pass it on, and calls the output by one of them.
            for (value, step, _) in &walk.0 {
                names.extend(self.graph.names(*value));
                if *step != Step::Same {
                    break;
                }
            }
        }
        let mut end = End::new(names, &walk, None);
        end.is_by_name = true;
        (end, walk)
    }

    /// Returns the steps from `value` back. `dims` are the dimensions of `value`, if the file states them elsewhere. With
    /// `can_join` they may lead to several values that are joined.
    fn walk(&self, value: Value, mut dims: Option<Dims>, can_join: bool) -> Walk<Value> {
        Walk::back_from(value, |value| {
            if !self.visit() {
                return None;
            }
            let operator = self.operator(value);
            let joined = can_join.then(|| self.join(value, dims.as_deref()));
            let (step, input) = match joined.flatten() {
                Some(step) => (step, 0),
                None => self.step(value, dims.as_deref()),
            };
            dims = dims.take().filter(|_| keeps_shape(operator));
            Some((step, operator.to_owned(), self.graph.input(value, input)))
        })
    }

    /// Returns the known inputs of a value.
    fn inputs(&self, value: Value) -> Vec<Value> {
        let inputs = 0..self.graph.inputs(value);
        let inputs = inputs.take_while(|_| self.visit());
        inputs
            .filter_map(|index| self.graph.input(value, index))
            .collect()
    }

    fn operator(&self, value: Value) -> &str {
        self.graph.producer(value).0.operator()
    }

    /// Counts a visit. False if there were too many.
    fn visit(&self) -> bool {
        self.visits.set(self.visits.get() + 1);
        self.visits.get() <= MOST_VISITS
    }

    /// Returns the step of a node that joins several values that depend on the image. They may not be joined ones: a hostile
    /// graph would never end.
    fn join(&self, value: Value, stated: Option<&[Option<usize>]>) -> Option<Step> {
        let inputs = self.graph.inputs(value);
        let (joined, axis) = match self.operator(value) {
            // The last input is the dimension.
            "ConcatV2" => {
                let joined = inputs.saturating_sub(1);
                let axis = self.constant(value, joined);
                (joined, axis.and_then(|axis| axis.first().copied()))
            }
            "Pack" => {
                let axis = self.graph.producer(value).0.integer("axis");
                (inputs, Some(axis.unwrap_or_default()))
            }
            _ => return None,
        };
        let dims = self.dims(value);
        let rank = dims.as_deref().or(stated).map(<[_]>::len);
        joins(
            0..joined,
            is_along_batch(axis, rank),
            &self.budget,
            |index| !self.is_constant(value, index),
            |index| {
                let input = self.graph.input(value, index).filter(|_| self.visit());
                let walk = input.map(|input| self.walk(input, None, false));
                walk.unwrap_or_default().part()
            },
        )
    }

    /// Returns whether an input of `value` does not depend on the image.
    fn is_constant(&self, value: Value, input: usize) -> bool {
        let known = &self.constants;
        let mut seen = HashSet::new();
        // Values, each with its inputs that are left.
        let mut open = vec![(value, input..input + 1)];
        while let Some((value, inputs)) = open.last_mut() {
            let Some(index) = inputs.next_back() else {
                open.pop();
                continue;
            };
            if !self.visit() {
                return false;
            }
            let input = self.graph.input(*value, index);
            let is_known = input.and_then(|input| known.borrow().get(&input).copied());
            let Some(value) = input.filter(|_| is_known != Some(false)) else {
                return self.vary(&open);
            };
            if is_known == Some(true) || !seen.insert(value) {
                continue;
            }
            let operator = self.operator(value);
            if matches!(
                operator,
                "Const" | "VarHandleOp" | "VariableV2" | "Variable"
            ) {
                continue;
            }
            let inputs = self.graph.inputs(value);
            if inputs == 0 {
                return self.vary(&open);
            }
            open.push((value, 0..inputs));
        }
        known
            .borrow_mut()
            .extend(seen.into_iter().map(|value| (value, true)));
        true
    }

    /// Keeps that the values of `path` depend on the image, and returns false.
    fn vary(&self, path: &[(Value, Range<usize>)]) -> bool {
        let values = path.iter().map(|(value, _)| (*value, false));
        self.constants.borrow_mut().extend(values);
        false
    }

    /// Returns the only input that depends on the image.
    fn variable_input(&self, value: Value) -> Option<usize> {
        let inputs = 0..self.graph.inputs(value);
        let mut variable = inputs.filter(|&index| !self.is_constant(value, index));
        variable.next().filter(|_| variable.next().is_none())
    }

    /// Returns the step of a value, and the input that its scores come from.
    fn step(&self, value: Value, stated: Option<&[Option<usize>]>) -> (Step, usize) {
        let (node, port) = self.graph.producer(value);
        let output_dims = || {
            self.dims(value)
                .or_else(|| stated.map(<[Option<usize>]>::to_vec))
        };
        let step = match (node.operator(), port) {
            ("IdentityN", index) => return (Step::Same, index),
            (operator, 0) if passes_on(operator) => Step::Same,
            ("Reshape" | "Squeeze" | "ExpandDims" | "Transpose", 0) => Step::Same,
            // The last input is the dimension.
            ("ConcatV2", 0) if self.graph.inputs(value) == 2 => Step::Same,
            ("Pack", 0) if self.graph.inputs(value) == 1 => Step::Same,
            ("StridedSlice", 0) if self.only_adds_dimensions(value) => Step::Same,
            // float, double, bfloat16, half
            ("Cast", 0) if matches!(node.data_type("DstT"), Some(1 | 2 | 14 | 19)) => Step::Same,
            ("Cast", 0) => Step::Integers,
            // Over the last dimension, always.
            ("Softmax" | "LogSoftmax", 0) => match output_dims().filter(|dims| !dims.is_empty()) {
                Some(dims) if is_over_classes(dims.len() - 1..dims.len(), &dims) => {
                    Step::Gives(match node.operator() {
                        "Softmax" => OutputKind::Probabilities,
                        _ => OutputKind::LogProbabilities,
                    })
                }
                Some(dims) if is_over_no_classes(dims.len() - 1..dims.len(), &dims) => {
                    Step::NoClasses(OTHER_SOFTMAX)
                }
                _ => Step::Unknown,
            },
            ("Log", 0) if self.is_of_softmax(value, stated) => {
                Step::Gives(OutputKind::LogProbabilities)
            }
            ("Sigmoid", 0) => Step::Gives(OutputKind::IndependentProbabilities),
            ("ArgMax", 0) => self.arg_max(value, stated),
            ("OneHot", 0) => Step::Gives(OutputKind::OneHot),
            ("ArgMin", 0) => Step::NoClasses(WORST_IDS),
            ("TopKV2" | "TopK", 1) => {
                let is_sorted = node.flag("sorted").unwrap_or(true);
                best_ids(-1, output_dims().as_deref(), true, is_sorted)
            }
            ("TopKV2" | "TopK", 0)
                if output_dims().is_none_or(|dims| {
                    dims.is_empty() || may_be_classes(dims.len() - 1, &dims)
                }) =>
            {
                Step::Sorts
            }
            (
                "MatMul" | "BatchMatMul" | "BatchMatMulV2" | "Conv2D" | "DepthwiseConv2dNative",
                0,
            ) if self.variable_input(value) == Some(0) => Step::Gives(OutputKind::Logits),
            ("BiasAdd" | "Add" | "AddV2" | "Sub" | "Mul" | "Div" | "RealDiv", 0) => {
                match self.variable_input(value) {
                    // The reciprocal of logits is not a logit.
                    Some(1) if matches!(node.operator(), "Div" | "RealDiv") => Step::Unknown,
                    Some(variable) => return (Step::Linear, variable),
                    None => Step::Unknown,
                }
            }
            ("Minimum" | "Maximum", 0) => match self.variable_input(value) {
                Some(variable) => return (Step::Bounds, variable),
                None => Step::Unknown,
            },
            ("ClipByValue" | "Relu6", 0) => Step::Bounds,
            ("Relu" | "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3", 0) => {
                Step::Linear
            }
            ("Mean" | "AvgPool", 0) => Step::Pooled,
            _ => Step::Unknown,
        };
        (step, 0)
    }

    fn arg_max(&self, value: Value, stated: Option<&[Option<usize>]>) -> Step {
        let axes = self.constant(value, 1);
        let Some(&[axis]) = axes.as_deref() else {
            return Step::Unknown;
        };
        let input = self.graph.input(value, 0);
        let mut dims = input.and_then(|input| self.dims(input));
        if let Some(dims) = &mut dims
            && let Some(axis) = normalized(axis, dims.len())
        {
            dims[axis] = Some(1);
        }
        if dims.is_none()
            && let Some(stated) = stated
            && let Some(axis) = normalized(axis, stated.len() + 1)
        {
            let mut whole = stated.to_vec();
            whole.insert(axis, Some(1));
            dims = Some(whole);
        }
        // The first dimension is that of the batch or, if it is the only one, of the classes.
        if dims.is_none() && axis == 0 {
            return Step::Unknown;
        }
        best_ids(axis, dims.as_deref(), true, true)
    }

    /// Returns whether a `Log` is that of a distribution.
    fn is_of_softmax(&self, log: Value, stated: Option<&[Option<usize>]>) -> bool {
        let input = self.graph.input(log, 0);
        input.is_some_and(|input| {
            self.operator(input) == "Softmax"
                && self.step(input, stated).0 == Step::Gives(OutputKind::Probabilities)
        })
    }

    /// Returns whether a slice takes everything, as `x[:, newaxis]` does.
    fn only_adds_dimensions(&self, slice: Value) -> bool {
        let node = self.graph.producer(slice).0;
        let mask = |name: &str| node.integer(name).unwrap_or_default();
        let has = |name: &str, index: usize| mask(name) >> index & 1 == 1;
        let Some(strides) = self.constant(slice, 3) else {
            return false;
        };
        let mut strides = strides.into_iter().enumerate();
        mask("shrink_axis_mask") == 0
            && strides.all(|(index, stride)| {
                has("new_axis_mask", index)
                    || has("ellipsis_mask", index)
                    || (has("begin_mask", index) && has("end_mask", index) && stride == 1)
            })
    }

    /// Returns the integers of an input that is a constant.
    fn constant(&self, value: Value, input: usize) -> Option<Vec<i64>> {
        let mut input = self.graph.input(value, input)?;
        while passes_on(self.operator(input)) && self.visit() {
            input = self.graph.input(input, 0)?;
        }
        self.graph.producer(input).0.constant()
    }

    /// Returns the dimensions of a value, which most files do not state.
    fn dims(&self, value: Value) -> Option<Dims> {
        self.dims_within(value, MOST_DEPTH)
    }

    fn dims_within(&self, value: Value, depth: usize) -> Option<Dims> {
        if let Some((within, known)) = self.dims.borrow().get(&value)
            && *within >= depth
        {
            self.is_cut.set(self.is_cut.get() || *within != usize::MAX);
            return known.clone();
        }
        if depth == 0 || !self.visit() {
            self.is_cut.set(true);
            return None;
        }
        // A value that is computed of itself has none.
        self.dims.borrow_mut().insert(value, (usize::MAX, None));
        let was_cut = self.is_cut.replace(false);
        let dims = self.computed_dims(value, depth);
        // From a nearer output more may be known.
        let within = if self.is_cut.get() { depth } else { usize::MAX };
        let known = (within, dims.clone());
        self.dims.borrow_mut().insert(value, known);
        self.is_cut.set(self.is_cut.get() || was_cut);
        dims
    }

    fn computed_dims(&self, value: Value, depth: usize) -> Option<Dims> {
        let (node, port) = self.graph.producer(value);
        if let Some(dims) = node.dims(port) {
            return Some(dims);
        }
        let input = |index: usize| {
            let input = self.graph.input(value, index)?;
            self.dims_within(input, depth - 1)
        };
        match (node.operator(), port) {
            ("IdentityN", index) => input(index),
            ("MatMul", 0) => {
                let is_transposed = node.flag("transpose_b").unwrap_or(false);
                let weights = input(1);
                let classes = weights.filter(|dims| dims.len() == 2);
                let classes = classes.and_then(|dims| dims[usize::from(!is_transposed)]);
                Some(vec![None, classes])
            }
            ("Add" | "AddV2" | "Sub" | "Mul" | "Div" | "RealDiv" | "Maximum" | "Minimum", 0) => {
                broadcast(&input(0)?, &input(1)?)
            }
            ("Reshape", 0) => self.target(value),
            ("ConcatV2", 0) if self.graph.inputs(value) == 2 => input(0),
            ("Squeeze", 0) => {
                let removed = node
                    .integers("squeeze_dims")
                    .filter(|dims| !dims.is_empty());
                let dims = input(0)?;
                let removed = match removed {
                    Some(axes) => places(&axes, dims.len())?,
                    // All that are 1; an open one may be.
                    None if dims.contains(&None) => return None,
                    None => (0..dims.len()).filter(|&at| dims[at] == Some(1)).collect(),
                };
                Some(without(&dims, &removed))
            }
            ("ExpandDims", 0) => {
                let mut dims = input(0)?;
                let axes = self.constant(value, 1)?;
                let &[axis] = &axes[..] else { return None };
                dims.insert(normalized(axis, dims.len() + 1)?, Some(1));
                Some(dims)
            }
            ("Mean", 0) => {
                let mut dims = input(0)?;
                let reduced = places(&self.constant(value, 1)?, dims.len())?;
                if node.flag("keep_dims") == Some(true) {
                    for axis in reduced {
                        dims[axis] = Some(1);
                    }
                    return Some(dims);
                }
                Some(without(&dims, &reduced))
            }
            ("TopKV2" | "TopK", _) => {
                let mut dims = input(0)?;
                let count = match node.operator() {
                    "TopK" => node.integer("k"),
                    _ => self.constant(value, 1).and_then(|k| k.first().copied()),
                };
                *dims.last_mut()? = count.and_then(|count| usize::try_from(count).ok());
                Some(dims)
            }
            (operator, 0) if keeps_shape(operator) => input(0),
            // A variable that is read.
            (
                "BiasAdd" | "Softmax" | "LogSoftmax" | "Sigmoid" | "Relu" | "Relu6" | "ClipByValue"
                | "ReadVariableOp",
                0,
            ) => input(0),
            _ => None,
        }
    }

    /// Returns the shape that a `Reshape` gives.
    fn target(&self, reshape: Value) -> Option<Dims> {
        let size = |size: i64| usize::try_from(size).ok();
        if let Some(sizes) = self.constant(reshape, 1) {
            return Some(sizes.into_iter().map(size).collect());
        }
        // Sizes of which some are constants and others are computed.
        let shape = self.graph.input(reshape, 1)?;
        let count = self.graph.inputs(shape);
        if self.operator(shape) != "Pack" || count > MOST_STEPS {
            return None;
        }
        let one = |index| match self.constant(shape, index).as_deref() {
            Some(&[one]) => size(one),
            _ => None,
        };
        Some((0..count).map(one).collect())
    }
}

/// Returns whether the output of an operator has the values of its first input, in the same shape.
fn passes_on(operator: &str) -> bool {
    matches!(
        operator,
        "Identity"
            | "StopGradient"
            | "PreventGradient"
            | "Snapshot"
            | "CheckNumerics"
            | "EnsureShape"
            | "PlaceholderWithDefault"
            | "FakeQuantWithMinMaxArgs"
            | "FakeQuantWithMinMaxVars"
            | "FakeQuantWithMinMaxVarsPerChannel"
    )
}

/// Returns whether the output of an operator has the shape of its first input, and the same values or others of them.
fn keeps_shape(operator: &str) -> bool {
    passes_on(operator) || matches!(operator, "Cast" | "Log")
}

fn places(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    axes.iter().map(|&axis| normalized(axis, rank)).collect()
}

fn without(dims: &[Option<usize>], removed: &[usize]) -> Dims {
    let kept = dims.iter().enumerate();
    let kept = kept.filter(|(place, _)| !removed.contains(place));
    kept.map(|(_, dim)| *dim).collect()
}

/// Returns the dimensions of an operator on two values, of which the sizes of 1 are repeated. An open size may be 1.
fn broadcast(one: &[Option<usize>], other: &[Option<usize>]) -> Option<Dims> {
    let rank = one.len().max(other.len());
    let at = |dims: &[Option<usize>], place: usize| {
        let missing = rank - dims.len();
        place
            .checked_sub(missing)
            .map_or(Some(1), |place| dims[place])
    };
    let dim = |place: usize| match (at(one, place), at(other, place)) {
        (Some(1), dim) | (dim, Some(1)) => Some(dim),
        (None, dim) | (dim, None) => Some(dim.filter(|&size| size > 1)),
        (Some(one), Some(other)) => (one == other).then_some(Some(one)),
    };
    (0..rank).map(dim).collect()
}

#[cfg(test)]
mod tests;
