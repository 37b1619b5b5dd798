//! Finding and loading the runtime.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};

use backend_api::{Error, FoundLibrary};
use ort::environment::Environment;
use runtime_library::{LibrarySearch, LoadedLibrary, version_in_name};

/// The base name of the library.
const NAME: &str = "onnxruntime";

/// ONNX Runtime has one environment for the life of the process.
static LOADED: LoadedLibrary<Environment> =
    LoadedLibrary::new("ONNX Runtime", "install ONNX Runtime 1.22.0 or newer");

/// Finds ONNX Runtime's library without loading it.
///
/// `explicit` and `directories` are [`OnnxConfig::library`](crate::OnnxConfig::library) and
/// [`library_dirs`](crate::OnnxConfig::library_dirs). The order is the one of [`runtime_library`], with the
/// variable `ORT_DYLIB_PATH`, which names a file, as `ort` takes it.
///
/// # Errors
///
/// [`EngineUnavailable`](backend_api::ErrorKind::EngineUnavailable), with the places that it looked in.
pub fn find_library(
    explicit: Option<&Path>,
    directories: &[PathBuf],
) -> Result<FoundLibrary, Error> {
    LibrarySearch {
        engine: "ONNX Runtime",
        name: NAME,
        families: &["libonnxruntime"],
        symbol: "OrtGetApiBase",
        explicit,
        directories,
        package_directory: "onnxruntime/capi",
        vendor_variable: ("ORT_DYLIB_PATH", &[]),
        install_hint: "install ONNX Runtime with `pip install onnxruntime==1.31.1` in an active Python environment; or name \
            its library with `OnnxConfig::library`",
    }
    .find()
}

/// Finds the runtime, loads it and makes its environment, once for the process.
pub(crate) fn load(
    explicit: Option<&Path>,
    directories: &[PathBuf],
) -> Result<(FoundLibrary, Environment), Error> {
    let found = find_library(explicit, directories)?;
    let environment = LOADED.load(&found, |path| {
        let builder = ort::init_from(path)?;
        let builder = builder.with_name("classify").with_telemetry(false);
        Ok::<_, Box<dyn StdError + Send + Sync>>(builder.build()?)
    })?;
    Ok((found, environment))
}

/// Returns the version of the runtime. `ort` does not hand it out; in every official package, the library's
/// file name has it, behind links.
pub(crate) fn version(library: &Path) -> String {
    version_in_name(library, NAME)
        .unwrap_or_else(|| format!("of unknown version ({})", ort::info()))
}
