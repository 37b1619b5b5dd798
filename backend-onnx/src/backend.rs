//! Opening a model.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread::available_parallelism;

use async_trait::async_trait;
use backend_api::{
    BackendInfo, Dim, Error, ErrorKind, InferBackend, InferRequest, PendingInfer, PerformanceHint,
    Precision, SlotPool, TensorSpec, model_file,
};
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use crate::config::OnnxConfig;
use crate::engine::{OnnxEngine, spec};
use crate::error::{engine_error, load_failed, not_onnx};
use crate::probe;
use crate::provider::{CPU, Known};

/// Sessions that each hold the weights are not made without limit on machines with many cores.
const MOST_DEFAULT_SESSIONS: usize = 8;

/// A model loaded by ONNX Runtime, with a pool of sessions.
#[derive(Debug)]
pub struct OnnxBackend {
    pool: SlotPool,
}

impl OnnxBackend {
    /// Finds and loads the runtime and makes the sessions.
    ///
    /// A dynamic batch dimension is 1 for the requests of this backend, unless `config` says otherwise.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::EngineUnavailable`]: no usable runtime; says where it looked.
    /// - [`ErrorKind::ModelNotFound`], [`ErrorKind::ModelInvalid`],
    ///   [`ErrorKind::ModelUnsupported`]: the file or what is in it. An OpenVINO IR is unsupported;
    ///   the hint names the `.onnx` beside it if there is one.
    /// - [`ErrorKind::DeviceUnavailable`]: an execution provider that the runtime lacks, or that cannot
    ///   run the whole model.
    /// - [`ErrorKind::InvalidConfig`]: a value of `config` cannot be used.
    pub fn open(config: &OnnxConfig) -> Result<Self, Error> {
        let (info, engines) = Self::parts(config)?;
        Ok(Self {
            pool: SlotPool::new(info, engines)?,
        })
    }

    /// What [`open`](Self::open) gives to its pool. Public for the conformance tests only.
    #[doc(hidden)]
    pub fn parts(
        config: &OnnxConfig,
    ) -> Result<(BackendInfo, Vec<impl backend_api::Engine + use<>>), Error> {
        // The binding panics where a runtime answers with what it does not know.
        catch_unwind(AssertUnwindSafe(|| open(config))).unwrap_or_else(|_| Err(panicked()))
    }
}

#[async_trait]
impl InferBackend for OnnxBackend {
    fn info(&self) -> &BackendInfo {
        self.pool.info()
    }

    async fn submit(&self, request: InferRequest) -> Result<PendingInfer, Error> {
        self.pool.submit(request).await
    }

    async fn wait_all(&self) {
        self.pool.wait_all().await;
    }
}

/// The error for a panic of the binding.
pub(crate) fn panicked() -> Error {
    Error::new(
        ErrorKind::EngineUnavailable,
        "open ONNX Runtime",
        "the binding to ONNX Runtime panicked; the runtime may be too old or too new for it",
    )
    .with_hint("ONNX Runtime 1.31.1 is the version that is tested; `cargo setup` brings it")
}

