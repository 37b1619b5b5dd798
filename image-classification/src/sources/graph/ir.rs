//! The end of an IR's graph.

use model_file::ir::{Graph, Layer};

use super::{Statement, Step, decide, is_over_classes, normalized, statement};
use crate::OutputKind;

/// Constants are looked for through so many layers.
const MOST_DEPTH: usize = 16;

/// Reads the end of the graph.
pub(crate) fn find(graph: &Graph<'_>) -> Statement {
    let mut results = graph.layers().filter(|layer| layer.operator() == "Result");
    let (Some(result), None) = (results.next(), results.next()) else {
        return Statement::default();
    };
    let mut next = graph.input(result, 0);
    let steps = std::iter::from_fn(|| {
        let (layer, port) = next?;
        let (step, input) = step(graph, layer, port);
        next = graph.input(layer, input);
        Some((step, layer.operator().to_owned()))
    });
    statement(decide(steps), None)
}

fn is_constant(graph: &Graph<'_>, layer: Layer<'_>, depth: usize) -> bool {
    layer.operator() == "Const"
        || depth > 0
            && layer.inputs() > 0
            && (0..layer.inputs()).all(|index| {
                graph
                    .input(layer, index)
                    .is_some_and(|(input, _)| is_constant(graph, input, depth - 1))
            })
}

/// The only input that depends on the image.
fn variable_input(graph: &Graph<'_>, layer: Layer<'_>) -> Option<usize> {
    let mut variable = (0..layer.inputs()).filter(|&index| {
        graph
            .input(layer, index)
            .is_none_or(|(input, _)| !is_constant(graph, input, MOST_DEPTH))
    });
    variable.next().filter(|_| variable.next().is_none())
}

/// What an output of `layer` is, and the input that the scores come from.
fn step(graph: &Graph<'_>, layer: Layer<'_>, port: &str) -> (Step, usize) {
    let step = match layer.operator() {
        "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" | "FakeQuantize" => Step::Same,
        "Convert" => match layer.attribute("destination_type") {
            Some("f32" | "f16" | "bf16" | "f64") => Step::Same,
            _ => Step::Integers,
        },
        "SoftMax" | "Softmax" if is_softmax_over_classes(layer) => {
            Step::Gives(OutputKind::Probabilities)
        }
        "LogSoftmax" if is_softmax_over_classes(layer) => Step::Gives(OutputKind::LogProbabilities),
        "Sigmoid" | "HardSigmoid" => Step::Gives(OutputKind::IndependentProbabilities),
        // Its outputs are the values, then the indices.
        "TopK" if layer.outputs().nth(1) == Some(port) => Step::Gives(OutputKind::ClassIds),
        "MatMul" | "Convolution" | "GroupConvolution"
            if variable_input(graph, layer) == Some(0) =>
        {
            Step::Gives(OutputKind::Logits)
        }
        "Add" | "Subtract" | "Multiply" | "Divide" => match variable_input(graph, layer) {
            Some(variable) => return (Step::Linear, variable),
            None => Step::Unknown,
        },
        "ReLU" | "ReduceMean" | "AvgPool" => Step::Linear,
        _ => Step::Unknown,
    };
    (step, 0)
}

fn is_softmax_over_classes(layer: Layer<'_>) -> bool {
    let axis = layer
        .attribute("axis")
        .map_or(Some(1), |axis| axis.parse().ok());
    axis.zip(layer.input_dims(0)).is_some_and(|(axis, dims)| {
        normalized(axis, dims.len()).is_some_and(|axis| is_over_classes(axis..axis + 1, &dims))
    })
}
