//! What every engine checks of a model's files before its runtime sees them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use prost::Message;

use crate::{Error, ErrorKind};

/// Protocol Buffers, which ONNX files are, cannot be larger.
const MOST_ONNX_BYTES: u64 = 2 << 30;

/// Checks that `model` is a file that can be read, that an IR (`.xml`) has its weights (`.bin`)
/// beside it, and that the external data of an ONNX file lie in its own folder.
///
/// Engines' own messages for a missing file do not say which one is missing. And a model that
/// anybody may have sent must not make an engine read whatever file it names: the location of
/// external data has to be relative, without `..`, and may not leave the folder through a link.
///
/// Returns the files that the model consists of: itself, the weights of an IR, the external data of
/// an ONNX file, the parameters of a Paddle model, everything in a TensorFlow `SavedModel`.
///
/// # Errors
///
/// [`ErrorKind::ModelNotFound`] and [`ErrorKind::ModelInvalid`], naming the file.
pub fn check(model: &Path) -> Result<Vec<PathBuf>, Error> {
    let metadata = fs::metadata(model)
        .map_err(|source| missing(model, "the model cannot be read").with_source(source))?;
    if metadata.is_dir() {
        // TensorFlow's SavedModel is a folder.
        if model.join("saved_model.pb").is_file() {
            return saved_model(model)
                .map_err(|source| missing(model, "the model cannot be read").with_source(source));
        }
    }
    regular(model, &metadata)?;
    let structure = model.with_extension("xml");
    if has_ending(model, "bin") && structure.is_file() {
        return Err(Error::new(
            ErrorKind::ModelInvalid,
            "find the model",
            "these are the weights of an IR model, not the model itself",
        )
        .with_context("model", model.display())
        .with_hint(format!("give `{}`", structure.display())));
    }
    let mut files = vec![model.to_path_buf()];
    if has_ending(model, "xml") {
        let weights = model.with_extension("bin");
        if let Err(source) = fs::metadata(&weights) {
            return Err(missing(&weights, "the weights of the model cannot be read")
                .with_hint("an IR model is two files: put the .bin beside the .xml")
                .with_source(source));
        }
        files.push(weights);
    }
    if has_ending(model, "pdmodel") {
        // Paddle's parameters; a model need not have any.
        let parameters = model.with_extension("pdiparams");
        files.extend(Some(parameters).filter(|path| path.is_file()));
    }
    if has_ending(model, "onnx") {
        let external_data = read_onnx(model)?.external_data;
        files.extend(external_data.into_iter().map(|(_, file)| file));
    }
    Ok(files)
}

/// A pipe would be waited for, and a device never ends.
fn regular(model: &Path, metadata: &fs::Metadata) -> Result<(), Error> {
    if metadata.is_file() {
        return Ok(());
    }
    if metadata.is_dir() {
        let error = missing(model, "the model is a folder, not a file");
        return Err(error.with_hint("name the .xml or .onnx file in it"));
    }
    let error = missing(model, "the model is not a regular file");
    Err(error.with_hint("copy it to a file first"))
}

/// An ONNX model that was checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OnnxModel {
    /// The file.
    pub bytes: Vec<u8>,
    /// Where its tensors' external data are: the location as the model writes it, and the file in its folder.
    pub external_data: Vec<(String, PathBuf)>,
    /// The operators of the main graph, in the order of the file.
    pub operators: Vec<Operator>,
}

/// A node of an ONNX graph.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operator {
    /// The node's name, if it has one.
    pub name: String,
    /// What it does: `Conv`.
    pub op_type: String,
    /// The version of ONNX's operators that the model is written for, or 0 for those of another domain.
    pub opset: i64,
    /// The names of its inputs.
    pub inputs: Vec<String>,
    /// Attributes that are whole numbers, one or several.
    pub ints: BTreeMap<String, Vec<i64>>,
    /// Attributes that are text.
    pub texts: BTreeMap<String, String>,
}

