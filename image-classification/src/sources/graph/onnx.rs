//! The end of an ONNX graph.

use std::collections::{HashMap, HashSet};

use model_file::onnx::{DataType, Graph, Model, Node, Tensor, ValueInfo, text};

use super::{
    Budget, End, OTHER_SOFTMAX, Step, WORST_IDS, Walk, best_ids, find_ends, is_along_batch,
    is_over_classes, is_over_no_classes, joins, may_be_classes, normalized,
};
use crate::{OutputKind, Quantization};

type Dims = Vec<Option<usize>>;

struct Values<'a> {
    opset: i64,
    /// The node that makes a value, and which of its outputs it is.
    producers: HashMap<&'a [u8], (&'a Node, usize)>,
    constants: HashMap<&'a [u8], &'a Tensor>,
    dims: HashMap<&'a [u8], Dims>,
    budget: Budget,
}

/// Reads the end of the graph for each of its outputs.
pub(crate) fn find(model: &Model) -> Vec<End> {
    let Some(graph) = &model.graph else {
        return Vec::new();
    };
    let values = Values::of(graph, model.opset());
    let ends = graph.output.iter().map(|output| match &output.name {
        Some(name) => values.end(name, text(name).into_owned()),
        None => (End::default(), Walk::default()),
    });
    find_ends(ends.collect(), |value: &&[u8]| {
        let producer = values.producers.get(value);
        let inputs = producer.into_iter().flat_map(|(node, _)| &node.input);
        inputs.map(|input| &input[..]).collect()
    })
}

fn dims_of(info: &ValueInfo) -> Option<Dims> {
    let shape = info.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    let dim = |value: Option<i64>| value.and_then(|value| usize::try_from(value).ok());
    Some(shape.dim.iter().map(|d| dim(d.dim_value)).collect())
}

impl<'a> Values<'a> {
    fn of(graph: &'a Graph, opset: i64) -> Self {
        let mut producers = HashMap::new();
        let mut constants = HashMap::new();
        for node in &graph.node {
            for (index, output) in node.output.iter().enumerate() {
                producers.insert(&output[..], (node, index));
            }
            if node.is_onnx()
                && node.operator() == "Constant"
                && let (Some(output), Some(value)) = (node.output.first(), node.attribute("value"))
                && let Some(tensor) = &value.t
            {
                constants.insert(&output[..], tensor);
            }
        }
        for tensor in &graph.initializer {
            constants.insert(tensor.name.as_deref().unwrap_or_default(), tensor);
        }
        let dims = graph
            .value_info
            .iter()
            .chain(&graph.output)
            .filter_map(|info| Some((info.name.as_deref()?, dims_of(info)?)))
            .collect();
        let mut values = Self {
            opset,
            producers,
            constants,
            dims,
            budget: Budget::default(),
        };
        // Few exporters state the shapes of inner values; these operators keep the shape of their output.
        for output in &graph.output {
            let mut value = output.name.as_deref();
            while let Some(name) = value
                && let Some((node, 0)) = values.producers.get(name).copied()
                && let Some(dims) = values.dims.get(name).cloned()
                && keeps_shape(node)
                && let Some(input) = node.input.first()
                && !values.dims.contains_key(&input[..])
            {
                values.dims.insert(input, dims);
                value = Some(input);
            }
        }
        values
    }

    /// Returns the end of the graph at `output`, which is called `name`, and the steps to it.
    fn end(&self, output: &'a [u8], name: String) -> (End, Walk<&'a [u8]>) {
        let walk = self.walk(output, true);
        let end = End::new(vec![name], &walk, self.quantization(output));
        (end, walk)
    }

