//! Opening a model on a device.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backend_api::{
    BackendInfo, Error, ErrorKind, InferBackend, InferRequest, PendingInfer, PerformanceHint,
    Precision, SlotPool, model_file,
};
use openvino::{CompiledModel, Core, DeviceType, Model, PropertyKey, RwPropertyKey};

use crate::config::OpenvinoConfig;
use crate::engine::{OpenvinoEngine, partial_shape, spec};
use crate::error::{compile_failed, device_unavailable, engine_error};
use crate::probe;

/// A model compiled by OpenVINO for a device, with a pool of infer requests.
#[derive(Debug)]
pub struct OpenvinoBackend {
    pool: SlotPool,
}

impl OpenvinoBackend {
    /// Finds and loads the runtime, reads the model, compiles it for the device, and makes the
    /// infer requests. Takes as long as the engine needs for that: 0.1 s to minutes.
    ///
    /// A dynamic batch dimension is set to 1, unless `config` says otherwise.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::EngineUnavailable`]: no usable runtime; says where it looked.
    /// - [`ErrorKind::ModelNotFound`], [`ErrorKind::ModelInvalid`],
    ///   [`ErrorKind::ModelUnsupported`]: the file, its `.bin`, or what is in them.
    /// - [`ErrorKind::DeviceUnavailable`]: the device does not exist or its plugin cannot load;
    ///   lists those that exist.
    /// - [`ErrorKind::InvalidConfig`]: a value of `config` cannot be used.
    pub fn open(config: &OpenvinoConfig) -> Result<Self, Error> {
        let (info, engines) = Self::parts(config)?;
        Ok(Self {
            pool: SlotPool::new(info, engines)?,
        })
    }

    /// What [`open`](Self::open) gives to its pool. Public for the conformance tests only.
    #[doc(hidden)]
    pub fn parts(
        config: &OpenvinoConfig,
    ) -> Result<(BackendInfo, Vec<impl backend_api::Engine + use<>>), Error> {
        // The binding panics where a runtime lacks a function or answers with an unknown name.
        catch_unwind(AssertUnwindSafe(|| open(config))).unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::EngineUnavailable,
                "open OpenVINO",
                "the binding to OpenVINO panicked; the runtime may be too old or too new for it",
            )
            .with_hint("OpenVINO 2026.4.1 is the version that is tested; `cargo setup` brings it"))
        })
    }
}

#[async_trait]
impl InferBackend for OpenvinoBackend {
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

fn open(config: &OpenvinoConfig) -> Result<(BackendInfo, Vec<OpenvinoEngine>), Error> {
    if config.device.trim().is_empty() || config.device.contains('\0') {
        return Err(invalid(
            "device",
            &config.device,
            "a device name such as CPU or GPU.1",
        ));
    }
    for (name, value) in [
        ("streams", config.streams),
        ("threads", config.threads),
        ("requests", config.requests),
    ] {
        if value == Some(0) {
            return Err(invalid(name, "0", "at least 1"));
        }
    }
    model_file::check(&config.model)?;
    let library = probe::load(config.library.as_deref())?;

    let mut core = core(config.plugins.as_deref())?;
    let available = available_devices(&core);
    // OpenVINO would answer with an internal check that means nothing to a user.
    if config.device.eq_ignore_ascii_case("HETERO") {
        return Err(device_unavailable(&config.device, &available));
    }
    let mut model = read_model(&mut core, &config.model)?;
    reshape(&mut model, config)?;
    configure(&mut core, config, &available)?;
    let mut compiled = core
        .compile_model(&model, DeviceType::Other(Cow::Borrowed(&config.device)))
        .map_err(|source| compile_failed(&config.device, &available, source))?;

    let port_failed = |source| {
        engine_error(
            ErrorKind::ModelInvalid,
            "compile the model",
            "cannot read its ports",
            source,
        )
    };
    let input = spec(&compiled.get_input().map_err(port_failed)?, "input")?;
    let output = spec(&compiled.get_output().map_err(port_failed)?, "output")?;
    let output_type = output.element_type;

    let mut info = BackendInfo::new("openvino", input, output);
    "OpenVINO".clone_into(&mut info.engine);
    info.engine_version = openvino::version().build_number;
    info.library = Some(library.path);
    info.model = Some(config.model.clone());
    info.requested_device.clone_from(&config.device);
    info.devices = devices(&compiled);
    info.requested_precision = config.precision;
    info.precision = property(&compiled, "INFERENCE_PRECISION_HINT").map_or_else(
        || leaf_precision(&core, &config.device, &available),
        short_precision,
    );

    let requests = config.requests.unwrap_or_else(|| {
        property(&compiled, "OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            .and_then(|number| number.parse().ok())
            .unwrap_or(1)
    });
    let native = (0..requests)
        .map(|_| compiled.create_infer_request())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| {
            engine_error(
                ErrorKind::ResourceExhausted,
                "create the infer requests",
                format!("OpenVINO did not create {requests} infer requests"),
                source,
            )
            .with_hint("ask for fewer infer requests")
        })?;
    let model = Arc::new(Mutex::new((compiled, core)));
    let engines = native
        .into_iter()
        .map(|request| OpenvinoEngine {
            request,
            output_type,
            _model: Arc::clone(&model),
        })
        .collect();
    Ok((info, engines))
}

fn invalid(what: &str, value: impl fmt::Display, expected: &str) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        "configure OpenVINO",
        format!("{what} is `{value}`, but it must be {expected}"),
    )
}