/// [`check`] for an engine that reads ONNX alone: whatever the file is called, it has to be an ONNX model.
///
/// # Errors
///
/// Those of [`check`], and [`ErrorKind::ModelUnsupported`] for the formats that OpenVINO reads; the hint
/// names the `.onnx` beside the file if there is one.
pub fn check_onnx(model: &Path, engine: &str) -> Result<OnnxModel, Error> {
    let is_another = model.exists()
        && ["xml", "tflite", "pdmodel"]
            .iter()
            .any(|ending| has_ending(model, ending))
        || model.join("saved_model.pb").is_file();
    if !is_another {
        return read_onnx(model);
    }
    let sibling = model.with_extension("onnx");
    let hint = if sibling.is_file() {
        format!(
            "there is an ONNX file beside it: `-m {}`",
            sibling.display()
        )
    } else {
        "give an ONNX file of the same model, or use `--backend openvino`".to_owned()
    };
    Err(Error::new(
        ErrorKind::ModelUnsupported,
        "load the model",
        format!("{engine} reads ONNX files, not this format"),
    )
    .with_context("model", model.display())
    .with_hint(hint))
}

/// Its graph, and the folders `variables` and `assets` that it may have.
fn saved_model(model: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in ["", "variables", "assets"] {
        let folder = model.join(folder);
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(folder)? {
            files.extend(Some(entry?.path()).filter(|path| path.is_file()));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether the file's name ends in `.ending`, in whatever case.
pub fn has_ending(model: &Path, ending: &str) -> bool {
    model
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

fn missing(path: &Path, message: &str) -> Error {
    Error::new(ErrorKind::ModelNotFound, "read the model", message)
        .with_context("file", path.display())
}

fn invalid(model: &Path, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ModelInvalid, "read the model", message)
        .with_context("model", model.display())
}

/// The ONNX file at `model`, with its external data checked.
fn read_onnx(model: &Path) -> Result<OnnxModel, Error> {
    let unreadable =
        |source: io::Error| missing(model, "the model cannot be read").with_source(source);
    let metadata = fs::metadata(model).map_err(unreadable)?;
    regular(model, &metadata)?;
    let size = metadata.len();
    if size > MOST_ONNX_BYTES {
        return Err(invalid(
            model,
            format!("the ONNX file has {size} bytes, more than {MOST_ONNX_BYTES}"),
        )
        .with_hint("save large weights as external data"));
    }
    let bytes = fs::read(model).map_err(unreadable)?;
    let proto = ModelProto::decode(bytes.as_slice())
        .map_err(|source| invalid(model, "the model is not an ONNX file").with_source(source))?;
    let mut locations = Vec::new();
    proto.collect(&mut locations);
    locations.sort();
    locations.dedup();
    let folder = match model.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let external_data = locations
        .into_iter()
        .map(|location| {
            let file = external_file(model, folder, &location)?;
            Ok((location, file))
        })
        .collect::<Result<_, Error>>()?;
    Ok(OnnxModel {
        operators: proto.operators(),
        bytes,
        external_data,
    })
}

fn external_file(model: &Path, folder: &Path, location: &str) -> Result<PathBuf, Error> {
    let outside = || {
        invalid(
            model,
            "the model's weights lie outside of its folder, which is refused",
        )
        .with_context("location", location.escape_debug())
        .with_hint("save the model again with its external data beside it")
    };
    let path = Path::new(location);
    // Backslashes and drives are separators on other systems.
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if location.is_empty() || !plain || location.contains(['\\', ':', '\0']) {
        return Err(outside());
    }
    let file = folder.join(path);
    let unreadable = |source| {
        missing(&file, "the weights of the model cannot be read")
            .with_hint("an ONNX model with external data is several files: put them together")
            .with_source(source)
    };
    let real = file.canonicalize().map_err(unreadable)?;
    let inside = folder.canonicalize().map_err(unreadable)?;
    if !real.starts_with(inside) {
        return Err(outside());
    }
    if real.is_file() {
        Ok(real)
    } else {
        Err(missing(&file, "the weights of the model are not a file"))
    }
}

// The messages of onnx.proto3 that lead to external data or say what operators do, and those in which an
// engine could stumble over a length that is not true. All other fields, weights included, are
// skipped without being copied. Field numbers are ONNX's.

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringStringEntryProto>,
    #[prost(message, repeated, tag = "20")]
    training_info: Vec<TrainingInfoProto>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionProto>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetIdProto {
    #[prost(bytes = "vec", tag = "1")]
    domain: Vec<u8>,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct TrainingInfoProto {
    #[prost(message, optional, tag = "1")]
    initialization: Option<GraphProto>,
    #[prost(message, optional, tag = "2")]
    algorithm: Option<GraphProto>,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionProto {
    #[prost(message, repeated, tag = "7")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "11")]
    attribute_proto: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "13")]
    value_info: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializer: Vec<SparseTensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfoProto {
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorTypeProto>,
    #[prost(message, optional, boxed, tag = "4")]
    sequence: Option<Box<ElementTypeProto>>,
    #[prost(message, optional, tag = "8")]
    sparse_tensor: Option<TensorTypeProto>,
    #[prost(message, optional, boxed, tag = "9")]
    optional: Option<Box<ElementTypeProto>>,
}

#[derive(Clone, PartialEq, Message)]
struct ElementTypeProto {
    #[prost(message, optional, boxed, tag = "1")]
    elem_type: Option<Box<TypeProto>>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorTypeProto {
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, Message)]
struct DimensionProto {}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(bytes = "vec", repeated, tag = "1")]
    input: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "3")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    op_type: Vec<u8>,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
    #[prost(bytes = "vec", tag = "7")]
    domain: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(int64, optional, tag = "3")]
    i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    s: Option<Vec<u8>>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(message, optional, tag = "5")]
    t: Option<TensorProto>,
    #[prost(message, optional, tag = "6")]
    g: Option<GraphProto>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<GraphProto>,
    #[prost(message, optional, tag = "22")]
    sparse_tensor: Option<SparseTensorProto>,
    #[prost(message, repeated, tag = "23")]
    sparse_tensors: Vec<SparseTensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct SparseTensorProto {
    #[prost(message, optional, tag = "1")]
    values: Option<TensorProto>,
    #[prost(message, optional, tag = "2")]
    indices: Option<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<StringStringEntryProto>,
}