    /// Returns the steps from `value` back. With `joins` they may lead to several values that are joined.
    fn walk(&self, value: &'a [u8], joins: bool) -> Walk<&'a [u8]> {
        Walk::back_from(value, |value| {
            let (node, index) = *self.producers.get(value)?;
            let joined = joins.then(|| self.join(node)).flatten();
            let (step, input) = match joined {
                Some(step) => (step, 0),
                None => self.step(node, index),
            };
            let next = node.input.get(input).map(|name| &name[..]);
            Some((step, node.operator().into_owned(), next))
        })
    }

    /// Returns the step of an operator that joins several values that depend on the image. They may not be joined ones: a
    /// hostile graph would never end.
    fn join(&self, node: &'a Node) -> Option<Step> {
        if !node.is_onnx() || node.operator() != "Concat" {
            return None;
        }
        let axis = node.attribute("axis").and_then(|axis| axis.i);
        let dims = node.output.first();
        let dims = dims.and_then(|output| self.dims.get(&output[..]));
        joins(
            node.input.iter().map(|input| &input[..]),
            is_along_batch(axis, dims.map(Vec::len)),
            &self.budget,
            |input| !self.is_constant(input),
            |input| self.walk(input, false).part(),
        )
    }

    /// Returns whether `value` does not depend on the image.
    fn is_constant(&self, value: &'a [u8]) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            if value.is_empty() || self.constants.contains_key(value) || !seen.insert(value) {
                continue;
            }
            match self.producers.get(value) {
                // The body of an If may capture anything.
                Some((node, _)) if node.bodies().next().is_none() => {
                    if node.input.is_empty() && node.operator() != "Constant" {
                        return false;
                    }
                    open.extend(node.input.iter().map(|input| &input[..]));
                }
                _ => return false,
            }
        }
        true
    }

    /// Returns the only input that depends on the image.
    fn variable_input(&self, node: &'a Node) -> Option<usize> {
        let mut variable = node
            .input
            .iter()
            .enumerate()
            .filter(|(_, input)| !self.is_constant(input))
            .map(|(index, _)| index);
        variable.next().filter(|_| variable.next().is_none())
    }

    /// Returns the step of the output `index` of `node`, and the input that its scores come from.
    fn step(&self, node: &'a Node, index: usize) -> (Step, usize) {
        let operator = node.operator();
        if !node.is_onnx() {
            let step = match (node.domain.as_deref(), &*operator) {
                (Some(b"com.microsoft"), "QGemm") => Step::Gives(OutputKind::Logits),
                (Some(b"com.microsoft"), "QLinearSigmoid") => {
                    Step::Gives(OutputKind::IndependentProbabilities)
                }
                (Some(b"com.microsoft"), "QLinearSoftmax")
                    if self.softmax_is_over_classes(node) =>
                {
                    Step::Gives(OutputKind::Probabilities)
                }
                (Some(b"com.microsoft"), "QLinearGlobalAveragePool") => Step::Pooled,
                (Some(b"com.microsoft"), "QuantizeLinear" | "DequantizeLinear") => Step::Same,
                _ => Step::Unknown,
            };
            return (step, 0);
        }
        let step = match (&*operator, index) {
            (
                "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose"
                | "Dropout" | "QuantizeLinear" | "DequantizeLinear",
                0,
            ) => Step::Same,
            ("Concat", 0) if node.input.len() == 1 => Step::Same,
            ("Cast", 0) => {
                let to = node.attribute("to").and_then(|to| to.i).unwrap_or_default();
                match DataType::try_from(to as i32) {
                    Ok(
                        DataType::Float | DataType::Float16 | DataType::Bfloat16 | DataType::Double,
                    ) => Step::Same,
                    _ => Step::Integers,
                }
            }
            ("Softmax", 0) if self.softmax_is_over_classes(node) => {
                Step::Gives(OutputKind::Probabilities)
            }
            ("LogSoftmax", 0) if self.softmax_is_over_classes(node) => {
                Step::Gives(OutputKind::LogProbabilities)
            }
            ("Log", 0) if self.is_of_softmax(node) => Step::Gives(OutputKind::LogProbabilities),
            ("Sigmoid" | "HardSigmoid", 0) => Step::Gives(OutputKind::IndependentProbabilities),
            ("Softmax" | "LogSoftmax", 0) if self.softmax_is_over_no_classes(node) => {
                Step::NoClasses(OTHER_SOFTMAX)
            }
            ("ArgMax", 0) => self.arg_max(node),
            ("OneHot", 0) => Step::Gives(OutputKind::OneHot),
            ("ArgMin", 0) => Step::NoClasses(WORST_IDS),
            ("TopK", 1) => {
                let flag = |name: &str| node.attribute(name).and_then(|flag| flag.i) != Some(0);
                let axis = node.attribute("axis").and_then(|axis| axis.i).unwrap_or(-1);
                let dims = node.output.get(1).and_then(|name| self.dims.get(&name[..]));
                best_ids(
                    axis,
                    dims.map(Vec::as_slice),
                    flag("largest"),
                    flag("sorted"),
                )
            }
            ("Gemm" | "MatMul" | "Conv" | "QLinearConv" | "QLinearMatMul", 0)
                if self.variable_input(node) == Some(0) =>
            {
                Step::Gives(OutputKind::Logits)
            }
            ("Add" | "Sub" | "Mul" | "Div", 0) => {
                if operator == "Div" && self.is_softmax_by_hand(node) {
                    Step::Gives(OutputKind::Probabilities)
                } else if operator == "Div" && self.is_sigmoid_by_hand(node) {
                    Step::Gives(OutputKind::IndependentProbabilities)
                } else {
                    match self.variable_input(node) {
                        // The reciprocal of logits is not a logit.
                        Some(1) if operator == "Div" => Step::Unknown,
                        Some(variable) => return (Step::Linear, variable),
                        None => Step::Unknown,
                    }
                }
            }
            ("Reciprocal", 0) if self.is_sigmoid_by_hand(node) => {
                Step::Gives(OutputKind::IndependentProbabilities)
            }
            ("TopK", 0) if self.may_sort_classes(node) => Step::Sorts,
            ("Clip", 0) => Step::Bounds,
            ("Min" | "Max", 0) => match self.variable_input(node) {
                Some(variable) => return (Step::Bounds, variable),
                None => Step::Unknown,
            },
            ("BatchNormalization" | "Relu", 0) => Step::Linear,
            ("GlobalAveragePool" | "AveragePool" | "ReduceMean", 0) => Step::Pooled,
            _ => Step::Unknown,
        };
        (step, 0)
    }

    /// Returns whether `top_k` may sort the classes. It may if the file does not state the dimensions.
    fn may_sort_classes(&self, top_k: &Node) -> bool {
        let axis = top_k.attribute("axis").and_then(|axis| axis.i);
        let output = top_k.output.first();
        output
            .and_then(|output| self.dims.get(&output[..]))
            .is_none_or(|dims| {
                normalized(axis.unwrap_or(-1), dims.len())
                    .is_none_or(|axis| may_be_classes(axis, dims))
            })
    }

    fn arg_max(&self, node: &Node) -> Step {
        let number = |name: &str| node.attribute(name).and_then(|number| number.i);
        let axis = number("axis").unwrap_or(0);
        let output = node.output.first();
        let mut dims = output
            .and_then(|output| self.dims.get(&output[..]))
            .cloned();
        if let Some(dims) = &mut dims
            && number("keepdims") == Some(0)
            && let Some(axis) = normalized(axis, dims.len() + 1)
        {
            dims.insert(axis, Some(1));
        }
        best_ids(axis, dims.as_deref(), true, true)
    }

    fn softmax_is_over_classes(&self, node: &Node) -> bool {
        let (axis, is_old) = self.softmax_axis(node);
        let dims = self.softmax_dims(node);
        is_axis_of_classes(axis, is_old, dims.as_deref())
    }

    /// Returns whether the dimensions are known, and none of those that the softmax is over is the one of the classes.
    fn softmax_is_over_no_classes(&self, node: &Node) -> bool {
        let (axis, is_old) = self.softmax_axis(node);
        self.softmax_dims(node).is_some_and(|dims| {
            normalized(axis, dims.len()).is_some_and(|axis| {
                let end = if is_old { dims.len() } else { axis + 1 };
                is_over_no_classes(axis..end, &dims)
            })
        })
    }

    /// Returns the dimensions of a softmax. The input may state their number, if their sizes are unknown.
    fn softmax_dims(&self, node: &Node) -> Option<Dims> {
        let output = node.output.first()?;
        if let Some(dims) = self.dims.get(&output[..]) {
            return Some(dims.clone());
        }
        let (before, _) = self.producers.get(&node.input.first()?[..])?;
        matches!(&*before.operator(), "Gemm" | "Flatten").then(|| vec![None, None])
    }

    /// Returns the axis of a softmax, and whether the operator is of a version in which all dimensions from there on
    /// are one.
    fn softmax_axis(&self, node: &Node) -> (i64, bool) {
        // Before version 13 the default was 1, and all dimensions from there on were one.
        let is_old = if node.is_onnx() {
            self.opset < 13
        } else {
            // QLinearSoftmax states its version.
            let version = node.attribute("opset").and_then(|version| version.i);
            version.is_none_or(|version| version < 13)
        };
        let default = if is_old { 1 } else { -1 };
        let axis = node
            .attribute("axis")
            .and_then(|axis| axis.i)
            .unwrap_or(default);
        (axis, is_old)
    }

    /// Recognizes the `Log` of a distribution.
    fn is_of_softmax(&self, log: &'a Node) -> bool {
        let input = log.input.first().map(|name| &name[..]);
        let producer = input.and_then(|name| self.producers.get(name));
        producer.is_some_and(|(node, index)| {
            node.operator() != "Log"
                && self.step(node, *index).0 == Step::Gives(OutputKind::Probabilities)
        })
    }

    /// Recognizes `exp(x) / sum(exp(x))`, as some exporters write a softmax.
    fn is_softmax_by_hand(&self, division: &Node) -> bool {
        let producer = |index: usize| {
            let name = division.input.get(index)?;
            Some((name, self.producers.get(&name[..])?.0))
        };
        let Some(((above, exponential), (_, sum))) = producer(0).zip(producer(1)) else {
            return false;
        };
        if exponential.operator() != "Exp"
            || sum.operator() != "ReduceSum"
            || sum.input.first() != Some(above)
        {
            return false;
        }
        let by_attribute = sum.attribute("axes").map(|axes| axes.ints.clone());
        let by_input = || {
            let tensor = self.constants.get(&sum.input.get(1)?[..])?;
            tensor.integers()
        };
        let dims = division
            .output
            .first()
            .and_then(|output| self.dims.get(&output[..]));
        let keeps = sum.attribute("keepdims").and_then(|keep| keep.i) != Some(0);
        keeps
            && matches!(by_attribute.or_else(by_input).as_deref(), Some(&[axis])
                if is_axis_of_classes(axis, false, dims.map(Vec::as_slice)))
    }

    /// Recognizes `1 / (1 + exp(-x))`, with a division or a reciprocal.
    fn is_sigmoid_by_hand(&self, last: &Node) -> bool {
        let producer = |name: &[u8], operator: &str| {
            let (node, _) = self.producers.get(name)?;
            (node.is_onnx() && node.operator() == operator).then_some(*node)
        };
        let is = |name: &[u8], number: f32| {
            let values = self.constants.get(name).and_then(|tensor| tensor.floats());
            values.is_some_and(|values| {
                !values.is_empty() && values.iter().all(|value| *value == number)
            })
        };
        let below = match (&*last.operator(), &last.input[..]) {
            ("Reciprocal", [below]) => below,
            ("Div", [above, below]) if is(above, 1.0) => below,
            _ => return false,
        };
        let Some([one, other]) = producer(below, "Add").map(|sum| &sum.input[..]) else {
            return false;
        };
        let exponential = match (is(one, 1.0), is(other, 1.0)) {
            (true, false) => other,
            (false, true) => one,
            _ => return false,
        };
        let Some([exponent]) = producer(exponential, "Exp").map(|exp| &exp.input[..]) else {
            return false;
        };
        let negated = producer(exponent, "Mul").map(|product| &product.input[..]);
        producer(exponent, "Neg").is_some()
            || matches!(negated, Some([one, other]) if is(one, -1.0) || is(other, -1.0))
    }

    /// Returns the quantization of an integer output that comes straight from an operator that quantizes.
    fn quantization(&self, output: &[u8]) -> Option<(Quantization, String)> {
        let mut value = output;
        for _ in 0..super::MOST_STEPS {
            let (node, 0) = *self.producers.get(value)? else {
                return None;
            };
            let operator = node.operator();
            let (scale, zero_point) = match &*operator {
                "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" => {
                    value = node.input.first()?;
                    continue;
                }
                "QuantizeLinear" => (1, 2),
                "QLinearSoftmax" | "QLinearSigmoid" | "QLinearGlobalAveragePool" => (3, 4),
                "QLinearConv" | "QLinearMatMul" | "QLinearAdd" => (6, 7),
                "QGemm" => (7, 8),
                _ => return None,
            };
            let constant = |index: usize| {
                let name = node.input.get(index).filter(|name| !name.is_empty())?;
                Some(self.constants.get(&name[..]))
            };
            let scale = scalar(constant(scale)??)?;
            let zero_point = match constant(zero_point) {
                Some(tensor) => match tensor?.integers()?[..] {
                    [zero_point] => i32::try_from(zero_point).ok()?,
                    _ => return None,
                },
                None => 0,
            };
            let by = format!("the model's last operator, {operator}: scale and zero point");
            return Some((Quantization { scale, zero_point }, by));
        }
        None
    }
}

/// Returns whether a softmax over `axis` (in old versions, over all dimensions from there on) is one over the classes.
fn is_axis_of_classes(axis: i64, to_the_end: bool, dims: Option<&[Option<usize>]>) -> bool {
    let Some(dims) = dims else {
        // [N, C] or [N, C, 1, 1].
        return axis == 1;
    };
    normalized(axis, dims.len()).is_some_and(|axis| {
        let end = if to_the_end { dims.len() } else { axis + 1 };
        is_over_classes(axis..end, dims)
    })
}

fn keeps_shape(node: &Node) -> bool {
    match &*node.operator() {
        "Identity" | "Cast" | "Dropout" | "QuantizeLinear" | "DequantizeLinear" | "Log" => true,
        "Concat" => node.input.len() == 1,
        _ => false,
    }
}

/// Returns the only value of a tensor of floating-point numbers, if it can be a scale.
fn scalar(tensor: &Tensor) -> Option<f32> {
    match tensor.floats()?[..] {
        [scale] if scale.is_finite() && scale > 0.0 => Some(scale),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
