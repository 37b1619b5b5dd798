//! The precision in which a model's weights are stored, and the one in which an engine computes that takes the types
//! of the model.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;

use prost::Message as _;
use prost::bytes::Bytes;

use crate::files::MOST_ONNX_BYTES;
use crate::format::{Format, read_regular};
use crate::onnx::{DataType, Graph, Model, Node, Tensor};
use crate::{ir, tflite};

/// A type that holds at least this share of the weights counts, one in so many.
const LEAST_SHARE: u64 = 10;
/// Weights are looked for through so many operators.
const MOST_STEPS: usize = 16;
/// A `FlatBuffer` has signed offsets of 32 bits.
const MOST_TFLITE_BYTES: u64 = 2 << 30;

/// The precision of stored weights, from the finest to the coarsest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoredPrecision {
    /// 32 bits, or more.
    F32,
    /// 16 bits, of which 10 are the fraction.
    F16,
    /// 16 bits, of which 7 are the fraction.
    Bf16,
    /// Integers of 8 bits or fewer, or values that are rounded to such integers on the way.
    Int8,
}

impl fmt::Display for StoredPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

/// Returns the precision in which the weights of `model` are stored: the coarsest type that holds at least a tenth of
/// their elements. A model that quantizes values while it computes counts as int8.
///
/// `None` for a model without weights, for a format whose weights are not read here (TensorFlow, Paddle), and for a
/// damaged file.
///
/// # Errors
///
/// The system's, if the file cannot be read.
pub fn stored_precision(model: &Path) -> io::Result<Option<StoredPrecision>> {
    let mut weights = Weights::default();
    match Format::of(model)? {
        Format::Onnx => {
            let bytes = Bytes::from(read_regular(model, MOST_ONNX_BYTES)?);
            let Ok(onnx) = Model::decode(bytes) else {
                return Ok(None);
            };
            weights.add_onnx(&onnx);
        }
        Format::Ir => {
            let xml = ir::read(model)?;
            let Ok(document) = ir::parse(&xml) else {
                return Ok(None);
            };
            // The layers of bodies too.
            for layer in ir::layers(&document) {
                match layer.operator() {
                    "FakeQuantize" => weights.quantizes = true,
                    "Const" => weights.add_ir(layer),
                    _ => {}
                }
            }
        }
        Format::TensorflowLite => {
            let bytes = read_regular(model, MOST_TFLITE_BYTES)?;
            let Some(graph) = tflite::Graph::read(&bytes) else {
                return Ok(None);
            };
            for tensor in graph.tensors.iter().filter(|tensor| tensor.is_constant) {
                use tflite::TensorType;
                match tensor.element_type {
                    TensorType::F32 => weights.add(StoredPrecision::F32, tensor.bytes / 4),
                    TensorType::F16 => weights.add(StoredPrecision::F16, tensor.bytes / 2),
                    TensorType::U8 | TensorType::I8 => {
                        weights.add(StoredPrecision::Int8, tensor.bytes);
                    }
                    TensorType::Other => {}
                }
            }
            weights.quantizes = graph
                .operators
                .iter()
                .any(|operator| operator.code == tflite::Operator::QUANTIZE);
        }
        _ => return Ok(None),
    }
    Ok(weights.precision())
}

/// The number of elements in each precision.
#[derive(Debug, Default)]
struct Weights {
    elements: [u64; 4],
    quantizes: bool,
}

impl Weights {
    fn add(&mut self, precision: StoredPrecision, elements: u64) {
        let sum = &mut self.elements[precision as usize];
        *sum = sum.saturating_add(elements);
    }

    fn add_onnx(&mut self, model: &Model) {
        let all_nodes = all_nodes(model);
        self.quantizes = all_nodes.iter().any(|node| quantizes(node));
        let integers_are_weights = self.quantizes || all_nodes.iter().any(|node| dequantizes(node));
        model.for_each_tensor(&mut |tensor| {
            let elements = elements(tensor);
            match tensor.element_type() {
                DataType::Float | DataType::Double => self.add(StoredPrecision::F32, elements),
                DataType::Float16 => self.add(StoredPrecision::F16, elements),
                DataType::Bfloat16 => self.add(StoredPrecision::Bf16, elements),
                other if integers_are_weights && integer_name(other).is_some() => {
                    self.add(StoredPrecision::Int8, elements);
                }
                _ => {}
            }
        });
    }

