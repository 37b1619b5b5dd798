//! Opening a model on a device.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use backend_api::{
    BackendInfo, Dim, Error, ErrorKind, ModelSource, OpenOptions, PerformanceHint, Precision,
    SlotPool,
};
use openvino::{CompiledModel, Core, Model, PropertyKey, RwPropertyKey};

use crate::cache::{self, Key, Outcome};
use crate::config::OpenvinoConfig;
use crate::deviations;
use crate::device::{Device, VirtualDevice, same_device};
use crate::engine::{OpenvinoEngine, partial_shape, spec};
use crate::error::{compile_failed, device_unavailable, engine_error};
use crate::plugins::Plugins;
use crate::probe;
use crate::property::{self, Property, device_type};

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
    /// - [`ErrorKind::InvalidConfig`]: a value of `config` cannot be used, the device string or the
    ///   plugins file for instance; or the device computes in another precision than was asked for.
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
        let _span = backend_api::trace_open("openvino", &config.options);
        // The binding panics where a runtime lacks a function or answers with an unknown name.
        catch_unwind(AssertUnwindSafe(|| open(config))).unwrap_or_else(|_| Err(panicked()))
    }
}

backend_api::pooled!(OpenvinoBackend);

/// The error for a panic of the binding.
pub(crate) fn panicked() -> Error {
    Error::new(
        ErrorKind::EngineUnavailable,
        "open OpenVINO",
        "the binding to OpenVINO panicked; the runtime may be too old or too new for it",
    )
    .with_hint("install OpenVINO 2026.4.1, which is the tested version")
}

fn open(config: &OpenvinoConfig) -> Result<(BackendInfo, Vec<OpenvinoEngine>), Error> {
    let options = &config.options;
    for (name, value) in [
        ("streams", config.streams),
        ("threads", options.threads),
        ("requests", options.requests),
    ] {
        if value == Some(0) {
            return Err(invalid(name, "0", "at least 1"));
        }
    }
    let device: Device = options.device.parse()?;
    let (files, deviations) = checked(&options.model)?;
    let plugins = Plugins::read(config.plugins.as_deref())?;
    let library = probe::load(config.library.as_deref(), &config.library_dirs)?;
    let checksums = config.cache.is_some().then(|| {
        let files: Vec<PathBuf> = files.into_iter().chain(plugins.file.clone()).collect();
        let model = options.model.clone();
        // While OpenVINO works on the model, until they are needed.
        let thread = thread::Builder::new().name("openvino-checksums".to_owned());
        thread.spawn(move || checksums(&model, &files))
    });
    let checksums = checksums.transpose().map_err(refused_thread)?;

    let mut core = new_core(&plugins)?;
    let leaves = leaves(&device, &core)?;
    let mut model = read_model(&mut core, &options.model)?;
    let reshaped = reshape(&mut model, options)?;
    let configured = configure(&mut core, config, &device, &leaves)?;
    let cache = config
        .cache
        .as_deref()
        .zip(checksums)
        .map(|(folder, checksums)| {
            let checksums = checksums
                .join()
                .unwrap_or_else(|panic| resume_unwind(panic))?;
            let key = cache_key(&core, config, &device, &configured, &checksums);
            let entry = cache::Entry::open(folder, key)?;
            let path = path_text(entry.folder())?;
            for (name, _) in &configured.devices {
                // Where a device keeps nothing, there is nothing to set.
                let _ = core.set_property(&device_type(name), &RwPropertyKey::CacheDir, path);
            }
            Ok::<_, Error>(entry)
        })
        .transpose()?;
    let mut compiled = core
        .compile_model(&model, device_type(&device.to_string()))
        .map_err(|source| {
            let error = compile_failed(&device.to_string(), &leaves, &available_devices(&core), source);
            let chooses = !matches!(
                device.virtual_device(),
                None | Some(VirtualDevice::Hetero)
            );
            match leaves.iter().find(|leaf| plugins.alias(leaf).is_some()) {
                Some(alias) if chooses => error.with_hint(format!(
                    "{alias} is an alias of the plugins file, which AUTO, MULTI and BATCH cannot use; \
                     HETERO can"
                )),
                _ => error,
            }
        })?;

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
    info.library = Some(library);
    info.model = options.model.path().map(Path::to_path_buf);
    info.requested_device.clone_from(&options.device);
    info.devices = execution_devices(&compiled);
    info.requested_precision = requested_precision(config);
    info.precision = executed_precision(&compiled);
    refuse_other_precision(config, &info)?;
    refuse_disobedience(&device, &info, &compiled)?;
    info.aliases = leaves
        .iter()
        .filter_map(|name| Some((name.clone(), plugins.alias(name)?.plugin.clone())))
        .collect();
    info.notes = notes(&compiled, cache, &info);
    info.notes.extend(reshaped);
    info.notes.extend(deviations);

    let requests = options.requests.unwrap_or_else(|| {
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
            stopped: Arc::default(),
            _model: Arc::clone(&model),
        })
        .collect();
    Ok((info, engines))
}

