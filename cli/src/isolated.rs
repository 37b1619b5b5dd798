//! Engines and the decoding of images in processes of their own: this program, started again.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use backend_api::{BackendInfo, Error, ErrorKind, FoundLibrary, InferBackend, PerformanceHint};
use engine_isolation::{Isolated, Isolation, Work, this_program};
use image_classification::{Decoder, DecodingBackend};
use serde::{Deserialize, Serialize};

use crate::args::Backend;
use crate::engines;
use crate::errors::{self, Hinted};
use crate::files_read;
use crate::image_decoder;
use crate::image_memory;
use crate::options::{EngineOptions, IsolationOptions};
use crate::runtimes::library_dirs;

/// The beginnings of the variables that the process of an engine gets: those of the engines, of the C library, and of
/// this program. Others may be secrets.
const VARIABLES: [&str; 22] = [
    "CLASSIFY_",
    "DNNL_",
    "GLIBC_",
    "GOMP_",
    "KMP_",
    "LANG",
    "LC_",
    "LD_",
    "MALLOC_",
    "MKL_",
    "OMP_",
    "ONEDNN_",
    "ONNXRUNTIME_",
    "OPENVINO_",
    "ORT_",
    "OV_",
    "PATH",
    "RAYON_",
    "RTEN_",
    "TBB_",
    "TZ",
    "VIRTUAL_ENV",
];
/// The number of parts into which glibc divides memory: each takes addresses that nobody uses.
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "2");

/// The times that the process of the decoder is replaced within a minute: strangers may send many faulty images, and it
/// starts in milliseconds.
const DECODER_RESTARTS: usize = 600;

/// Bytes of a request of an engine that is isolated by default: no request that works without it may exceed them. Memory
/// is taken only as far as it is used.
const DEFAULT_TENSOR_BYTES: u64 = 16 << 30;

/// The work of a process.
#[derive(Debug, Serialize, Deserialize)]
enum Job {
    Engine {
        options: Box<EngineOptions>,
        /// Bytes that a request may take.
        budget: u64,
    },
    Decoder {
        /// Images that are decoded at a time.
        jobs: usize,
    },
}

/// Does the work of an isolated process, if this is one. Returns whether it is.
pub fn run_child() -> bool {
    engine_isolation::run_child(|job: Job| -> Result<Box<dyn InferBackend>, Error> {
        Ok(match job {
            Job::Engine { options, budget } => {
                image_memory::set_budget(budget);
                let backend = engines::open(&options).map_err(|error| to_engine_error(&error))?;
                Box::new(backend)
            }
            Job::Decoder { jobs } => Box::new(DecodingBackend::new(jobs)?),
        })
    })
}

/// Starts the process that decodes the images of this one, `jobs` at a time, if a flag requests isolation.
pub fn start_decoder(limits: Option<IsolationOptions>, jobs: usize) -> anyhow::Result<()> {
    let Some(limits) = limits.filter(|limits| !limits.is_default) else {
        return Ok(());
    };
    let mut isolation = isolation(limits);
    isolation.work = Work::Decoder;
    // No more images than this are decoded at a time.
    isolation.spare_requests = 0;
    // It lives as long as there are images.
    isolation.cpu_time = None;
    isolation.tensor_bytes = DecodingBackend::MOST_BYTES;
    isolation.restarts = DECODER_RESTARTS;
    isolation.restart_window = Duration::from_mins(1);
    let backend = Isolated::open(&Job::Decoder { jobs }, &isolation)?;
    image_decoder::set(Decoder::Backend(Arc::new(backend)));
    Ok(())
}

/// Returns an error that can be sent to the other process.
fn to_engine_error(error: &anyhow::Error) -> Error {
    if let Some(own) = error.downcast_ref::<Error>() {
        // Without its type, the text is the same.
        let mut copy = Error::new(own.kind(), own.to_string());
        if let Some(hint) = own.hint() {
            copy = copy.with_hint(hint);
        }
        let causes: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
        return if causes.is_empty() {
            copy
        } else {
            copy.with_source(causes.join(": "))
        };
    }
    let copy = Error::new(ErrorKind::InvalidConfig, errors::chain(error));
    match errors::hint(error) {
        Some(hint) => copy.with_hint(hint),
        None => copy,
    }
}

/// Opens the requested backend, in a process of its own if that is requested or the default. `note` gets the reason why
/// the default cannot be had.
pub fn open(
    options: &EngineOptions,
    note: impl FnOnce(&str),
) -> anyhow::Result<Arc<dyn InferBackend>> {
    match options.isolation {
        Some(limits) if limits.is_default => open_by_default(options, limits, note),
        Some(limits) => {
            check_isolation(options)?;
            open_isolated(options, limits, engines::library(options)?)
        }
        None => engines::open(options),
    }
}

