//! The end of an IR's graph.

use std::collections::HashSet;

use model_file::ir::{Graph, Layer};

use super::{
    End, OTHER_SOFTMAX, Step, are_independent, best_ids, decide, is_over_classes,
    is_over_no_classes, may_be_classes, no_classes, normalized, settings, sorted_by,
};
use crate::OutputKind;

/// Reads the end of the graph for each of its outputs.
pub(crate) fn find(graph: &Graph<'_>) -> Vec<End> {
    let results = graph.layers().filter(|layer| layer.operator() == "Result");
    let mut results: Vec<Layer<'_>> = results.collect();
    // In the order of the file.
    results.sort_by_key(|result| result.id().parse::<u64>().unwrap_or(u64::MAX));
    results
        .into_iter()
        .map(|result| end(graph, result))
        .collect()
}

fn end<'a>(graph: &Graph<'a>, result: Layer<'a>) -> End {
    let steps = || steps(graph, graph.input(result, 0), true);
    let source = graph.input(result, 0);
    let names = source.into_iter().flat_map(|(layer, port)| {
        // IRs of version 10 name the output by its layer.
        let names = layer.output_names(port);
        names.chain([layer.name().to_owned()])
    });
    End {
        names: names.collect(),
        settings: settings(decide(steps()), None),
        sorted_by: sorted_by(steps()),
        no_classes: no_classes(steps()),
    }
}

/// The steps from `value` back. With `joins` they may lead to several values that are joined.
fn steps<'a>(
    graph: &Graph<'a>,
    value: Option<(Layer<'a>, &'a str)>,
    joins: bool,
) -> impl Iterator<Item = (Step, String)> {
    let mut next = value;
    std::iter::from_fn(move || {
        let (layer, port) = next?;
        let (step, input) = if joins && joins_independent(graph, layer) {
            (Step::Gives(OutputKind::IndependentProbabilities), None)
        } else {
            step(graph, layer, port)
        };
        next = input;
        Some((step, layer.operator().to_owned()))
    })
}

/// Returns whether `layer` joins independent probabilities. They may not be joined ones: a hostile graph would never end.
fn joins_independent<'a>(graph: &Graph<'a>, layer: Layer<'a>) -> bool {
    let inputs = (0..layer.inputs()).map(|index| steps(graph, graph.input(layer, index), false));
    layer.operator() == "Concat" && are_independent(inputs)
}

fn is_constant<'a>(graph: &Graph<'a>, layer: Layer<'a>) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![layer];
    while let Some(layer) = open.pop() {
        if layer.operator() == "Const" || !seen.insert(layer.id()) {
            continue;
        }
        let inputs = (0..layer.inputs()).map(|index| graph.input(layer, index));
        match inputs.collect::<Option<Vec<_>>>() {
            Some(inputs) if !inputs.is_empty() => {
                open.extend(inputs.into_iter().map(|(input, _)| input));
            }
            _ => return false,
        }
    }
    true
}

/// The only input that depends on the image.
fn variable_input(graph: &Graph<'_>, layer: Layer<'_>) -> Option<usize> {
    let mut variable = (0..layer.inputs()).filter(|&index| {
        graph
            .input(layer, index)
            .is_none_or(|(input, _)| !is_constant(graph, input))
    });
    variable.next().filter(|_| variable.next().is_none())
}

