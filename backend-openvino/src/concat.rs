//! Concatenations that OpenVINO 2026.4 quantizes wrongly.
//!
//! Its low-precision transformations move the quantization of a `Concat` into the branches. Where the values are signed and
//! a convolution with quantized weights takes them, the result is scaled wrongly: the error of the convolution is as large
//! as its values.

use std::collections::HashMap;

use model_file::onnx::{DataType, Graph, Node};

/// The reason in the note.
pub(crate) const REASON: &str = "signed 8-bit values of a Concat are scaled wrongly for a quantized Conv, and the scores \
                                 may be useless; quantize activations to uint8, or use `backend-onnx`";

/// Returns the `QuantizeLinear` nodes of a graph whose values are wrong. `type_of` returns the element type of a constant.
pub(crate) fn quantized_wrongly<'a>(
    graph: &'a Graph,
    type_of: &dyn Fn(&[u8]) -> Option<DataType>,
) -> Vec<&'a Node> {
    let wires = Wires::of(graph);
    let nodes = graph.node.iter().filter(|node| {
        is(node, "QuantizeLinear")
            && is_signed(node, type_of)
            && wires.comes_from_concat(node)
            && wires.goes_to_quantized_conv(node)
    });
    nodes.collect()
}

fn is(node: &Node, operator: &str) -> bool {
    node.is_onnx() && node.operator() == operator
}

fn is_signed(node: &Node, type_of: &dyn Fn(&[u8]) -> Option<DataType>) -> bool {
    let zero_point = node.input.get(2).filter(|name| !name.is_empty());
    if let Some(name) = zero_point {
        return type_of(name) == Some(DataType::Int8);
    }
    let stated = node.attribute("output_dtype").and_then(|dtype| dtype.i);
    stated == Some(i64::from(DataType::Int8 as i32))
}

/// The nodes at both ends of each value.
struct Wires<'a> {
    producers: HashMap<&'a [u8], &'a Node>,
    consumers: HashMap<&'a [u8], Vec<&'a Node>>,
}

impl<'a> Wires<'a> {
    fn of(graph: &'a Graph) -> Self {
        let mut producers = HashMap::new();
        let mut consumers: HashMap<_, Vec<_>> = HashMap::new();
        for node in &graph.node {
            producers.extend(node.output.iter().map(|name| (&name[..], node)));
            for name in &node.input {
                consumers.entry(&name[..]).or_default().push(node);
            }
        }
        Self {
            producers,
            consumers,
        }
    }

    fn producer(&self, node: &Node, input: usize) -> Option<&'a Node> {
        self.producers.get(&node.input.get(input)?[..]).copied()
    }

    fn consumers(&self, node: &Node) -> &[&'a Node] {
        let output = node.output.first();
        output
            .and_then(|name| self.consumers.get(&name[..]))
            .map_or(&[], Vec::as_slice)
    }

    /// Returns whether the values are those of a `Concat`, perhaps through a `Relu`, which no other node takes.
    fn comes_from_concat(&self, node: &Node) -> bool {
        let mut place = node;
        // No path is longer than the graph, unless it is a circle.
        for _ in 0..self.producers.len() {
            let Some(before) = self.producer(place, 0) else {
                return false;
            };
            if self.consumers(before).len() != 1 {
                return false;
            }
            match before.operator().as_ref() {
                "Concat" => return before.is_onnx(),
                "Relu" | "Identity" if before.is_onnx() => place = before,
                _ => return false,
            }
        }
        false
    }

    fn goes_to_quantized_conv(&self, node: &Node) -> bool {
        let dequantized = self.consumers(node).iter();
        let dequantized = dequantized.filter(|node| is(node, "DequantizeLinear"));
        let mut next = dequantized.flat_map(|node| self.consumers(node));
        next.any(|node| {
            let groups = node.attribute("group").and_then(|group| group.i);
            let weights = self.producer(node, 1);
            is(node, "Conv")
                && groups.unwrap_or(1) == 1
                && weights.is_some_and(|weights| is(weights, "DequantizeLinear"))
        })
    }
}

#[cfg(test)]
mod tests {
    use model_file::onnx::Attribute;

    use super::*;

    fn node(operator: &'static str, inputs: &[&'static str], output: &'static str) -> Node {
        Node {
            op_type: Some(operator.into()),
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: vec![output.into()],
            ..Node::default()
        }
    }

    fn graph() -> Vec<Node> {
        vec![
            node("Concat", &["a", "b"], "c"),
            node("Relu", &["c"], "r"),
            node("QuantizeLinear", &["r", "s", "z"], "q"),
            node("DequantizeLinear", &["q", "s", "z"], "d"),
            node("DequantizeLinear", &["w8", "s", "z"], "w"),
            node("Conv", &["d", "w"], "y"),
        ]
    }

    fn found(nodes: Vec<Node>, zero_point: DataType) -> usize {
        let graph = Graph {
            node: nodes,
            ..Graph::default()
        };
        quantized_wrongly(&graph, &|name| (name == b"z").then_some(zero_point)).len()
    }

    #[test]
    fn only_what_openvino_computes_wrongly_is_found() {
        assert_eq!(found(graph(), DataType::Int8), 1);
        assert_eq!(found(graph(), DataType::Uint8), 0);
        let without = |place: usize, operator: &'static str| {
            let mut nodes = graph();
            nodes[place].op_type = Some(operator.into());
            found(nodes, DataType::Int8)
        };
        assert_eq!(without(0, "Add"), 0);
        assert_eq!(without(1, "Sigmoid"), 0);
        assert_eq!(without(4, "Identity"), 0, "weights of floats");
        assert_eq!(without(5, "ConvTranspose"), 0);
        let mut shared = graph();
        shared.push(node("Relu", &["c"], "other"));
        assert_eq!(found(shared, DataType::Int8), 0);
        let mut grouped = graph();
        grouped[5].attribute.push(Attribute {
            name: Some("group".into()),
            i: Some(2),
            ..Attribute::default()
        });
        assert_eq!(found(grouped, DataType::Int8), 0);
    }

    #[test]
    fn a_circle_ends() {
        let nodes = vec![
            node("Relu", &["b"], "a"),
            node("Relu", &["a"], "b"),
            node("QuantizeLinear", &["b", "s", "z"], "q"),
        ];
        assert_eq!(found(nodes, DataType::Int8), 0);
    }
}
