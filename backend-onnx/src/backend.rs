//! Opening a model.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use backend_api::{
    BackendInfo, Dim, Error, ErrorKind, ModelSource, Precision, SlotPool, choose_outputs,
    only_input,
};
use model_file::onnx::{Model, Node};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use crate::config::OnnxConfig;
use crate::engine::{OnnxEngine, Outputs, spec};
use crate::error::{engine_error, load_failed, panicked};
use crate::probe;
use crate::provider::{CPU, Known};

const ENGINE: &str = "ONNX Runtime";
/// The hint for a model in another format.
const OTHER_ENGINE: &str = "use `backend-openvino`";
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
    /// A dynamic batch dimension is 1 for the requests of this backend, unless `config` sets it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::EngineUnavailable`]: no usable library; the message lists the searched places.
    /// - [`ErrorKind::ModelNotFound`], [`ErrorKind::ModelInvalid`],
    ///   [`ErrorKind::ModelUnsupported`]: the file or its content. An OpenVINO IR is unsupported;
    ///   the hint names the `.onnx` next to it if there is one.
    /// - [`ErrorKind::DeviceUnavailable`]: an execution provider that the runtime lacks, or that cannot
    ///   run the whole model.
    /// - [`ErrorKind::InvalidConfig`]: a value of `config` cannot be used.
    pub fn open(config: &OnnxConfig) -> Result<Self, Error> {
        let (info, engines) = Self::parts(config)?;
        Ok(Self {
            pool: SlotPool::new(info, engines)?,
        })
    }

    /// Returns the parts that [`open`](Self::open) passes to its pool. Public for the conformance tests only.
    #[doc(hidden)]
    pub fn parts(
        config: &OnnxConfig,
    ) -> Result<(BackendInfo, Vec<impl backend_api::Engine + use<>>), Error> {
        let _span = backend_api::trace_open("onnx", &config.options);
        // The binding panics if the library returns a value that the binding does not know.
        catch_unwind(AssertUnwindSafe(|| open(config)))
            .unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
    }
}

backend_api::pooled!(OnnxBackend);

fn open(config: &OnnxConfig) -> Result<(BackendInfo, Vec<OnnxEngine>), Error> {
    let options = &config.options;
    let (requests, threads) = options.hint.divide(
        options.threads,
        options.requests,
        MOST_DEFAULT_SESSIONS,
        ENGINE,
    )?;
    if let Precision::Bf16 | Precision::F16 = options.precision {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "precision {} is not available: {ENGINE} computes in the element types of the model",
                options.precision
            ),
        )
        .with_hint("use `precision = f32`, or a model in that precision"));
    }
    let (types, may_have_max_pool) = {
        let model = model_file::check_onnx(&options.model, ENGINE, Some(OTHER_ENGINE))?.model;
        (model.computed_types(), may_have_max_pool(&model))
    };
    let (library, environment) = probe::load(config.library.as_deref(), &config.library_dirs)?;
    let known = Known::find(&options.device)?;
    let provider = &known.provider;

    let sessions = (0..requests)
        .map(|_| {
            let mut builder = session_builder(&environment, config, threads, may_have_max_pool).map_err(|source| {
                engine_error(
                    ErrorKind::InvalidConfig,
                    format!("ONNX Runtime cannot open {requests} sessions of {threads} threads"),
                    source,
                )
                .with_hint("use other numbers of infer requests and threads, or another build of ONNX Runtime")
            })?;
            if provider.device != CPU {
                builder = on_provider(builder, known, config)?;
            }
            let session = match &options.model {
                ModelSource::Path(path) => builder.commit_from_file(path),
                ModelSource::Bytes { model, .. } => builder.commit_from_memory(model),
            };
            session.map_err(|source| load_failed(&options.model, provider.name, source))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let (inputs, outputs) = (sessions[0].inputs(), sessions[0].outputs());
    let names: Vec<String> = inputs.iter().map(|input| input.name().to_owned()).collect();
    let input = &inputs[only_input(&names, options)?];
    let declared = outputs
        .iter()
        .map(|output| (output.name().to_owned(), spec(output, "output")));
    let outputs = choose_outputs(declared.collect(), options)?;

    let input = spec(input, "input")?.filled(options.shape.as_deref(), options.batch, ENGINE)?;
    let batch = match input.dims.first() {
        Some(Dim::Fixed(batch)) => *batch,
        _ => 1,
    };
    let outputs = outputs.with_batch(batch);
    let places = outputs.places.clone();
    let mut info = outputs.into_info("onnx", input);
    ENGINE.clone_into(&mut info.engine);
    info.engine_version = probe::version(&library.path);
    info.library = Some(library);
    info.model = options.model.path().map(Path::to_path_buf);
    info.requested_device.clone_from(&options.device);
    info.devices = vec![provider.device.to_owned()];
    info.requested_precision = options.precision;
    info.precision = match provider.device {
        // These compute in the element types of the model's weights, CUDA because it is told so.
        CPU | "CUDA" if options.precision == Precision::F32 || provider.device == CPU => {
            if types.is_empty() {
                // A model without weights computes in the type of its output.
                info.output.element_type.to_string()
            } else {
                types.join("+")
            }
        }
        _ => "unknown".to_owned(),
    };
    if provider.device == "OPENVINO" {
        info.notes.push(
            "ONNX Runtime runs the model with OpenVINO's kernels; comparing it with OpenVINO proves nothing"
                .to_owned(),
        );
    }
    let names = info.extra_outputs.iter().map(|spec| spec.name.clone());
    let outputs = Arc::new(Outputs {
        places,
        names: names.collect(),
    });
    let engine = |session| OnnxEngine::new(session, Arc::clone(&outputs));
    Ok((info, sessions.into_iter().map(engine).collect()))
}

fn session_builder(
    environment: &Environment,
    config: &OnnxConfig,
    threads: usize,
    may_have_max_pool: bool,
) -> Result<SessionBuilder, ort::Error> {
    let builder = Session::builder(environment)?
        // The log goes to stderr with the model's names as they are, and its errors are those that the calls return.
        .with_log_level(LogLevel::Fatal)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(config.spinning)?
        .with_no_environment_execution_providers()?;
    if !may_have_max_pool {
        return Ok(builder);
    }
    // ONNX Runtime (1.22.0 and 1.31.1) makes zeros around a MaxPool its padding, which it ignores: negative maxima are
    // wrong. BiT and ResNetV2 have such zeros.
    Ok(builder.with_config_entry("optimization.disable_specified_optimizers", "Pad_Fusion")?)
}

/// Returns whether the model may have a `MaxPool`: in its graph, in the body of an operator or in a function.
fn may_have_max_pool(model: &Model) -> bool {
    let may_be_one = |node: &Node| node.operator() == "MaxPool" || node.bodies().next().is_some();
    !model.functions.is_empty() || model.nodes().iter().any(may_be_one)
}

/// Returns options with the requested provider alone. By default, ONNX Runtime runs unsupported nodes on the CPU.
fn on_provider(
    builder: SessionBuilder,
    known: &Known,
    config: &OnnxConfig,
) -> Result<SessionBuilder, Error> {
    let chosen = || -> Result<SessionBuilder, ort::Error> {
        Ok(builder
            .with_execution_providers([known.dispatch(config.options.precision)])?
            .with_config_entry("session.disable_cpu_ep_fallback", "1")?)
    };
    chosen().map_err(|source| {
        engine_error(
            ErrorKind::DeviceUnavailable,
            format!("{} cannot be used", known.provider.name),
            source,
        )
        .with_hint(format!("{}; or use `device = CPU`", known.provider.remedy))
    })
}
