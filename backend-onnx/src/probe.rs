//! Finding and loading the runtime.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use backend_api::{Error, ErrorKind, FoundLibrary};
use ort::environment::Environment;
use runtime_library::LibrarySearch;

/// The library that this process has loaded, and its environment. ONNX Runtime has one of each for
/// the life of the process.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// Finds ONNX Runtime's library without loading it.
///
/// The order is that of [`runtime_library`], with the variables `CLASSIFY_ONNXRUNTIME_LIB`
/// (a file or a folder) and `ORT_DYLIB_PATH` (a file, as `ort` takes it).
///
/// # Errors
///
/// [`ErrorKind::EngineUnavailable`], listing where it looked.
pub fn find_library(explicit: Option<&Path>) -> Result<FoundLibrary, Error> {
    LibrarySearch {
        engine: "ONNX Runtime",
        name: "onnxruntime",
        families: &["libonnxruntime"],
        symbol: "OrtGetApiBase",
        explicit,
        variable: "CLASSIFY_ONNXRUNTIME_LIB",
        package_folder: "onnxruntime/capi",
        vendor_variable: ("ORT_DYLIB_PATH", &[]),
        install_hint: "run `cargo setup` in a checkout, or `pip install onnxruntime==1.31.1` in \
            an active Python environment, or pass --onnxruntime-lib FILE",
    }
    .find()
}

/// Finds the runtime, loads it and makes its environment, once for the process.
pub(crate) fn load(explicit: Option<&Path>) -> Result<(FoundLibrary, Environment), Error> {
    let found = find_library(explicit)?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((other, environment)) = loaded.as_ref() {
        if *other == found.path {
            return Ok((found, environment.clone()));
        }
        return Err(
            unusable(&found.path, "another ONNX Runtime is loaded already")
                .with_context("loaded", other.display())
                .with_hint("use one ONNX Runtime in a process"),
        );
    }
    let unloadable = |error: Error| {
        error.with_hint("ONNX Runtime 1.22.0 or newer is needed; `cargo setup` brings one")
    };
    let environment = catch_unwind(|| {
        let builder = ort::init_from(&found.path).map_err(|source| {
            unloadable(
                unusable(&found.path, "the ONNX Runtime cannot be loaded").with_source(source),
            )
        })?;
        builder
            .with_name("classify")
            .with_telemetry(false)
            .build()
            .map_err(|source| {
                unusable(&found.path, "ONNX Runtime did not start").with_source(source)
            })
    })
    .unwrap_or_else(|_| {
        Err(unloadable(unusable(
            &found.path,
            "the binding to ONNX Runtime panicked",
        )))
    })?;
    *loaded = Some((found.path.clone(), environment.clone()));
    Ok((found, environment))
}

fn unusable(path: &Path, message: &str) -> Error {
    Error::new(ErrorKind::EngineUnavailable, "load the engine", message)
        .with_context("engine", "ONNX Runtime")
        .with_context("library", path.display())
}
