//! Weights of an ONNX model in other files.

use std::path::{Component, Path, PathBuf};

use backend_api::{Error, ErrorKind, ModelSource};
use prost::bytes::Bytes;

use crate::files::{check_weights, invalid, missing};
use crate::format::not_regular;
use crate::onnx::{self, DataType, Tensor};

/// Returns the file that a model names by `location`, a path relative to the model's directory.
///
/// A model is untrusted, and must not make the program read arbitrary files: the location has to be relative, without
/// `..`, and may not leave the directory through a link. If the model itself is a link, as in the
/// caches of Hugging Face, the directory of its target counts as well.
///
/// # Errors
///
/// [`ErrorKind::ModelInvalid`](backend_api::ErrorKind::ModelInvalid) for a location outside of the directory,
/// [`ErrorKind::ModelNotFound`](backend_api::ErrorKind::ModelNotFound) for one where there is no regular file.
pub fn file_beside(model: &Path, location: &str) -> Result<PathBuf, Error> {
    let outside = || {
        invalid(
            model,
            "the model names a file outside its directory, which is not allowed",
        )
        .with_context("location", location.escape_debug())
        .with_hint(
            "put the file into the model's directory, and save the model again with that file name",
        )
    };
    let path = Path::new(location);
    // Backslashes and drives are separators on other systems. With an asterisk ONNX Runtime and OpenVINO mark
    // addresses in their own memory (`*/_ORT_MEM_ADDR_/*`).
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if location.is_empty() || !plain || location.contains(['\\', ':', '\0', '*']) {
        return Err(outside());
    }
    let directory = match model.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let file = directory.join(path);
    let unreadable = |source| {
        missing(&file, "a file that the model names cannot be read")
            .with_context("model", model.display())
            .with_hint("the model consists of several files: put them into one directory")
            .with_source(source)
    };
    let real = file.canonicalize().map_err(unreadable)?;
    let inside = directory.canonicalize().map_err(unreadable)?;
    let target = model.canonicalize().unwrap_or_default();
    let beside_target = target
        .parent()
        .is_some_and(|directory| real.starts_with(directory) && directory.parent().is_some());
    if !real.starts_with(inside) && !beside_target {
        return Err(outside());
    }
    if real.is_file() {
        Ok(real)
    } else {
        Err(unreadable(not_regular()))
    }
}

/// Returns the tensors that are in other files.
fn tensors(proto: &onnx::Model) -> Vec<&Tensor> {
    let mut tensors = Vec::new();
    proto.for_each_tensor(&mut |tensor| {
        // ONNX Runtime and OpenVINO go by `data_location`; older versions by the entries.
        if tensor.data_location.unwrap_or_default() != 0 || !tensor.external_data.is_empty() {
            tensors.push(tensor);
        }
    });
    tensors
}

/// Returns the files that nodes name: execution providers read a compiled model from them.
fn compiled(proto: &onnx::Model) -> impl Iterator<Item = &Bytes> {
    let nodes = proto.nodes().iter();
    let nodes = nodes.filter(|node| node.operator() == "EPContext");
    nodes.filter_map(|node| {
        let mode = node.attribute("embed_mode").and_then(|mode| mode.i);
        let path = node.attribute("ep_cache_context")?.s.as_ref()?;
        (mode == Some(0)).then_some(path)
    })
}

/// Refuses a model in memory that names other files: engines would look for them in the current directory.
pub(crate) fn reject_external(model: &ModelSource, proto: &onnx::Model) -> Result<(), Error> {
    let named = tensors(proto)
        .into_iter()
        .map(|tensor| tensor.external("location").cloned().unwrap_or_default())
        .chain(compiled(proto).cloned())
        .next();
    let Some(location) = named else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::ModelUnsupported,
        "the model is in memory, but needs another file, which is not read",
    )
    .with_context(
        "location",
        onnx::text(&location)
            .escape_debug()
            .take(200)
            .collect::<String>(),
    )
    .with_context("model", model)
    .with_hint("save the model with its weights inside, or open it by its path"))
}