/// Opens the backend in a process of its own, or here if it works only here. A crash of its process is an error: it
/// would be one of this process. The same holds if the system refuses a process, a thread or memory: in this process, the
/// engine would end the program then.
fn open_by_default(
    options: &EngineOptions,
    limits: IsolationOptions,
    note: impl FnOnce(&str),
) -> anyhow::Result<Arc<dyn InferBackend>> {
    let Ok(library) = engines::library(options) else {
        // Its errors are here as they are without a process.
        return engines::open(options);
    };
    let error = match open_isolated(options, limits, library) {
        Ok(backend) => return Ok(backend),
        Err(error) => error,
    };
    let kind = error.downcast_ref::<Error>().map(Error::kind);
    if let Some(ErrorKind::EngineCrashed | ErrorKind::ResourceExhausted) = kind {
        return Err(error);
    }
    // Most often the same error.
    let backend = engines::open(options)?;
    let reason = errors::chain(&error);
    note(&format!(
        "the engine is not isolated, so that a crash of it ends the program: {}",
        reason.lines().next().unwrap_or_default()
    ));
    Ok(backend)
}

/// Rejects what cannot be isolated.
fn check_isolation(options: &EngineOptions) -> anyhow::Result<()> {
    if options.cache_dir.is_some() {
        let hint = "leave --cache-dir out, or --isolate if you trust the model";
        return Err(Hinted::new(
            "--isolate and --cache-dir exclude each other: a hostile model could write into the cache",
            hint,
        )
        .into());
    }
    if !options.is_on_cpu() {
        let error = format!(
            "--isolate is available on the device CPU only, not on {}: the drivers of others need more rights",
            options.device
        );
        return Err(Hinted::new(error, "leave --isolate out, or use the CPU").into());
    }
    Ok(())
}

/// Opens the engine in another process, which is told the path of the engine's library: it may not look for it.
fn open_isolated(
    options: &EngineOptions,
    limits: IsolationOptions,
    library: Option<FoundLibrary>,
) -> anyhow::Result<Arc<dyn InferBackend>> {
    let mut isolation = isolation(limits);
    isolation.readable = readable(options, library.as_ref().map(|found| &*found.path));
    isolation.spare_requests = spare_requests(options);
    let mut options = Box::new(options.clone());
    let library = library.map(|found| found.path);
    if let Some(path) = &library {
        let named = match options.backend {
            Backend::Openvino => &mut options.runtime.openvino_lib,
            _ => &mut options.runtime.onnxruntime_lib,
        };
        *named = Some(path.clone());
    }
    let model = options.model.clone();
    let budget = image_memory::of_process().budget.bytes();
    let backend = Isolated::open(&Job::Engine { options, budget }, &isolation)?;
    check_description(backend.info(), &model, library.as_deref())?;
    Ok(Arc::new(backend))
}

/// Rejects the description of an engine with other files than its process was given: reports and digests name these.
fn check_description(
    info: &BackendInfo,
    model: &Path,
    library: Option<&Path>,
) -> anyhow::Result<()> {
    let described = info.library.as_ref().map(|found| &*found.path);
    for (what, described, given) in [
        ("model", info.model.as_deref(), Some(model)),
        ("library", described, library),
    ] {
        if described != given {
            let name = |path: Option<&Path>| {
                path.map_or_else(|| "none".to_owned(), |path| path.display().to_string())
            };
            let error = format!(
                "the process of the engine describes another {what} than it was given: {}, expected {}",
                name(described),
                name(given)
            );
            let hint = "do not use the model: it may have taken its process over";
            // Of this kind, since it must not be opened in this program instead.
            return Err(Error::new(ErrorKind::EngineCrashed, error)
                .with_hint(hint)
                .into());
        }
    }
    Ok(())
}

/// Returns the number of infer requests that the process of an isolated engine takes beyond those of the engine.
fn spare_requests(options: &EngineOptions) -> usize {
    // A requested number is kept, and a spare request would wait for the others.
    let is_free = options.requests.is_none() && options.hint == PerformanceHint::Throughput;
    usize::from(is_free)
}

/// Returns the number of infer requests that the engine of an open backend runs at a time.
pub fn running_requests(options: &EngineOptions, info: &BackendInfo) -> usize {
    let spare = info.isolation.as_ref().map(|_| spare_requests(options));
    info.slots - spare.unwrap_or(0)
}

