//! The schema of ONNX (`onnx.proto3`, IR version 13), complete, so that an edited model keeps all fields.
//!
//! Messages and fields carry ONNX's own names and numbers. Text is bytes here: engines load models whose names are
//! not UTF-8. Bytes are slices of the file's memory, so that reading a model copies no weights. Lists of numbers are
//! written one by one, as onnx.proto (the older of the two schemas) specifies: not every engine reads packed ones.
#![allow(
    missing_docs,
    reason = "the names are those of onnx.proto3, which documents them"
)]

use std::borrow::Cow;

use prost::Message;
use prost::bytes::Bytes;
use prost::encoding::decode_varint;

/// Returns the text in `bytes`; invalid UTF-8 becomes U+FFFD.
pub fn text(bytes: &Bytes) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Returns whether `domain` is the domain of ONNX's own operators.
pub fn is_onnx_domain(domain: &[u8]) -> bool {
    domain.is_empty() || domain == b"ai.onnx"
}

/// `onnx.TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    Undefined = 0,
    Float = 1,
    Uint8 = 2,
    Int8 = 3,
    Uint16 = 4,
    Int16 = 5,
    Int32 = 6,
    Int64 = 7,
    String = 8,
    Bool = 9,
    Float16 = 10,
    Double = 11,
    Uint32 = 12,
    Uint64 = 13,
    Complex64 = 14,
    Complex128 = 15,
    Bfloat16 = 16,
    Float8e4m3fn = 17,
    Float8e4m3fnuz = 18,
    Float8e5m2 = 19,
    Float8e5m2fnuz = 20,
    Uint4 = 21,
    Int4 = 22,
    Float4e2m1 = 23,
    Float8e8m0 = 24,
    Uint2 = 25,
    Int2 = 26,
}

/// `onnx.AttributeProto.AttributeType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    Undefined = 0,
    Float = 1,
    Int = 2,
    String = 3,
    Tensor = 4,
    Graph = 5,
    Floats = 6,
    Ints = 7,
    Strings = 8,
    Tensors = 9,
    Graphs = 10,
    SparseTensor = 11,
    SparseTensors = 12,
    TypeProto = 13,
    TypeProtos = 14,
}

