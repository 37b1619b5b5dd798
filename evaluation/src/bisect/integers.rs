//! Operators on integers, in which ONNX Runtime's quantizer writes models in its format `QOperator`: `QLinearConv` for
//! `Conv`.

use std::borrow::Cow;
use std::collections::HashMap;

use model_file::onnx::{Model, Node};
use prost::bytes::Bytes;

/// Names that no model has.
const PREFIX: &str = "classify.real.";

/// An operator on integers: its name, the operator on real numbers that it stands for, the places of its values among
/// its inputs in the order of that operator, and the place of the scale of its output. The zero point follows the scale.
type Operator = (&'static str, &'static str, &'static [usize], usize);

const OPERATORS: [Operator; 13] = [
    ("QLinearConv", "Conv", &[0], 6),
    ("QLinearMatMul", "MatMul", &[0, 3], 6),
    ("QGemm", "Gemm", &[0, 3], 7),
    ("QLinearAdd", "Add", &[0, 3], 6),
    ("QLinearMul", "Mul", &[0, 3], 6),
    ("QLinearAveragePool", "AveragePool", &[0], 3),
    ("QLinearGlobalAveragePool", "GlobalAveragePool", &[0], 3),
    ("QLinearReduceMean", "ReduceMean", &[0], 3),
    ("QLinearSigmoid", "Sigmoid", &[0], 3),
    ("QLinearLeakyRelu", "LeakyRelu", &[0], 3),
    ("QLinearSoftmax", "Softmax", &[0], 3),
    ("QLinearWhere", "Where", &[0, 1, 4], 7),
    // Behind the output's scale and zero point there are as many values with theirs as the node joins.
    ("QLinearConcat", "Concat", &[], 0),
];

/// Operators that move values and keep their scale.
const MOVING: [&str; 15] = [
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "MaxPool",
    "Pad",
    "Reshape",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

fn find(node: &Node) -> Option<&'static Operator> {
    let operator = node.operator();
    OPERATORS.iter().find(|(name, ..)| *name == operator)
}

/// Returns the operator on real numbers that a node on integers stands for.
pub fn float_operator(node: &Node) -> Option<&'static str> {
    find(node).map(|(_, float, ..)| *float)
}

/// Returns the operator that a node has or stands for.
pub fn operator(node: &Node) -> Cow<'_, str> {
    float_operator(node).map_or_else(|| node.operator(), Cow::Borrowed)
}

/// Returns the value of a node at the place that it has among the inputs of the operator on real numbers.
pub fn value(node: &Node, place: usize) -> Option<&Bytes> {
    let place = match find(node) {
        Some(("QLinearConcat", ..)) => 2 + 3 * place,
        Some((_, _, places, _)) => *places.get(place)?,
        None => place,
    };
    node.input.get(place)
}

/// Returns the name that a value or node has in the float model: the quantizer adds `_quantized` and `_quant`.
pub fn float_name(name: &Bytes) -> Option<Bytes> {
    let suffixes = [b"_quantized".as_slice(), b"_quant"];
    let mut stripped = suffixes
        .iter()
        .filter_map(|suffix| name.strip_suffix(*suffix));
    stripped.next().map(|own| name.slice_ref(own))
}

/// Returns for each integer value of a model with operators on integers the `DequantizeLinear` that makes real numbers of
/// it. The model lacks these nodes.
pub fn dequantizers(model: &Model) -> HashMap<Bytes, Node> {
    let nodes = model.nodes();
    if !nodes.iter().any(|node| find(node).is_some()) {
        return HashMap::new();
    }
    let mut scales: HashMap<&Bytes, [Bytes; 2]> = HashMap::new();
    for node in nodes {
        let at = |place: usize| {
            let input = |place: usize| node.input.get(place).cloned().unwrap_or_default();
            let scale = [input(place), input(place + 1)];
            (!scale[0].is_empty()).then_some(scale)
        };
        let scale = match (find(node), &*node.operator()) {
            (Some((.., place)), _) => at(*place),
            (None, "QuantizeLinear") => at(1),
            (None, name) if MOVING.contains(&name) => {
                let moved = node.input.first();
                moved.and_then(|value| scales.get(value)).cloned()
            }
            _ => None,
        };
        let outputs = node.output.iter().filter(|output| !output.is_empty());
        scales.extend(outputs.filter_map(|output| Some((output, scale.clone()?))));
    }
    let dequantizer = |(value, [scale, zero_point]): (&Bytes, [Bytes; 2])| {
        let inputs = [value.clone(), scale, zero_point];
        let node = Node {
            input: inputs.into_iter().filter(|it| !it.is_empty()).collect(),
            output: vec![[PREFIX.as_bytes(), value].concat().into()],
            op_type: Some("DequantizeLinear".into()),
            ..Node::default()
        };
        (value.clone(), node)
    };
    scales.into_iter().map(dequantizer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_file::onnx::Graph;

    fn node(operator: &'static str, inputs: &[&'static str], output: &'static str) -> Node {
        Node {
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: vec![output.into()],
            op_type: Some(operator.into()),
            ..Node::default()
        }
    }

    #[test]
    fn scales_follow_the_values() {
        let nodes = vec![
            node("QuantizeLinear", &["x", "xs", "xz"], "xq"),
            node(
                "QLinearConv",
                &["xq", "xs", "xz", "w", "ws", "wz", "ys", "yz"],
                "yq",
            ),
            node("MaxPool", &["yq"], "pq"),
            // Without zero points.
            node(
                "QLinearConcat",
                &["cs", "", "pq", "ys", "yz", "yq", "ys", "yz"],
                "cq",
            ),
            node("DequantizeLinear", &["cq", "cs"], "c"),
        ];
        let concat = nodes[3].clone();
        let graph = Graph {
            node: nodes,
            ..Graph::default()
        };
        let found = dequantizers(&Model {
            graph: Some(graph),
            ..Model::default()
        });
        let inputs = |value: &'static str| {
            let node: &Node = &found[&Bytes::from(value)];
            let text = |input: &Bytes| String::from_utf8(input.to_vec()).unwrap();
            node.input.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(inputs("xq"), ["xq", "xs", "xz"]);
        assert_eq!(inputs("yq"), ["yq", "ys", "yz"]);
        assert_eq!(inputs("pq"), ["pq", "ys", "yz"]);
        assert_eq!(inputs("cq"), ["cq", "cs"]);
        assert_eq!(found.len(), 4);
        assert_eq!(operator(&concat), "Concat");
        assert_eq!(value(&concat, 1), Some(&Bytes::from("yq")));
    }

    #[test]
    fn a_model_without_operators_on_integers_has_none() {
        let graph = Graph {
            node: vec![node("QuantizeLinear", &["x", "s", "z"], "q")],
            ..Graph::default()
        };
        let model = Model {
            graph: Some(graph),
            ..Model::default()
        };
        assert!(dequantizers(&model).is_empty());
    }
}