    fn add_ir(&mut self, layer: ir::Layer<'_>) {
        let Some((_, bytes)) = layer.range() else {
            return;
        };
        match layer.attribute("element_type") {
            Some("f32") => self.add(StoredPrecision::F32, bytes / 4),
            Some("f64") => self.add(StoredPrecision::F32, bytes / 8),
            Some("f16") => self.add(StoredPrecision::F16, bytes / 2),
            Some("bf16") => self.add(StoredPrecision::Bf16, bytes / 2),
            Some("i8" | "u8") => self.add(StoredPrecision::Int8, bytes),
            Some("i4" | "u4" | "nf4") => self.add(StoredPrecision::Int8, bytes.saturating_mul(2)),
            _ => {}
        }
    }

    fn precision(&self) -> Option<StoredPrecision> {
        use StoredPrecision::{Bf16, F16, F32, Int8};
        let sum = self
            .elements
            .iter()
            .fold(0_u64, |sum, n| sum.saturating_add(*n));
        if self.quantizes {
            return Some(Int8);
        }
        [Int8, Bf16, F16, F32].into_iter().find(|&precision| {
            let elements = self.elements[precision as usize];
            elements > 0 && elements >= sum / LEAST_SHARE
        })
    }
}

/// The nodes of all graphs and functions.
fn all_nodes(model: &Model) -> Vec<&Node> {
    let mut open: Vec<&Node> = model.nodes().iter().collect();
    open.extend(model.functions.iter().flat_map(|function| &function.node));
    let mut all = Vec::new();
    while let Some(node) = open.pop() {
        all.push(node);
        open.extend(node.bodies().flat_map(|body| &body.node));
    }
    all
}

fn quantizes(node: &Node) -> bool {
    let operator = node.operator();
    matches!(
        &*operator,
        "QuantizeLinear" | "DynamicQuantizeLinear" | "QGemm"
    ) || operator.starts_with("QLinear")
        || operator.starts_with("DynamicQuantize")
}

fn dequantizes(node: &Node) -> bool {
    let operator = node.operator();
    operator == "DequantizeLinear" || operator.contains("Integer") || operator == "MatMulNBits"
}

fn elements(tensor: &Tensor) -> u64 {
    tensor
        .dims
        .iter()
        .map(|&dim| u64::try_from(dim).unwrap_or_default())
        .fold(1, u64::saturating_mul)
}

fn float_name(element_type: DataType) -> Option<&'static str> {
    Some(match element_type {
        DataType::Float => "f32",
        DataType::Double => "f64",
        DataType::Float16 => "f16",
        DataType::Bfloat16 => "bf16",
        _ => return None,
    })
}

/// The type that integers of few bits are computed in.
fn integer_name(element_type: DataType) -> Option<&'static str> {
    Some(match element_type {
        DataType::Int8 | DataType::Int4 | DataType::Int2 => "i8",
        DataType::Uint8 | DataType::Uint4 | DataType::Uint2 => "u8",
        _ => return None,
    })
}

impl Model {
    /// Returns the element types in which the operators with weights compute, the one with the most elements first:
    /// `f32`, `f16`, `bf16`, `f64`; `i8` and `u8` for quantized ones. Empty if no type shows.
    ///
    /// The types of the model's input and output say nothing: exporters put a `Cast` at either end.
    pub fn computed_types(&self) -> Vec<&'static str> {
        let mut types: HashMap<&'static str, u64> = HashMap::new();
        if let Some(graph) = &self.graph {
            computed_in(graph, &mut types);
        }
        if types.is_empty() {
            // Where functions compute, their weights are those of the main graph.
            self.for_each_tensor(&mut |tensor| {
                let elements = elements(tensor);
                if elements > 1
                    && let Some(name) = float_name(tensor.element_type())
                {
                    *types.entry(name).or_default() += elements;
                }
            });
        }
        let mut types: Vec<_> = types.into_iter().collect();
        types.sort_by_key(|&(name, elements)| (std::cmp::Reverse(elements), name));
        types.into_iter().map(|(name, _)| name).collect()
    }
}