fn open(config: &OnnxConfig) -> Result<(BackendInfo, Vec<OnnxEngine>), Error> {
    for (name, value) in [("threads", config.threads), ("requests", config.requests)] {
        if value == Some(0) {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "configure ONNX Runtime",
                format!("{name} is 0, but it must be at least 1"),
            ));
        }
    }
    if let Precision::Bf16 | Precision::F16 = config.precision {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            "configure ONNX Runtime",
            format!(
                "precision {} is not available: ONNX Runtime computes in the element types of the \
                 model",
                config.precision
            ),
        )
        .with_hint("pass `--precision f32`, or a model in that precision"));
    }
    if is_not_onnx(&config.model) {
        return Err(not_onnx(&config.model));
    }
    model_file::check(&config.model)?;
    let (library, environment) = probe::load(config.library.as_deref())?;
    let known = Known::find(&config.device)?;
    let provider = &known.provider;

    let (requests, threads) = divide_cores(config);
    let sessions = (0..requests)
        .map(|_| {
            let mut builder = session_builder(&environment, config, threads).map_err(|source| {
                engine_error(
                    ErrorKind::InvalidConfig,
                    "configure ONNX Runtime",
                    format!("ONNX Runtime does not take {requests} sessions of {threads} threads"),
                    source,
                )
            })?;
            if provider.device != CPU {
                builder = on_provider(builder, known, config)?;
            }
            builder
                .commit_from_file(&config.model)
                .map_err(|source| load_failed(&config.model, provider, source))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let (inputs, outputs) = (sessions[0].inputs(), sessions[0].outputs());
    let ([input], [output]) = (inputs, outputs) else {
        return Err(Error::new(
            ErrorKind::ModelUnsupported,
            "load the model",
            format!(
                "the model has {} inputs and {} outputs, but 1 of each is needed",
                inputs.len(),
                outputs.len()
            ),
        )
        .with_context("model", config.model.display())
        .with_hint("cut the model down to one input and one output"));
    };

    let input = input_spec(&spec(input, "input")?, config)?;
    let batch = match input.dims.first() {
        Some(Dim::Fixed(batch)) => *batch,
        _ => 1,
    };
    let output = spec(output, "output")?.with_batch(batch);
    let mut info = BackendInfo::new("onnx", input, output);
    "ONNX Runtime".clone_into(&mut info.engine);
    info.engine_version = version(&library.path);
    info.library = Some(library);
    info.model = Some(config.model.clone());
    info.requested_device.clone_from(&config.device);
    info.devices = vec![provider.device.to_owned()];
    info.requested_precision = config.precision;
    info.precision = match provider.device {
        // These compute in the element types of the model, CUDA because it is told so.
        CPU | "CUDA" if config.precision == Precision::F32 || provider.device == CPU => {
            info.output.element_type.to_string()
        }
        _ => "unknown".to_owned(),
    };
    if provider.device == "OPENVINO" {
        info.notes.push(
            "ONNX Runtime runs the model on OpenVINO here: as a reference for OpenVINO it proves \
             nothing, since both have the same kernels"
                .to_owned(),
        );
    }
    Ok((
        info,
        sessions
            .into_iter()
            .map(|session| OnnxEngine { session })
            .collect(),
    ))
}

/// Formats that OpenVINO reads. Any other file may be ONNX, whatever it is called.
fn is_not_onnx(model: &Path) -> bool {
    model.exists()
        && ["xml", "tflite", "pdmodel"]
            .iter()
            .any(|ending| model_file::has_ending(model, ending))
        || model.join("saved_model.pb").is_file()
}

/// Every dimension that the model leaves open may have any size; the others cannot be changed.
fn input_spec(declared: &TensorSpec, config: &OnnxConfig) -> Result<TensorSpec, Error> {
    let wanted = declared
        .clone()
        .reshaped(config.shape.as_deref(), config.batch)?;
    let possible = declared
        .dims
        .iter()
        .zip(&wanted.dims)
        .all(|(declared, wanted)| *declared == Dim::Dynamic || declared == wanted);
    if possible {
        return Ok(wanted);
    }
    Err(Error::new(
        ErrorKind::ModelUnsupported,
        "load the model",
        format!("the model's input is {declared}; ONNX Runtime cannot make it {wanted}"),
    )
    .with_hint(
        "export the model with dynamic sizes; or leave the shape and the batch out; or use \
         `--backend openvino`, which can reshape many models",
    ))
}

/// How many sessions, and how many threads for each.
fn divide_cores(config: &OnnxConfig) -> (usize, usize) {
    let threads = config
        .threads
        .unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get));
    let requests = config.requests.unwrap_or(match config.hint {
        PerformanceHint::Throughput => threads.min(MOST_DEFAULT_SESSIONS),
        PerformanceHint::Latency => 1,
    });
    (requests, (threads / requests).max(1))
}

fn session_builder(
    environment: &Environment,
    config: &OnnxConfig,
    threads: usize,
) -> Result<SessionBuilder, ort::Error> {
    Ok(Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(config.spinning)?
        .with_no_environment_execution_providers()?)
}

/// The provider, and no other: ONNX Runtime would give what the provider does not take to the CPU.
fn on_provider(
    builder: SessionBuilder,
    known: &Known,
    config: &OnnxConfig,
) -> Result<SessionBuilder, Error> {
    let chosen = || -> Result<SessionBuilder, ort::Error> {
        Ok(builder
            .with_execution_providers([known.dispatch(config.precision)])?
            .with_config_entry("session.disable_cpu_ep_fallback", "1")?)
    };
    chosen().map_err(|source| {
        engine_error(
            ErrorKind::DeviceUnavailable,
            "load the model",
            format!("{} cannot be used", known.provider.name),
            source,
        )
        .with_hint(format!("{}; or pass `-d CPU`", known.provider.remedy))
    })
}

/// `ort` does not hand out the version. In every official package, the library's file name ends in
/// it, be it behind a link.
pub(crate) fn version(library: &Path) -> String {
    let real = library
        .canonicalize()
        .unwrap_or_else(|_| library.to_path_buf());
    let name = real
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let numbers = name
        .split_once(".so.")
        .map(|(_, numbers)| numbers)
        .or_else(|| name.strip_prefix("libonnxruntime.")?.strip_suffix(".dylib"))
        .filter(|numbers| {
            numbers
                .split('.')
                .all(|number| number.parse::<u32>().is_ok())
        });
    numbers.map_or_else(
        || format!("of unknown version ({})", ort::info()),
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_divided_among_the_sessions() {
        let mut config = OnnxConfig::new("m.onnx");
        config.threads = Some(6);
        assert_eq!(divide_cores(&config), (6, 1));
        config.requests = Some(2);
        assert_eq!(divide_cores(&config), (2, 3));
        config.requests = Some(9);
        assert_eq!(divide_cores(&config), (9, 1));
        config.requests = None;
        config.hint = PerformanceHint::Latency;
        assert_eq!(divide_cores(&config), (1, 6));
        config.hint = PerformanceHint::Throughput;
        config.threads = Some(64);
        assert_eq!(divide_cores(&config), (8, 8));
    }
}
