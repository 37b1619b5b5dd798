//! The precision of ONNX models.

use std::collections::{HashMap, HashSet};

use super::{MOST_STEPS, StoredPrecision, Weights, is_share};
use crate::onnx::{DataType, Model, Node, Tensor};

impl Weights {
    /// Adds the weights of an ONNX model, and its operators with weights.
    pub(super) fn add_onnx(&mut self, model: &Model) {
        let mut quantized = HashSet::new();
        let mut integers_are_weights = false;
        for (index, scope) in scopes(model).into_iter().enumerate() {
            for node in scope.nodes {
                if has_weights(node) {
                    self.add_operator(scope.takes_quantized(node));
                }
                if !quantizes(node) && !dequantizes(node) {
                    continue;
                }
                let operator = node.operator();
                for (input, name) in node.input.iter().enumerate() {
                    let Some((tensor, _)) = scope.constant(name) else {
                        // A body and a function may take the weights from outside.
                        integers_are_weights |=
                            index > 0 && !scope.producers.contains_key(&name[..]);
                        continue;
                    };
                    let is_integer = integer_name(tensor.element_type()).is_some();
                    if is_integer || input == 0 && operator == "QuantizeLinear" {
                        quantized.insert(std::ptr::from_ref(tensor));
                    }
                }
            }
        }
        model.for_each_tensor(&mut |tensor| {
            let elements = elements(tensor);
            let is_quantized = quantized.contains(&std::ptr::from_ref(tensor));
            match tensor.element_type() {
                _ if is_quantized => self.add(StoredPrecision::Int8, elements),
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
}

/// The nodes of one graph or function, and where its values come from.
pub(super) struct Scope<'a> {
    pub(super) nodes: &'a [Node],
    producers: HashMap<&'a [u8], &'a Node>,
    initializers: HashMap<&'a [u8], &'a Tensor>,
}

/// Returns the main graph, then all bodies and functions.
pub(super) fn scopes(model: &Model) -> Vec<Scope<'_>> {
    let functions = model.functions.iter().map(|function| &function.node[..]);
    let main = model.graph.iter();
    let mut open: Vec<(&[Node], &[Tensor])> = main
        .map(|graph| (&graph.node[..], &graph.initializer[..]))
        .chain(functions.map(|nodes| (nodes, &[][..])))
        .collect();
    let mut next = 0;
    while let Some((nodes, _)) = open.get(next).copied() {
        let bodies = nodes.iter().flat_map(Node::bodies);
        open.extend(bodies.map(|body| (&body.node[..], &body.initializer[..])));
        next += 1;
    }
    open.into_iter()
        .map(|(nodes, initializers)| Scope::of(nodes, initializers))
        .collect()
}

impl<'a> Scope<'a> {
    fn of(nodes: &'a [Node], initializers: &'a [Tensor]) -> Self {
        Self {
            nodes,
            producers: nodes
                .iter()
                .flat_map(|node| node.output.iter().map(move |output| (&output[..], node)))
                .collect(),
            initializers: initializers
                .iter()
                .map(|tensor| (tensor.name.as_deref().unwrap_or_default(), tensor))
                .collect(),
        }
    }

    /// Returns the tensor that the constant `name` is made of, and the type in which it is used if that is another one.
    pub(super) fn constant(&self, name: &[u8]) -> Option<(&'a Tensor, Option<DataType>)> {
        let (mut name, mut to) = (name, None);
        for _ in 0..MOST_STEPS {
            if let Some(tensor) = self.initializers.get(name) {
                return Some((*tensor, to));
            }
            let node = *self.producers.get(name)?;
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
    }

    /// Returns the type that the values `name`, which depend on the image, were rounded to, if they were.
    pub(super) fn rounded(&self, name: &[u8]) -> Option<&'static str> {
        let mut name = name;
        for _ in 0..MOST_STEPS {
            let node = *self.producers.get(name)?;
            match &*node.operator() {
                "DynamicQuantizeLinear" => return integer_name(DataType::Uint8),
                "QuantizeLinear" => {
                    let zero_point = node.input.get(2).and_then(|name| self.constant(name));
                    let by_zero_point = zero_point.map(|(tensor, _)| tensor.element_type());
                    let stated = node.attribute("output_dtype").and_then(|to| to.i);
                    let stated = stated.and_then(|to| DataType::try_from(to as i32).ok());
                    return integer_name(by_zero_point.or(stated).unwrap_or(DataType::Uint8));
                }
                // They keep the steps.
                "DequantizeLinear" | "Identity" | "Transpose" | "Reshape" | "Flatten"
                | "Squeeze" | "Unsqueeze" | "Relu" | "Clip" | "MaxPool" | "Cast" => {}
                _ => return None,
            }
            name = node.input.first()?;
        }
        None
    }

    /// Returns whether an operator with weights takes values or weights that are rounded to integers.
    fn takes_quantized(&self, node: &Node) -> bool {
        is_integer(node)
            || node.input.iter().any(|input| match self.constant(input) {
                Some((tensor, to)) => {
                    integer_name(to.unwrap_or_else(|| tensor.element_type())).is_some()
                }
                None => self.rounded(input).is_some(),
            })
    }
}

pub(super) fn has_weights(node: &Node) -> bool {
    [
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
    .contains(&&*node.operator())
}

/// Returns whether the operator itself computes with integers.
pub(super) fn is_integer(node: &Node) -> bool {
    quantizes(node) || dequantizes(node) || node.operator() == "QAttention"
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

/// Returns the type that integers of few bits are computed in.
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
    /// A type counts if operators with at least a tenth of the weights' elements compute in it: the weights have it, or
    /// the values are rounded to it before. The types of the model's input and output say nothing:
    /// exporters put a `Cast` at either end.
    pub fn computed_types(&self) -> Vec<&'static str> {
        let mut types: HashMap<&'static str, u64> = HashMap::new();
        let mut all = 0_u64;
        for scope in scopes(self) {
            scope.add_computed(&mut types, &mut all);
        }
        types.retain(|_, elements| is_share(*elements, all));
        if types.is_empty() {
            // The weights of functions are in the main graph.
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

impl Scope<'_> {
    /// Adds the elements of the weights of each operator to the types that it computes in, and to `all`.
    fn add_computed(&self, types: &mut HashMap<&'static str, u64>, all: &mut u64) {
        for node in self.nodes.iter().filter(|node| has_weights(node)) {
            let is_integer = is_integer(node);
            let mut weights = 0;
            let mut integers = HashSet::new();
            for input in &node.input {
                let Some((tensor, to)) = self.constant(input) else {
                    integers.extend(self.rounded(input));
                    continue;
                };
                let element_type = to.unwrap_or_else(|| tensor.element_type());
                let elements = elements(tensor);
                if let Some(name) = integer_name(element_type) {
                    integers.insert(name);
                } else if let Some(name) = float_name(element_type) {
                    // Scales of quantized operators are not weights.
                    if is_integer {
                        continue;
                    }
                    let sum = types.entry(name).or_default();
                    *sum = sum.saturating_add(elements);
                } else {
                    continue;
                }
                weights = elements.saturating_add(weights);
            }
            *all = all.saturating_add(weights);
            for name in integers {
                let sum = types.entry(name).or_default();
                *sum = sum.saturating_add(weights);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{Attribute, Graph};

    fn tensor(name: &str, element_type: DataType, elements: i64) -> Tensor {
        Tensor {
            name: Some(name.to_owned().into()),
            data_type: Some(element_type as i32),
            dims: vec![elements],
            ..Tensor::default()
        }
    }

    fn node(operator: &str, inputs: &[&str], output: &str) -> Node {
        Node {
            op_type: Some(operator.to_owned().into()),
            input: inputs.iter().map(|&name| name.to_owned().into()).collect(),
            output: vec![output.to_owned().into()],
            ..Node::default()
        }
    }

    fn cast(input: &str, output: &str, to: DataType) -> Node {
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
        // A table of bytes is not a quantization.
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
    fn one_quantizer_does_not_make_a_model_int8() {
        let with = |pairs: usize| {
            let mut nodes = Vec::new();
            for layer in 0..20 {
                let of = |name: &str| format!("{name}{layer}");
                let mut input = of("x");
                if layer < pairs {
                    nodes.push(node("QuantizeLinear", &[&of("x"), "s"], &of("q")));
                    nodes.push(node("DequantizeLinear", &[&of("q"), "s"], &of("d")));
                    input = of("d");
                }
                nodes.push(node("Conv", &[&input, "w"], &format!("x{}", layer + 1)));
            }
            model(
                nodes,
                vec![
                    tensor("w", DataType::Float, 90),
                    tensor("s", DataType::Float, 1),
                    // A table of bytes.
                    tensor("t", DataType::Uint8, 900),
                ],
            )
        };
        for (pairs, is_quantized) in [(0, false), (1, false), (2, true), (20, true)] {
            let model = with(pairs);
            let (stored_as, types) = if is_quantized {
                (StoredPrecision::Int8, &["f32", "u8"][..])
            } else {
                (StoredPrecision::F32, &["f32"][..])
            };
            assert_eq!(stored(&model), Some(stored_as), "{pairs}");
            assert_eq!(model.computed_types(), types, "{pairs}");
        }
        // After all operators with weights.
        let scores = model(
            vec![
                node("Gemm", &["x", "w"], "g"),
                node("QuantizeLinear", &["g", "s"], "q"),
                node("DequantizeLinear", &["q", "s"], "y"),
            ],
            vec![
                tensor("w", DataType::Float, 90),
                tensor("s", DataType::Float, 1),
            ],
        );
        assert_eq!(stored(&scores), Some(StoredPrecision::F32));
        assert_eq!(scores.computed_types(), ["f32"]);
    }

    #[test]
    fn float_weights_that_pass_through_a_quantizer_are_int8() {
        let model = model(
            vec![
                node("QuantizeLinear", &["w", "s"], "q"),
                node("DequantizeLinear", &["q", "s"], "d"),
                node("MatMul", &["x", "d"], "y"),
            ],
            vec![
                tensor("w", DataType::Float, 90),
                tensor("s", DataType::Float, 1),
            ],
        );
        assert_eq!(stored(&model), Some(StoredPrecision::Int8));
        assert_eq!(model.computed_types(), ["i8"]);
    }
}
