//! The devices and the precision in which a compiled model executes, and whether they are the requested ones.

use std::borrow::Cow;

use backend_api::{BackendInfo, Error, ErrorKind, ModelSource, Precision};
use model_file::StoredPrecision;
use openvino::{CompiledModel, PropertyKey};

use crate::config::OpenvinoConfig;
use crate::configure::precision_properties;
use crate::device_string::{Device, VirtualDevice, same_device};

/// Returns a property of the compiled model, if it has a value.
pub(crate) fn compiled_property(compiled: &CompiledModel, key: &'static str) -> Option<String> {
    let value = compiled
        .get_property(&PropertyKey::Other(Cow::Borrowed(key)))
        .ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Returns the devices on which the model runs, or [`UNKNOWN`] if OpenVINO does not report them: the requested device
/// is not proof. AUTO writes parentheses around a device that runs until another one is ready.
pub(crate) fn execution_devices(compiled: &CompiledModel) -> Vec<String> {
    compiled_property(compiled, "EXECUTION_DEVICES")
        .unwrap_or_else(|| UNKNOWN.to_owned())
        .split([' ', ',', '(', ')'])
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The text for a precision or a device that OpenVINO does not report.
const UNKNOWN: &str = "unknown";

/// Returns the precision in which the model runs, or all precisions, joined by `+`, if its devices differ. The
/// requested precision is not proof: if the compiled model does not report a precision, it is [`UNKNOWN`].
pub(crate) fn executed_precision(compiled: &CompiledModel) -> String {
    const KEY: &str = "INFERENCE_PRECISION_HINT";
    let of_model = || compiled_property(compiled, KEY).map(|value| vec![value]);
    // Virtual devices report the value of each of their devices: `{CPU:{KEY:VALUE,…},GPU:{…}}`.
    let of_devices = || {
        let text = compiled_property(compiled, "DEVICE_PROPERTIES")?;
        let values: Vec<String> = text
            .split(&format!("{KEY}:"))
            .skip(1)
            .filter_map(|rest| Some(rest.split([',', '}']).next()?.trim().to_owned()))
            .collect();
        (!values.is_empty()).then_some(values)
    };
    let mut precisions: Vec<String> = of_model()
        .or_else(of_devices)
        .unwrap_or_default()
        .into_iter()
        .map(short_precision)
        .collect();
    precisions.sort();
    precisions.dedup();
    if precisions.is_empty() {
        UNKNOWN.to_owned()
    } else {
        precisions.join("+")
    }
}

/// Returns the short name of an element type. OpenVINO's C layer writes `f32` or `<Type: 'float32'>`, by version.
pub(crate) fn short_precision(value: String) -> String {
    match value.as_str() {
        "<Type: 'float32'>" => "f32".to_owned(),
        "<Type: 'bfloat16'>" => "bf16".to_owned(),
        "<Type: 'float16'>" => "f16".to_owned(),
        _ => value,
    }
}

/// Returns a note if the 8-bit kernels of a quantized model may saturate on this processor. OpenVINO documents that they do
/// without VNNI ("Saturation (overflow) issue"), and that nothing shows it but a processor that has VNNI.
pub(crate) fn saturation_note(info: &BackendInfo, model: &ModelSource) -> Option<String> {
    may_saturate(&info.devices, model, has_exact_products()).then(|| {
        "the model is quantized, and this processor has no VNNI: sums in OpenVINO's 8-bit kernels may saturate here, \
         so that scores differ from those of other processors and engines; quantize the weights to 7 bits (NNCF: \
         overflow_fix), use a processor with VNNI, or use `backend-onnx` for an ONNX model"
            .to_owned()
    })
}

fn may_saturate(devices: &[String], model: &ModelSource, is_exact: bool) -> bool {
    if is_exact || !devices.iter().any(|device| device.starts_with("CPU")) {
        return false;
    }
    // Whatever cannot be read has failed before.
    let stored = model_file::stored_precision(model.clone()).ok().flatten();
    stored == Some(StoredPrecision::Int8)
}

/// Returns whether the processor adds products of 8-bit integers without saturation. x86 does so with VNNI only.
fn has_exact_products() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// Rejects a device that computes in another precision than the requested one, because its answers would silently
/// differ.
pub(crate) fn check_precision(config: &OpenvinoConfig, info: &BackendInfo) -> Result<(), Error> {
    let asked = match precision_properties(config).next() {
        // A property of one of several devices applies to that device only.
        Some(property) if property.device.is_some() => return Ok(()),
        Some(property) => property.value.as_str(),
        None if config.options.precision == Precision::Auto => return Ok(()),
        None => config.options.precision.as_str(),
    };
    if [asked, UNKNOWN].contains(&info.precision.as_str()) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidConfig,
        format!(
            "precision {asked} was requested, but {} computes in {}",
            info.devices.join("+"),
            info.precision
        ),
    )
    .with_hint(format!(
        "use `precision = {}`, or `precision = auto` for the device's default",
        if ["f32", "bf16", "f16"].contains(&info.precision.as_str()) {
            &info.precision
        } else {
            "f32"
        }
    )))
}

