//! The engines that this binary was built with.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(any(feature = "openvino", feature = "onnx", feature = "rten"))]
use backend_api::OpenOptions;
use backend_api::{ErrorKind, FoundLibrary, InferBackend};
use model_file::Format;

use crate::args::Backend;
use crate::errors::{Listed, OR};
#[cfg(any(feature = "openvino", feature = "onnx", feature = "rten"))]
use crate::image_memory;
use crate::options::EngineOptions;
#[cfg(any(feature = "openvino", feature = "onnx"))]
use crate::runtimes::library_dirs;

/// Returns the name of the first step in OpenVINO's sample, for each engine.
pub fn first_step(backend: Backend) -> &'static str {
    match backend {
        Backend::Openvino => "Creating OpenVINO Runtime Core",
        Backend::Onnx => "Creating ONNX Runtime environment",
        Backend::Rten => "Creating RTen thread pools",
        Backend::Remote => "Connecting to the servers",
    }
}

/// Returns whether the backend is a part of this binary.
pub fn is_built_in(backend: Backend) -> bool {
    match backend {
        Backend::Openvino => cfg!(feature = "openvino"),
        Backend::Onnx => cfg!(feature = "onnx"),
        Backend::Rten => cfg!(feature = "rten"),
        Backend::Remote => cfg!(feature = "remote"),
    }
}

/// Opens the requested backend in this process.
pub fn open(options: &EngineOptions) -> anyhow::Result<Arc<dyn InferBackend>> {
    let opened = match options.backend {
        Backend::Openvino => openvino(options),
        Backend::Onnx => onnx(options),
        Backend::Rten => rten(options),
        Backend::Remote => remote(options),
    };
    opened.map_err(|error| suggest_another(error, options))
}

/// Returns the library of the engine's runtime, or none if the engine has no such library. It is not loaded.
pub fn library(options: &EngineOptions) -> anyhow::Result<Option<FoundLibrary>> {
    find(options).map_err(|error| suggest_another(error, options))
}

// Without engines that have one, nothing can fail.
#[cfg_attr(
    not(any(feature = "openvino", feature = "onnx")),
    allow(clippy::unnecessary_wraps)
)]
fn find(options: &EngineOptions) -> anyhow::Result<Option<FoundLibrary>> {
    match options.backend {
        #[cfg(feature = "openvino")]
        Backend::Openvino => {
            let named = options.runtime.openvino_lib()?;
            let found = backend_openvino::find_library(named.path.as_deref(), &library_dirs());
            Ok(Some(
                found.map_err(|error| named.explain(error, "openvino"))?,
            ))
        }
        #[cfg(feature = "onnx")]
        Backend::Onnx => {
            let named = options.runtime.onnxruntime_lib()?;
            let found = backend_onnx::find_library(named.path.as_deref(), &library_dirs());
            Ok(Some(found.map_err(|error| named.explain(error, "onnx"))?))
        }
        _ => Ok(None),
    }
}

/// Returns the step of the search that found the engine's library, in the words of the command line.
pub fn library_origin(options: &EngineOptions, loaded: &FoundLibrary) -> String {
    let named = match options.backend {
        Backend::Openvino => options.runtime.openvino_lib(),
        _ => options.runtime.onnxruntime_lib(),
    };
    // An isolated engine gets the path from here: to it, the path is explicit.
    let found = library(options).ok().flatten();
    let found = found.filter(|found| found.path == loaded.path);
    let found = found.as_ref().unwrap_or(loaded);
    named.unwrap_or_default().origin(found)
}

/// Returns the libraries that OpenVINO's plugins file `plugins` names.
pub fn plugin_libraries(plugins: &Path) -> Vec<PathBuf> {
    #[cfg(feature = "openvino")]
    let libraries = backend_openvino::plugin_libraries(plugins);
    // Without the engine nothing reads the file.
    #[cfg(not(feature = "openvino"))]
    let libraries = {
        let _ = plugins;
        Vec::new()
    };
    libraries
}

/// Returns whether a file in the directory of `--cache-dir` has a name that the cache gives to its own entries.
pub fn is_cache_name(name: &OsStr) -> bool {
    #[cfg(feature = "openvino")]
    let is_own = backend_openvino::is_cache_entry_name(name);
    // Without the engine there is no cache.
    #[cfg(not(feature = "openvino"))]
    let is_own = name.is_empty();
    is_own
}

