//! The schema of ONNX (`onnx.proto3`, IR version 13), complete, so that an edited model loses nothing.
//!
//! Messages and fields carry ONNX's own names and numbers. Text is bytes here: engines load models whose names are
//! not UTF-8. Bytes are slices of the file's memory, so that reading a model copies no weights. Lists of numbers are
//! written one by one, as onnx.proto (the older of the two schemas) says: not every engine reads packed ones.
#![allow(
    missing_docs,
    reason = "the names are those of onnx.proto3, which documents them"
)]

use std::borrow::Cow;

use prost::Message;
use prost::bytes::Bytes;

/// The text in `bytes`; what is not UTF-8 becomes U+FFFD.
pub fn text(bytes: &Bytes) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Returns whether `domain` is that of ONNX's own operators.
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
    /// The nodes of the main graph, in the order of the file.
    pub fn nodes(&self) -> &[Node] {
        self.graph.as_ref().map_or(&[], |graph| &graph.node)
    }

    /// The version of ONNX's operators that the main graph is written for; 1 if the model states none.
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

/// The version of ONNX's operators among `imports`; 1 if there is none.
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
    /// The operator: `Conv`.
    pub fn operator(&self) -> Cow<'_, str> {
        self.op_type.as_ref().map_or(Cow::Borrowed(""), text)
    }

    /// Returns whether the operator is one of ONNX's own.
    pub fn is_onnx(&self) -> bool {
        is_onnx_domain(self.domain.as_deref().unwrap_or_default())
    }

    /// The attribute called `name`.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attribute
            .iter()
            .find(|attribute| attribute.name.as_deref() == Some(name.as_bytes()))
    }

    /// The graphs in the attributes: the bodies of `If`, `Loop` and `Scan`.
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
    /// Returns an entry of the tensor's external data, if its values are in another file.
    pub fn external(&self, key: &str) -> Option<&Bytes> {
        self.external_data
            .iter()
            .find(|entry| entry.key.as_deref() == Some(key.as_bytes()))
            .and_then(|entry| entry.value.as_ref())
    }
}
