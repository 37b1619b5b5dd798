//! RTen's errors, sorted into kinds.

use backend_api::{Error, ErrorKind, ModelSource};
use rten::{LoadError, LoadErrorKind};

/// Returns the error for a model that RTen did not load.
pub(crate) fn load_failed(model: &ModelSource, source: LoadError) -> Error {
    let (kind, hint) = match source.kind() {
        // An operator, an attribute or a layout of weights that RTen lacks.
        LoadErrorKind::OperatorInvalid | LoadErrorKind::ExternalDataError => (
            ErrorKind::ModelUnsupported,
            "try it with `backend-onnx`, which has more operators and element types",
        ),
        _ => (
            ErrorKind::ModelInvalid,
            "the file may be damaged, or not ONNX: export or download it again",
        ),
    };
    Error::new(kind, "RTen cannot load the model")
        .with_context("model", model)
        .with_hint(hint)
        .with_source(source)
}
