//! RTen's errors, sorted into kinds.

use std::path::Path;

use backend_api::{Error, ErrorKind};
use rten::{LoadError, LoadErrorKind};

/// The error for a model that RTen did not load.
pub(crate) fn load_failed(model: &Path, source: LoadError) -> Error {
    let kind = match source.kind() {
        LoadErrorKind::IoError => ErrorKind::ModelNotFound,
        // An operator, an attribute or an element type that it does not have.
        LoadErrorKind::OperatorInvalid => ErrorKind::ModelUnsupported,
        _ => ErrorKind::ModelInvalid,
    };
    Error::new(kind, "load the model", "RTen cannot load the model")
        .with_context("model", model.display())
        .with_hint("try it with `--backend onnx`, which has more operators and element types")
        .with_source(source)
}
