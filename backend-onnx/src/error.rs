//! ONNX Runtime's errors, sorted into kinds.

use std::path::Path;

use backend_api::{Error, ErrorKind};
use ort::ErrorCode;

/// An error of `kind` with ONNX Runtime's own message as its cause.
pub(crate) fn engine_error(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<String>,
    source: ort::Error,
) -> Error {
    Error::new(kind, operation, message).with_source(source)
}

/// The error for a model that ONNX Runtime did not load.
pub(crate) fn load_failed(model: &Path, source: ort::Error) -> Error {
    let kind = match source.code() {
        ErrorCode::NoSuchFile => ErrorKind::ModelNotFound,
        ErrorCode::NotImplemented => ErrorKind::ModelUnsupported,
        _ if source.message().contains("is not a registered function/op") => {
            ErrorKind::ModelUnsupported
        }
        _ => ErrorKind::ModelInvalid,
    };
    engine_error(
        kind,
        "load the model",
        "ONNX Runtime cannot load the model",
        source,
    )
    .with_context("model", model.display())
}

/// The error for a model in a format that OpenVINO reads and ONNX Runtime does not.
pub(crate) fn not_onnx(model: &Path) -> Error {
    let error = Error::new(
        ErrorKind::ModelUnsupported,
        "load the model",
        "ONNX Runtime reads ONNX files, not this format",
    )
    .with_context("model", model.display());
    let sibling = model.with_extension("onnx");
    if sibling.is_file() {
        error.with_hint(format!(
            "there is an ONNX file beside it: `-m {}`",
            sibling.display()
        ))
    } else {
        error.with_hint("give an ONNX file of the same model, or use `--backend openvino`")
    }
}

/// The error for a device that this engine does not serve.
pub(crate) fn device_unavailable(device: &str) -> Error {
    Error::new(
        ErrorKind::DeviceUnavailable,
        "load the model",
        format!("device {device} is not available in ONNX Runtime"),
    )
    .with_context("available", "CPU")
    .with_hint("use `-d CPU`, or `--backend openvino` for OpenVINO's devices")
}
