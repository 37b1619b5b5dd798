//! Finding and loading the runtime.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use backend_api::{Error, ErrorKind, FoundLibrary};
use runtime_library::LibrarySearch;

/// The library that this process has loaded. OpenVINO's binding holds one for good.
static LOADED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Finds OpenVINO's C library without loading it.
///
/// The order is that of [`runtime_library`], with the variables `CLASSIFY_OPENVINO_LIB` (a
/// file or a folder) and `INTEL_OPENVINO_DIR` (set by OpenVINO's `setupvars`).
///
/// # Errors
///
/// [`ErrorKind::EngineUnavailable`], listing where it looked.
pub fn find_library(explicit: Option<&Path>) -> Result<FoundLibrary, Error> {
    LibrarySearch {
        engine: "OpenVINO",
        name: "openvino_c",
        families: &["libopenvino", "libtbb", "libhwloc"],
        symbol: "ov_get_openvino_version",
        explicit,
        variable: "CLASSIFY_OPENVINO_LIB",
        package_folder: "openvino/libs",
        vendor_variable: (
            "INTEL_OPENVINO_DIR",
            &[
                "runtime/lib/intel64",
                "runtime/lib/aarch64",
                "runtime/lib/arm64/Release",
                "runtime/bin/intel64/Release",
            ],
        ),
        install_hint: "run `cargo setup` in a checkout, or `pip install openvino==2026.4.1` in an \
            active Python environment, or pass --openvino-lib FILE",
    }
    .find()
}

/// Finds the runtime and loads it, once for the process.
pub(crate) fn load(explicit: Option<&Path>) -> Result<FoundLibrary, Error> {
    let found = find_library(explicit)?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(other) = loaded.as_ref() {
        if *other == found.path {
            return Ok(found);
        }
        return Err(
            unusable(&found.path, "another OpenVINO runtime is loaded already")
                .with_context("loaded", other.display())
                .with_hint("use one OpenVINO runtime in a process"),
        );
    }
    let path = found.path.clone();
    // The binding panics on a library that lacks one of the functions it needs first.
    catch_unwind(|| openvino_sys::library::load_from(path))
        .unwrap_or_else(|_| Err("it lacks a function that the binding needs".to_owned()))
        .map_err(|message| {
            unusable(&found.path, "the OpenVINO runtime cannot be loaded")
                .with_source(message)
                .with_hint("OpenVINO 2025.1.0 or newer is needed; `cargo setup` brings one")
        })?;
    *loaded = Some(found.path.clone());
    Ok(found)
}

/// The library that this process has loaded, if it has loaded one.
pub(crate) fn loaded() -> Option<PathBuf> {
    LOADED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn unusable(path: &Path, message: &str) -> Error {
    Error::new(ErrorKind::EngineUnavailable, "load the engine", message)
        .with_context("engine", "OpenVINO")
        .with_context("library", path.display())
}