#[derive(Clone, PartialEq, Message)]
pub struct Model {
    #[prost(int64, optional, tag = "1")]
    pub ir_version: Option<i64>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub producer_name: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub producer_version: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub domain: Option<Bytes>,
    #[prost(int64, optional, tag = "5")]
    pub model_version: Option<i64>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub doc_string: Option<Bytes>,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetId>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntry>,
    #[prost(message, repeated, tag = "20")]
    pub training_info: Vec<TrainingInfo>,
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<Function>,
    #[prost(bytes = "bytes", repeated, tag = "26")]
    pub configuration: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetId {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub domain: Option<Bytes>,
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StringStringEntry {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub key: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub value: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TrainingInfo {
    #[prost(message, optional, tag = "1")]
    pub initialization: Option<Graph>,
    #[prost(message, optional, tag = "2")]
    pub algorithm: Option<Graph>,
    #[prost(message, repeated, tag = "3")]
    pub initialization_binding: Vec<StringStringEntry>,
    #[prost(message, repeated, tag = "4")]
    pub update_binding: Vec<StringStringEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Function {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub name: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub input: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub output: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub attribute: Vec<Bytes>,
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<Node>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub doc_string: Option<Bytes>,
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<OperatorSetId>,
    #[prost(bytes = "bytes", optional, tag = "10")]
    pub domain: Option<Bytes>,
    #[prost(message, repeated, tag = "11")]
    pub attribute_proto: Vec<Attribute>,
    #[prost(message, repeated, tag = "12")]
    pub value_info: Vec<ValueInfo>,
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub overload: Option<Bytes>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub name: Option<Bytes>,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    #[prost(bytes = "bytes", optional, tag = "10")]
    pub doc_string: Option<Bytes>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfo>,
    #[prost(bytes = "bytes", repeated, tag = "14")]
    pub quantization_annotation: Vec<Bytes>,
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensor>,
    #[prost(message, repeated, tag = "16")]
    pub metadata_props: Vec<StringStringEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub input: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub output: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub name: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub op_type: Option<Bytes>,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub doc_string: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub domain: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub overload: Option<Bytes>,
    #[prost(message, repeated, tag = "9")]
    pub metadata_props: Vec<StringStringEntry>,
    #[prost(bytes = "bytes", repeated, tag = "10")]
    pub device_configurations: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub name: Option<Bytes>,
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub s: Option<Bytes>,
    #[prost(message, optional, tag = "5")]
    pub t: Option<Tensor>,
    #[prost(message, optional, tag = "6")]
    pub g: Option<Graph>,
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub strings: Vec<Bytes>,
    #[prost(message, repeated, tag = "10")]
    pub tensors: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<Graph>,
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub doc_string: Option<Bytes>,
    #[prost(message, optional, tag = "14")]
    pub tp: Option<Type>,
    #[prost(message, repeated, tag = "15")]
    pub type_protos: Vec<Type>,
    #[prost(enumeration = "AttributeType", optional, tag = "20")]
    pub r#type: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "21")]
    pub ref_attr_name: Option<Bytes>,
    #[prost(message, optional, tag = "22")]
    pub sparse_tensor: Option<SparseTensor>,
    #[prost(message, repeated, tag = "23")]
    pub sparse_tensors: Vec<SparseTensor>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ValueInfo {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub name: Option<Bytes>,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<Type>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub doc_string: Option<Bytes>,
    #[prost(message, repeated, tag = "4")]
    pub metadata_props: Vec<StringStringEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Type {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
    #[prost(message, optional, boxed, tag = "4")]
    pub sequence_type: Option<Box<ElementType>>,
    #[prost(message, optional, boxed, tag = "5")]
    pub map_type: Option<Box<MapType>>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub denotation: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub opaque_type: Option<Bytes>,
    #[prost(message, optional, tag = "8")]
    pub sparse_tensor_type: Option<TensorType>,
    #[prost(message, optional, boxed, tag = "9")]
    pub optional_type: Option<Box<ElementType>>,
}

/// The type in a sequence or an optional value.
#[derive(Clone, PartialEq, Message)]
pub struct ElementType {
    #[prost(message, optional, boxed, tag = "1")]
    pub elem_type: Option<Box<Type>>,
}

#[derive(Clone, PartialEq, Message)]
pub struct MapType {
    #[prost(enumeration = "DataType", optional, tag = "1")]
    pub key_type: Option<i32>,
    #[prost(message, optional, boxed, tag = "2")]
    pub value_type: Option<Box<Type>>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    #[prost(enumeration = "DataType", optional, tag = "1")]
    pub elem_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShape>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub dim_param: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub denotation: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SparseTensor {
    #[prost(message, optional, tag = "1")]
    pub values: Option<Tensor>,
    #[prost(message, optional, tag = "2")]
    pub indices: Option<Tensor>,
    #[prost(int64, repeated, packed = "false", tag = "3")]
    pub dims: Vec<i64>,
}

/// A tensor. Its numbers stay as they are encoded (`float_data` and the like are packed).
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    #[prost(enumeration = "DataType", optional, tag = "2")]
    pub data_type: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub segment: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub float_data: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub int32_data: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub string_data: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub int64_data: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub name: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub raw_data: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "10")]
    pub double_data: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub uint64_data: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "12")]
    pub doc_string: Option<Bytes>,
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntry>,
    #[prost(int32, optional, tag = "14")]
    pub data_location: Option<i32>,
    #[prost(message, repeated, tag = "16")]
    pub metadata_props: Vec<StringStringEntry>,
}

impl Model {
    /// Returns the nodes of the main graph, in the order of the file.
    pub fn nodes(&self) -> &[Node] {
        self.graph.as_ref().map_or(&[], |graph| &graph.node)
    }

    /// Returns the version of ONNX's operators that the main graph is written for; 1 if the model states none.
    pub fn opset(&self) -> i64 {
        opset_of(&self.opset_import)
    }

    /// Calls `visit` for each tensor with a value: initializers and attributes, those of the bodies of `If`, `Loop`
    /// and `Scan`, of functions and of training graphs included.
    pub fn for_each_tensor<'a>(&'a self, visit: &mut impl FnMut(&'a Tensor)) {
        let training = self
            .training_info
            .iter()
            .flat_map(|info| info.initialization.iter().chain(&info.algorithm));
        for graph in self.graph.iter().chain(training) {
            graph.for_each_tensor(visit);
        }
        for function in &self.functions {
            function
                .node
                .iter()
                .flat_map(|node| &node.attribute)
                .chain(&function.attribute_proto)
                .for_each(|attribute| attribute.for_each_tensor(visit));
        }
    }
}

/// Returns the version of ONNX's operators among `imports`; 1 if there is none.
pub fn opset_of(imports: &[OperatorSetId]) -> i64 {
    imports
        .iter()
        .find(|set| is_onnx_domain(set.domain.as_deref().unwrap_or_default()))
        .and_then(|set| set.version)
        .unwrap_or(1)
}

impl Graph {
    fn for_each_tensor<'a>(&'a self, visit: &mut impl FnMut(&'a Tensor)) {
        self.initializer.iter().for_each(&mut *visit);
        for sparse in &self.sparse_initializer {
            sparse.for_each_tensor(visit);
        }
        for attribute in self.node.iter().flat_map(|node| &node.attribute) {
            attribute.for_each_tensor(visit);
        }
    }
}

impl Node {
    /// Returns the operator: `Conv`.
    pub fn operator(&self) -> Cow<'_, str> {
        self.op_type.as_ref().map_or(Cow::Borrowed(""), text)
    }

    /// Returns whether the operator is one of ONNX's own.
    pub fn is_onnx(&self) -> bool {
        is_onnx_domain(self.domain.as_deref().unwrap_or_default())
    }

    /// Returns the attribute called `name`.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attribute
            .iter()
            .find(|attribute| attribute.name.as_deref() == Some(name.as_bytes()))
    }

