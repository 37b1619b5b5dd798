//! The devices that there are.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use backend_api::{Error, FoundLibrary};
use openvino::Core;

use crate::core::{available_devices, new_core};
use crate::diagnosis::{UnusableDevice, explain};
use crate::error::panicked;
use crate::executed::short_precision;
use crate::plugins::{Alias, Plugins};
use crate::{probe, property};

/// Devices that people ask for by name. Unavailable ones are explained.
const ASKED_FOR: [&str; 9] = [
    "CPU", "GPU", "NPU", "MYRIAD", "HDDL", "AUTO", "MULTI", "HETERO", "BATCH",
];

/// Devices without hardware, which OpenVINO never lists as available.
const VIRTUAL: [&str; 4] = ["AUTO", "MULTI", "HETERO", "BATCH"];

/// OpenVINO's names, among its capabilities, for the element types that a device computes in.
const PRECISIONS: [(&str, &str); 8] = [
    ("FP32", "f32"),
    ("FP16", "f16"),
    ("BF16", "bf16"),
    ("INT8", "i8"),
    ("INT16", "i16"),
    ("INT4", "i4"),
    ("FP8", "f8"),
    ("BIN", "u1"),
];

/// A runtime and its devices.
///
/// ```
/// # let library_dirs = classify_tests::library_dirs();
/// # if backend_openvino::find_library(None, &library_dirs).is_err() { return Ok(()) }
/// let devices = backend_openvino::devices(None, &library_dirs, None)?;
/// assert!(devices.available.iter().any(|device| device.name == "CPU"));
/// for device in &devices.unusable {
///     println!("{}: {}; {}", device.name, device.reason, device.remedy);
/// }
/// # Ok::<(), backend_api::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceList {
    /// The runtime that was asked.
    pub library: FoundLibrary,
    /// Its version.
    pub version: String,
    /// The plugins file that defines the devices, if one was given.
    pub plugins: Option<PathBuf>,
    /// The devices that work, in OpenVINO's order.
    pub available: Vec<DeviceInfo>,
    /// Well-known devices that do not, each with the reason.
    pub unusable: Vec<UnusableDevice>,
}

/// A device that works, as OpenVINO describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The name in device strings: `GPU.1`.
    pub name: String,
    /// The name for people, empty if the plugin has none: `Intel(R) Arc(TM) A770 Graphics (dGPU)`.
    pub full_name: String,
    /// `OPTIMIZATION_CAPABILITIES`: `FP32`, `INT8`, `EXPORT_IMPORT`, …
    pub capabilities: Vec<String>,
    /// The element types among the capabilities: `f32`, `bf16`, …
    pub precisions: Vec<String>,
    /// The default precision. `None`: the plugin does not state it.
    pub default_precision: Option<String>,
    /// `RANGE_FOR_ASYNC_INFER_REQUESTS`: least, most and step of the numbers of infer requests that
    /// suit the device. A compiled model knows its own number better.
    pub request_range: Option<[u32; 3]>,
    /// The keys of the properties that can be read or set; see [`Property`](crate::Property).
    pub properties: Vec<String>,
    /// The plugin that really executes, if the name is an alias of the plugins file.
    pub alias: Option<Alias>,
}

/// Finds and loads the runtime and asks for its devices. Takes as long as loading their plugins.
///
/// `library`, `library_dirs` and `plugins` are as in [`OpenvinoConfig`](crate::OpenvinoConfig).
///
/// # Errors
///
/// [`ErrorKind::EngineUnavailable`](backend_api::ErrorKind::EngineUnavailable): no usable runtime.
/// [`ErrorKind::InvalidConfig`](backend_api::ErrorKind::InvalidConfig): the plugins file. A device
/// that does not work is not an error.
pub fn devices(
    library: Option<&Path>,
    library_dirs: &[PathBuf],
    plugins: Option<&Path>,
) -> Result<DeviceList, Error> {
    catch_unwind(AssertUnwindSafe(|| list(library, library_dirs, plugins)))
        .unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn list(
    library: Option<&Path>,
    library_dirs: &[PathBuf],
    plugins: Option<&Path>,
) -> Result<DeviceList, Error> {
    let plugins = Plugins::read(plugins)?;
    let library = probe::load(library, library_dirs)?;
    let core = new_core(&plugins)?;
    let names = available_devices(&core);
    let family = |name: &str| name.split('.').next().unwrap_or(name).to_owned();
    let available: Vec<DeviceInfo> = names
        .iter()
        .map(|name| describe(&core, name, &plugins))
        .collect();
    let mut asked: Vec<&str> = ASKED_FOR.to_vec();
    asked.extend(
        plugins
            .names
            .iter()
            .map(String::as_str)
            .filter(|name| !ASKED_FOR.contains(name)),
    );
    let unusable = asked
        .into_iter()
        .filter(|asked| names.iter().all(|name| family(name) != *asked))
        .filter_map(|name| match property::keys(&core, name) {
            Ok(_) if VIRTUAL.contains(&name) => None,
            // The plugin exists, but finds no hardware.
            Ok(_) => Some(explain(name, None)),
            Err(source) => Some(explain(name, Some(&source))),
        })
        .collect();
    Ok(DeviceList {
        library,
        version: openvino::version().build_number,
        plugins: plugins.file,
        available,
        unusable,
    })
}

fn describe(core: &Core, name: &str, plugins: &Plugins) -> DeviceInfo {
    let words = |key| -> Vec<String> {
        property::get(core, name, key)
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let capabilities = words("OPTIMIZATION_CAPABILITIES");
    let precisions = PRECISIONS
        .iter()
        .filter(|(capability, _)| capabilities.iter().any(|known| known == capability))
        .map(|(_, precision)| (*precision).to_owned())
        .collect();
    let range: Vec<u32> = words("RANGE_FOR_ASYNC_INFER_REQUESTS")
        .iter()
        .filter_map(|number| number.parse().ok())
        .collect();
    DeviceInfo {
        name: name.to_owned(),
        full_name: property::get(core, name, "FULL_DEVICE_NAME")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        precisions,
        capabilities,
        default_precision: property::get(core, name, "INFERENCE_PRECISION_HINT")
            .map(short_precision),
        request_range: range.try_into().ok(),
        properties: property::keys(core, name).unwrap_or_default(),
        alias: plugins.alias(name).cloned(),
    }
}