#[derive(Clone, PartialEq, Message)]
struct StringStringEntryProto {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

impl ModelProto {
    fn operators(&self) -> Vec<Operator> {
        let version = self
            .opset_import
            .iter()
            .find(|set| is_onnx(&set.domain))
            .map_or(1, |set| set.version);
        let nodes = self.graph.iter().flat_map(|graph| &graph.node);
        nodes.map(|node| node.operator(version)).collect()
    }

    fn collect(&self, locations: &mut Vec<String>) {
        if let Some(graph) = &self.graph {
            graph.collect(locations);
        }
        for info in &self.training_info {
            for graph in info.initialization.iter().chain(&info.algorithm) {
                graph.collect(locations);
            }
        }
        for function in &self.functions {
            for node in &function.node {
                node.collect(locations);
            }
            for attribute in &function.attribute_proto {
                attribute.collect(locations);
            }
        }
    }
}

impl GraphProto {
    fn collect(&self, locations: &mut Vec<String>) {
        for node in &self.node {
            node.collect(locations);
        }
        for tensor in &self.initializer {
            tensor.collect(locations);
        }
        for tensor in &self.sparse_initializer {
            tensor.collect(locations);
        }
    }
}

/// Whether a domain is that of ONNX's own operators.
fn is_onnx(domain: &[u8]) -> bool {
    domain.is_empty() || domain == b"ai.onnx"
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

impl NodeProto {
    fn operator(&self, version: i64) -> Operator {
        let mut ints = BTreeMap::new();
        let mut texts = BTreeMap::new();
        for attribute in &self.attribute {
            let name = lossy(&attribute.name);
            if let Some(text) = &attribute.s {
                texts.insert(name.clone(), lossy(text));
            }
            let values: Vec<i64> = attribute.i.iter().chain(&attribute.ints).copied().collect();
            if !values.is_empty() {
                ints.insert(name, values);
            }
        }
        Operator {
            name: lossy(&self.name),
            op_type: lossy(&self.op_type),
            opset: if is_onnx(&self.domain) { version } else { 0 },
            inputs: self.input.iter().map(|name| lossy(name)).collect(),
            ints,
            texts,
        }
    }

    fn collect(&self, locations: &mut Vec<String>) {
        for attribute in &self.attribute {
            attribute.collect(locations);
        }
    }
}

impl AttributeProto {
    // The decoder limits how deep graphs lie in graphs.
    fn collect(&self, locations: &mut Vec<String>) {
        for tensor in self.t.iter().chain(&self.tensors) {
            tensor.collect(locations);
        }
        for graph in self.g.iter().chain(&self.graphs) {
            graph.collect(locations);
        }
        for tensor in self.sparse_tensor.iter().chain(&self.sparse_tensors) {
            tensor.collect(locations);
        }
    }
}

impl SparseTensorProto {
    fn collect(&self, locations: &mut Vec<String>) {
        for tensor in self.values.iter().chain(&self.indices) {
            tensor.collect(locations);
        }
    }
}

impl TensorProto {
    fn collect(&self, locations: &mut Vec<String>) {
        let names = self
            .external_data
            .iter()
            .filter(|entry| entry.key == b"location");
        locations.extend(names.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(location: &str) -> TensorProto {
        TensorProto {
            external_data: vec![StringStringEntryProto {
                key: b"location".to_vec(),
                value: location.as_bytes().to_vec(),
            }],
        }
    }

    /// A model with weights at `location`, inside a graph inside an attribute.
    fn nested(location: &str) -> ModelProto {
        let inner = GraphProto {
            initializer: vec![tensor(location)],
            ..GraphProto::default()
        };
        let attribute = AttributeProto {
            g: Some(inner),
            ..AttributeProto::default()
        };
        let graph = GraphProto {
            node: vec![NodeProto {
                attribute: vec![attribute],
                ..NodeProto::default()
            }],
            ..GraphProto::default()
        };
        ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        }
    }

    #[test]
    fn external_data_stay_in_the_models_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("models");
        fs::create_dir_all(folder.join("parts")).unwrap();
        fs::write(root.path().join("secret"), b"x").unwrap();
        fs::write(folder.join("parts/w.bin"), b"x").unwrap();
        let model = folder.join("m.onnx");
        let secret = root.path().join("secret");
        #[cfg(unix)]
        std::os::unix::fs::symlink(&secret, folder.join("link")).unwrap();
        let try_with = |location: &str| {
            fs::write(&model, nested(location).encode_to_vec()).unwrap();
            check(&model)
        };
        try_with("parts/w.bin").unwrap();
        try_with("./parts/w.bin").unwrap();
        for location in [
            "../secret",
            secret.to_str().unwrap(),
            "parts/../../secret",
            "",
            "..\\secret",
            "C:secret",
            #[cfg(unix)]
            "link",
        ] {
            let error = try_with(location).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelInvalid, "{location}: {error}");
            assert!(error.to_string().contains("outside"), "{error}");
        }
        let error = try_with("none.bin").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelNotFound, "{error}");
        assert!(error.to_string().contains("none.bin"), "{error}");
    }

    #[test]
    fn what_is_not_a_model_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(
            check(&at("none.onnx")).unwrap_err().kind(),
            ErrorKind::ModelNotFound
        );
        assert!(
            check(folder.path())
                .unwrap_err()
                .to_string()
                .contains("folder")
        );
        fs::write(at("m.xml"), b"<net/>").unwrap();
        assert!(
            check(&at("m.xml"))
                .unwrap_err()
                .to_string()
                .contains("m.bin")
        );
        fs::write(at("m.bin"), b"").unwrap();
        let error = check(&at("m.bin")).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("m.xml")));
        fs::write(
            at("m.onnx"),
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        )
        .unwrap();
        let error = check(&at("m.onnx")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelInvalid);
        fs::write(at("m.pdmodel"), b"").unwrap();
        assert_eq!(check(&at("m.pdmodel")).unwrap().len(), 1);
        fs::write(at("m.pdiparams"), b"").unwrap();
        assert_eq!(check(&at("m.pdmodel")).unwrap().len(), 2);
        // Another format: the engine knows.
        fs::write(at("m.tflite"), b"").unwrap();
        check(&at("m.tflite")).unwrap();
    }
}
