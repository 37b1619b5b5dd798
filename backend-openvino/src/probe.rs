//! Finding and loading the runtime.

use std::path::{Path, PathBuf};

use backend_api::{Error, ErrorKind, FoundLibrary};
use runtime_library::{LibrarySearch, LoadedLibrary};

static LOADED: LoadedLibrary<()> =
    LoadedLibrary::new("OpenVINO", "install OpenVINO 2025.1.0 or newer");

/// Finds OpenVINO's C library without loading it.
///
/// `explicit` and `directories` are [`OpenvinoConfig::library`](crate::OpenvinoConfig::library) and
/// [`library_dirs`](crate::OpenvinoConfig::library_dirs). The order is the one of [`runtime_library`], with the
/// vendor's variable `INTEL_OPENVINO_DIR`, which OpenVINO's `setupvars` sets.
///
/// # Errors
///
/// [`EngineUnavailable`](ErrorKind::EngineUnavailable), with the places that it looked in; always on Apple silicon, which
/// the binding does not support.
pub fn find_library(
    explicit: Option<&Path>,
    directories: &[PathBuf],
) -> Result<FoundLibrary, Error> {
    check_platform(cfg!(target_vendor = "apple"), cfg!(target_arch = "aarch64"))?;
    LibrarySearch {
        engine: "OpenVINO",
        name: "openvino_c",
        families: &["libopenvino", "libtbb", "libhwloc"],
        symbol: "ov_get_openvino_version",
        explicit,
        directories,
        package_directory: "openvino/libs",
        vendor_variable: (
            "INTEL_OPENVINO_DIR",
            &[
                "runtime/lib/intel64",
                "runtime/lib/aarch64",
                "runtime/lib/arm64/Release",
                "runtime/bin/intel64/Release",
            ],
        ),
        install_hint: "install OpenVINO with `pip install openvino==2026.4.1` in an active Python environment; or name \
            its library with `OpenvinoConfig::library`",
    }
    .find()
}

/// Rejects Apple silicon. The `openvino` crate can set a property only by the variadic function
/// `ov_core_set_property`, which `openvino-sys` declares with fixed arguments. There, C passes variadic arguments on the
/// stack and fixed ones in registers, so OpenVINO would read arbitrary memory
/// (<https://github.com/intel/openvino-rs/issues/179>).
fn check_platform(is_apple: bool, is_arm: bool) -> Result<(), Error> {
    if !(is_apple && is_arm) {
        return Ok(());
    }
    let message = "OpenVINO is not supported on Apple silicon: its Rust binding calls a variadic function of C in a way \
        that crashes there";
    Err(Error::new(ErrorKind::EngineUnavailable, message)
        .with_hint("use ONNX Runtime, whose CoreML execution provider uses the GPU and the Neural Engine, or RTen"))
}

/// Finds the runtime and loads it, once for the process.
pub(crate) fn load(
    explicit: Option<&Path>,
    directories: &[PathBuf],
) -> Result<FoundLibrary, Error> {
    let found = find_library(explicit, directories)?;
    LOADED.load(&found, |path| {
        openvino_sys::library::load_from(path.to_path_buf())
    })?;
    Ok(found)
}

/// Returns the library that this process has loaded, if it has loaded one.
pub(crate) fn loaded() -> Option<PathBuf> {
    LOADED.path()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apple_silicon_is_rejected_and_nothing_else() {
        let error = check_platform(true, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EngineUnavailable);
        assert!(error.to_string().contains("Apple silicon"), "{error}");
        for (is_apple, is_arm) in [(true, false), (false, true), (false, false)] {
            check_platform(is_apple, is_arm).unwrap();
        }
    }
}
