//! ONNX Runtime's errors, sorted into kinds.

use std::path::Path;

use backend_api::{Error, ErrorKind};
use ort::ErrorCode;

use crate::provider::Provider;

/// An error of `kind` with ONNX Runtime's own message as its cause.
pub(crate) fn engine_error(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<String>,
    source: ort::Error,
) -> Error {
    Error::new(kind, operation, message).with_source(source)
}

/// The error for a model that ONNX Runtime did not load for `provider`.
pub(crate) fn load_failed(model: &Path, provider: &Provider, source: ort::Error) -> Error {
    if source.message().contains("disable_cpu_ep_fallback")
        || source.message().contains("fallback to CPU EP")
    {
        return engine_error(
            ErrorKind::DeviceUnavailable,
            "load the model",
            format!(
                "{} cannot run the whole model, and the CPU is not asked for",
                provider.name
            ),
            source,
        )
        .with_context("model", model.display())
        .with_hint("pass `-d CPU` to run it there");
    }
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