/// Returns the model's files, and notes on operators of an ONNX model that OpenVINO computes otherwise.
fn checked(model: &ModelSource) -> Result<(Vec<PathBuf>, Vec<String>), Error> {
    if model_file::format(model)? != model_file::Format::Onnx {
        return Ok((model_file::check(model)?, Vec::new()));
    }
    let onnx = model_file::check_onnx(model, "OpenVINO", None)?;
    let external_data = onnx.external_data.into_iter().map(|(_, file)| file);
    let files = model
        .path()
        .map(Path::to_path_buf)
        .into_iter()
        .chain(external_data);
    Ok((files.collect(), deviations::notes(&onnx.model)))
}

/// Everything that a compiled model depends on.
fn cache_key(
    core: &Core,
    config: &OpenvinoConfig,
    device: &Device,
    configured: &Configured,
    checksums: &[String],
) -> Key {
    let mut key = Key::default();
    key.add(&openvino::version().build_number);
    key.add(&device.to_string());
    for (name, _) in &configured.devices {
        key.add(name);
        for what in ["FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES"] {
            key.add(&property::get(core, name, what).unwrap_or_default());
        }
    }
    for (name, value) in &configured.set {
        key.add(name);
        key.add(value);
    }
    for property in &config.properties {
        key.add(&property.to_string());
    }
    key.add(&format!(
        "{:?} {:?}",
        config.options.shape, config.options.batch
    ));
    for checksum in checksums {
        key.add(checksum);
    }
    key
}

fn refused_thread(source: io::Error) -> Error {
    Error::new(
        ErrorKind::ResourceExhausted,
        "open the cache",
        "the system refused a thread",
    )
    .with_hint("raise the limit of threads, or leave the cache out")
    .with_source(source)
}

/// Returns the checksums of a model in memory and of the files.
fn checksums(model: &ModelSource, files: &[PathBuf]) -> Result<Vec<String>, Error> {
    let mut checksums = Vec::new();
    if let ModelSource::Bytes { model, weights } = model {
        checksums.push(cache::checksum_of(model));
        checksums.extend(weights.as_deref().map(cache::checksum_of));
    }

    let of = |file: &PathBuf| {
        cache::checksum(file).map_err(|source| {
            Error::new(
                ErrorKind::ModelNotFound,
                "read the model",
                "the model cannot be read",
            )
            .with_context("file", file.display())
            .with_source(source)
        })
    };
    for file in files {
        checksums.push(of(file)?);
    }
    Ok(checksums)
}

