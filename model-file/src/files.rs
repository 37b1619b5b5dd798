//! Checks of a model's files before an engine's runtime sees them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use backend_api::{Error, ErrorKind, ModelSource};
use prost::Message as _;
use prost::bytes::Bytes;

use crate::foreign::Foreign;
use crate::format::{Format, not_regular, read_regular};
use crate::{external, functions, ir, onnx, ports, tflite};

/// The graph of a `SavedModel`, in its directory.
pub const SAVED_MODEL: &str = "saved_model.pb";
/// The largest ONNX file: no Protocol Buffer is larger.
pub const MOST_ONNX_BYTES: u64 = 2 << 30;
/// The largest TensorFlow Lite model. The `FlatBuffer` has at most 2 GiB; the values may lie after it.
pub const MOST_TFLITE_BYTES: u64 = 8 << 30;

/// Checks the files of `model`, each engine's in the same way, by their content and whatever they are called.
///
/// Every file has to be regular. A TensorFlow graph must not have a checkpoint next to it. The external data of an ONNX model must be in the model's directory (see
/// [`file_beside`](crate::file_beside)), and each tensor within its file. The weights of an IR must be within the
/// `.bin` next to it. Engines check less, read other files or memory of the process, or crash; and their messages for
/// a missing file do not name it.
///
/// Returns the files that the model consists of: itself, the weights of an IR, the external data of an ONNX model,
/// the parameters of a Paddle model, all files of a TensorFlow `SavedModel`. A model in memory has none: it has to be
/// ONNX without external data, or an IR with its weights.
///
/// # Errors
///
/// [`ErrorKind::ModelNotFound`], [`ErrorKind::ModelInvalid`] and [`ErrorKind::ModelUnsupported`], naming the file;
/// [`ErrorKind::InvalidConfig`] for weights next to an ONNX model in memory.
pub fn check(model: impl Into<ModelSource>) -> Result<Vec<PathBuf>, Error> {
    let source = model.into();
    let format = format(&source)?;
    let model = match &source {
        ModelSource::Path(model) => model,
        ModelSource::Bytes { model, weights } => {
            if format == Format::Ir {
                ir::check_bytes(model, weights.as_deref())?;
            } else {
                read_onnx(&source)?;
            }
            return Ok(Vec::new());
        }
    };
    // OpenVINO tries other front ends only for other names.
    let is_tensorflow_last = match format {
        Format::Onnx => is_called(model, "onnx"),
        Format::Ir => is_called(model, "xml"),
        Format::TensorflowLite => is_called(model, "tflite"),
        Format::Paddle => is_called(model, "pdmodel"),
        Format::SavedModel => true,
        Format::Tensorflow => false,
    };
    if !is_tensorflow_last {
        reject_checkpoint(model)?;
    }
    let mut files = vec![model.clone()];
    match format {
        Format::SavedModel => return saved_model(model),
        Format::Ir => files.push(ir::check(model)?),
        Format::Paddle => {
            // A model need not have parameters.
            let parameters = model.with_extension("pdiparams");
            if fs::exists(&parameters).unwrap_or(true) {
                regular(&parameters)?;
                files.push(parameters);
            }
        }
        Format::Tensorflow => {}
        Format::TensorflowLite => check_tflite(model)?,
        Format::Onnx => {
            let external_data = read_onnx(&source)?.external_data;
            files.extend(external_data.into_iter().map(|(_, file)| file));
        }
    }
    Ok(files)
}

/// Lists the files that `model` names, whether or not it passes [`check`]: a program must not write to the weights of
/// a damaged model either. Files that cannot be found out, such as those in a damaged header, are missing.
pub fn named_files(model: &Path) -> Vec<PathBuf> {
    if let Ok(files) = check(model) {
        return files;
    }
    let mut files = vec![model.to_path_buf()];
    files.extend(["bin", "pdiparams"].map(|ending| model.with_extension(ending)));
    let proto = read_regular(model, MOST_ONNX_BYTES)
        .ok()
        .and_then(|bytes| onnx::Model::decode(bytes.as_slice()).ok());
    if let Some(proto) = proto {
        proto.for_each_tensor(&mut |tensor| {
            if let Some(location) = tensor.external("location") {
                files.push(model.with_file_name(onnx::text(location).as_ref()));
            }
        });
    }
    files.sort();
    files.dedup();
    files
}

