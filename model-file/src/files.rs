//! What every engine checks of a model's files before its runtime sees them.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use backend_api::{Error, ErrorKind};
use prost::Message as _;
use prost::bytes::Bytes;

use crate::onnx;

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
    pub bytes: Bytes,
    /// Where its tensors' external data are: the location as the model writes it, and the file in its folder.
    pub external_data: Vec<(String, PathBuf)>,
    /// What the file says.
    pub model: onnx::Model,
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
    let bytes = Bytes::from(fs::read(model).map_err(unreadable)?);
    let proto = onnx::Model::decode(bytes.clone())
        .map_err(|source| invalid(model, "the model is not an ONNX file").with_source(source))?;
    let mut locations = Vec::new();
    proto.for_each_tensor(&mut |tensor| {
        locations.extend(
            tensor
                .external("location")
                .map(|location| onnx::text(location).into_owned()),
        );
    });
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
        bytes,
        model: proto,
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

#[cfg(test)]
mod tests {
    use super::*;

    use crate::onnx::{Attribute, Graph, Model, Node, StringStringEntry, Tensor};

    /// A model with weights at `location`, inside a graph inside an attribute.
    fn nested(location: &str) -> Model {
        let tensor = Tensor {
            external_data: vec![StringStringEntry {
                key: Some("location".into()),
                value: Some(location.to_owned().into()),
            }],
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
            graph: Some(graph),
            ..Model::default()
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