/// Checks that the files of the external data of all tensors in `proto` exist and contain the tensors. Also checks the
/// files of models that were compiled for an execution provider.
///
/// Returns each location as the model writes it, with the file there.
pub(crate) fn check(model: &Path, proto: &onnx::Model) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut files: Vec<(String, PathBuf, u64)> = Vec::new();
    for tensor in tensors(proto) {
        let entries = Entries::of(model, tensor)?;
        let known = files.iter().find(|(known, ..)| *known == entries.location);
        let size = if let Some((.., size)) = known {
            *size
        } else {
            let file = file_beside(model, &entries.location)?;
            let size = std::fs::metadata(&file)
                .map_err(|source| {
                    missing(&file, "the weights of the model cannot be read").with_source(source)
                })?
                .len();
            check_weights(&file)?;
            files.push((entries.location.clone(), file, size));
            size
        };
        entries.check(model, tensor, size)?;
    }
    for path in compiled(proto) {
        let location = onnx::text(path).into_owned();
        let file = file_beside(model, &location)?;
        files.push((location, file, 0));
    }
    files.sort();
    Ok(files
        .into_iter()
        .map(|(location, file, _)| (location, file))
        .collect())
}

/// The entries of a tensor's external data.
pub(crate) struct Entries {
    pub(crate) location: String,
    pub(crate) offset: u64,
    length: Option<u64>,
}

impl Entries {
    pub(crate) fn of(model: &Path, tensor: &Tensor) -> Result<Self, Error> {
        let named = |error: Error| error.with_context("tensor", name(tensor));
        let mut keys: Vec<_> = tensor
            .external_data
            .iter()
            .map(|entry| &entry.key)
            .collect();
        keys.sort();
        // If a key is there several times, engines disagree on which one counts.
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(named(invalid(
                model,
                "the external data of a tensor has a key twice",
            )));
        }
        let location = tensor.external("location").ok_or_else(|| {
            named(invalid(
                model,
                "a tensor is in another file, but the model does not name the file",
            ))
        })?;
        let number = |key: &'static str| {
            let Some(value) = tensor.external(key) else {
                return Ok(None);
            };
            let text = onnx::text(value);
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>()
                .ok()
                .filter(|_| digits)
                .map(Some)
                .ok_or_else(|| {
                    named(invalid(
                        model,
                        format!("the {key} of a tensor's external data is not a number of bytes"),
                    ))
                    .with_context(key, text.escape_debug().take(100).collect::<String>())
                })
        };
        Ok(Self {
            location: onnx::text(location).into_owned(),
            offset: number("offset")?.unwrap_or_default(),
            length: number("length")?,
        })
    }

    /// Checks that a file of `size` bytes contains the tensor, and that its length matches its shape.
    fn check(&self, model: &Path, tensor: &Tensor, size: u64) -> Result<(), Error> {
        let Self { offset, length, .. } = *self;
        let wrong = |message: String| {
            invalid(model, message)
                .with_context("tensor", name(tensor))
                .with_context("file", self.location.escape_debug())
                .with_hint("the files do not belong together, or are damaged: get both again")
        };
        let needed = byte_size(tensor)
            .ok_or_else(|| wrong("a tensor in another file has no valid size".to_owned()))?;
        let Some(rest) = size.checked_sub(offset) else {
            return Err(wrong(format!(
                "a tensor begins at byte {offset} of a file of {size} bytes"
            )));
        };
        if let Some(length) = length
            && length != needed
        {
            return Err(wrong(format!(
                "the model says that a tensor has {length} bytes in another file, but its shape and type need {needed}"
            )));
        }
        if needed > rest {
            return Err(wrong(format!(
                "a tensor of {needed} bytes begins at byte {offset} of a file of {size} bytes"
            )));
        }
        Ok(())
    }
}

fn name(tensor: &Tensor) -> String {
    let name = tensor.name.as_ref().map(onnx::text).unwrap_or_default();
    name.escape_debug().take(200).collect()
}

/// Returns the size of a tensor's values; `None` if the dimensions are negative or too large, or the type has no size.
pub(crate) fn byte_size(tensor: &Tensor) -> Option<u64> {
    let bits = tensor.element_type().bits()?;
    let mut elements = 1_u64;
    for &dim in &tensor.dims {
        elements = elements.checked_mul(u64::try_from(dim).ok()?)?;
    }
    Some(elements.checked_mul(bits)?.div_ceil(8))
}

impl Tensor {
    /// Returns the element type; `Undefined` for types that this schema does not know.
    pub fn element_type(&self) -> DataType {
        DataType::try_from(self.data_type.unwrap_or_default()).unwrap_or(DataType::Undefined)
    }
}