/// Returns the format of `model`, detected by its content.
///
/// # Errors
///
/// [`ErrorKind::ModelNotFound`] if it is neither a regular file nor a TensorFlow `SavedModel`,
/// [`ErrorKind::ModelInvalid`] for a [`Foreign`] file, [`ErrorKind::ModelUnsupported`] for a model in memory that is
/// certainly neither ONNX nor an IR.
pub fn format(model: impl Into<ModelSource>) -> Result<Format, Error> {
    let model = model.into();
    if let ModelSource::Path(model) = &model {
        regular_or_saved_model(model)?;
    }
    if let Some(foreign) = Foreign::of(&model) {
        let error = invalid_source(&model, format!("the model is {foreign}"));
        return Err(error.with_hint(foreign.hint()));
    }
    match model {
        ModelSource::Path(model) => Format::of(&model)
            .map_err(|source| missing(&model, "the model cannot be read").with_source(source)),
        ModelSource::Bytes { model, .. } => match Format::of_bytes(&model, Path::new("")) {
            known @ (Format::Onnx | Format::Ir) => Ok(known),
            other => Err(Error::new(
                ErrorKind::ModelUnsupported,
                format!(
                    "only ONNX and OpenVINO IR can be read from memory, not {}",
                    other.name()
                ),
            )
            .with_hint("write the model to a file, and open the file")),
        },
    }
}

fn regular_or_saved_model(model: &Path) -> Result<(), Error> {
    let metadata = fs::metadata(model)
        .map_err(|source| missing(model, "the model cannot be read").with_source(source))?;
    if metadata.is_file() || metadata.is_dir() && model.join(SAVED_MODEL).is_file() {
        return Ok(());
    }
    if metadata.is_dir() {
        let hint = match &models_in(model)[..] {
            [only] => format!("give the model in it, \"{}\"", only.display()),
            _ => "name the .xml or .onnx file in it; only a TensorFlow SavedModel is a directory, with a \
                  `saved_model.pb`"
                .to_owned(),
        };
        return Err(missing(model, "the model is a directory, not a file").with_hint(hint));
    }
    let error = missing(model, "the model is not a regular file");
    Err(error.with_hint("copy it to a file first"))
}

/// Returns the files in a directory that have the ending of a model.
fn models_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_model = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| ["onnx", "xml", "tflite", "pdmodel"].contains(&ending))
    };
    entries.map(|entry| entry.path()).filter(is_model).collect()
}

/// A pipe would be waited for, and a device never ends. The error names a web page or a Git LFS pointer instead of
/// weights.
pub(crate) fn regular(file: &Path) -> Result<u64, Error> {
    let checked = fs::metadata(file).and_then(|metadata| {
        if metadata.is_file() {
            Ok(metadata.len())
        } else {
            Err(not_regular())
        }
    });
    let size = checked.map_err(|source| {
        missing(file, "a file of the model cannot be read").with_source(source)
    })?;
    check_weights(file)?;
    Ok(size)
}

/// Rejects a web page or a Git LFS pointer instead of weights.
pub(crate) fn check_weights(file: &Path) -> Result<(), Error> {
    let Some(foreign) = Foreign::of_weights(file) else {
        return Ok(());
    };
    let message = format!("a file of the model is {foreign}");
    let error = Error::new(ErrorKind::ModelInvalid, message).with_context("file", file.display());
    Err(error.with_hint(foreign.hint()))
}

/// Rejects a graph with a checkpoint next to it. OpenVINO would take it for the values of a `MetaGraph`, whatever the file
/// is called, and open the files of the checkpoint itself.
fn reject_checkpoint(model: &Path) -> Result<(), Error> {
    let text = model.to_string_lossy();
    // OpenVINO cuts the path at its last dot, even at that of a directory.
    let stem = text.rsplit_once('.').map_or(&*text, |(stem, _)| stem);
    let indexes = [
        PathBuf::from(format!("{stem}.index")),
        model.with_extension("index"),
    ];
    let Some(index) = indexes
        .iter()
        .find(|index| index.symlink_metadata().is_ok())
    else {
        return Ok(());
    };
    let message = "the model may be a TensorFlow MetaGraph, whose checkpoint is not read";
    let error = Error::new(ErrorKind::ModelUnsupported, message)
        .with_context("checkpoint", index.display())
        .with_context("model", model.display());
    Err(error.with_hint(
        "convert a MetaGraph with OpenVINO's `ovc`, and give its .xml; move another model to another directory, or give \
         its file the ending of its format, such as .onnx",
    ))
}

