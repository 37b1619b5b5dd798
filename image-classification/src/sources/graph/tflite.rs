//! The end of a TensorFlow Lite graph.

use std::collections::HashMap;

use model_file::tflite::{Graph, Operator, Tensor, TensorType};

use super::{
    Budget, End, OTHER_IDS, OTHER_SOFTMAX, Step, Walk, best_ids, find_ends, is_over_classes,
    is_over_no_classes, joins, may_be_classes,
};
use crate::{OutputKind, Quantization};

/// Reads the end of the graph for each of its outputs.
pub(crate) fn find(graph: &Graph) -> Vec<End> {
    let mut values = Values {
        graph,
        producers: HashMap::new(),
        budget: Budget::default(),
    };
    for operator in &graph.operators {
        for output in &operator.outputs {
            values.producers.entry(*output).or_insert(operator);
        }
    }
    let ends = graph.outputs.iter().map(|output| values.end(*output));
    find_ends(ends.collect(), |value: &i32| {
        let producer = values.producers.get(value);
        producer.map_or_else(Vec::new, |operator| operator.inputs.clone())
    })
}

struct Values<'a> {
    graph: &'a Graph,
    /// The operators by the tensors that they make.
    producers: HashMap<i32, &'a Operator>,
    budget: Budget,
}

impl Values<'_> {
    fn end(&self, output: i32) -> (End, Walk<i32>) {
        let graph = self.graph;
        let walk = self.walk(output, true);
        let by = |port: &str| format!("the model's {port} tensor: scale and zero point");
        let quantization = graph.tensor(output).and_then(quantization);
        let name = graph.tensor(output).map(|tensor| tensor.name.clone());
        let quantization = quantization.map(|value| (value, by("output")));
        (
            End::new(name.into_iter().collect(), &walk, quantization),
            walk,
        )
    }

    /// Returns the steps from `value` back. With `can_join` they may lead to several values that are joined.
    fn walk(&self, value: i32, can_join: bool) -> Walk<i32> {
        Walk::back_from(value, |value| {
            let operator = *self.producers.get(&value)?;
            let mut outputs = operator.outputs.iter();
            let index = outputs.position(|&output| output == value)?;
            let joined = can_join.then(|| self.join(operator)).flatten();
            let (step, input) = match joined {
                Some(step) => (step, 0),
                None => step(self.graph, operator, index),
            };
            let before = operator.inputs.get(input).copied();
            Some((step, operator.name(), before))
        })
    }

    /// Returns the step of an operator that joins several values that depend on the image. They may not be joined ones: a
    /// hostile graph would never end.
    fn join(&self, operator: &Operator) -> Option<Step> {
        let graph = self.graph;
        if !matches!(operator.code, Operator::CONCATENATION | Operator::PACK)
            || operator.activation != 0
        {
            return None;
        }
        let first =
            |tensor| dims(graph, tensor).and_then(|dims| Some((*dims.first()?, dims.len())));
        let (before, after) = (
            first(operator.inputs.first()),
            first(operator.outputs.first()),
        );
        let is_along_batch = before
            .zip(after)
            .is_some_and(|((before, _), (after, rank))| rank > 1 && before != after);
        joins(
            operator.inputs.iter().copied(),
            is_along_batch,
            &self.budget,
            |input| graph.tensor(input).is_none_or(|tensor| !tensor.is_constant),
            |input| self.walk(input, false).part(),
        )
    }
}

/// Returns the quantization of a tensor of integers.
pub(crate) fn quantization(tensor: &Tensor) -> Option<Quantization> {
    let is_integer = matches!(
        tensor.element_type,
        TensorType::U8 | TensorType::I8 | TensorType::I16
    );
    let (scale, zero_point) = tensor.quantization?;
    let zero_point = i32::try_from(zero_point).ok()?;
    let is_valid = is_integer && scale.is_finite() && scale > 0.0;
    is_valid.then_some(Quantization { scale, zero_point })
}

fn dims(graph: &Graph, tensor: Option<&i32>) -> Option<Vec<Option<usize>>> {
    let shape = graph.tensor(*tensor?)?.shape.iter();
    Some(shape.map(|&dim| usize::try_from(dim).ok()).collect())
}

/// Returns whether an operator that removes a dimension may leave one value for each image.
fn gives_one_id(from: Option<Vec<Option<usize>>>, to: Option<Vec<Option<usize>>>) -> bool {
    let (Some(from), Some(Some(to))) =
        (from, to.map(|to| to.into_iter().product::<Option<usize>>()))
    else {
        return true;
    };
    let batch = if from.len() > 1 { from[0] } else { Some(1) };
    batch.is_none_or(|batch| to == batch)
}

/// Returns the step of the output `index` of `operator`, and the input that its scores come from.
fn step(graph: &Graph, operator: &Operator, index: usize) -> (Step, usize) {
    let variable = |input: &i32| {
        graph
            .tensor(*input)
            .is_none_or(|tensor| !tensor.is_constant)
    };
    let input_dims = || dims(graph, operator.inputs.first());
    // Over the last dimension, always.
    let over_classes = || {
        input_dims().is_some_and(|dims| {
            !dims.is_empty() && is_over_classes(dims.len() - 1..dims.len(), &dims)
        })
    };
    let over_no_classes = || {
        input_dims().is_some_and(|dims| {
            !dims.is_empty() && is_over_no_classes(dims.len() - 1..dims.len(), &dims)
        })
    };
    let output_dims = |operator: &Operator| dims(graph, operator.outputs.get(index));
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
        (Operator::CONCATENATION | Operator::PACK, 0)
            if operator.activation == 0 && operator.inputs.len() == 1 =>
        {
            Step::Same
        }
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
        (Operator::SOFTMAX | Operator::LOG_SOFTMAX, 0) if over_no_classes() => {
            Step::NoClasses(OTHER_SOFTMAX)
        }
        (Operator::ARG_MAX, 0) if gives_one_id(input_dims(), output_dims(operator)) => {
            Step::Gives(OutputKind::ClassIds)
        }
        (Operator::ARG_MAX, 0) => Step::NoClasses(OTHER_IDS),
        (Operator::ONE_HOT, 0) => Step::Gives(OutputKind::OneHot),
        (Operator::TOPK_V2, 1) => best_ids(-1, output_dims(operator).as_deref(), true, true),
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
                // The reciprocal of logits is not a logit.
                (Some((1, _)), None) if operator.code == Operator::DIV => Step::Unknown,
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

#[cfg(test)]
mod tests;