    /// Returns the graphs in the attributes: the bodies of `If`, `Loop` and `Scan`.
    pub fn bodies(&self) -> impl Iterator<Item = &Graph> {
        self.attribute
            .iter()
            .flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
    }
}

impl Attribute {
    // The decoder limits how deep graphs lie in graphs.
    fn for_each_tensor<'a>(&'a self, visit: &mut impl FnMut(&'a Tensor)) {
        self.t.iter().chain(&self.tensors).for_each(&mut *visit);
        for graph in self.g.iter().chain(&self.graphs) {
            graph.for_each_tensor(visit);
        }
        for sparse in self.sparse_tensor.iter().chain(&self.sparse_tensors) {
            sparse.for_each_tensor(visit);
        }
    }
}

impl SparseTensor {
    fn for_each_tensor<'a>(&'a self, visit: &mut impl FnMut(&'a Tensor)) {
        self.values.iter().chain(&self.indices).for_each(visit);
    }
}

impl Tensor {
    /// Returns the values of a tensor of integers or Booleans of 8 bits or more, however they are stored. `None` for
    /// other types, for values in another file, for those that 64 bits with a sign do not hold, and for damage.
    pub fn integers(&self) -> Option<Vec<i64>> {
        let element_type = self.element_type();
        let values: Vec<i64> = if let Some(raw) = &self.raw_data {
            match element_type {
                DataType::Int8 => each(raw, |bytes| Some(i8::from_le_bytes(bytes).into()))?,
                DataType::Uint8 | DataType::Bool => {
                    each(raw, |bytes| Some(u8::from_le_bytes(bytes).into()))?
                }
                DataType::Int16 => each(raw, |bytes| Some(i16::from_le_bytes(bytes).into()))?,
                DataType::Uint16 => each(raw, |bytes| Some(u16::from_le_bytes(bytes).into()))?,
                DataType::Int32 => each(raw, |bytes| Some(i32::from_le_bytes(bytes).into()))?,
                DataType::Uint32 => each(raw, |bytes| Some(u32::from_le_bytes(bytes).into()))?,
                DataType::Int64 => each(raw, |bytes| Some(i64::from_le_bytes(bytes)))?,
                DataType::Uint64 => each(raw, |bytes| u64::from_le_bytes(bytes).try_into().ok())?,
                _ => return None,
            }
        } else {
            match element_type {
                DataType::Int8
                | DataType::Uint8
                | DataType::Bool
                | DataType::Int16
                | DataType::Uint16
                | DataType::Int32 => varints(&self.int32_data)?,
                DataType::Int64 => varints(&self.int64_data)?,
                DataType::Uint32 | DataType::Uint64 => {
                    let values = varints(&self.uint64_data)?;
                    let fit = values.iter().all(|value| *value >= 0);
                    fit.then_some(values)?
                }
                _ => return None,
            }
        };
        self.is_complete(values.len()).then_some(values)
    }

    /// Returns the values of a tensor of floating-point numbers of 16, 32 or 64 bits, however they are stored. `None`
    /// for other types, for values in another file, and for damage.
    pub fn floats(&self) -> Option<Vec<f32>> {
        let half = |bits: u16| match self.element_type() {
            DataType::Float16 => half::f16::from_bits(bits).to_f32(),
            _ => half::bf16::from_bits(bits).to_f32(),
        };
        let raw = |field: &[Bytes]| {
            self.raw_data
                .clone()
                .unwrap_or_else(|| field.concat().into())
        };
        let values: Vec<f32> = match self.element_type() {
            DataType::Float => each(&raw(&self.float_data), |bytes| {
                Some(f32::from_le_bytes(bytes))
            })?,
            DataType::Double => each(&raw(&self.double_data), |bytes| {
                Some(f64::from_le_bytes(bytes) as f32)
            })?,
            DataType::Float16 | DataType::Bfloat16 => match &self.raw_data {
                Some(raw) => each(raw, |bytes| Some(half(u16::from_le_bytes(bytes))))?,
                None => varints(&self.int32_data)?
                    .into_iter()
                    .map(|bits| u16::try_from(bits).ok().map(half))
                    .collect::<Option<_>>()?,
            },
            _ => return None,
        };
        self.is_complete(values.len()).then_some(values)
    }

