//! OpenVINO's errors, made readable.

use backend_api::{Error, ErrorKind};
use openvino::InferenceError;

/// Devices that OpenVINO had once. 2022.3.1 LTS is the last release with both.
const REMOVED: [&str; 2] = ["MYRIAD", "HDDL"];

/// What OpenVINO says when a device, not the model, is the problem.
const DEVICE_TROUBLE: [&str; 7] = [
    "is not registered",
    "Cannot load library",
    "no supported devices found",
    "Failed to create plugin",
    "device_id",
    "Device not found",
    "cannot be found in the list of available devices",
];

/// An error of `kind` with OpenVINO's own message as its cause.
pub(crate) fn engine_error(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<String>,
    source: InferenceError,
) -> Error {
    Error::new(kind, operation, message).with_source(source)
}

/// The error for a device that does not exist or cannot be used. `available` are those that can.
pub(crate) fn device_unavailable(device: &str, available: &[String]) -> Error {
    let mut error = Error::new(
        ErrorKind::DeviceUnavailable,
        "compile the model",
        format!("device {device} is not available in OpenVINO"),
    )
    .with_context("available", available.join(", "));
    if let Some(removed) = REMOVED
        .iter()
        .find(|name| device.to_uppercase().contains(*name))
    {
        error = error.with_hint(format!(
            "OpenVINO dropped MYRIAD and HDDL in 2023.0 ({removed} last worked in 2022.3.1 LTS, \
             which is too old for this program); use one of the available devices, for instance \
             `-d {}`",
            first_or_cpu(available)
        ));
    } else if device.eq_ignore_ascii_case("HETERO") {
        error = error
            .with_hint("HETERO needs the devices to divide the model among: `-d HETERO:GPU,CPU`");
    } else {
        error = error.with_hint(format!(
            "use one of the available devices, for instance `-d {}`, or install the driver of \
             {device}",
            first_or_cpu(available)
        ));
    }
    error
}

fn first_or_cpu(available: &[String]) -> &str {
    available.first().map_or("CPU", String::as_str)
}

/// Sorts out why compiling failed: the device or the model.
pub(crate) fn compile_failed(device: &str, available: &[String], source: InferenceError) -> Error {
    let message = source.message.as_deref().unwrap_or_default();
    if DEVICE_TROUBLE.iter().any(|text| message.contains(text)) {
        device_unavailable(device, available).with_source(source)
    } else {
        engine_error(
            ErrorKind::ModelUnsupported,
            "compile the model",
            format!("OpenVINO cannot compile the model for device {device}"),
            source,
        )
    }
}

#[cfg(test)]
mod tests {
    use openvino::InferenceErrorKind;

    use super::*;

    fn said(message: &str) -> InferenceError {
        InferenceError {
            kind: InferenceErrorKind::GeneralError,
            message: Some(message.to_owned()),
        }
    }

    #[test]
    fn removed_devices_say_since_when() {
        let cpu = ["CPU".to_owned()];
        for device in ["MYRIAD", "HDDL", "HETERO:MYRIAD,CPU", "myriad"] {
            let error = compile_failed(
                device,
                &cpu,
                said("Device with \"MYRIAD\" name is not registered in the OpenVINO Runtime"),
            );
            assert_eq!(error.kind(), ErrorKind::DeviceUnavailable);
            assert!(error.to_string().contains("available: CPU"), "{error}");
            assert!(error.hint().unwrap().contains("2023.0"), "{error:?}");
        }
    }

    #[test]
    fn a_model_problem_is_not_blamed_on_the_device() {
        let error = compile_failed(
            "CPU",
            &["CPU".to_owned()],
            said("Unsupported operation: Foo"),
        );
        assert_eq!(error.kind(), ErrorKind::ModelUnsupported);
    }

    #[test]
    fn bare_hetero_says_what_to_write() {
        let error = device_unavailable("HETERO", &["CPU".to_owned()]);
        assert!(
            error.hint().unwrap().contains("HETERO:GPU,CPU"),
            "{error:?}"
        );
    }
}
