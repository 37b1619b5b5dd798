//! The end of an IR's graph.

use std::collections::{HashMap, HashSet};

use backend_api::ModelSource;
use model_file::ir::{Graph, Layer};

use super::{
    Budget, End, MOST_PARTS, OTHER_SOFTMAX, Step, Walk, best_ids, find_ends, is_along_batch,
    is_over_classes, is_over_no_classes, joins, may_be_classes, normalized,
};
use crate::{OutputKind, Quantization};

/// Reads the end of the graph for each of its outputs.
pub(crate) fn find(graph: &Graph<'_>, model: &ModelSource) -> Vec<End> {
    let results = graph.layers().filter(|layer| layer.operator() == "Result");
    let mut results: Vec<Layer<'_>> = results.collect();
    // In the order of the file.
    results.sort_by_key(|result| result.id().parse::<u64>().unwrap_or(u64::MAX));
    let layers: HashMap<&str, Layer<'_>> = graph.layers().map(|it| (it.id(), it)).collect();
    let budget = Budget::default();
    let ends = results
        .into_iter()
        .map(|it| end(graph, &layers, &budget, model, it));
    find_ends(ends.collect(), |value: &Output<'_>| {
        let inputs = layers.get(value.0).into_iter().flat_map(|layer| {
            let inputs = 0..layer.inputs().min(MOST_PARTS);
            inputs.filter_map(|index| graph.input(*layer, index))
        });
        inputs.map(|(layer, port)| (layer.id(), port)).collect()
    })
}

/// The id of a layer, and an output port.
type Output<'a> = (&'a str, &'a str);

/// The port of a model whose integers a `FakeQuantize` maps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place {
    Input,
    Output,
}

/// Returns the quantization of a `FakeQuantize` between real numbers and all integers of 8 bits from `least` on. So
/// OpenVINO writes the inputs and outputs of TensorFlow Lite models.
pub(crate) fn fake_quantization(
    graph: &Graph<'_>,
    quantizer: Layer<'_>,
    model: &ModelSource,
    least: f32,
    place: Place,
) -> Option<Quantization> {
    let value = |index: usize| match graph.input(quantizer, index)?.0.values(model)?[..] {
        [value] => Some(value),
        _ => None,
    };
    let (integers, reals) = match place {
        Place::Input => (1, 3),
        Place::Output => (3, 1),
    };
    let is_whole_type = quantizer.attribute("levels") == Some("256")
        && value(integers)? == least
        && value(integers + 1)? == least + 255.0;
    let (low, high) = (f64::from(value(reals)?), f64::from(value(reals + 1)?));
    let scale = (high - low) / 255.0;
    let zero_point = f64::from(least) - low / scale;
    // The ends of the range are rounded to floats.
    let is_integer = (zero_point - zero_point.round()).abs() < 1e-3;
    (is_whole_type && scale > 0.0 && is_integer).then(|| Quantization {
        scale: scale as f32,
        zero_point: zero_point.round() as i32,
    })
}

/// Returns the quantization of the integers that `convert` gives, and the real values before it.
fn quantized<'a>(
    graph: &Graph<'a>,
    model: &ModelSource,
    convert: Layer<'a>,
) -> Option<(Quantization, (Layer<'a>, &'a str))> {
    let least = match convert.attribute("destination_type") {
        Some("u8") => 0.0,
        Some("i8") => -128.0,
        _ => return None,
    };
    let (quantizer, _) = graph.input(convert, 0)?;
    if convert.operator() != "Convert" || quantizer.operator() != "FakeQuantize" {
        return None;
    }
    let found = fake_quantization(graph, quantizer, model, least, Place::Output)?;
    Some((found, graph.input(quantizer, 0)?))
}

fn end<'a>(
    graph: &Graph<'a>,
    layers: &HashMap<&'a str, Layer<'a>>,
    budget: &Budget,
    model: &ModelSource,
    result: Layer<'a>,
) -> (End, Walk<Output<'a>>) {
    let source = graph.input(result, 0);
    let quantized = source.and_then(|(layer, _)| quantized(graph, model, layer));
    let (quantization, real) = quantized.unzip();
    let walk = walk(graph, layers, budget, real.or(source), true);
    let by = "the model's last layers, FakeQuantize and Convert: scale and zero point";
    let quantization = quantization.map(|value| (value, by.to_owned()));
    let names = source.into_iter().flat_map(|(layer, port)| {
        // IRs of version 10 name the output by its layer.
        let names = layer.output_names(port);
        names.chain([layer.name().to_owned()])
    });
    (End::new(names.collect(), &walk, quantization), walk)
}

/// Returns the steps from `value` back. With `can_join` they may lead to several values that are joined.
fn walk<'a>(
    graph: &Graph<'a>,
    layers: &HashMap<&'a str, Layer<'a>>,
    budget: &Budget,
    value: Option<(Layer<'a>, &'a str)>,
    can_join: bool,
) -> Walk<Output<'a>> {
    let Some((layer, port)) = value else {
        return Walk::default();
    };
    Walk::back_from((layer.id(), port), |(id, port)| {
        let layer = *layers.get(id)?;
        let joined = can_join
            .then(|| join(graph, layers, budget, layer))
            .flatten();
        let (step, input) = match joined {
            Some(step) => (step, None),
            None => step(graph, layer, port),
        };
        let input = input.map(|(layer, port)| (layer.id(), port));
        Some((step, layer.operator().to_owned(), input))
    })
}

/// Returns the step of a layer that joins several values that depend on the image. They may not be joined ones: a hostile
/// graph would never end.
fn join<'a>(
    graph: &Graph<'a>,
    layers: &HashMap<&'a str, Layer<'a>>,
    budget: &Budget,
    layer: Layer<'a>,
) -> Option<Step> {
    if layer.operator() != "Concat" {
        return None;
    }
    let axis = layer.attribute("axis").and_then(|axis| axis.parse().ok());
    joins(
        (0..layer.inputs()).map(|index| graph.input(layer, index)),
        is_along_batch(axis, layer.output_dims(0).map(|dims| dims.len())),
        budget,
        |input| input.is_none_or(|(input, _)| !is_constant(graph, input)),
        |input| walk(graph, layers, budget, input, false).part(),
    )
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

/// Returns the only input that depends on the image.
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
        "Concat" if layer.inputs() == 1 => Step::Same,
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
        "OneHot" => Step::Gives(OutputKind::OneHot),
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
        // So OpenVINO writes a Clip whose bounds are inputs.
        "Minimum" | "Maximum" => match variable_input(graph, layer) {
            Some(variable) => return (Step::Bounds, graph.input(layer, variable)),
            None => Step::Unknown,
        },
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

/// Returns the values that `layer` dequantizes: `(integers - zero point) * scale`, where integers come from a
/// `FakeQuantize`.
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

/// Recognizes `exp(x) / sum(exp(x))`.
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

/// Returns the axis of a softmax, and the dimensions of its input.
fn softmax_axis(layer: Layer<'_>) -> Option<(usize, Vec<Option<usize>>)> {
    let axis = layer
        .attribute("axis")
        .map_or(Some(1), |axis| axis.parse().ok())?;
    let dims = layer.input_dims(0)?;
    Some((normalized(axis, dims.len())?, dims))
}

#[cfg(test)]
mod tests;