fn check_tflite(model: &Path) -> Result<(), Error> {
    let unreadable = |source| missing(model, "the model cannot be read").with_source(source);
    let bytes = read_regular(model, MOST_TFLITE_BYTES).map_err(unreadable)?;
    if tflite::Graph::read(&bytes).is_none() {
        let error = invalid(model, "the TensorFlow Lite file is damaged or cut short");
        return Err(error.with_hint("export or download it again"));
    }
    tflite::check_buffers(&bytes).map_err(|message| invalid(model, message))
}

/// An ONNX model that was checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OnnxModel {
    /// The content of the file.
    pub bytes: Bytes,
    /// The external data of its tensors: the location as the model writes it, and the file in its directory.
    pub external_data: Vec<(String, PathBuf)>,
    /// The parsed content of the file.
    pub model: onnx::Model,
}

/// Does [`check`] for an engine that reads ONNX alone. Whatever the file is called, it has to be an ONNX model.
///
/// # Errors
///
/// The errors of [`check`], and [`ErrorKind::ModelUnsupported`] for the formats that only OpenVINO reads; the hint
/// names the ONNX file next to it if there is one, and otherwise ends with the alternative `or_else`.
pub fn check_onnx(
    model: impl Into<ModelSource>,
    engine: &str,
    or_else: Option<&str>,
) -> Result<OnnxModel, Error> {
    let source = model.into();
    let format = format(&source)?;
    if format == Format::Onnx {
        return read_onnx(&source);
    }
    // The file itself may be called so.
    let sibling = source.path().map(|model| model.with_extension("onnx"));
    let sibling = sibling
        .filter(|file| self::format(file.as_path()).is_ok_and(|format| format == Format::Onnx));
    let hint = if let Some(sibling) = sibling {
        format!(
            "there is an ONNX file next to it: {:?}",
            sibling.to_string_lossy()
        )
    } else {
        let or_else = or_else.map(|what| format!(", or {what}"));
        let or_else = or_else.unwrap_or_default();
        format!("give an ONNX file of the same model{or_else}")
    };
    Err(Error::new(
        ErrorKind::ModelUnsupported,
        format!("{engine} reads ONNX files, not {}", format.name()),
    )
    .with_context("model", source)
    .with_hint(hint))
}

/// Returns its graph, and the optional directories `variables` and `assets`.
fn saved_model(model: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable =
        |source: io::Error| missing(model, "the model cannot be read").with_source(source);
    let mut files = Vec::new();
    for name in ["", "variables", "assets"] {
        let directory = model.join(name);
        if !directory.is_dir() {
            continue;
        }
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_dir() {
                continue;
            }
            regular(&path)?;
            files.push(path);
        }
    }
    files.sort();
    check_variables(model)?;
    Ok(files)
}

/// Checks that a `SavedModel` with variables has their values. OpenVINO would name a variable, not the file.
fn check_variables(model: &Path) -> Result<(), Error> {
    const VARIABLE: &[u8] = b"VarHandleOp";
    let graph = model.join(SAVED_MODEL);
    let bytes = read_regular(&graph, MOST_ONNX_BYTES)
        .map_err(|source| missing(&graph, "the model cannot be read").with_source(source))?;
    let has_variables = bytes
        .windows(VARIABLE.len())
        .any(|window| window == VARIABLE);
    let index = model.join("variables").join("variables.index");
    if !has_variables || index.is_file() {
        return Ok(());
    }
    let error = missing(&index, "the values of the model's variables are missing");
    Err(error
        .with_hint("get the whole directory of the SavedModel, with its subdirectory `variables`"))
}

/// Returns whether the file's name ends in `.ending`, in this case.
fn is_called(model: &Path, ending: &str) -> bool {
    model
        .extension()
        .is_some_and(|extension| extension == ending)
}

