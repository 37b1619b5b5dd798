//! The types of the values in a graph, as far as the file states them.

use std::collections::HashMap;

use prost::bytes::Bytes;

use crate::onnx::{AttributeType, DataType, Graph, Model, Node, Type, ValueInfo};

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A tensor with elements of this type.
    Tensor(DataType),
    /// A sequence, an optional value, a map or a sparse tensor.
    Other,
}

impl Model {
    /// Returns the types of the values of the main graph: declared ones, and those that ONNX's operators infer. Values
    /// of unknown type are omitted.
    pub fn kinds(&self) -> HashMap<Bytes, Kind> {
        self.graph
            .as_ref()
            .map_or_else(HashMap::new, |graph| graph.kinds(&HashMap::new()))
    }
}

impl ValueInfo {
    /// Returns the declared element type, if the value is a tensor.
    pub fn element_type(&self) -> Option<DataType> {
        match kind(self.r#type.as_ref()?)? {
            Kind::Tensor(data_type) => Some(data_type),
            Kind::Other => None,
        }
    }
}

impl Graph {
    fn kinds(&self, outer: &HashMap<Bytes, Kind>) -> HashMap<Bytes, Kind> {
        let mut kinds = outer.clone();
        let declared = self.input.iter().chain(&self.value_info);
        for value in declared.chain(&self.output) {
            if let (Some(name), Some(kind)) = (&value.name, value.r#type.as_ref().and_then(kind)) {
                kinds.insert(name.clone(), kind);
            }
        }
        for tensor in &self.initializer {
            if let (Some(name), Some(kind)) = (&tensor.name, tensor.data_type.and_then(of)) {
                kinds.insert(name.clone(), kind);
            }
        }
        for node in &self.node {
            for (place, output) in node.output.iter().enumerate() {
                if !output.is_empty()
                    && !kinds.contains_key(output)
                    && let Some(kind) = node.kind(place, &kinds)
                {
                    kinds.insert(output.clone(), kind);
                }
            }
        }
        kinds
    }
}

fn of(data_type: i32) -> Option<Kind> {
    DataType::try_from(data_type)
        .ok()
        .filter(|known| *known != DataType::Undefined)
        .map(Kind::Tensor)
}

fn kind(declared: &Type) -> Option<Kind> {
    match &declared.tensor_type {
        Some(tensor) => of(tensor.elem_type?),
        None if *declared == Type::default() => None,
        None => Some(Kind::Other),
    }
}

impl Node {
    /// Returns the type of the output at `place`.
    fn kind(&self, place: usize, known: &HashMap<Bytes, Kind>) -> Option<Kind> {
        if !self.is_onnx() {
            return None;
        }
        let input = |place: usize| known.get(self.input.get(place)?).copied();
        let attribute = |name: &str| {
            let value = self.attribute(name)?.i?;
            of(i32::try_from(value).ok()?)
        };
        let tensor = |data_type| Some(Kind::Tensor(data_type));
        let operator = self.operator();
        match (operator.as_ref(), place) {
            ("Cast", _) => attribute("to"),
            ("CastLike", _) | ("Where", 0) => input(1),
            ("ArgMax" | "ArgMin" | "Shape" | "Size" | "NonZero" | "NonMaxSuppression", _)
            | ("TopK" | "MaxPool", 1)
            | ("Unique", 1..) => tensor(DataType::Int64),
            (
                "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or"
                | "Xor" | "Not" | "IsNaN" | "IsInf" | "OptionalHasElement",
                _,
            )
            | ("Dropout", 1) => tensor(DataType::Bool),
            ("Constant", _) => self.constant(),
            ("ConstantOfShape", _) => match self.attribute("value") {
                Some(value) => of(value.t.as_ref()?.data_type?),
                None => tensor(DataType::Float),
            },
            ("EyeLike", _) => attribute("dtype").or_else(|| input(0)),
            ("RandomNormal" | "RandomUniform", _) => {
                attribute("dtype").or(Some(Kind::Tensor(DataType::Float)))
            }
            ("RandomNormalLike" | "RandomUniformLike", _) => {
                attribute("dtype").or_else(|| input(0))
            }
            ("Multinomial", _) => attribute("dtype").or(Some(Kind::Tensor(DataType::Int32))),
            ("Bernoulli", _) => attribute("dtype").or_else(|| input(0)),
            ("OneHot", _) => input(2),
            ("QuantizeLinear", _) => attribute("output_dtype")
                .or_else(|| input(2))
                .or(Some(Kind::Tensor(DataType::Uint8))),
            ("DequantizeLinear", _) => attribute("output_dtype").or_else(|| input(1)),
            ("DynamicQuantizeLinear", 0 | 2) => tensor(DataType::Uint8),
            ("DynamicQuantizeLinear", 1) => tensor(DataType::Float),
            ("MatMulInteger" | "ConvInteger", _) => tensor(DataType::Int32),
            ("QLinearConv" | "QLinearMatMul", _) => input(7),
            ("If", _) => {
                let branches: Vec<Option<Kind>> = self
                    .bodies()
                    .map(|body| body.output_kind(place, known))
                    .collect();
                branches.into_iter().flatten().next()
            }
            // The body's first output is the condition.
            ("Loop", _) => self.bodies().next()?.output_kind(place + 1, known),
            ("Scan", _) => self.bodies().next()?.output_kind(place, known),
            (
                "SequenceConstruct" | "SequenceEmpty" | "SequenceInsert" | "SequenceErase"
                | "SequenceMap" | "SplitToSequence" | "Optional",
                _,
            ) => Some(Kind::Other),
            // Their element is a tensor of a type that the graph does not show.
            (
                "SequenceAt" | "ConcatFromSequence" | "OptionalGetElement" | "SequenceLength"
                | "TfIdfVectorizer" | "StringNormalizer" | "StringSplit" | "RegexFullMatch"
                | "ImageDecoder" | "StringConcat" | "DFT" | "STFT" | "BlackmanWindow"
                | "HannWindow" | "HammingWindow" | "MelWeightMatrix",
                _,
            ) => None,
            _ => match input(0)? {
                Kind::Other => None,
                kind @ Kind::Tensor(_) => Some(kind),
            },
        }
    }

