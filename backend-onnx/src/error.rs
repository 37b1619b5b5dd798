//! ONNX Runtime's errors, sorted into kinds.

use std::any::Any;

use backend_api::{Error, ErrorKind, ModelSource, panic_message};
use ort::ErrorCode;

/// Returns an error of `kind` with ONNX Runtime's own message as its cause.
pub(crate) fn engine_error(
    kind: ErrorKind,
    message: impl Into<String>,
    source: ort::Error,
) -> Error {
    Error::new(kind, message).with_source(source)
}

/// Returns the error for a panic of the binding, caused by a value from the library that the binding does not know.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Error {
    Error::new(
        ErrorKind::EngineUnavailable,
        format!("the ONNX Runtime binding panicked: {}", panic_message(panic)),
    )
    .with_hint(
        "the model may be damaged, or the installed ONNX Runtime too old or too new: 1.31.1 is the tested version",
    )
}

/// Returns the error for a model that ONNX Runtime did not load for the execution provider `provider`.
pub(crate) fn load_failed(model: &ModelSource, provider: &str, source: ort::Error) -> Error {
    if source.message().contains("disable_cpu_ep_fallback")
        || source.message().contains("fallback to CPU EP")
    {
        return engine_error(
            ErrorKind::DeviceUnavailable,
            format!("{provider} cannot run the whole model, and the CPU was not requested"),
            source,
        )
        .with_context("model", model)
        .with_hint("use `device = CPU` to run it there");
    }
    let kind = match source.code() {
        ErrorCode::NoSuchFile => ErrorKind::ModelNotFound,
        ErrorCode::NotImplemented => ErrorKind::ModelUnsupported,
        _ if source.message().contains("is not a registered function/op") => {
            ErrorKind::ModelUnsupported
        }
        _ => ErrorKind::ModelInvalid,
    };
    engine_error(kind, "ONNX Runtime cannot load the model", source).with_context("model", model)
}