/// Adds another engine that can run the model to the hint, where OpenVINO or ONNX Runtime is not installed: the other
/// one if it is, or the one that is built in. It is never taken in silence.
fn suggest_another(error: anyhow::Error, options: &EngineOptions) -> anyhow::Error {
    let error = match error.downcast::<backend_api::Error>() {
        Ok(error) => error,
        Err(error) => return error,
    };
    let other = match options.backend {
        Backend::Openvino => Some((
            Backend::Onnx,
            "use ONNX Runtime, which is installed, with `backend-onnx`",
        )),
        Backend::Onnx => Some((
            Backend::Openvino,
            "use OpenVINO, which is installed, with `backend-openvino`",
        )),
        Backend::Rten | Backend::Remote => None,
    };
    let could = error.kind() == ErrorKind::EngineUnavailable
        && model_file::format(&options.model).is_ok_and(|format| format == Format::Onnx)
        && options.device.eq_ignore_ascii_case("CPU");
    let Some((backend, with_other)) = other.filter(|_| could) else {
        return error.into();
    };
    let of_other = EngineOptions {
        backend,
        ..options.clone()
    };
    let other = if matches!(find(&of_other), Ok(Some(_))) {
        with_other
    } else if cfg!(feature = "rten") {
        "use the built-in engine, which needs nothing installed, with `backend-rten`"
    } else {
        return error.into();
    };
    let own = error.hint().unwrap_or_default();
    // Whoever named a library wants that one.
    let is_missing = Listed::split(&error.to_string()).is_some();
    let hint = if is_missing {
        format!("{other}{OR}{own}")
    } else {
        format!("{own}{OR}{other}")
    };
    error.with_hint(hint).into()
}

/// Returns the part of the configuration that every engine has.
#[cfg(any(feature = "openvino", feature = "onnx", feature = "rten"))]
fn open_options(options: &EngineOptions) -> OpenOptions {
    let mut open = OpenOptions::new(&options.model);
    open.device.clone_from(&options.device);
    open.precision = options.precision;
    open.hint = options.hint;
    open.shape.clone_from(&options.shape);
    open.batch = options.batch;
    open.output.clone_from(&options.output);
    open.extra_outputs.clone_from(&options.extra_outputs);
    open.threads = options.threads;
    open.requests = options.requests;
    open.most_input_bytes = Some(image_memory::of_process().budget.bytes());
    open
}

#[cfg(feature = "openvino")]
fn openvino(options: &EngineOptions) -> anyhow::Result<Arc<dyn InferBackend>> {
    let mut config = backend_openvino::OpenvinoConfig::from(open_options(options));
    config.streams = options.streams;
    let named = options.runtime.openvino_lib()?;
    config.library.clone_from(&named.path);
    config.library_dirs = library_dirs();
    config.plugins = options.runtime.plugins()?;
    config.properties = options
        .config
        .iter()
        .map(|property| property.parse())
        .collect::<Result<_, _>>()?;
    for (flag, given, key) in [
        ("--streams", options.streams, "NUM_STREAMS"),
        ("--threads", options.threads, "INFERENCE_NUM_THREADS"),
        (
            "--requests",
            options.requests,
            "PERFORMANCE_HINT_NUM_REQUESTS",
        ),
    ] {
        let same = config.properties.iter().find(|same| same.key == key);
        if let (Some(property), Some(_)) = (same, given) {
            return Err(crate::errors::Hinted::new(
                format!("{flag} and `--config {property}` set the same property"),
                "leave one of the two out",
            )
            .into());
        }
    }
    config.cache.clone_from(&options.cache_dir);
    let backend = backend_openvino::OpenvinoBackend::open(&config);
    Ok(Arc::new(
        backend.map_err(|error| named.explain(error, "openvino"))?,
    ))
}

#[cfg(feature = "onnx")]
fn onnx(options: &EngineOptions) -> anyhow::Result<Arc<dyn InferBackend>> {
    reject_openvino_flags(options, "onnx")?;
    let mut config = backend_onnx::OnnxConfig::from(open_options(options));
    let named = options.runtime.onnxruntime_lib()?;
    config.library.clone_from(&named.path);
    config.library_dirs = library_dirs();
    let backend = backend_onnx::OnnxBackend::open(&config);
    Ok(Arc::new(
        backend.map_err(|error| named.explain(error, "onnx"))?,
    ))
}