/// Rejects a virtual device that silently ignores a part of the request: `MULTI` may drop a device, and `BATCH` may
/// form no batch.
pub(crate) fn check_execution_devices(
    device: &Device,
    info: &BackendInfo,
    compiled: &CompiledModel,
) -> Result<(), Error> {
    let Device::Virtual { kind, candidates } = device else {
        return Ok(());
    };
    let refused = |message: String, hint: &str| {
        let error = Error::new(ErrorKind::DeviceUnavailable, message);
        error.with_context("requested", device).with_hint(hint)
    };
    let named = candidates.iter().filter(|candidate| !candidate.excluded);
    for candidate in named {
        let executes = info
            .devices
            .iter()
            .any(|name| same_device(name, &candidate.name));
        if *kind == VirtualDevice::Multi && !executes {
            return Err(refused(
                format!(
                    "MULTI does not use {}, only {}",
                    candidate.name,
                    info.devices.join(" and ")
                ),
                "use devices that `devices()` lists",
            ));
        }
        let requests: Option<u32> = compiled_property(compiled, "OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            .and_then(|number| number.parse().ok());
        if let (VirtualDevice::Batch, Some(batch), Some(requests)) =
            (kind, candidate.number, requests)
            && requests < batch
        {
            return Err(refused(
                format!(
                    "OpenVINO does not join {batch} requests to a batch on {}",
                    candidate.name
                ),
                "use a smaller number",
            ));
        }
    }
    Ok(())
}

/// Returns notes on aliases and on a divided model.
pub(crate) fn notes(compiled: &CompiledModel, info: &BackendInfo) -> Vec<String> {
    let mut notes: Vec<String> = info
        .aliases
        .iter()
        .map(|(name, plugin)| {
            format!(
                "the plugins file makes {name} an alias of the plugin {plugin}: no {name} hardware is used"
            )
        })
        .collect();
    if let Some(parts) = compiled_property(compiled, "HETERO_NUMBER_OF_SUBMODELS") {
        notes.push(format!(
            "HETERO runs the model in {parts} {}, on {}",
            if parts == "1" { "part" } else { "parts" },
            info.devices.join(" and ")
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn quantized_models_may_saturate_on_the_cpu() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
        let saturates = |name: &str, device: &str, is_exact| {
            let model = ModelSource::from(data.join(name));
            may_saturate(&[device.to_owned()], &model, is_exact)
        };
        assert!(saturates("lite-i8.tflite", "CPU", false));
        assert!(!saturates("lite-i8.tflite", "CPU", true));
        assert!(!saturates("lite-i8.tflite", "GPU.0", false));
        assert!(!saturates("plain.onnx", "CPU", false));
    }
}
