//! OpenVINO's errors, made readable.

use std::any::Any;
use std::fmt;

use backend_api::{Error, ErrorKind, panic_message};
use openvino::InferenceError;

use crate::diagnosis::explain;

/// Parts of OpenVINO's messages when the system denies something, with the next step.
const SHORTAGES: [(&str, &str); 2] = [
    (
        "bad_alloc",
        "give the process more memory, or use a model with a smaller input or batch",
    ),
    (
        "Resource temporarily unavailable",
        "allow the process more threads, or use fewer `threads`",
    ),
];

/// Parts of OpenVINO's messages when a device, not the model, is the problem.
const DEVICE_TROUBLE: [&str; 8] = [
    "is not registered",
    "Cannot load library",
    "no supported devices found",
    "no supported devices can be used",
    "Failed to create plugin",
    "device_id",
    "Device not found",
    "cannot be found in the list of available devices",
];

/// Returns an error of `kind` with OpenVINO's own message as its cause.
pub(crate) fn engine_error(
    kind: ErrorKind,
    message: impl Into<String>,
    source: InferenceError,
) -> Error {
    Error::new(kind, message).with_source(source)
}

/// Returns the error for a panic of the binding, which panics where a runtime lacks a function or answers with an
/// unknown name.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Error {
    Error::new(
        ErrorKind::EngineUnavailable,
        format!("the OpenVINO binding panicked: {}", panic_message(panic)),
    )
    .with_hint(
        "the model may be damaged, or the installed OpenVINO too old or too new: 2026.4.1 is the tested version",
    )
}

/// Returns the error for a value of the configuration that cannot be used.
pub(crate) fn invalid_config(what: &str, value: impl fmt::Display, expected: &str) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        format!("{what} is {value}, but it must be {expected}"),
    )
}

/// Returns the error for a device that does not exist or cannot be used. `available` are those that can.
pub(crate) fn device_unavailable(
    device: &str,
    available: &[String],
    source: InferenceError,
) -> Error {
    let family = |name: &'_ str| name.split('.').next().unwrap_or(name).to_owned();
    let kin: Vec<&str> = available
        .iter()
        .map(String::as_str)
        .filter(|name| family(name) == family(device) && device.contains('.'))
        .collect();
    let why = explain(device, Some(&source));
    let (reason, remedy) = if kin.is_empty() {
        (why.reason, why.remedy)
    } else {
        (
            "no device has this number".to_owned(),
            format!("the available ones are {}", kin.join(", ")),
        )
    };
    let instead = available.first().filter(|name| *name != device);
    let instead = instead.map_or_else(String::new, |name| format!("; or use `device = {name}`"));
    let listed = if available.is_empty() {
        "none".to_owned()
    } else {
        available.join(", ")
    };
    Error::new(
        ErrorKind::DeviceUnavailable,
        format!("device {device} is not available: {reason}"),
    )
    .with_context("available", listed)
    .with_hint(format!("{remedy}{instead}"))
    .with_source(source)
}

/// Sorts out why compiling failed: the device or the model. `leaves` are the devices that may
/// execute.
pub(crate) fn compile_failed(
    device: &str,
    leaves: &[String],
    available: &[String],
    source: InferenceError,
) -> Error {
    let message = source.message.as_deref().unwrap_or_default();
    if DEVICE_TROUBLE.iter().any(|text| message.contains(text)) {
        let culprit = leaves.iter().find(|leaf| message.contains(leaf.as_str()));
        device_unavailable(culprit.map_or(device, String::as_str), available, source)
    } else if let Some((_, hint)) = SHORTAGES.iter().find(|(text, _)| message.contains(text)) {
        engine_error(
            ErrorKind::ResourceExhausted,
            format!("OpenVINO has too little to compile the model for device {device}"),
            source,
        )
        .with_hint(*hint)
    } else {
        engine_error(
            ErrorKind::ModelUnsupported,
            format!("OpenVINO cannot compile the model for device {device}"),
            source,
        )
        .with_hint("`devices()` lists other devices; an ONNX model may run with `backend-onnx`")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use openvino::InferenceErrorKind;

    use super::*;

    pub(crate) fn said(message: &str) -> InferenceError {
        InferenceError {
            kind: InferenceErrorKind::GeneralError,
            message: Some(message.to_owned()),
        }
    }

    #[test]
    fn shortages_are_not_the_models_fault() {
        for (message, word) in [
            ("std::bad_alloc", "memory"),
            (
                "plugin.cpp:54:\nResource temporarily unavailable",
                "threads",
            ),
        ] {
            let error = compile_failed("CPU", &["CPU".to_owned()], &[], said(message));
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
            assert!(error.hint().unwrap().contains(word), "{error:?}");
        }
    }

    #[test]
    fn removed_devices_say_since_when() {
        let cpu = ["CPU".to_owned()];
        for device in ["MYRIAD", "HETERO:MYRIAD,CPU"] {
            let error = compile_failed(
                device,
                &["MYRIAD".to_owned(), "CPU".to_owned()],
                &cpu,
                said("Device with \"MYRIAD\" name is not registered in the OpenVINO Runtime"),
            );
            assert_eq!(error.kind(), ErrorKind::DeviceUnavailable);
            assert!(error.to_string().contains("available: CPU"), "{error}");
            assert!(error.to_string().contains("2023.0"), "{error}");
            assert!(error.hint().unwrap().contains("device = CPU"), "{error:?}");
        }
    }

    #[test]
    fn a_model_problem_is_not_blamed_on_the_device() {
        let cpu = ["CPU".to_owned()];
        let error = compile_failed("CPU", &cpu, &cpu, said("Unsupported operation: Foo"));
        assert_eq!(error.kind(), ErrorKind::ModelUnsupported);
    }
}