impl DataType {
    /// Bits of an element; `None` for text and for no type.
    pub const fn bits(self) -> Option<u64> {
        Some(match self {
            Self::Undefined | Self::String => return None,
            Self::Uint2 | Self::Int2 => 2,
            Self::Uint4 | Self::Int4 | Self::Float4e2m1 => 4,
            Self::Uint8
            | Self::Int8
            | Self::Bool
            | Self::Float8e4m3fn
            | Self::Float8e4m3fnuz
            | Self::Float8e5m2
            | Self::Float8e5m2fnuz
            | Self::Float8e8m0 => 8,
            Self::Uint16 | Self::Int16 | Self::Float16 | Self::Bfloat16 => 16,
            Self::Float | Self::Int32 | Self::Uint32 => 32,
            Self::Int64 | Self::Uint64 | Self::Double | Self::Complex64 => 64,
            Self::Complex128 => 128,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use prost::Message as _;

    use super::*;
    use crate::check as check_files;
    use crate::onnx::{Attribute, Graph, Model, Node, StringStringEntry};

    fn entry(key: &str, value: &str) -> StringStringEntry {
        StringStringEntry {
            key: Some(key.to_owned().into()),
            value: Some(value.to_owned().into()),
        }
    }

    /// Four f32 values in another file, inside a graph inside an attribute.
    fn nested(entries: &[(&str, &str)]) -> Model {
        let tensor = Tensor {
            name: Some("w".into()),
            dims: vec![4],
            data_type: Some(DataType::Float as i32),
            data_location: Some(1),
            external_data: entries.iter().map(|(k, v)| entry(k, v)).collect(),
            ..Tensor::default()
        };
        let inner = Graph {
            initializer: vec![tensor],
            ..Graph::default()
        };
        let attribute = Attribute {
            g: Some(inner),
            ..Attribute::default()
        };
        let graph = Graph {
            node: vec![Node {
                attribute: vec![attribute],
                ..Node::default()
            }],
            ..Graph::default()
        };
        Model {
            ir_version: Some(8),
            graph: Some(graph),
            ..Model::default()
        }
    }

    #[test]
    fn external_data_stay_in_the_directory_of_the_model() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("models");
        fs::create_dir_all(directory.join("parts")).unwrap();
        fs::create_dir_all(directory.join("*/_ORT_MEM_ADDR_")).unwrap();
        fs::write(directory.join("*/_ORT_MEM_ADDR_/*"), [0; 16]).unwrap();
        fs::write(root.path().join("secret"), [0; 16]).unwrap();
        fs::write(directory.join("parts/w.bin"), [0; 16]).unwrap();
        let secret = root.path().join("secret");
        #[cfg(unix)]
        std::os::unix::fs::symlink(&secret, directory.join("link")).unwrap();
        for name in [
            "m.onnx",
            "m.pb",
            "m.bin",
            "m",
            "M.ONNX",
            "m.tflite",
            "m.pdmodel",
            "m.xml",
        ] {
            let model = directory.join(name);
            let try_with = |location: &str| {
                fs::write(&model, nested(&[("location", location)]).encode_to_vec()).unwrap();
                check_files(&model)
            };
            assert_eq!(try_with("parts/w.bin").unwrap().len(), 2, "{name}");
            try_with("./parts/w.bin").unwrap();
            for location in [
                "../secret",
                secret.to_str().unwrap(),
                "parts/../../secret",
                "",
                "..\\secret",
                "C:secret",
                "*/_ORT_MEM_ADDR_/*",
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
            let error = try_with("parts").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelNotFound, "{error}");
            fs::remove_file(&model).unwrap();
        }
    }

    #[test]
    fn a_model_in_memory_names_no_files() {
        // The current directory of the test has this file.
        let location = "Cargo.toml";
        assert!(Path::new(location).is_file());
        let refused = |model: &Model| {
            let error = check_files(ModelSource::from_bytes(model.encode_to_vec())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelUnsupported, "{error}");
            error.to_string()
        };
        let text = refused(&nested(&[("location", location)]));
        assert!(text.contains("location: Cargo.toml"), "{text}");
        // An entry without a location is rejected as well: engines treat it differently.
        refused(&nested(&[]));
        refused(&compiled_model(location, 0));
        let inside = compiled_model("bytes, not a path", 1);
        check_files(ModelSource::from_bytes(inside.encode_to_vec())).unwrap();
    }

    #[test]
    fn a_tensor_lies_within_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("m.pb");
        fs::write(directory.path().join("w"), [0; 24]).unwrap();
        let try_with = |entries: &[(&str, &str)]| {
            let mut all = vec![("location", "w")];
            all.extend(entries);
            fs::write(&model, nested(&all).encode_to_vec()).unwrap();
            check_files(&model)
        };
        for good in [
            &[][..],
            &[("offset", "8")],
            &[("offset", "8"), ("length", "16")],
            &[("length", "16"), ("checksum", "x")],
        ] {
            try_with(good).unwrap();
        }
        for (bad, said) in [
            (&[("offset", "9")][..], "byte 9"),
            (&[("offset", "25")], "byte 25"),
            (
                &[("offset", "18446744073709551615"), ("length", "16")],
                "byte 184",
            ),
            (&[("offset", "94096587472896")], "byte 940"),
            (&[("offset", "99999999999999999999")], "not a number"),
            (&[("offset", "-8")], "not a number"),
            (&[("offset", " 8")], "not a number"),
            (&[("offset", "")], "not a number"),
            (&[("length", "15")], "need 16"),
            (&[("length", "17")], "need 16"),
            (&[("length", "0")], "need 16"),
            (&[("length", "+16")], "not a number"),
            (&[("location", "w")], "twice"),
        ] {
            let error = try_with(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelInvalid, "{error}");
            assert!(error.to_string().contains(said), "{bad:?}: {error}");
        }
        fs::write(&model, nested(&[]).encode_to_vec()).unwrap();
        let error = check_files(&model).unwrap_err();
        assert!(error.to_string().contains("does not name"), "{error}");
    }

    /// Returns a model with a node that was compiled for an execution provider.
    fn compiled_model(path: &str, embed_mode: i64) -> Model {
        let attribute = |name: &'static str| Attribute {
            name: Some(name.into()),
            ..Attribute::default()
        };
        let node = Node {
            op_type: Some("EPContext".into()),
            domain: Some("com.microsoft".into()),
            attribute: vec![
                Attribute {
                    i: Some(embed_mode),
                    ..attribute("embed_mode")
                },
                Attribute {
                    s: Some(path.to_owned().into()),
                    ..attribute("ep_cache_context")
                },
            ],
            ..Node::default()
        };
        let graph = Graph {
            node: vec![node],
            ..Graph::default()
        };
        Model {
            graph: Some(graph),
            ..Model::default()
        }
    }