fn computed_in(graph: &Graph, types: &mut HashMap<&'static str, u64>) {
    let producers: HashMap<&[u8], &Node> = graph
        .node
        .iter()
        .flat_map(|node| node.output.iter().map(move |output| (&output[..], node)))
        .collect();
    let initializers: HashMap<&[u8], &Tensor> = graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.as_deref().unwrap_or_default(), tensor))
        .collect();
    let constant = |name: &[u8]| -> Option<(&Tensor, Option<DataType>)> {
        let (mut name, mut to) = (name, None);
        for _ in 0..MOST_STEPS {
            if let Some(tensor) = initializers.get(name) {
                return Some((*tensor, to));
            }
            let node = producers.get(name)?;
            match &*node.operator() {
                "Constant" => return Some((node.attribute("value")?.t.as_ref()?, to)),
                "Cast" if to.is_none() => {
                    let target = node.attribute("to")?.i?;
                    to = DataType::try_from(target as i32).ok();
                }
                // The weights are rounded to integers, wherever that is written.
                "QuantizeLinear" => to = Some(DataType::Int8),
                "Cast" | "DequantizeLinear" | "Identity" | "Transpose" | "Reshape" | "Squeeze"
                | "Unsqueeze" => {}
                _ => return None,
            }
            name = node.input.first()?;
        }
        None
    };
    for node in &graph.node {
        for body in node.bodies() {
            computed_in(body, types);
        }
        let operator = node.operator();
        if operator == "QuantizeLinear" || operator == "DynamicQuantizeLinear" {
            // Values of the image are rounded.
            let is_weight = node
                .input
                .first()
                .is_some_and(|name| constant(name).is_some());
            let zero_point = node.input.get(2).and_then(|name| constant(name));
            let zero_type = zero_point.map_or(DataType::Uint8, |(tensor, _)| tensor.element_type());
            if !is_weight && let Some(name) = integer_name(zero_type) {
                types.entry(name).or_default();
            }
        }
        let has_weights = [
            "Conv",
            "ConvTranspose",
            "DeformConv",
            "Gemm",
            "MatMul",
            "LSTM",
            "GRU",
            "RNN",
            "ConvInteger",
            "MatMulInteger",
            "QLinearConv",
            "QLinearMatMul",
            "QGemm",
            "FusedConv",
            "FusedGemm",
            "FusedMatMul",
            "MatMulNBits",
            "MatMulIntegerToFloat",
            "DynamicQuantizeMatMul",
            "Attention",
            "QAttention",
        ]
        .contains(&&*operator);
        if !has_weights {
            continue;
        }
        let is_integer = quantizes(node) || dequantizes(node) || operator == "QAttention";
        for input in &node.input {
            let Some((tensor, to)) = constant(input) else {
                continue;
            };
            let element_type = to.unwrap_or_else(|| tensor.element_type());
            // Scales of quantized operators are no weights.
            let float = float_name(element_type).filter(|_| !is_integer);
            if let Some(name) = float.or_else(|| integer_name(element_type)) {
                *types.entry(name).or_default() += elements(tensor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::onnx::Attribute;

    fn tensor(name: &'static str, element_type: DataType, elements: i64) -> Tensor {
        Tensor {
            name: Some(name.into()),
            data_type: Some(element_type as i32),
            dims: vec![elements],
            ..Tensor::default()
        }
    }

    fn node(operator: &'static str, inputs: &[&'static str], output: &'static str) -> Node {
        Node {
            op_type: Some(operator.into()),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            ..Node::default()
        }
    }

    fn cast(input: &'static str, output: &'static str, to: DataType) -> Node {
        let mut node = node("Cast", &[input], output);
        node.attribute.push(Attribute {
            name: Some("to".into()),
            i: Some(to as i64),
            ..Attribute::default()
        });
        node
    }

    fn model(nodes: Vec<Node>, weights: Vec<Tensor>) -> Model {
        Model {
            graph: Some(Graph {
                node: nodes,
                initializer: weights,
                ..Graph::default()
            }),
            ..Model::default()
        }
    }

    fn stored(model: &Model) -> Option<StoredPrecision> {
        let mut weights = Weights::default();
        weights.add_onnx(model);
        weights.precision()
    }

    #[test]
    fn casts_at_either_end_change_nothing() {
        let half = model(
            vec![
                cast("x", "h", DataType::Float16),
                node("Conv", &["h", "w", "b"], "c"),
                cast("c", "y", DataType::Float),
            ],
            vec![
                tensor("w", DataType::Float16, 90),
                tensor("b", DataType::Float16, 9),
            ],
        );
        assert_eq!(half.computed_types(), ["f16"]);
        assert_eq!(stored(&half), Some(StoredPrecision::F16));
        let single = model(
            vec![
                node("Conv", &["x", "w"], "c"),
                cast("c", "y", DataType::Float16),
            ],
            vec![tensor("w", DataType::Float, 90)],
        );
        assert_eq!(single.computed_types(), ["f32"]);
        assert_eq!(stored(&single), Some(StoredPrecision::F32));
    }

    #[test]
    fn stored_weights_may_be_cast() {
        let model = model(
            vec![
                cast("w", "f", DataType::Float),
                node("MatMul", &["x", "f"], "m"),
                node("Gemm", &["m", "h"], "y"),
            ],
            vec![
                tensor("w", DataType::Float16, 90),
                tensor("h", DataType::Float16, 10),
            ],
        );
        assert_eq!(model.computed_types(), ["f32", "f16"]);
        assert_eq!(stored(&model), Some(StoredPrecision::F16));
    }

    #[test]
    fn quantized_models_compute_in_integers() {
        let pairs = model(
            vec![
                node("QuantizeLinear", &["x", "s", "z"], "q"),
                node("DequantizeLinear", &["q", "s", "z"], "d"),
                node("DequantizeLinear", &["w", "s", "z"], "e"),
                node("Conv", &["d", "e"], "y"),
            ],
            vec![
                tensor("w", DataType::Int8, 90),
                tensor("s", DataType::Float, 1),
                tensor("z", DataType::Uint8, 1),
            ],
        );
        assert_eq!(pairs.computed_types(), ["i8", "u8"]);
        assert_eq!(stored(&pairs), Some(StoredPrecision::Int8));
        let linear = model(
            vec![node(
                "QLinearConv",
                &["x", "s", "z", "w", "s", "z", "s", "z"],
                "y",
            )],
            vec![
                tensor("w", DataType::Int8, 90),
                tensor("s", DataType::Float, 1),
                tensor("z", DataType::Int8, 1),
            ],
        );
        assert_eq!(linear.computed_types(), ["i8"]);
        let weights_alone = model(
            vec![
                node("DequantizeLinear", &["w", "s"], "e"),
                node("MatMul", &["x", "e"], "y"),
            ],
            vec![
                tensor("w", DataType::Int8, 90),
                tensor("s", DataType::Float, 5),
            ],
        );
        assert_eq!(stored(&weights_alone), Some(StoredPrecision::Int8));
    }

    #[test]
    fn a_few_weights_in_another_type_do_not_count() {
        let mixed = |few| {
            model(
                vec![],
                vec![
                    tensor("w", DataType::Float, 1000),
                    tensor("v", DataType::Float16, few),
                ],
            )
        };
        assert_eq!(stored(&mixed(10)), Some(StoredPrecision::F32));
        assert_eq!(stored(&mixed(200)), Some(StoredPrecision::F16));
        // A table of bytes is no quantization.
        let bytes = model(
            vec![],
            vec![
                tensor("w", DataType::Float, 10),
                tensor("v", DataType::Uint8, 90),
            ],
        );
        assert_eq!(stored(&bytes), Some(StoredPrecision::F32));
        assert_eq!(stored(&model(vec![], vec![])), None);
    }

    #[test]
    fn the_types_of_an_ir() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.xml");
        let with = |layers: &str| {
            std::fs::write(&path, format!("<net><layers>{layers}</layers></net>")).unwrap();
            stored_precision(&path).unwrap()
        };
        let constant = |element_type: &str, size: u32| {
            format!(
                r#"<layer id="0" type="Const"><data element_type="{element_type}" offset="0" size="{size}"/></layer>"#
            )
        };
        let (half, single) = (constant("f16", 200), constant("f32", 40));
        assert_eq!(with(&single), Some(StoredPrecision::F32));
        assert_eq!(with(&format!("{half}{single}")), Some(StoredPrecision::F16));
        assert_eq!(with(&constant("i64", 80)), None);
        let quantizer = r#"<layer id="1" type="FakeQuantize"/>"#;
        assert_eq!(
            with(&format!("{single}{quantizer}")),
            Some(StoredPrecision::Int8)
        );
    }
}
