//! The precision of TensorFlow Lite models.

use std::collections::HashMap;

use super::{StoredPrecision, Weights};
use crate::tflite::{Graph, Operator, TensorType};

impl Weights {
    /// Adds the weights of a TensorFlow Lite model, and its operators with weights.
    pub(super) fn add_tflite(&mut self, graph: &Graph) {
        for tensor in graph.tensors.iter().filter(|tensor| tensor.is_constant) {
            match tensor.element_type {
                TensorType::F32 => self.add(StoredPrecision::F32, tensor.bytes / 4),
                TensorType::F16 => self.add(StoredPrecision::F16, tensor.bytes / 2),
                TensorType::U8 | TensorType::I8 => self.add(StoredPrecision::Int8, tensor.bytes),
                TensorType::I16 | TensorType::Other => {}
            }
        }
        let mut producers = HashMap::new();
        for operator in &graph.operators {
            for output in &operator.outputs {
                producers.entry(*output).or_insert(operator.code);
            }
        }
        for operator in &graph.operators {
            if ![Operator::CONV_2D, Operator::FULLY_CONNECTED].contains(&operator.code) {
                continue;
            }
            let is_quantized = |input: &i32| {
                let is_bytes = graph.tensor(*input).is_some_and(|tensor| {
                    matches!(tensor.element_type, TensorType::U8 | TensorType::I8)
                });
                is_bytes || producers.get(input) == Some(&Operator::DEQUANTIZE)
            };
            self.add_operator(operator.inputs.iter().take(2).any(is_quantized));
        }
    }
}