    #[test]
    fn a_compiled_model_stays_in_the_directory_too() {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("m.onnx");
        fs::write(directory.path().join("compiled.bin"), b"x").unwrap();
        let try_with = |path: &str, embed_mode: i64| {
            fs::write(&model, compiled_model(path, embed_mode).encode_to_vec()).unwrap();
            check_files(&model)
        };
        assert_eq!(try_with("compiled.bin", 0).unwrap().len(), 2);
        assert_eq!(try_with("bytes, not a path: ../x", 1).unwrap().len(), 1);
        let error = try_with("../secret", 0).unwrap_err();
        assert!(error.to_string().contains("outside"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_cache_of_links_to_one_directory_is_read() {
        let root = tempfile::tempdir().unwrap();
        let (blobs, snapshot) = (root.path().join("blobs"), root.path().join("snapshot"));
        fs::create_dir(&blobs).unwrap();
        fs::create_dir(&snapshot).unwrap();
        let bytes = nested(&[("location", "model.onnx_data")]).encode_to_vec();
        fs::write(blobs.join("1"), bytes).unwrap();
        fs::write(blobs.join("2"), [0; 16]).unwrap();
        for (target, link) in [("1", "model.onnx"), ("2", "model.onnx_data")] {
            std::os::unix::fs::symlink(blobs.join(target), snapshot.join(link)).unwrap();
        }
        assert_eq!(check_files(snapshot.join("model.onnx")).unwrap().len(), 2);
        fs::write(root.path().join("secret"), [0; 16]).unwrap();
        fs::remove_file(snapshot.join("model.onnx_data")).unwrap();
        let link = snapshot.join("model.onnx_data");
        std::os::unix::fs::symlink(root.path().join("secret"), link).unwrap();
        let error = check_files(snapshot.join("model.onnx")).unwrap_err();
        assert!(error.to_string().contains("outside"), "{error}");
    }
}