/// Returns whether the file's name ends in `.ending`, ignoring case.
pub fn has_ending(model: &Path, ending: &str) -> bool {
    model
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

pub(crate) fn missing(path: &Path, message: &str) -> Error {
    Error::new(ErrorKind::ModelNotFound, message).with_context("file", path.display())
}

pub(crate) fn invalid(model: &Path, message: impl Into<String>) -> Error {
    invalid_source(&ModelSource::from(model), message)
}

fn invalid_source(model: &ModelSource, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ModelInvalid, message).with_context("model", model)
}

/// Reads an ONNX model and checks its external data.
fn read_onnx(source: &ModelSource) -> Result<OnnxModel, Error> {
    decode_onnx(source).map_err(|error| {
        let weights = source.path().filter(|model| has_ending(model, "bin"));
        let structure = weights.map(|weights| weights.with_extension("xml"));
        match structure.filter(|structure| structure.is_file()) {
            Some(structure) => {
                let message = "these are the weights of an IR model, not the model itself";
                invalid_source(source, message)
                    .with_hint(format!("give {:?}", structure.to_string_lossy()))
            }
            None => error,
        }
    })
}

fn read_bytes(source: &ModelSource) -> Result<Bytes, Error> {
    match source {
        ModelSource::Path(model) => {
            let bytes = read_regular(model, MOST_ONNX_BYTES).map_err(|source| {
                if source.kind() == io::ErrorKind::FileTooLarge {
                    invalid(model, "the ONNX file is too large")
                        .with_source(source)
                        .with_hint("save large weights as external data")
                } else {
                    missing(model, "the model cannot be read").with_source(source)
                }
            })?;
            Ok(Bytes::from(bytes))
        }
        ModelSource::Bytes {
            weights: Some(_), ..
        } => Err(Error::new(
            ErrorKind::InvalidConfig,
            "weights are given, but an ONNX model contains its weights",
        )
        .with_context("model", source)
        .with_hint("leave the weights out")),
        ModelSource::Bytes { model, .. } => Ok(Bytes::from_owner(Arc::clone(model))),
    }
}

fn decode_onnx(source: &ModelSource) -> Result<OnnxModel, Error> {
    let bytes = read_bytes(source)?;
    let invalid = |message: &str| invalid_source(source, message);
    let path = source.path();
    let is_called_onnx = source.path().is_none_or(|path| has_ending(path, "onnx"));
    let unknown = |source: Option<prost::DecodeError>| {
        let error = if is_called_onnx {
            invalid("the model is not an ONNX file, or damaged or cut short")
                .with_hint("export or download it again")
        } else if let Some(directory) = saved_model_of(&bytes, path) {
            invalid("the model is the graph of a TensorFlow SavedModel, which is a directory")
                .with_hint(format!(
                    "give the directory {:?}",
                    directory.to_string_lossy()
                ))
        } else {
            invalid("the file is not a model in a known format").with_hint(
                "give an ONNX file, an OpenVINO IR (.xml), a TensorFlow Lite file (.tflite), a TensorFlow graph \
                 (.pb) or SavedModel (its directory), or a Paddle model (.pdmodel)",
            )
        };
        match source {
            Some(source) => error.with_source(source),
            None => error,
        }
    };
    let proto = onnx::Model::decode(bytes.clone()).map_err(|source| unknown(Some(source)))?;
    let Some(graph) = &proto.graph else {
        return Err(unknown(None));
    };
    ports::check(source, graph)?;
    functions::check(&proto).map_err(|message| {
        invalid(&message).with_hint("export the model without functions, or download it again")
    })?;
    let external_data = match source {
        ModelSource::Path(model) => external::check(model, &proto)?,
        ModelSource::Bytes { .. } => {
            external::reject_external(source, &proto)?;
            Vec::new()
        }
    };
    Ok(OnnxModel {
        external_data,
        bytes,
        model: proto,
    })
}

