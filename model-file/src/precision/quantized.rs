//! Nodes that compute with quantized values.

use std::fmt;

use super::is_share;
use super::onnx::{Scope, has_weights, is_integer, scopes};
use crate::onnx::{Model, Node};

/// The nodes of an ONNX model with weights (`Conv`, `MatMul`, `Gemm`, …), and those among them that take values of the
/// image rounded to integers: behind a `DequantizeLinear`, or as `QLinearConv` and similar operators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuantizedNodes {
    /// The number of nodes with weights.
    pub nodes: usize,
    /// The number of those that take quantized values.
    pub quantized: usize,
}

impl QuantizedNodes {
    /// Counts the nodes of a model, with those of bodies and functions.
    pub fn of_onnx(model: &Model) -> Self {
        let mut found = Self::default();
        for scope in scopes(model) {
            for node in scope.nodes.iter().filter(|node| has_weights(node)) {
                found.nodes += 1;
                found.quantized += usize::from(takes_quantized_values(&scope, node));
            }
        }
        found
    }

    /// Returns whether the model is quantized: at least a tenth of the nodes take quantized values. Two engines then round
    /// some values to different steps, even with the same file. Quantized weights alone differ in no engine.
    pub const fn is_quantized(&self) -> bool {
        is_share(self.quantized as u64, self.nodes as u64)
    }
}

impl fmt::Display for QuantizedNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, quantized } = self;
        write!(
            f,
            "{quantized} of {nodes} nodes with weights (Conv, MatMul, Gemm, …) take quantized values"
        )
    }
}

fn takes_quantized_values(scope: &Scope<'_>, node: &Node) -> bool {
    let takes = |input: &_| scope.constant(input).is_none() && scope.rounded(input).is_some();
    // Its weights have few bits, and its values all.
    let has_integer_values = is_integer(node) && node.operator() != "MatMulNBits";
    has_integer_values || node.input.iter().any(|input| takes(input))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{DataType, Graph, Tensor};

    fn node(operator: &str, inputs: &[&str], output: &str) -> Node {
        Node {
            op_type: Some(operator.to_owned().into()),
            input: inputs.iter().map(|&name| name.to_owned().into()).collect(),
            output: vec![output.to_owned().into()],
            ..Node::default()
        }
    }

    fn count(nodes: Vec<Node>) -> (usize, usize, bool) {
        let weights = Tensor {
            name: Some("w".into()),
            data_type: Some(DataType::Int8 as i32),
            dims: vec![9],
            ..Tensor::default()
        };
        let graph = Graph {
            node: nodes,
            initializer: vec![weights],
            ..Graph::default()
        };
        let found = QuantizedNodes::of_onnx(&Model {
            graph: Some(graph),
            ..Model::default()
        });
        (found.quantized, found.nodes, found.is_quantized())
    }

    #[test]
    fn nodes_behind_dequantizers_and_integer_nodes_count() {
        let pair = [
            node("QuantizeLinear", &["x", "s"], "q"),
            node("DequantizeLinear", &["q", "s"], "d"),
            node("DequantizeLinear", &["w", "s"], "e"),
        ];
        let of = |last: Node| count(pair.iter().cloned().chain([last]).collect());
        assert_eq!(of(node("Conv", &["d", "e"], "y")), (1, 1, true));
        // Weights alone.
        assert_eq!(of(node("Conv", &["x", "e"], "y")), (0, 1, false));
        assert_eq!(of(node("MatMulNBits", &["x", "w"], "y")), (0, 1, false));
        assert_eq!(
            of(node("QLinearConv", &["x", "s", "z", "w"], "y")),
            (1, 1, true)
        );
        // No node with weights takes the values.
        assert_eq!(of(node("Softmax", &["d"], "y")), (0, 0, false));
    }

    #[test]
    fn one_quantizer_does_not_make_a_model_quantized() {
        let with = |convolutions: usize| {
            let mut nodes = vec![
                node("QuantizeLinear", &["x", "s"], "q"),
                node("DequantizeLinear", &["q", "s"], "d"),
                node("Conv", &["d", "w"], "x0"),
            ];
            for layer in 1..convolutions {
                nodes.push(node(
                    "Conv",
                    &[&format!("x{}", layer - 1), "w"],
                    &format!("x{layer}"),
                ));
            }
            count(nodes)
        };
        assert_eq!(with(10), (1, 10, true));
        assert_eq!(with(11), (1, 11, false));
    }
}