    fn constant(&self) -> Option<Kind> {
        let value = self.attribute.first()?;
        let name = value.name.as_deref().unwrap_or_default();
        match name {
            b"value" => of(value.t.as_ref()?.data_type?),
            b"value_float" | b"value_floats" => Some(Kind::Tensor(DataType::Float)),
            b"value_int" | b"value_ints" => Some(Kind::Tensor(DataType::Int64)),
            b"value_string" | b"value_strings" => Some(Kind::Tensor(DataType::String)),
            _ if value.r#type == Some(AttributeType::SparseTensor as i32) => {
                of(value.sparse_tensor.as_ref()?.values.as_ref()?.data_type?)
            }
            _ => None,
        }
    }
}

impl Graph {
    fn output_kind(&self, place: usize, outer: &HashMap<Bytes, Kind>) -> Option<Kind> {
        let output = self.output.get(place)?;
        if let Some(kind) = output.r#type.as_ref().and_then(kind) {
            return Some(kind);
        }
        self.kinds(outer).get(output.name.as_ref()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{Attribute, TensorType};

    fn node(operator: &'static str, inputs: &[&'static str], outputs: &[&'static str]) -> Node {
        Node {
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: outputs.iter().map(|name| (*name).into()).collect(),
            op_type: Some(operator.into()),
            ..Node::default()
        }
    }

    #[test]
    fn operators_say_what_they_make() {
        let input = ValueInfo {
            name: Some("x".into()),
            r#type: Some(Type {
                tensor_type: Some(TensorType {
                    elem_type: Some(DataType::Float as i32),
                    shape: None,
                }),
                ..Type::default()
            }),
            ..ValueInfo::default()
        };
        let mut cast = node("Cast", &["index"], &["double"]);
        cast.attribute = vec![Attribute {
            name: Some("to".into()),
            i: Some(DataType::Double as i64),
            ..Attribute::default()
        }];
        // The body captures `double`.
        let body = Graph {
            node: vec![node("Abs", &["double"], &["inside"])],
            output: vec![ValueInfo {
                name: Some("inside".into()),
                ..ValueInfo::default()
            }],
            ..Graph::default()
        };
        let mut branch = node("If", &["found"], &["chosen"]);
        branch.attribute = vec![Attribute {
            g: Some(body),
            ..Attribute::default()
        }];
        let mut custom = node("Relu", &["x"], &["custom"]);
        custom.domain = Some("other".into());
        let graph = Graph {
            input: vec![input],
            node: vec![
                node("Relu", &["x"], &["r"]),
                node("TopK", &["r"], &["best", "index"]),
                node("Greater", &["r", "x"], &["found"]),
                cast,
                branch,
                node("SequenceConstruct", &["x"], &["all"]),
                custom,
            ],
            ..Graph::default()
        };
        let model = Model {
            graph: Some(graph),
            ..Model::default()
        };
        let kinds = model.kinds();
        let of = |name: &'static str| kinds.get(&Bytes::from(name)).copied();
        assert_eq!(of("best"), Some(Kind::Tensor(DataType::Float)));
        assert_eq!(of("index"), Some(Kind::Tensor(DataType::Int64)));
        assert_eq!(of("found"), Some(Kind::Tensor(DataType::Bool)));
        assert_eq!(of("chosen"), Some(Kind::Tensor(DataType::Double)));
        assert_eq!(of("all"), Some(Kind::Other));
        assert_eq!(of("custom"), None);
    }
}