    /// Returns whether the file holds as many values as the dimensions require.
    fn is_complete(&self, values: usize) -> bool {
        let mut dims = self.dims.iter();
        let count = dims.try_fold(1_usize, |count, &dim| {
            count.checked_mul(usize::try_from(dim).ok()?)
        });
        self.external_data.is_empty() && count == Some(values)
    }

    /// Returns an entry of the place of the tensor's values, if they are in another file.
    pub fn external(&self, key: &str) -> Option<&Bytes> {
        self.external_data
            .iter()
            .find(|entry| entry.key.as_deref() == Some(key.as_bytes()))
            .and_then(|entry| entry.value.as_ref())
    }
}

/// Returns the values of `N` bytes each.
fn each<T, const N: usize>(raw: &[u8], value: impl Fn([u8; N]) -> Option<T>) -> Option<Vec<T>> {
    let (values, rest) = raw.as_chunks();
    if !rest.is_empty() {
        return None;
    }
    values.iter().map(|bytes| value(*bytes)).collect()
}

/// Reads packed numbers; a negative one has ten bytes.
fn varints(packed: &[Bytes]) -> Option<Vec<i64>> {
    let mut values = Vec::new();
    for bytes in packed {
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            values.push(decode_varint(&mut bytes).ok()?.cast_signed());
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(element_type: DataType, dims: &[i64]) -> Tensor {
        Tensor {
            dims: dims.to_vec(),
            data_type: Some(element_type as i32),
            ..Tensor::default()
        }
    }

    #[test]
    fn integers_are_read_however_they_are_stored() {
        let raw = |element_type, raw: &[u8]| {
            let mut tensor = tensor(element_type, &[2]);
            tensor.raw_data = Some(raw.to_vec().into());
            tensor.integers()
        };
        assert_eq!(raw(DataType::Int8, &[5, 255]), Some(vec![5, -1]));
        assert_eq!(raw(DataType::Uint8, &[5, 255]), Some(vec![5, 255]));
        assert_eq!(raw(DataType::Int16, &[5, 0, 255, 255]), Some(vec![5, -1]));
        assert_eq!(
            raw(
                DataType::Int64,
                &[5_i64.to_le_bytes(), (-1_i64).to_le_bytes()].concat()
            ),
            Some(vec![5, -1])
        );
        assert_eq!(raw(DataType::Uint64, &[255; 16]), None, "too large");
        assert_eq!(raw(DataType::Int32, &[1, 0, 0, 0]), None, "one is missing");
        assert_eq!(raw(DataType::Int32, &[1, 0, 0, 0, 2]), None, "cut");
        assert_eq!(raw(DataType::Float, &[0; 8]), None);
        // 5 and -1, packed.
        let packed = vec![Bytes::from_static(&[
            5, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1,
        ])];
        let mut words = tensor(DataType::Int8, &[2]);
        words.int32_data.clone_from(&packed);
        assert_eq!(words.integers(), Some(vec![5, -1]));
        let mut longs = tensor(DataType::Int64, &[2]);
        longs.int64_data = packed;
        assert_eq!(longs.integers(), Some(vec![5, -1]));
        longs.external_data = vec![StringStringEntry::default()];
        assert_eq!(longs.integers(), None);
    }

    #[test]
    fn floats_are_read_however_they_are_stored() {
        let mut float = tensor(DataType::Float, &[]);
        float.float_data = vec![Bytes::copy_from_slice(&0.5_f32.to_le_bytes())];
        assert_eq!(float.floats(), Some(vec![0.5]));
        float.raw_data = Some(Bytes::copy_from_slice(&2.0_f32.to_le_bytes()));
        assert_eq!(float.floats(), Some(vec![2.0]));
        // 1.5, in 16 bits as a varint.
        let mut half = tensor(DataType::Float16, &[1]);
        half.int32_data = vec![Bytes::from_static(&[0x80, 0x7c])];
        assert_eq!(half.floats(), Some(vec![1.5]));
        half.int32_data.clear();
        half.raw_data = Some(Bytes::from_static(&[0x00, 0x3e]));
        assert_eq!(half.floats(), Some(vec![1.5]));
        assert_eq!(half.integers(), None);
        let mut double = tensor(DataType::Double, &[1]);
        double.raw_data = Some(Bytes::copy_from_slice(&0.25_f64.to_le_bytes()));
        assert_eq!(double.floats(), Some(vec![0.25]));
        double.dims = vec![-1];
        assert_eq!(double.floats(), None);
    }
}