fn isolation(limits: IsolationOptions) -> Isolation {
    let mut isolation = Isolation::new();
    isolation.command = Arc::new(move || command(limits.memory.is_some()));
    isolation.memory = limits.memory;
    isolation.cpu_time = limits.cpu_time;
    isolation.timeout = limits.timeout.unwrap_or(Duration::MAX);
    isolation.open_timeout = limits.open_timeout.unwrap_or(Duration::MAX);
    if limits.is_default {
        // It contains crashes; a part of the confinement may be missing.
        isolation.notes_gaps = false;
        isolation.tensor_bytes = DEFAULT_TENSOR_BYTES;
    }
    isolation
}

/// Returns the command of an isolated process.
fn command(saves_addresses: bool) -> std::io::Result<Command> {
    let mut command = this_program()?;
    command.env_clear();
    command.envs(env::vars_os().filter(|(name, _)| is_passed_on(name)));
    if saves_addresses && env::var_os(ARENAS.0).is_none() {
        command.env(ARENAS.0, ARENAS.1);
    }
    Ok(command)
}

fn is_passed_on(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    VARIABLES.iter().any(|start| name.starts_with(start))
}

/// Returns the files and directories that the process may read: the model, the engine's libraries, and the directories
/// in which it looks for them.
fn readable(options: &EngineOptions, library: Option<&Path>) -> Vec<PathBuf> {
    let mut paths = files_read::model_files(&options.model);
    paths.extend(library.and_then(Path::parent).map(Path::to_owned));
    paths.extend(library_dirs());
    if let Ok(Some(plugins)) = options.runtime.plugins() {
        paths.extend(engines::plugin_libraries(&plugins));
        paths.push(plugins);
    }
    paths
}

#[cfg(test)]
mod tests {
    use backend_api::{ElementType, TensorSpec};

    use super::*;

    #[test]
    fn secrets_of_the_environment_stay_here() {
        for (name, passed) in [
            ("OMP_NUM_THREADS", true),
            ("CLASSIFY_HOME", true),
            ("LD_LIBRARY_PATH", true),
            ("AWS_SECRET_ACCESS_KEY", false),
            ("GITHUB_TOKEN", false),
            ("HOME", false),
        ] {
            assert_eq!(is_passed_on(OsStr::new(name)), passed, "{name}");
        }
    }

    #[test]
    fn a_description_with_other_files_is_rejected() {
        let check = |model: Option<&str>, library: Option<&str>| {
            let spec = |name: &str| TensorSpec::new(name, ElementType::F32, Vec::new());
            let mut info = BackendInfo::new("onnx", spec("input"), spec("output"));
            info.model = model.map(PathBuf::from);
            info.library = library.map(|path| FoundLibrary {
                path: path.into(),
                origin: "a flag".to_owned(),
            });
            check_description(&info, Path::new("a.onnx"), Some(Path::new("lib.so"))).map_err(
                |error| {
                    let kind = error.downcast_ref::<Error>().map(Error::kind);
                    assert_eq!(kind, Some(ErrorKind::EngineCrashed));
                    error.to_string()
                },
            )
        };
        assert_eq!(check(Some("a.onnx"), Some("lib.so")), Ok(()));
        for (model, library, words) in [
            (
                Some("b.onnx"),
                Some("lib.so"),
                "another model than it was given: b.onnx, expected a.onnx",
            ),
            (
                None,
                Some("lib.so"),
                "another model than it was given: none, expected a.onnx",
            ),
            (
                Some("a.onnx"),
                Some("x.so"),
                "another library than it was given: x.so, expected lib.so",
            ),
            (
                Some("a.onnx"),
                None,
                "another library than it was given: none, expected lib.so",
            ),
        ] {
            let error = check(model, library).unwrap_err();
            assert!(error.ends_with(words), "{error}");
        }
    }

    #[test]
    fn errors_reach_the_other_process_with_their_hint() {
        let error = Error::new(ErrorKind::ModelInvalid, "damaged").with_hint("export it again");
        let copy = to_engine_error(&anyhow::Error::new(error.with_source("cause")));
        assert_eq!(copy.kind(), ErrorKind::ModelInvalid);
        assert_eq!(copy.to_string(), "damaged");
        assert_eq!(copy.hint(), Some("export it again"));
        let source = std::error::Error::source(&copy).map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("cause"));
        let copy = to_engine_error(&Hinted::new("two flags", "leave one out").into());
        assert_eq!(copy.to_string(), "two flags");
        assert_eq!(copy.hint(), Some("leave one out"));
    }
}