/// Returns the directory of a `SavedModel`, if `bytes` of the file at `path` are its graph.
fn saved_model_of<'a>(bytes: &[u8], path: Option<&'a Path>) -> Option<&'a Path> {
    let path = path.filter(|path| path.file_name().is_some_and(|name| name == SAVED_MODEL))?;
    // The version of the schema, 1, and the first of its graphs.
    bytes
        .starts_with(b"\x08\x01\x12")
        .then(|| match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_model_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        assert_eq!(
            check(at("none.onnx")).unwrap_err().kind(),
            ErrorKind::ModelNotFound
        );
        let error = check(directory.path()).unwrap_err();
        assert!(error.to_string().contains("directory"), "{error}");
        assert!(
            error
                .hint()
                .unwrap()
                .starts_with("name the .xml or .onnx file")
        );
        fs::write(at("m.xml"), b"<net/>").unwrap();
        let error = check(directory.path()).unwrap_err();
        let only = format!("give the model in it, \"{}\"", at("m.xml").display());
        assert_eq!(error.hint(), Some(&only[..]));
        let error = check(at("m.xml")).unwrap_err();
        assert!(error.to_string().contains("m.bin"), "{error}");
        fs::write(at("m.bin"), [0; 4]).unwrap();
        let error = check(at("m.bin")).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("m.xml")));
        for (name, said) in [("m.onnx", "not an ONNX file"), ("m.dat", "known format")] {
            for (bytes, said) in [
                (&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], said),
                (b"", "an empty file"),
                (b"RTEN\x02", "an RTen file"),
                (b"<!doctype html><html>", "an HTML page"),
            ] {
                fs::write(at(name), bytes).unwrap();
                let error = check(at(name)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ModelInvalid);
                assert!(error.to_string().contains(said), "{error}");
                let same = check_onnx(at(name), "RTen", None).unwrap_err();
                assert_eq!(same.to_string(), error.to_string());
            }
        }
        fs::write(at("m.onnx"), b"\x08\x08").unwrap();
        // Other formats: the engine knows.
        fs::write(at("m.pdmodel"), b"\x0a\x00").unwrap();
        assert_eq!(check(at("m.pdmodel")).unwrap().len(), 1);
        fs::write(at("m.pdiparams"), b"").unwrap();
        assert_eq!(check(at("m.pdmodel")).unwrap().len(), 2);
        let lite = include_bytes!("../../tests/data/lite.tflite");
        fs::write(at("m.tflite"), lite).unwrap();
        check(at("m.tflite")).unwrap();
        fs::write(at("m.TFLITE"), lite).unwrap();
        let error = check(at("m.TFLITE")).unwrap_err();
        assert!(error.to_string().contains("of another name"), "{error}");
        fs::write(at("short.tflite"), &lite[..lite.len() / 2]).unwrap();
        let error = check(at("short.tflite")).unwrap_err();
        assert!(error.to_string().contains("cut short"), "{error}");
        fs::write(at("m.xml"), b"<net/>").unwrap();
        fs::write(at("m.bin"), b"version https://git-lfs.x/\nsize 9\n").unwrap();
        let error = check(at("m.xml")).unwrap_err();
        assert!(error.to_string().contains("LFS pointer"), "{error}");
        let refused = |name: &str, or_else| check_onnx(at(name), "RTen", or_else).unwrap_err();
        let error = refused("m.tflite", None);
        assert!(error.to_string().contains("not TensorFlow Lite"), "{error}");
        assert!(error.hint().unwrap().contains("next to it"), "{error}");
        // A file called `.onnx` is not an ONNX file next to itself.
        fs::write(at("t.onnx"), b"\x0a\x00").unwrap();
        let error = refused("t.onnx", None);
        assert!(error.to_string().contains("not TensorFlow"), "{error}");
        assert_eq!(error.hint(), Some("give an ONNX file of the same model"));
        let error = refused("t.onnx", Some("use another engine"));
        assert!(error.hint().unwrap().ends_with(", or use another engine"));
    }

    #[test]
    fn models_in_memory_are_checked_like_files() {
        let memory = |bytes: &[u8]| ModelSource::from_bytes(bytes);
        let with_weights = |model: &[u8], weights: &[u8]| ModelSource::Bytes {
            model: model.into(),
            weights: Some(weights.into()),
        };
        // An empty graph.
        let onnx = &b"\x08\x08\x3a\x00"[..];
        assert!(check(memory(onnx)).unwrap().is_empty());
        let bytes = check_onnx(memory(onnx), "RTen", None).unwrap().bytes;
        assert_eq!(bytes, onnx);
        let error = check(with_weights(onnx, b"w")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
        for damaged in [&b""[..], b"\x08\x08", b"RTEN\x02", b"{\"a\": 1}"] {
            let error = check(memory(damaged)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelInvalid, "{error}");
            assert!(error.to_string().contains("bytes in memory"), "{error}");
        }
        let error = check(memory(b"\x0a\x00")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelUnsupported, "{error}");
        assert!(error.to_string().contains("not TensorFlow"), "{error}");
        let ir = br#"<net><layers><layer name="c" type="Const"><data element_type="f32" offset="0" size="16"/></layer></layers></net>"#;
        check(with_weights(ir, &[0; 16])).unwrap();
        let error = check(with_weights(ir, &[0; 15])).unwrap_err();
        assert!(error.to_string().contains("15 bytes"), "{error}");
        let error = check(memory(ir)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelInvalid, "{error}");
        assert!(error.hint().unwrap().contains(".bin"), "{error:?}");
        let error = check_onnx(memory(ir), "RTen", Some("use another engine")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelUnsupported, "{error}");
        assert!(error.hint().unwrap().ends_with("use another engine"));
    }

    #[test]
    fn a_saved_model_is_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("variables")).unwrap();
        fs::write(directory.path().join("saved_model.pb"), b"\x08\x01").unwrap();
        fs::write(directory.path().join("variables/variables.index"), b"").unwrap();
        assert_eq!(check(directory.path()).unwrap().len(), 2);
        assert_eq!(format(directory.path()).unwrap(), Format::SavedModel);
        let graph = directory.path().join(SAVED_MODEL);
        fs::write(&graph, b"\x08\x01\x12\x0fx..VarHandleOp..").unwrap();
        let error = check(&graph).unwrap_err();
        let hint = error.hint().unwrap();
        assert!(
            hint.contains(&format!("{:?}", directory.path().to_string_lossy())),
            "{hint}"
        );
        check(directory.path()).unwrap();
        fs::remove_file(directory.path().join("variables/variables.index")).unwrap();
        let error = check(directory.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelNotFound);
        assert!(error.to_string().contains("variables.index"), "{error}");
    }

    #[test]
    fn a_graph_with_a_checkpoint_is_refused_under_every_name() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("in.ner");
        fs::create_dir(&inner).unwrap();
        // Information on a MetaGraph, and its graph.
        let graph = b"\x0a\x07*\x05serve\x12\x12\x0a\x10\x0a\x01x\x12\x0bPlaceholder";
        let onnx = b"\x08\x08\x3a\x00";
        for (name, content, index) in [
            ("m.meta", &graph[..], "in.ner/m.index"),
            ("m.pb", graph, "in.ner/m.index"),
            ("m.pbtxt", graph, "in.ner/m.index"),
            ("m.onnx", graph, "in.ner/m.index"),
            ("m.ckpt.meta", graph, "in.ner/m.ckpt.index"),
            ("m", graph, "in.ner/m.index"),
            ("m", graph, "in.index"),
            ("m.pb", onnx, "in.ner/m.index"),
        ] {
            let (model, index) = (inner.join(name), directory.path().join(index));
            fs::write(&model, content).unwrap();
            check(&model).unwrap();
            // Whatever it is: a link to nothing may be one to a pipe when it is opened.
            fs::write(&index, b"").unwrap();
            let error = check(&model).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelUnsupported, "{name}: {error}");
            let text = error.to_string();
            assert!(text.contains(&*index.to_string_lossy()), "{text}");
            assert!(error.hint().unwrap().contains("`ovc`"));
            fs::remove_file(&index).unwrap();
            fs::remove_file(&model).unwrap();
        }
        // The front end of ONNX reads it.
        fs::write(inner.join("m.onnx"), onnx).unwrap();
        fs::write(inner.join("m.index"), b"").unwrap();
        check(inner.join("m.onnx")).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn pipes_are_refused_wherever_a_model_may_have_them() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let pipe = |name: &str| {
            let status = std::process::Command::new("mkfifo").arg(at(name)).status();
            assert!(status.unwrap().success());
        };
        pipe("m.onnx");
        fs::write(at("i.xml"), b"<net/>").unwrap();
        pipe("i.bin");
        fs::write(at("p.pdmodel"), b"\x0a\x00").unwrap();
        pipe("p.pdiparams");
        fs::create_dir_all(at("saved/variables")).unwrap();
        fs::write(at("saved/saved_model.pb"), b"\x08\x01").unwrap();
        pipe("saved/variables/variables.index");
        for name in ["m.onnx", "i.xml", "p.pdmodel", "saved"] {
            let error = check(at(name)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelNotFound, "{name}: {error}");
        }
    }
}