fn path_text(path: &Path) -> Result<&str, Error> {
    path.to_str()
        .filter(|path| !path.contains('\0'))
        .ok_or_else(|| {
            invalid(
                "path",
                path.display(),
                "valid UTF-8, which is all that OpenVINO's binding takes",
            )
        })
}

fn core(plugins: Option<&Path>) -> Result<Core, Error> {
    let core = match plugins {
        None => Core::new(),
        Some(file) => Core::new_with_config(path_text(file)?),
    };
    core.map_err(|source| {
        let error = Error::new(
            ErrorKind::EngineUnavailable,
            "start OpenVINO",
            "OpenVINO did not start",
        );
        match plugins {
            Some(file) => error
                .with_context("plugins", file.display())
                .with_hint("check the plugins file: OpenVINO must be able to read it"),
            None => error,
        }
        .with_source(source)
    })
}

/// The devices that work, or none when OpenVINO cannot even say that.
fn available_devices(core: &Core) -> Vec<String> {
    core.available_devices()
        .unwrap_or_default()
        .iter()
        .map(|device| device.as_ref().to_owned())
        .collect()
}

fn read_model(core: &mut Core, path: &Path) -> Result<Model, Error> {
    // With no weights path OpenVINO takes the .bin beside an .xml.
    let model = core
        .read_model_from_file(path_text(path)?, "")
        .map_err(|source| {
            engine_error(
                ErrorKind::ModelInvalid,
                "read the model",
                "OpenVINO cannot read the model",
                source,
            )
            .with_context("model", path.display())
        })?;
    let counts = (model.get_inputs_len(), model.get_outputs_len());
    if let (Ok(inputs), Ok(outputs)) = counts
        && (inputs, outputs) != (1, 1)
    {
        return Err(Error::new(
            ErrorKind::ModelUnsupported,
            "read the model",
            format!("the model has {inputs} inputs and {outputs} outputs, but 1 of each is needed"),
        )
        .with_context("model", path.display())
        .with_hint("cut the model down to one input and one output"));
    }
    Ok(model)
}

/// Sets the shape and the batch that were asked for; a dynamic batch becomes 1, because static shapes
/// compile to faster code.
fn reshape(model: &mut Model, config: &OpenvinoConfig) -> Result<(), Error> {
    let failed = |source| {
        engine_error(
            ErrorKind::ModelUnsupported,
            "reshape the model",
            "OpenVINO cannot read the model's input",
            source,
        )
    };
    let declared = spec(&model.get_input_by_index(0).map_err(failed)?, "input")?;
    let wanted = declared
        .clone()
        .reshaped(config.shape.as_deref(), config.batch)?;
    if wanted == declared {
        return Ok(());
    }
    partial_shape(&wanted)
        .and_then(|shape| model.reshape_single_input(&shape))
        .map_err(|source| {
            engine_error(
                ErrorKind::ModelUnsupported,
                "reshape the model",
                format!("OpenVINO cannot reshape the model's input from {declared} to {wanted}"),
                source,
            )
            .with_hint(
                "the sizes are fixed inside the model; export it with dynamic sizes, or leave the \
                 shape and the batch out",
            )
        })
}

/// The devices that will execute, from a device string such as `HETERO:GPU.1,CPU` or
/// `BATCH:GPU(16)`. `AUTO` alone may choose any of the available ones.
fn leaf_devices(device: &str, available: &[String]) -> Vec<String> {
    let list = match device.split_once(':') {
        Some((_, list)) => list,
        None if ["AUTO", "MULTI"].contains(&device) => return available.to_vec(),
        None => device,
    };
    let names = || {
        list.split(',')
            .map(|name| name.split('(').next().unwrap_or(name).trim())
            .filter(|name| !name.is_empty())
    };
    let chosen: Vec<String> = names()
        .filter(|name| !name.starts_with('-'))
        .map(str::to_owned)
        .collect();
    if !chosen.is_empty() {
        return chosen;
    }
    // Only exclusions: any of the others may execute.
    let excluded = |device: &String| names().any(|name| name.strip_prefix('-') == Some(device));
    available
        .iter()
        .filter(|device| !excluded(device))
        .cloned()
        .collect()
}

/// Whether `device` is one of the available ones. `GPU` and `GPU.0` are the same device.
fn is_listed(device: &str, available: &[String]) -> bool {
    let first = |name: &str| name.strip_suffix(".0").unwrap_or(name).to_owned();
    available.iter().any(|name| first(name) == first(device))
}

