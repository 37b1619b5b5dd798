//! RTen's errors, sorted into kinds.

use backend_api::{Error, ErrorKind, ModelSource};
use rten::{LoadError, LoadErrorKind};

/// The error for a model that RTen did not load.
pub(crate) fn load_failed(model: &ModelSource, source: LoadError) -> Error {
    // Some exporters put values at any offset of the external file; RTen reads them in place.
    let is_unaligned = source.to_string().contains("incorrect alignment");
    let (kind, hint) = match source.kind() {
        _ if is_unaligned => (
            ErrorKind::ModelUnsupported,
            "RTen needs aligned external data: save the model as one file, as `onnx.save(onnx.load('model.onnx'), \
             'one.onnx')` does, or try it with `backend-onnx`",
        ),
        // An operator, an attribute or a layout of weights that it does not have.
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