/// What else has to be known of how the model runs.
fn notes(compiled: &CompiledModel, cache: Option<cache::Entry>, info: &BackendInfo) -> Vec<String> {
    let mut notes: Vec<String> = info
        .aliases
        .iter()
        .map(|(name, plugin)| {
            format!(
                "{name} is an alias of the plugin {plugin}, by the plugins file: it is not such hardware"
            )
        })
        .collect();
    if let Some(parts) = property(compiled, "HETERO_NUMBER_OF_SUBMODELS") {
        notes.push(format!(
            "HETERO runs the model in {parts} part(s), on {}",
            info.devices.join(" and ")
        ));
    }
    if let Some(entry) = cache {
        let loaded = property(compiled, "LOADED_FROM_CACHE").as_deref() == Some("YES");
        notes.push(
            match entry.finish(loaded) {
                Outcome::Loaded => "the compiled model is from the cache",
                Outcome::Added => "the compiled model is in the cache now",
                Outcome::Replaced => {
                    "the compiled model in the cache was damaged; it has been compiled again"
                }
                Outcome::NothingToKeep => {
                    "the cache is not used: this device keeps no compiled models"
                }
                Outcome::NotKept => "the compiled model is not in the cache: it could not be kept",
            }
            .to_owned(),
        );
    }
    notes
}

/// The properties that set the precision; the last one counts and comes first.
fn precision_properties(config: &OpenvinoConfig) -> impl Iterator<Item = &Property> {
    let properties = config.properties.iter().rev();
    properties.filter(|property| property.key == "INFERENCE_PRECISION_HINT")
}

/// A property counts more than the setting.
fn requested_precision(config: &OpenvinoConfig) -> Precision {
    let for_all = precision_properties(config).find(|property| property.device.is_none());
    let Some(property) = for_all else {
        return config.options.precision;
    };
    [Precision::F32, Precision::Bf16, Precision::F16]
        .into_iter()
        .find(|precision| precision.as_str() == property.value)
        .unwrap_or(Precision::Auto)
}

/// A device that computes in another precision than was asked for would give other answers without
/// anybody noticing.
fn refuse_other_precision(config: &OpenvinoConfig, info: &BackendInfo) -> Result<(), Error> {
    let asked = match precision_properties(config).next() {
        // What is set for one of several devices is that device's.
        Some(property) if property.device.is_some() => return Ok(()),
        Some(property) => property.value.as_str(),
        None if config.options.precision == Precision::Auto => return Ok(()),
        None => config.options.precision.as_str(),
    };
    if [asked, UNKNOWN].contains(&info.precision.as_str()) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidConfig,
        "configure OpenVINO",
        format!(
            "precision {asked} was asked for, but {} computes in {}",
            info.devices.join("+"),
            info.precision
        ),
    )
    .with_hint(format!(
        "pass `--precision {}`, or `--precision auto` for what the device prefers",
        if ["f32", "bf16", "f16"].contains(&info.precision.as_str()) {
            &info.precision
        } else {
            "f32"
        }
    )))
}

/// The devices that may execute, at least one.
fn leaves(device: &Device, core: &Core) -> Result<Vec<String>, Error> {
    // Only a virtual device needs to know which there are, and to find that out loads every plugin.
    let available = match device {
        Device::Single(_) => Vec::new(),
        Device::Virtual { .. } => available_devices(core),
    };
    let refused = |message: String, hint: &str| {
        Error::new(ErrorKind::InvalidConfig, "read the device", message)
            .with_context("requested", device)
            .with_context("available", available.join(", "))
            .with_hint(hint)
    };
    if let Some(name) = device.unknown_exclusions(&available).first() {
        return Err(refused(
            format!("{name} is to be left out, but there is no such device"),
            "name a device that `classify devices` lists",
        ));
    }
    let leaves = device.leaves(&available);
    if leaves.is_empty() {
        return Err(refused(
            "no device is left: all that are available are left out".to_owned(),
            "leave fewer devices out",
        ));
    }
    Ok(leaves)
}