/// Sets the properties on each device that may execute, before the model is compiled.
fn configure(core: &mut Core, config: &OpenvinoConfig, available: &[String]) -> Result<(), Error> {
    let hint = match config.hint {
        PerformanceHint::Throughput => "THROUGHPUT",
        PerformanceHint::Latency => "LATENCY",
    };
    let mut wanted = vec![(RwPropertyKey::HintPerformanceMode, hint.to_owned())];
    if config.precision != Precision::Auto {
        wanted.push((
            RwPropertyKey::HintInferencePrecision,
            config.precision.as_str().to_owned(),
        ));
    }
    if let Some(streams) = config.streams {
        wanted.push((RwPropertyKey::NumStreams, streams.to_string()));
    }
    if let Some(threads) = config.threads {
        wanted.push((RwPropertyKey::InferenceNumThreads, threads.to_string()));
    }
    if let Some(requests) = config.requests {
        wanted.push((RwPropertyKey::HintNumRequests, requests.to_string()));
    }
    if let Some((wrapper @ ("AUTO" | "MULTI"), _)) =
        config.device.split_once(':').or(Some((&config.device, "")))
    {
        // These choose their own default otherwise. Where they do not take it, the devices do.
        let _ = core.set_property(
            &DeviceType::Other(Cow::Borrowed(wrapper)),
            &RwPropertyKey::HintPerformanceMode,
            hint,
        );
    }
    for device in leaf_devices(&config.device, available) {
        let name = DeviceType::Other(Cow::Borrowed(device.as_str()));
        let unavailable = |source| {
            device_unavailable(&device, available)
                .with_context("requested", &config.device)
                .with_source(source)
        };
        // Loads the device's plugin, so it is here that a missing device shows.
        if let Err(source) = core.get_property(&name, &PropertyKey::SupportedProperties) {
            return Err(unavailable(source));
        }
        for (key, value) in &wanted {
            core.set_property(&name, key, value).map_err(|source| {
                // Some plugins load without their driver and fail at the first use.
                if !is_listed(&device, available) {
                    return unavailable(source);
                }
                let error = engine_error(
                    ErrorKind::InvalidConfig,
                    "configure OpenVINO",
                    format!("device {device} does not take {} = {value}", key.as_ref()),
                    source,
                );
                if *key == RwPropertyKey::HintInferencePrecision {
                    error.with_hint("pass `--precision auto` to take what the device prefers")
                } else {
                    error
                }
            })?;
        }
    }
    Ok(())
}

fn property(compiled: &CompiledModel, key: &'static str) -> Option<String> {
    let value = compiled
        .get_property(&PropertyKey::Other(Cow::Borrowed(key)))
        .ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn devices(compiled: &CompiledModel) -> Vec<String> {
    property(compiled, "EXECUTION_DEVICES")
        .unwrap_or_default()
        .split([' ', ',', '(', ')'])
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// HETERO has no precision of its own: it is that of its devices.
fn leaf_precision(core: &Core, device: &str, available: &[String]) -> String {
    let mut precisions: Vec<String> = leaf_devices(device, available)
        .iter()
        .filter_map(|name| {
            core.get_property(
                &DeviceType::Other(Cow::Borrowed(name.as_str())),
                &PropertyKey::Rw(RwPropertyKey::HintInferencePrecision),
            )
            .ok()
        })
        .map(short_precision)
        .collect();
    precisions.sort();
    precisions.dedup();
    if precisions.is_empty() {
        "unknown".to_owned()
    } else {
        precisions.join("+")
    }
}

/// OpenVINO's C layer writes element types as `f32` or as `<Type: 'float32'>`, by version.
fn short_precision(value: String) -> String {
    match value.as_str() {
        "<Type: 'float32'>" => "f32".to_owned(),
        "<Type: 'bfloat16'>" => "bf16".to_owned(),
        "<Type: 'float16'>" => "f16".to_owned(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_device_has_two_names() {
        let available = ["CPU".to_owned(), "GPU.0".to_owned(), "GPU.1".to_owned()];
        for (device, listed) in [
            ("CPU", true),
            ("GPU", true),
            ("GPU.1", true),
            ("GPU.2", false),
            ("NPU", false),
        ] {
            assert_eq!(is_listed(device, &available), listed, "{device}");
        }
    }

    #[test]
    fn device_strings_lead_to_the_devices_that_execute() {
        let available = ["CPU".to_owned(), "GPU".to_owned()];
        for (device, leaves) in [
            ("CPU", vec!["CPU"]),
            ("GPU.1", vec!["GPU.1"]),
            ("HETERO:GPU.1,CPU", vec!["GPU.1", "CPU"]),
            ("BATCH:GPU(16)", vec!["GPU"]),
            ("AUTO:-CPU,GPU", vec!["GPU"]),
            ("AUTO:-GPU", vec!["CPU"]),
            ("AUTO", vec!["CPU", "GPU"]),
            ("MYRIAD", vec!["MYRIAD"]),
        ] {
            assert_eq!(leaf_devices(device, &available), leaves, "{device}");
        }
    }
}