#[cfg(feature = "rten")]
fn rten(options: &EngineOptions) -> anyhow::Result<Arc<dyn InferBackend>> {
    reject_openvino_flags(options, "rten")?;
    let config = backend_rten::RtenConfig::from(open_options(options));
    Ok(Arc::new(backend_rten::RtenBackend::open(&config)?))
}

#[cfg(feature = "remote")]
fn remote(options: &EngineOptions) -> anyhow::Result<Arc<dyn InferBackend>> {
    use anyhow::Context as _;
    use backend_api::PerformanceHint;
    use backend_remote::{RemoteBackend, RemoteConfig, TokenSource};

    reject_openvino_flags(options, "remote")?;
    let remote = options.remote.as_ref().context("there is no server")?;
    if let Some(model) = &remote.local_model {
        // A damaged one would state nothing, and the preprocessing would be a guess. No engine here finds that out.
        model_file::check(model).context("the preprocessing comes from a local model")?;
    }
    let mut config = RemoteConfig::new("", &remote.model.name);
    config.endpoints.clone_from(&remote.urls);
    config.version.clone_from(&remote.model.version);
    config.input.clone_from(&remote.input);
    config.element_type = remote.element_type;
    config.shape.clone_from(&options.shape);
    config.batch = options.batch;
    config.output.clone_from(&options.output);
    config.extra_outputs = options.extra_outputs.clone();
    config.requests = match options.hint {
        PerformanceHint::Latency => options.requests.or(Some(1)),
        PerformanceHint::Throughput => options.requests,
    };
    if let Some(bytes) = remote.max_message {
        config.max_message = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(seconds) = remote.timeout {
        config.timeout = std::time::Duration::from_secs_f64(seconds);
    }
    config.ca.clone_from(&remote.ca);
    let file = remote.token_file.clone().map(TokenSource::File);
    let variable = remote.token_variable.clone();
    config.token = file.or_else(|| variable.map(TokenSource::Variable));
    Ok(Arc::new(RemoteBackend::open(&config)?))
}

/// Rejects flags that mean nothing to the other engines.
#[cfg(any(feature = "onnx", feature = "rten", feature = "remote"))]
fn reject_openvino_flags(options: &EngineOptions, backend: &str) -> anyhow::Result<()> {
    for (flag, given) in [
        ("--streams", options.streams.is_some()),
        ("--plugins", options.runtime.plugins.is_some()),
        ("--config", !options.config.is_empty()),
        ("--cache-dir", options.cache_dir.is_some()),
    ] {
        if given {
            return Err(crate::errors::Hinted::new(
                format!("{flag} is an option of OpenVINO, but the backend is {backend}"),
                format!("leave {flag} out, or use `--backend openvino`"),
            )
            .into());
        }
    }
    Ok(())
}

#[cfg(not(feature = "openvino"))]
fn openvino(_: &EngineOptions) -> anyhow::Result<Arc<dyn InferBackend>> {
    Err(not_built_in("openvino"))
}

#[cfg(not(feature = "onnx"))]
fn onnx(_: &EngineOptions) -> anyhow::Result<Arc<dyn InferBackend>> {
    Err(not_built_in("onnx"))
}

#[cfg(not(feature = "rten"))]
fn rten(_: &EngineOptions) -> anyhow::Result<Arc<dyn InferBackend>> {
    Err(not_built_in("rten"))
}

#[cfg(not(feature = "remote"))]
fn remote(_: &EngineOptions) -> anyhow::Result<Arc<dyn InferBackend>> {
    Err(not_built_in("remote"))
}

#[cfg(not(all(
    feature = "openvino",
    feature = "onnx",
    feature = "rten",
    feature = "remote"
)))]
fn not_built_in(name: &str) -> anyhow::Error {
    let built_in: &[&str] = &[
        #[cfg(feature = "openvino")]
        "openvino",
        #[cfg(feature = "onnx")]
        "onnx",
        #[cfg(feature = "rten")]
        "rten",
        #[cfg(feature = "remote")]
        "remote",
    ];
    let built_in = if built_in.is_empty() {
        "none".to_owned()
    } else {
        built_in.join(", ")
    };
    crate::errors::Hinted::new(
        format!("this `classify` was built without the backend {name}; built in: {built_in}"),
        format!("build it with `--features {name}`"),
    )
    .into()
}
