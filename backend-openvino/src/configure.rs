//! The properties of the devices, set before the model is compiled.

use std::borrow::Cow;

use backend_api::{Error, ErrorKind, PerformanceHint, Precision};
use openvino::{Core, RwPropertyKey};

use crate::config::OpenvinoConfig;
use crate::core::available_devices;
use crate::device_string::{Device, VirtualDevice, same_device};
use crate::error::{device_unavailable, engine_error};
use crate::property::{self, Property, device_type};

/// The properties that are set before the model is compiled.
pub(crate) struct Configured {
    /// The virtual device, if there is one, and those that may execute, each with the keys of its
    /// properties.
    pub(crate) devices: Vec<(String, Vec<String>)>,
    /// The properties that this program chooses.
    pub(crate) set: Vec<(String, String)>,
}

/// Sets the properties on each device that may execute, before the model is compiled.
pub(crate) fn configure(
    core: &mut Core,
    config: &OpenvinoConfig,
    device: &Device,
    leaves: &[String],
) -> Result<Configured, Error> {
    let options = &config.options;
    let hint = match options.hint {
        PerformanceHint::Throughput => "THROUGHPUT",
        PerformanceHint::Latency => "LATENCY",
    };
    let mut wanted = vec![(RwPropertyKey::HintPerformanceMode, hint.to_owned())];
    if options.precision != Precision::Auto {
        wanted.push((
            RwPropertyKey::HintInferencePrecision,
            options.precision.as_str().to_owned(),
        ));
    }
    if let Some(streams) = config.streams {
        wanted.push((RwPropertyKey::NumStreams, streams.to_string()));
    }
    if let Some(threads) = options.threads {
        wanted.push((RwPropertyKey::InferenceNumThreads, threads.to_string()));
    }
    if let Some(requests) = options.requests {
        wanted.push((RwPropertyKey::HintNumRequests, requests.to_string()));
    }
    let unavailable = |name: &str, available: &[String], source| {
        device_unavailable(name, available, source).with_context("requested", &options.device)
    };
    let mut devices = Vec::new();
    if let Some(kind) = device.virtual_device() {
        let name = kind.as_str();
        let keys = property::keys(core, name)
            .map_err(|source| unavailable(name, &available_devices(core), source))?;
        for (key, value) in virtual_device_properties(kind, leaves, hint) {
            // A release that lacks one of these behaves as if it were set.
            let _ = core.set_property(&device_type(name), &key, value);
        }
        devices.push((name.to_owned(), keys));
    }
    for leaf in leaves {
        let name = device_type(leaf);
        // Loads the device's plugin, which reports a missing device.
        let keys = property::keys(core, leaf)
            .map_err(|source| unavailable(leaf, &available_devices(core), source))?;
        for (key, value) in &wanted {
            core.set_property(&name, key, value).map_err(|source| {
                // Some plugins load without their driver and fail at the first use.
                let available = available_devices(core);
                if !available.iter().any(|listed| same_device(listed, leaf)) {
                    return unavailable(leaf, &available, source);
                }
                let error = engine_error(
                    ErrorKind::InvalidConfig,
                    format!("device {leaf} does not accept {} = {value}", key.as_ref()),
                    source,
                );
                if *key == RwPropertyKey::HintInferencePrecision {
                    error.with_hint("use `precision = auto` for the device's default")
                } else {
                    error.with_hint("leave it out to use the device's default")
                }
            })?;
        }
        devices.push((leaf.clone(), keys));
    }
    property::set(core, &devices, &config.properties)?;
    let set = wanted
        .into_iter()
        .map(|(key, value)| (key.as_ref().to_owned(), value))
        .collect();
    Ok(Configured { devices, set })
}

/// Returns the properties for a virtual device. AUTO would start on the CPU until the device that it chose is
/// ready, and return to the CPU when that device fails: both without a word.
fn virtual_device_properties<'a>(
    kind: VirtualDevice,
    leaves: &[String],
    hint: &'a str,
) -> Vec<(RwPropertyKey, &'a str)> {
    let other = |key: &'static str| RwPropertyKey::Other(Cow::Borrowed(key));
    match kind {
        VirtualDevice::Hetero | VirtualDevice::Batch => Vec::new(),
        // Without it, these choose another default.
        VirtualDevice::Multi => vec![(RwPropertyKey::HintPerformanceMode, hint)],
        VirtualDevice::Auto => {
            let mut properties = vec![
                (RwPropertyKey::HintPerformanceMode, hint),
                (other("ENABLE_STARTUP_FALLBACK"), "NO"),
            ];
            // With both, 2026.4 finds no device in `AUTO:CPU`, which has no device to fall back to.
            if *leaves != ["CPU"] {
                properties.push((other("ENABLE_RUNTIME_FALLBACK"), "NO"));
            }
            properties
        }
    }
}

/// Returns the properties that set the precision. The last one counts and comes first.
pub(crate) fn precision_properties(config: &OpenvinoConfig) -> impl Iterator<Item = &Property> {
    let properties = config.properties.iter().rev();
    properties.filter(|property| property.key == "INFERENCE_PRECISION_HINT")
}

/// Returns the requested precision. A property counts more than the option.
pub(crate) fn requested_precision(config: &OpenvinoConfig) -> Precision {
    let for_all = precision_properties(config).find(|property| property.device.is_none());
    let Some(property) = for_all else {
        return config.options.precision;
    };
    [Precision::F32, Precision::Bf16, Precision::F16]
        .into_iter()
        .find(|precision| precision.as_str() == property.value)
        .unwrap_or(Precision::Auto)
}
