//! The end of a TensorFlow Lite graph.

use model_file::tflite::{Graph, Operator, Tensor, TensorType};

use super::{End, Step, decide, is_over_classes, may_be_classes, sorted_by, statement};
use crate::{OutputKind, Quantization};

/// Reads the end of the graph.
pub(crate) fn find(graph: &Graph) -> End {
    let [output] = graph.outputs[..] else {
        return End::default();
    };
    let steps = || {
        let mut value = output;
        std::iter::from_fn(move || {
            let operator = graph.producer(value)?;
            let index = operator
                .outputs
                .iter()
                .position(|&output| output == value)?;
            let (step, input) = step(graph, operator, index);
            value = *operator.inputs.get(input)?;
            Some((step, operator.name()))
        })
    };
    let quantization = graph.tensor(output).and_then(quantization);
    End {
        statement: statement(decide(steps()), quantization),
        sorted_by: sorted_by(steps()),
    }
}

fn quantization(tensor: &Tensor) -> Option<(Quantization, String)> {
    let is_integer = matches!(tensor.element_type, TensorType::U8 | TensorType::I8);
    let (scale, zero_point) = tensor.quantization?;
    let zero_point = i32::try_from(zero_point).ok()?;
    (is_integer && scale.is_finite() && scale > 0.0).then(|| {
        (
            Quantization { scale, zero_point },
            "the model's output tensor: scale and zero point".to_owned(),
        )
    })
}

/// Returns the step of the output `index` of `operator`, and the input that its scores come from.
fn step(graph: &Graph, operator: &Operator, index: usize) -> (Step, usize) {
    let variable = |input: &i32| {
        graph
            .tensor(*input)
            .is_none_or(|tensor| !tensor.is_constant)
    };
    let input_dims = || {
        let tensor = graph.tensor(*operator.inputs.first()?)?;
        Some(
            tensor
                .shape
                .iter()
                .map(|&dim| usize::try_from(dim).ok())
                .collect::<Vec<_>>(),
        )
    };
    // Over the last dimension, always.
    let over_classes = || {
        input_dims().is_some_and(|dims| {
            !dims.is_empty() && is_over_classes(dims.len() - 1..dims.len(), &dims)
        })
    };
    let step = match (operator.code, index) {
        (
            Operator::RESHAPE
            | Operator::SQUEEZE
            | Operator::EXPAND_DIMS
            | Operator::TRANSPOSE
            | Operator::QUANTIZE
            | Operator::DEQUANTIZE,
            0,
        ) => Step::Same,
        (Operator::CAST, 0) => {
            let to = operator
                .outputs
                .first()
                .and_then(|&output| graph.tensor(output));
            match to.map(|tensor| tensor.element_type) {
                Some(TensorType::F32 | TensorType::F16) => Step::Same,
                _ => Step::Integers,
            }
        }
        (Operator::SOFTMAX, 0) if over_classes() => Step::Gives(OutputKind::Probabilities),
        (Operator::LOG_SOFTMAX, 0) if over_classes() => Step::Gives(OutputKind::LogProbabilities),
        (Operator::LOGISTIC, 0) => Step::Gives(OutputKind::IndependentProbabilities),
        (Operator::ARG_MAX, 0) | (Operator::TOPK_V2, 1) => Step::Gives(OutputKind::ClassIds),
        (Operator::FULLY_CONNECTED | Operator::CONV_2D, 0) => match operator.activation {
            // None or Relu.
            0 | 1
                if operator
                    .inputs
                    .get(1)
                    .is_some_and(|weights| !variable(weights)) =>
            {
                Step::Gives(OutputKind::Logits)
            }
            _ => Step::Unknown,
        },
        (Operator::ADD | Operator::SUB | Operator::MUL | Operator::DIV, 0)
            if operator.activation == 0 =>
        {
            let mut inputs = operator
                .inputs
                .iter()
                .enumerate()
                .filter(|(_, input)| variable(input));
            match (inputs.next(), inputs.next()) {
                (Some((index, _)), None) => return (Step::Linear, index),
                _ => Step::Unknown,
            }
        }
        (Operator::MEAN | Operator::AVERAGE_POOL_2D, 0) if operator.activation == 0 => Step::Pooled,
        (Operator::RELU, 0) if operator.activation == 0 => Step::Linear,
        // It sorts along the last dimension, always.
        (Operator::TOPK_V2, 0)
            if input_dims()
                .is_none_or(|dims| dims.is_empty() || may_be_classes(dims.len() - 1, &dims)) =>
        {
            Step::Sorts
        }
        _ => Step::Unknown,
    };
    (step, 0)
}