/// `MULTI` may drop a device that it was told to use, and `BATCH` the batch, both without a word.
fn refuse_disobedience(
    device: &Device,
    info: &BackendInfo,
    compiled: &CompiledModel,
) -> Result<(), Error> {
    let Device::Virtual { kind, candidates } = device else {
        return Ok(());
    };
    let refused = |message: String, hint: &str| {
        let error = Error::new(ErrorKind::DeviceUnavailable, "compile the model", message);
        error.with_context("requested", device).with_hint(hint)
    };
    let named = candidates.iter().filter(|candidate| !candidate.excluded);
    for candidate in named {
        let executes = info
            .devices
            .iter()
            .any(|name| same_device(name, &candidate.name));
        if *kind == VirtualDevice::Multi && !executes {
            return Err(refused(
                format!(
                    "MULTI does not use {}, only {}",
                    candidate.name,
                    info.devices.join(" and ")
                ),
                "name devices that `classify devices` lists",
            ));
        }
        let requests: Option<u32> = property(compiled, "OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            .and_then(|number| number.parse().ok());
        if let (VirtualDevice::Batch, Some(batch), Some(requests)) =
            (kind, candidate.number, requests)
            && requests < batch
        {
            return Err(refused(
                format!(
                    "OpenVINO does not put {batch} requests together on {}",
                    candidate.name
                ),
                "name a smaller number",
            ));
        }
    }
    Ok(())
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

/// OpenVINO's core, with the plugins of the file if there is one.
pub(crate) fn new_core(plugins: &Plugins) -> Result<Core, Error> {
    let core = match &plugins.file {
        None => Core::new(),
        Some(file) => Core::new_with_config(path_text(file)?),
    };
    core.map_err(|source| {
        let error = Error::new(
            ErrorKind::EngineUnavailable,
            "start OpenVINO",
            "OpenVINO did not start",
        );
        match &plugins.file {
            Some(file) => error
                .with_context("plugins", file.display())
                .with_hint("check the plugins file: OpenVINO must be able to read it"),
            None => error.with_hint("install OpenVINO again"),
        }
        .with_source(source)
    })
}

/// The devices that work, or none when OpenVINO cannot even say that.
pub(crate) fn available_devices(core: &Core) -> Vec<String> {
    core.available_devices()
        .unwrap_or_default()
        .iter()
        .map(|device| device.as_ref().to_owned())
        .collect()
}

fn read_model(core: &mut Core, source: &ModelSource) -> Result<Model, Error> {
    let model = match source {
        // With no weights path OpenVINO takes the .bin beside an .xml.
        ModelSource::Path(path) => core.read_model_from_file(path_text(path)?, ""),
        ModelSource::Bytes { model, weights } => {
            let weights = weights.as_deref().map(weights_tensor).transpose();
            weights.and_then(|weights| core.read_model_from_buffer(model, weights.as_ref()))
        }
    };
    let model = model.map_err(|error| {
        engine_error(
            ErrorKind::ModelInvalid,
            "read the model",
            "OpenVINO cannot read the model",
            error,
        )
        .with_context("model", source)
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
        .with_context("model", source)
        .with_hint("cut the model down to one input and one output"));
    }
    Ok(model)
}

/// Copies weights into a tensor of OpenVINO, which the model then shares.
fn weights_tensor(weights: &[u8]) -> Result<openvino::Tensor, openvino::InferenceError> {
    let shape = openvino::Shape::new(&[weights.len() as i64])?;
    let mut tensor = openvino::Tensor::new(openvino::ElementType::U8, &shape)?;
    tensor.get_raw_data_mut()?.copy_from_slice(weights);
    Ok(tensor)
}

/// Sets the shape and the batch that were asked for; a dynamic batch becomes 1, because static shapes
/// compile to faster code. What has to be known of it is returned.
fn reshape(model: &mut Model, options: &OpenOptions) -> Result<Option<String>, Error> {
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
        .reshaped(options.shape.as_deref(), options.batch)?;
    if wanted == declared {
        return Ok(None);
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
        })?;
    let fixed = |dim: &Dim| matches!(dim, Dim::Fixed(_));
    let changed = |(own, wanted): (&Dim, &Dim)| fixed(own) && own != wanted;
    let own_sizes = declared.dims.iter().zip(&wanted.dims).skip(1);
    Ok(own_sizes.into_iter().any(changed).then(|| {
        format!(
            "the model's own input is {declared}; it runs with {wanted}, which it may not be made for"
        )
    }))
}

/// What was set before the model is compiled.
struct Configured {
    /// The virtual device, if there is one, and those that may execute, each with the keys of its
    /// properties.
    devices: Vec<(String, Vec<String>)>,
    /// The properties that this program chooses.
    set: Vec<(String, String)>,
}

/// Sets the properties on each device that may execute, before the model is compiled.
fn configure(
    core: &mut Core,
    config: &OpenvinoConfig,
    device: &Device,
    leaves: &[String],
) -> Result<Configured, Error> {
    let options = &config.options;
    let hint = match options.hint {
        PerformanceHint::Throughput => "THROUGHPUT",
        PerformanceHint::Latency => "LATENCY",
    };
    let mut wanted = vec![(RwPropertyKey::HintPerformanceMode, hint.to_owned())];
    if options.precision != Precision::Auto {
        wanted.push((
            RwPropertyKey::HintInferencePrecision,
            options.precision.as_str().to_owned(),
        ));
    }
    if let Some(streams) = config.streams {
        wanted.push((RwPropertyKey::NumStreams, streams.to_string()));
    }
    if let Some(threads) = options.threads {
        wanted.push((RwPropertyKey::InferenceNumThreads, threads.to_string()));
    }
    if let Some(requests) = options.requests {
        wanted.push((RwPropertyKey::HintNumRequests, requests.to_string()));
    }
    let unavailable = |name: &str, available: &[String], source| {
        device_unavailable(name, available, source).with_context("requested", &options.device)
    };
    let mut devices = Vec::new();
    if let Some(kind) = device.virtual_device() {
        let name = kind.as_str();
        let keys = property::keys(core, name)
            .map_err(|source| unavailable(name, &available_devices(core), source))?;
        for (key, value) in of_virtual_device(kind, leaves, hint) {
            // A release that lacks one of these behaves as if it were set.
            let _ = core.set_property(&device_type(name), &key, value);
        }
        devices.push((name.to_owned(), keys));
    }
    for leaf in leaves {
        let name = device_type(leaf);
        // Loads the device's plugin, so it is here that a missing device shows.
        let keys = property::keys(core, leaf)
            .map_err(|source| unavailable(leaf, &available_devices(core), source))?;
        for (key, value) in &wanted {
            core.set_property(&name, key, value).map_err(|source| {
                // Some plugins load without their driver and fail at the first use.
                let available = available_devices(core);
                if !available.iter().any(|listed| same_device(listed, leaf)) {
                    return unavailable(leaf, &available, source);
                }
                let error = engine_error(
                    ErrorKind::InvalidConfig,
                    "configure OpenVINO",
                    format!("device {leaf} does not take {} = {value}", key.as_ref()),
                    source,
                );
                if *key == RwPropertyKey::HintInferencePrecision {
                    error.with_hint("pass `--precision auto` to take what the device prefers")
                } else {
                    error.with_hint("leave it out to take what the device prefers")
                }
            })?;
        }
        devices.push((leaf.clone(), keys));
    }
    property::set(core, &devices, &config.properties)?;
    let set = wanted
        .into_iter()
        .map(|(key, value)| (key.as_ref().to_owned(), value))
        .collect();
    Ok(Configured { devices, set })
}

/// What a virtual device is told. AUTO would start on the CPU until the device that it chose is
/// ready, and return to the CPU when that device fails: both without a word.
fn of_virtual_device<'a>(
    kind: VirtualDevice,
    leaves: &[String],
    hint: &'a str,
) -> Vec<(RwPropertyKey, &'a str)> {
    let other = |key: &'static str| RwPropertyKey::Other(Cow::Borrowed(key));
    match kind {
        VirtualDevice::Hetero | VirtualDevice::Batch => Vec::new(),
        // These choose their own default otherwise.
        VirtualDevice::Multi => vec![(RwPropertyKey::HintPerformanceMode, hint)],
        VirtualDevice::Auto => {
            let mut told = vec![
                (RwPropertyKey::HintPerformanceMode, hint),
                (other("ENABLE_STARTUP_FALLBACK"), "NO"),
            ];
            // With both, 2026.4 finds no device in `AUTO:CPU`, where there is nothing to return to.
            if *leaves != ["CPU"] {
                told.push((other("ENABLE_RUNTIME_FALLBACK"), "NO"));
            }
            told
        }
    }
}

