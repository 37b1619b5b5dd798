//! Finding and loading the runtime.

use std::path::{Path, PathBuf};

use backend_api::{Error, FoundLibrary};
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
/// [`EngineUnavailable`](backend_api::ErrorKind::EngineUnavailable), with the places that it looked in.
pub fn find_library(
    explicit: Option<&Path>,
    directories: &[PathBuf],
) -> Result<FoundLibrary, Error> {
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
        install_hint: "install it with `pip install openvino==2026.4.1` in an active Python environment, or set \
            `OpenvinoConfig::library`",
    }
    .find()
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
