//! Which devices there are, and why others are not usable.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use backend_api::{Error, FoundLibrary};
use openvino::{Core, InferenceError};

use crate::backend::{available_devices, new_core, panicked, short_precision};
use crate::plugins::{Alias, Plugins};
use crate::{probe, property};

/// What people ask for by name. Those that are not available are explained.
const ASKED_FOR: [&str; 9] = [
    "CPU", "GPU", "NPU", "MYRIAD", "HDDL", "AUTO", "MULTI", "HETERO", "BATCH",
];

/// Those that need no hardware of their own: OpenVINO never lists them as available.
const VIRTUAL: [&str; 4] = ["AUTO", "MULTI", "HETERO", "BATCH"];

/// What OpenVINO's capabilities call the element types that a device computes in.
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
    /// The plugins file that says which devices there are, if one was given.
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
    /// What the device computes in unless it is told otherwise. `None`: the plugin does not say.
    pub default_precision: Option<String>,
    /// `RANGE_FOR_ASYNC_INFER_REQUESTS`: least, most and step of the numbers of infer requests that
    /// suit the device. A compiled model knows its own number better.
    pub request_range: Option<[u32; 3]>,
    /// The keys of the properties that can be read or set; see [`Property`](crate::Property).
    pub properties: Vec<String>,
    /// The plugin that really executes, if the name is an alias of the plugins file.
    pub alias: Option<Alias>,
}

/// A device that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnusableDevice {
    /// The name in device strings.
    pub name: String,
    /// What is missing or broken.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
    /// OpenVINO's own words, if it said anything.
    pub message: Option<String>,
}