fn property(compiled: &CompiledModel, key: &'static str) -> Option<String> {
    let value = compiled
        .get_property(&PropertyKey::Other(Cow::Borrowed(key)))
        .ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Where the model runs, as OpenVINO says it. Parentheses are AUTO's sign for a device that runs until
/// another one is ready.
fn execution_devices(compiled: &CompiledModel) -> Vec<String> {
    property(compiled, "EXECUTION_DEVICES")
        .unwrap_or_default()
        .split([' ', ',', '(', ')'])
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What a device that does not say its precision is reported to compute in.
const UNKNOWN: &str = "unknown";

/// The precision in which the model runs, or all of them if its devices differ. What was asked of a
/// device is no answer: where the compiled model does not say it, it is unknown.
fn executed_precision(compiled: &CompiledModel) -> String {
    const KEY: &str = "INFERENCE_PRECISION_HINT";
    let of_model = || property(compiled, KEY).map(|value| vec![value]);
    // Virtual devices say what each of theirs does: `{CPU:{KEY:VALUE,…},GPU:{…}}`.
    let of_devices = || {
        let text = property(compiled, "DEVICE_PROPERTIES")?;
        let values: Vec<String> = text
            .split(&format!("{KEY}:"))
            .skip(1)
            .filter_map(|rest| Some(rest.split([',', '}']).next()?.trim().to_owned()))
            .collect();
        (!values.is_empty()).then_some(values)
    };
    let mut precisions: Vec<String> = of_model()
        .or_else(of_devices)
        .unwrap_or_default()
        .into_iter()
        .map(short_precision)
        .collect();
    precisions.sort();
    precisions.dedup();
    if precisions.is_empty() {
        UNKNOWN.to_owned()
    } else {
        precisions.join("+")
    }
}

/// OpenVINO's C layer writes element types as `f32` or as `<Type: 'float32'>`, by version.
pub(crate) fn short_precision(value: String) -> String {
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

    /// A model of one node, `OneHot`.
    const ONE_HOT: &[u8] = b"\x08\x08\x3a\x0a\x0a\x08\x22\x06OneHot";

    #[test]
    fn the_content_tells_what_is_checked_and_not_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["m.onnx", "m.pb", "m.bin", "m"] {
            std::fs::write(at(name), ONE_HOT).unwrap();
            let (files, notes) = checked(&at(name).into()).unwrap();
            assert_eq!(files, [at(name)]);
            assert!(notes[0].contains("OneHot"), "{name}: {notes:?}");
        }
        let (files, notes) = checked(&ModelSource::from_bytes(ONE_HOT)).unwrap();
        assert!(files.is_empty() && notes[0].contains("OneHot"), "{notes:?}");
        // A TensorFlow graph: OpenVINO says what it makes of it.
        std::fs::write(at("graph.onnx"), b"\x0a\x00").unwrap();
        let (files, notes) = checked(&at("graph.onnx").into()).unwrap();
        assert_eq!((files, notes), (vec![at("graph.onnx")], Vec::new()));
    }
}
