//! Operators on integers: those in which ONNX Runtime's quantizer writes models in its format `QOperator` (`QLinearConv`
//! for `Conv`), and those of its dynamic quantization (`ConvInteger`), of which a `Cast` and a `Mul` make real numbers.

use std::borrow::Cow;
use std::collections::HashMap;

use model_file::onnx::{Model, Node};
use prost::bytes::Bytes;

/// Names that no model has.
const PREFIX: &str = "classify.real.";

/// An operator on integers.
struct Operator {
    name: &'static str,
    /// The operator on real numbers that it stands for.
    float: &'static str,
    /// The places of its values among its inputs, in the order of that operator.
    values: &'static [usize],
    /// The place of the scale of its output, if that is rounded. The zero point follows the scale.
    scale: Option<usize>,
    /// The place of the bias, if it can have one.
    bias: Option<usize>,
}

/// Returns an operator whose output is rounded.
const fn rounding(
    name: &'static str,
    float: &'static str,
    values: &'static [usize],
    scale: usize,
) -> Operator {
    Operator {
        name,
        float,
        values,
        scale: Some(scale),
        bias: None,
    }
}

/// Returns an operator whose output has all bits: sums of integers, or real numbers.
const fn exact(
    name: &'static str,
    float: &'static str,
    values: &'static [usize],
    bias: Option<usize>,
) -> Operator {
    Operator {
        name,
        float,
        values,
        scale: None,
        bias,
    }
}

const OPERATORS: [Operator; 17] = [
    Operator {
        bias: Some(8),
        ..rounding("QLinearConv", "Conv", &[0], 6)
    },
    rounding("QLinearMatMul", "MatMul", &[0, 3], 6),
    Operator {
        bias: Some(6),
        ..rounding("QGemm", "Gemm", &[0, 3], 7)
    },
    rounding("QLinearAdd", "Add", &[0, 3], 6),
    rounding("QLinearMul", "Mul", &[0, 3], 6),
    rounding("QLinearAveragePool", "AveragePool", &[0], 3),
    rounding("QLinearGlobalAveragePool", "GlobalAveragePool", &[0], 3),
    rounding("QLinearReduceMean", "ReduceMean", &[0], 3),
    rounding("QLinearSigmoid", "Sigmoid", &[0], 3),
    rounding("QLinearLeakyRelu", "LeakyRelu", &[0], 3),
    rounding("QLinearSoftmax", "Softmax", &[0], 3),
    rounding("QLinearWhere", "Where", &[0, 1, 4], 7),
    // Behind the output's scale and zero point there are as many values with theirs as the node joins.
    rounding("QLinearConcat", "Concat", &[], 0),
    exact("ConvInteger", "Conv", &[0, 1], None),
    exact("MatMulInteger", "MatMul", &[0, 1], None),
    exact("MatMulIntegerToFloat", "MatMul", &[0, 1], Some(6)),
    exact("DynamicQuantizeMatMul", "MatMul", &[0, 1], Some(4)),
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
    let name = node.operator();
    OPERATORS.iter().find(|operator| operator.name == name)
}

/// Returns the operator on real numbers that a node on integers stands for.
pub fn float_operator(node: &Node) -> Option<&'static str> {
    find(node).map(|operator| operator.float)
}

/// Returns the operator that a node has or stands for.
pub fn operator(node: &Node) -> Cow<'_, str> {
    float_operator(node).map_or_else(|| node.operator(), Cow::Borrowed)
}

/// Returns the operator that a node has or stands for without its bias: a quantizer writes a `Gemm` as a product and a sum.
pub fn product(node: &Node) -> Cow<'_, str> {
    match operator(node) {
        name if name == "Gemm" && (find(node).is_some() || node.is_onnx()) => "MatMul".into(),
        name => name,
    }
}

/// Returns whether a node adds a bias itself; `None` for operators that have none.
pub fn has_bias(node: &Node) -> Option<bool> {
    let place = match find(node) {
        Some(operator) if ["Conv", "MatMul", "Gemm"].contains(&operator.float) => operator.bias,
        Some(_) => return None,
        None => match &*node.operator() {
            "Conv" | "Gemm" => Some(2),
            "MatMul" => None,
            _ => return None,
        },
    };
    let bias = place.and_then(|place| node.input.get(place));
    Some(bias.is_some_and(|bias| !bias.is_empty()))
}

/// Returns the value of a node at the place that it has among the inputs of the operator on real numbers.
pub fn value(node: &Node, place: usize) -> Option<&Bytes> {
    let place = match find(node) {
        Some(Operator {
            name: "QLinearConcat",
            ..
        }) => 2 + 3 * place,
        Some(operator) => *operator.values.get(place)?,
        None => place,
    };
    node.input.get(place)
}

/// Returns for each node that makes sums of integers the `Cast` and the `Mul` that make real numbers of them.
pub fn rescaling(model: &Model) -> HashMap<usize, [usize; 2]> {
    let nodes = model.nodes();
    let mut readers: HashMap<&Bytes, Vec<usize>> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for value in node.reads() {
            readers.entry(value).or_default().push(index);
        }
    }
    let reader = |maker: usize, operator: &str| {
        let [reader] = readers.get(nodes[maker].output.first()?)?[..] else {
            return None;
        };
        (nodes[reader].operator() == operator).then_some(reader)
    };
    let integer = nodes.iter().enumerate().filter(|(_, node)| {
        let name = node.operator();
        ["ConvInteger", "MatMulInteger"].contains(&&*name)
    });
    let found = integer.filter_map(|(index, _)| {
        let cast = reader(index, "Cast")?;
        Some((index, [cast, reader(cast, "Mul")?]))
    });
    found.collect()
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
            (Some(operator), _) => operator.scale.and_then(at),
            (None, "QuantizeLinear") => at(1),
            (None, "DynamicQuantizeLinear") => {
                let [steps, scale, zero_point] = &node.output[..] else {
                    continue;
                };
                let scale = [scale.clone(), zero_point.clone()];
                scales.insert(steps, scale);
                continue;
            }
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