/// Finds and loads the runtime and asks for its devices. Takes as long as loading their plugins.
///
/// `library`, `library_dirs` and `plugins` are as in [`OpenvinoConfig`](crate::OpenvinoConfig).
///
/// # Errors
///
/// [`ErrorKind::EngineUnavailable`](backend_api::ErrorKind::EngineUnavailable): no usable runtime.
/// [`ErrorKind::InvalidConfig`](backend_api::ErrorKind::InvalidConfig): the plugins file. A device
/// that does not work is no error.
pub fn devices(
    library: Option<&Path>,
    library_dirs: &[PathBuf],
    plugins: Option<&Path>,
) -> Result<DeviceList, Error> {
    catch_unwind(AssertUnwindSafe(|| list(library, library_dirs, plugins)))
        .unwrap_or_else(|_| Err(panicked()))
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
            // The plugin is there and finds nothing to run on.
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

/// Why `device` cannot be used, from what OpenVINO says and from what the system shows.
pub(crate) fn explain(device: &str, said: Option<&InferenceError>) -> UnusableDevice {
    let message = said.and_then(|error| error.message.clone());
    let (reason, remedy) = reason(device, message.as_deref().unwrap_or_default());
    UnusableDevice {
        name: device.to_owned(),
        reason,
        remedy,
        message: message.map(|text| text.trim().to_owned()),
    }
}

fn reason(device: &str, message: &str) -> (String, String) {
    let family = device.split('.').next().unwrap_or(device);
    let own = |reason: &str, remedy: &str| (reason.to_owned(), remedy.to_owned());
    let is_absent = ["Cannot load library", "is not registered"]
        .iter()
        .any(|text| message.contains(text));
    if is_absent && let Some(file) = missing_plugin(family) {
        return (
            format!(
                "this OpenVINO has no {family} plugin: {} is not there",
                file.display()
            ),
            "install OpenVINO again, complete with all plugins; the package of PyPI has them"
                .to_owned(),
        );
    }
    match family {
        "MYRIAD" | "HDDL" if !message.contains("Cannot load library") => own(
            "OpenVINO dropped MYRIAD and HDDL in 2023.0",
            "use another device; the last release with them, 2022.3.1 LTS, is too old for this \
             program",
        ),
        _ if message.contains("libOpenCL") => own(
            "libOpenCL.so.1, the OpenCL loader, is not installed",
            "install it and Intel's driver (Debian and Ubuntu: `apt install ocl-icd-libopencl1 \
             intel-opencl-icd`)",
        ),
        "NPU" => nodes(
            "/dev/accel",
            "accel",
            "NPU",
            "Intel's NPU driver (linux-npu-driver)",
        ),
        _ if message.contains("create_plugin_engine") => own(
            "the library that is registered for it is no OpenVINO plugin",
            "check its location in the plugins file",
        ),
        _ if message.contains("Cannot load library") => own(
            "the library of its plugin is missing or cannot be loaded",
            "install OpenVINO again, complete with all plugins",
        ),
        "GPU" => nodes(
            "/dev/dri",
            "renderD",
            "GPU",
            "Intel's GPU driver (Debian and Ubuntu: `apt install intel-opencl-icd`)",
        ),
        _ if message.contains("is not registered") => own(
            "this OpenVINO has no plugin of that name",
            "use a device that `devices()` lists, or name the plugin in a plugins file",
        ),
        _ => own(
            "OpenVINO cannot use it",
            "install the driver of the device, or use one that `devices()` lists",
        ),
    }
}

/// The library of a plugin that comes with OpenVINO, where it should be and is not.
fn missing_plugin(family: &str) -> Option<PathBuf> {
    let name = match family {
        "CPU" | "GPU" | "NPU" => format!("intel_{}", family.to_ascii_lowercase()),
        "AUTO" | "MULTI" => "auto".to_owned(),
        "HETERO" => "hetero".to_owned(),
        "BATCH" => "auto_batch".to_owned(),
        _ => return None,
    };
    let library = probe::loaded().filter(|_| cfg!(target_os = "linux"))?;
    let file = library.with_file_name(format!("libopenvino_{name}_plugin.so"));
    (!file.exists()).then_some(file)
}

/// What the kernel shows of accelerators in `folder`, whose nodes' names begin with `prefix`.
fn nodes(folder: &str, prefix: &str, device: &str, driver: &str) -> (String, String) {
    if !cfg!(target_os = "linux") {
        return (
            format!("the plugin finds no {device}"),
            format!("install {driver}"),
        );
    }
    let found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        })
        .collect();
    if found.is_empty() {
        return (
            format!("the kernel shows no {device}: there is no {folder}/{prefix}*"),
            format!(
                "if this machine has one, install {driver}; in a container, make {folder} available"
            ),
        );
    }
    let refused = found.iter().find(|path| {
        File::options()
            .read(true)
            .write(true)
            .open(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    });
    if let Some(path) = refused {
        return (
            format!("{} may not be opened by this user", path.display()),
            "add the user to the group that owns it (`sudo usermod -aG render $USER`) and log in \
             again"
                .to_owned(),
        );
    }
    (
        format!("the plugin finds no {device} that it supports"),
        format!("install or update {driver}; only Intel's devices are supported"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::said;

    #[test]
    fn each_reason_has_its_remedy() {
        for (device, message, reason, remedy) in [
            (
                "GPU",
                "Cannot load library \"libopenvino_intel_gpu_plugin.so\": libOpenCL.so.1: cannot open shared object file",
                "libOpenCL.so.1",
                "ocl-icd-libopencl1",
            ),
            (
                "GPU.1",
                "Cannot load library \"libopenvino_intel_gpu_plugin.so\": No such file or directory",
                "library of its plugin",
                "again",
            ),
            (
                "MYRIAD",
                "Device with \"MYRIAD\" name is not registered in the OpenVINO Runtime",
                "2023.0",
                "2022.3.1",
            ),
            (
                "FOO",
                "Device with \"FOO\" name is not registered in the OpenVINO Runtime",
                "no plugin of that name",
                "plugins file",
            ),
        ] {
            let explained = explain(device, Some(&said(message)));
            assert!(explained.reason.contains(reason), "{explained:?}");
            assert!(explained.remedy.contains(remedy), "{explained:?}");
            assert_eq!(explained.message.as_deref(), Some(message));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_is_asked_for_its_nodes() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_str().unwrap();
        assert!(nodes(at, "renderD", "GPU", "a driver").0.contains("no GPU"));
        fs::write(folder.path().join("renderD128"), "").unwrap();
        assert!(
            nodes(at, "renderD", "GPU", "a driver")
                .0
                .contains("supports")
        );
    }
}