/// Returns the step of an output of `layer`, and the layer that its scores come from, with its output port.
fn step<'a>(
    graph: &Graph<'a>,
    layer: Layer<'a>,
    port: &str,
) -> (Step, Option<(Layer<'a>, &'a str)>) {
    let first = graph.input(layer, 0);
    let step = match layer.operator() {
        "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" | "FakeQuantize" => {
            Step::Same
        }
        "Convert" if is_to_float(layer) => Step::Same,
        "Convert" => Step::Integers,
        "SoftMax" | "Softmax" if is_softmax_over_classes(layer) => {
            Step::Gives(OutputKind::Probabilities)
        }
        "LogSoftmax" if is_softmax_over_classes(layer) => Step::Gives(OutputKind::LogProbabilities),
        "Log"
            if first.is_some_and(|(layer, port)| {
                layer.operator() != "Log"
                    && step(graph, layer, port).0 == Step::Gives(OutputKind::Probabilities)
            }) =>
        {
            Step::Gives(OutputKind::LogProbabilities)
        }
        "SoftMax" | "Softmax" | "LogSoftmax" if is_softmax_over_no_classes(layer) => {
            Step::NoClasses(OTHER_SOFTMAX)
        }
        "Sigmoid" | "HardSigmoid" => Step::Gives(OutputKind::IndependentProbabilities),
        // Its outputs are the values, then the indices.
        "TopK" if layer.outputs().nth(1) == Some(port) => {
            let axis = layer.attribute("axis").and_then(|axis| axis.parse().ok());
            best_ids(
                axis.unwrap_or(-1),
                layer.output_dims(1).as_deref(),
                layer.attribute("mode") != Some("min"),
                !matches!(layer.attribute("sort"), Some("none" | "index")),
            )
        }
        "TopK" if layer.outputs().next() == Some(port) && may_sort_classes(layer) => Step::Sorts,
        "MatMul" | "Convolution" | "GroupConvolution"
            if variable_input(graph, layer) == Some(0) =>
        {
            Step::Gives(OutputKind::Logits)
        }
        "Divide" if is_softmax_by_hand(graph, layer) => Step::Gives(OutputKind::Probabilities),
        "Add" | "Subtract" | "Multiply" | "Divide" => {
            if let Some(quantized) = dequantized(graph, layer) {
                return (Step::Same, Some(quantized));
            }
            match variable_input(graph, layer) {
                // The reciprocal of logits is not a logit.
                Some(1) if layer.operator() == "Divide" => Step::Unknown,
                Some(variable) => return (Step::Linear, graph.input(layer, variable)),
                None => Step::Unknown,
            }
        }
        "Clamp" => Step::Bounds,
        "ReLU" => Step::Linear,
        "ReduceMean" | "AvgPool" => Step::Pooled,
        _ => Step::Unknown,
    };
    (step, first)
}

fn may_sort_classes(top_k: Layer<'_>) -> bool {
    let axis = top_k.attribute("axis").and_then(|axis| axis.parse().ok());
    axis.zip(top_k.output_dims(0)).is_none_or(|(axis, dims)| {
        normalized(axis, dims.len()).is_none_or(|axis| may_be_classes(axis, &dims))
    })
}

fn is_to_float(convert: Layer<'_>) -> bool {
    matches!(
        convert.attribute("destination_type"),
        Some("f32" | "f16" | "bf16" | "f64")
    )
}

/// The values that `layer` dequantizes: `(integers - zero point) * scale`, where integers come from a `FakeQuantize`.
fn dequantized<'a>(graph: &Graph<'a>, layer: Layer<'a>) -> Option<(Layer<'a>, &'a str)> {
    if layer.operator() != "Multiply" || variable_input(graph, layer) != Some(0) {
        return None;
    }
    let mut input = graph.input(layer, 0)?.0;
    if input.operator() == "Subtract" && variable_input(graph, input) == Some(0) {
        input = graph.input(input, 0)?.0;
    }
    if input.operator() != "Convert" || !is_to_float(input) {
        return None;
    }
    let integers = graph.input(input, 0)?.0;
    if integers.operator() != "Convert" || is_to_float(integers) {
        return None;
    }
    graph
        .input(integers, 0)
        .filter(|(quantizer, _)| quantizer.operator() == "FakeQuantize")
}

/// `exp(x) / sum(exp(x))`.
fn is_softmax_by_hand(graph: &Graph<'_>, division: Layer<'_>) -> bool {
    let (Some((above, _)), Some((below, _))) = (graph.input(division, 0), graph.input(division, 1))
    else {
        return false;
    };
    let of_same = graph
        .input(below, 0)
        .is_some_and(|(summed, _)| summed.id() == above.id());
    if above.operator() != "Exp" || below.operator() != "ReduceSum" || !of_same {
        return false;
    }
    let (Some(before), Some(after)) = (below.input_dims(0), below.output_dims(0)) else {
        return false;
    };
    let mut summed = (0..before.len()).filter(|&dim| before.get(dim) != after.get(dim));
    before.len() == after.len()
        && matches!((summed.next(), summed.next()), (Some(dim), None)
            if after[dim] == Some(1) && is_over_classes(dim..dim + 1, &before))
}

fn is_softmax_over_classes(layer: Layer<'_>) -> bool {
    softmax_axis(layer).is_some_and(|(axis, dims)| is_over_classes(axis..axis + 1, &dims))
}

fn is_softmax_over_no_classes(layer: Layer<'_>) -> bool {
    softmax_axis(layer).is_some_and(|(axis, dims)| is_over_no_classes(axis..axis + 1, &dims))
}

/// The axis of a softmax, and the dimensions of its input.
fn softmax_axis(layer: Layer<'_>) -> Option<(usize, Vec<Option<usize>>)> {
    let axis = layer
        .attribute("axis")
        .map_or(Some(1), |axis| axis.parse().ok())?;
    let dims = layer.input_dims(0)?;
    Some((normalized(axis, dims.len())?, dims))
}
