//! The reasons why devices are not usable.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use openvino::InferenceError;

use crate::probe;

/// A device that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnusableDevice {
    /// The name in device strings.
    pub name: String,
    /// The part that is missing or broken.
    pub reason: String,
    /// The way to mend it.
    pub remedy: String,
    /// OpenVINO's own message, if there is one.
    pub message: Option<String>,
}

/// Explains why `device` cannot be used, by OpenVINO's error and by the state of the system.
pub(crate) fn explain(device: &str, error: Option<&InferenceError>) -> UnusableDevice {
    let message = error.and_then(|error| error.message.clone());
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
                "this OpenVINO has no {family} plugin: {} does not exist",
                file.display()
            ),
            "install OpenVINO again with all plugins; the PyPI package has them".to_owned(),
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
            "the library registered for it is not an OpenVINO plugin",
            "check its location in the plugins file",
        ),
        _ if message.contains("Cannot load library") => own(
            "the library of its plugin is missing or cannot be loaded",
            "install OpenVINO again with all plugins",
        ),
        "GPU" => nodes(
            "/dev/dri",
            "renderD",
            "GPU",
            "Intel's GPU driver (Debian and Ubuntu: `apt install intel-opencl-icd`)",
        ),
        _ if message.contains("is not registered") => own(
            "this OpenVINO has no plugin with that name",
            "use a device that `devices()` lists, or name the plugin in a plugins file",
        ),
        _ => own(
            "OpenVINO cannot use it",
            "install the driver of the device, or use a device that `devices()` lists",
        ),
    }
}

/// Returns the place of a plugin that comes with OpenVINO, if its library is missing there.
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

/// Explains an accelerator by the device nodes in `directory` whose names begin with `prefix`.
fn nodes(directory: &str, prefix: &str, device: &str, driver: &str) -> (String, String) {
    if !cfg!(target_os = "linux") {
        return (
            format!("the plugin finds no {device}"),
            format!("install {driver}"),
        );
    }
    let found: Vec<PathBuf> = fs::read_dir(directory)
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
            format!("the kernel lists no {device}: {directory}/{prefix}* does not exist"),
            format!(
                "if this machine has one, install {driver}; in a container, make {directory} available"
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
            format!("this user may not open {}", path.display()),
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
                "no plugin with that name",
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
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().to_str().unwrap();
        assert!(nodes(at, "renderD", "GPU", "a driver").0.contains("no GPU"));
        fs::write(directory.path().join("renderD128"), "").unwrap();
        assert!(
            nodes(at, "renderD", "GPU", "a driver")
                .0
                .contains("supports")
        );
    }
}
