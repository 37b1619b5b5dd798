//! Opening a model on a device.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use backend_api::{BackendInfo, Error, ErrorKind, ModelSource, SlotPool};
use openvino::{CompiledModel, Core, RwPropertyKey};

use crate::cache::{self, CacheOutcome, Key};
use crate::config::OpenvinoConfig;
use crate::configure::{Configured, configure, requested_precision};
use crate::core::{
    check_input, compile, leaves, new_core, outputs, path_text, read_model, reshape,
};
use crate::deviations;
use crate::device_string::Device;
use crate::engine::{OpenvinoEngine, Outputs, input_spec, spec};
use crate::error::{engine_error, invalid_config, panicked};
use crate::executed::{
    self, check_execution_devices, check_precision, compiled_property, executed_precision,
    execution_devices,
};
use crate::plugins::Plugins;
use crate::probe;
use crate::property::{self, device_type};

/// A model compiled by OpenVINO for a device, with a pool of infer requests.
#[derive(Debug)]
pub struct OpenvinoBackend {
    pool: SlotPool,
}

impl OpenvinoBackend {
    /// Finds and loads the runtime, reads the model, compiles it for the device, and makes the
    /// infer requests. Takes as long as the engine needs for that: 0.1 s to minutes.
    ///
    /// A dynamic batch dimension is set to 1, unless `config` sets it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::EngineUnavailable`]: no usable library; the message lists the searched places.
    /// - [`ErrorKind::ModelNotFound`], [`ErrorKind::ModelInvalid`],
    ///   [`ErrorKind::ModelUnsupported`]: the file, its `.bin`, or their content.
    /// - [`ErrorKind::DeviceUnavailable`]: the device does not exist or its plugin cannot load;
    ///   lists those that exist.
    /// - [`ErrorKind::InvalidConfig`]: a value of `config` cannot be used, the device string or the
    ///   plugins file for instance; or the device computes in another precision than requested.
    pub fn open(config: &OpenvinoConfig) -> Result<Self, Error> {
        let (info, engines) = Self::parts(config)?;
        Ok(Self {
            pool: SlotPool::new(info, engines)?,
        })
    }

    /// Returns the parts that [`open`](Self::open) passes to its pool. Public for the conformance tests only.
    #[doc(hidden)]
    pub fn parts(
        config: &OpenvinoConfig,
    ) -> Result<(BackendInfo, Vec<impl backend_api::Engine + use<>>), Error> {
        let _span = backend_api::trace_open("openvino", &config.options);
        catch_unwind(AssertUnwindSafe(|| open(config)))
            .unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
    }
}

backend_api::pooled!(OpenvinoBackend);

fn open(config: &OpenvinoConfig) -> Result<(BackendInfo, Vec<OpenvinoEngine>), Error> {
    let options = &config.options;
    for (name, value) in [
        ("streams", config.streams),
        ("threads", options.threads),
        ("requests", options.requests),
    ] {
        if value == Some(0) {
            return Err(invalid_config(name, "0", "at least 1"));
        }
    }
    let device: Device = options.device.parse()?;
    let (files, deviations) = checked(&options.model)?;
    let plugins = Plugins::read(config.plugins.as_deref())?;
    let library = probe::load(config.library.as_deref(), &config.library_dirs)?;
    let cache = config.cache.as_deref();
    let cache = cache
        .map(|directory| {
            Ok::<_, Error>((directory, checksums_of(&options.model, files, &plugins)?))
        })
        .transpose()?;

    let mut core = new_core(&plugins)?;
    let leaves = leaves(&device, &core)?;
    let mut model = read_model(&mut core, &options.model)?;
    check_input(&model, options)?;
    let reshaped = reshape(&mut model, options)?;
    let outputs = outputs(&model, options)?;
    let configured = configure(&mut core, config, &device, &leaves)?;
    let cache = cache
        .map(|(directory, checksums)| {
            let checksums = checksums
                .join()
                .unwrap_or_else(|panic| resume_unwind(panic))?;
            let key = cache_key(&core, config, &device, &configured, &checksums);
            cache_entry(&mut core, directory, key, &configured)
        })
        .transpose()?;
    let mut compiled = compile(&mut core, &model, &device, &leaves, &plugins)?;

    let port_failed = |source| {
        engine_error(
            ErrorKind::ModelInvalid,
            "cannot read the ports of the compiled model",
            source,
        )
    };
    let input = input_spec(&compiled.get_input().map_err(port_failed)?)?;
    let mut specs = Vec::new();
    for (place, chosen) in outputs.places.iter().zip(&outputs.specs) {
        let port = compiled.get_output_by_index(*place).map_err(port_failed)?;
        specs.push(spec(&port, &chosen.name, "output")?);
    }

    let places = outputs.places.clone();
    let outputs = outputs.with_specs(specs);
    let mut info = outputs.into_info("openvino", input);
    "OpenVINO".clone_into(&mut info.engine);
    info.engine_version = openvino::version().build_number;
    info.library = Some(library);
    info.model = options.model.path().map(Path::to_path_buf);
    info.requested_device.clone_from(&options.device);
    info.devices = execution_devices(&compiled);
    info.requested_precision = requested_precision(config);
    info.precision = executed_precision(&compiled);
    check_precision(config, &info)?;
    check_execution_devices(&device, &info, &compiled)?;
    info.aliases = leaves
        .iter()
        .filter_map(|name| Some((name.clone(), plugins.alias(name)?.plugin.clone())))
        .collect();
    let remarks = executed::notes(&compiled, &info);
    info.notes.extend(remarks);
    info.notes
        .extend(cache.map(|entry| cache_note(entry, &compiled).to_owned()));
    info.notes.extend(reshaped);
    info.notes.extend(deviations);
    info.notes
        .extend(executed::saturation_note(&info, &options.model));

    let requests = options.requests.unwrap_or_else(|| {
        compiled_property(&compiled, "OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            .and_then(|number| number.parse().ok())
            .unwrap_or(1)
    });
    let native = (0..requests)
        .map(|_| compiled.create_infer_request())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| {
            engine_error(
                ErrorKind::ResourceExhausted,
                format!("OpenVINO did not create {requests} infer requests"),
                source,
            )
            .with_hint("use fewer infer requests")
        })?;
    let names = info.extra_outputs.iter().map(|spec| spec.name.clone());
    let outputs = Arc::new(Outputs {
        places,
        names: names.collect(),
    });
    let model = Arc::new(Mutex::new((compiled, core)));
    let engines = native
        .into_iter()
        .map(|request| OpenvinoEngine {
            request,
            outputs: Arc::clone(&outputs),
            stopped: None,
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

/// Returns the cache key: a hash of all inputs of the compilation. The chosen outputs are not part of it: a compiled model
/// computes all outputs.
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

/// Opens the entry of the cache and sets the devices to it.
fn cache_entry(
    core: &mut Core,
    directory: &Path,
    key: Key,
    configured: &Configured,
) -> Result<cache::Entry, Error> {
    let entry = cache::Entry::open(directory, key)?;
    let path = path_text(entry.directory())?;
    for (name, _) in &configured.devices {
        // Without caching on the device, there is no property to set.
        let _ = core.set_property(&device_type(name), &RwPropertyKey::CacheDir, path);
    }
    Ok(entry)
}

/// Starts to compute the checksums of all files that a compiled model depends on, while OpenVINO works on the model.
fn checksums_of(
    model: &ModelSource,
    files: Vec<PathBuf>,
    plugins: &Plugins,
) -> Result<JoinHandle<Result<Vec<String>, Error>>, Error> {
    let files: Vec<PathBuf> = files.into_iter().chain(plugins.file.clone()).collect();
    let model = model.clone();
    let thread = thread::Builder::new().name("openvino-checksums".to_owned());
    thread
        .spawn(move || checksums(&model, &files))
        .map_err(|source: io::Error| {
            Error::new(
                ErrorKind::ResourceExhausted,
                "the operating system could not start the thread that computes checksums for the cache",
            )
            .with_hint("raise the thread limit, or leave the cache out")
            .with_source(source)
        })
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
            Error::new(ErrorKind::ModelNotFound, "the model cannot be read")
                .with_context("file", file.display())
                .with_source(source)
        })
    };
    for file in files {
        checksums.push(of(file)?);
    }
    Ok(checksums)
}

/// Finishes the entry of the cache and returns a note on it.
fn cache_note(entry: cache::Entry, compiled: &CompiledModel) -> &'static str {
    let is_loaded = compiled_property(compiled, "LOADED_FROM_CACHE").as_deref() == Some("YES");
    match entry.finish(is_loaded) {
        CacheOutcome::Loaded => "the compiled model was loaded from the cache",
        CacheOutcome::Added => "the compiled model was added to the cache",
        CacheOutcome::Replaced => {
            "the compiled model in the cache was damaged; the model was compiled again"
        }
        CacheOutcome::NothingToKeep => {
            "the cache is not used: this device does not support cached models"
        }
        CacheOutcome::NotKept => "the compiled model could not be written to the cache",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of one node, `OneHot`.
    const ONE_HOT: &[u8] = b"\x08\x08\x3a\x0a\x0a\x08\x22\x06OneHot";

    #[test]
    fn the_content_tells_what_is_checked_and_not_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["m.onnx", "m.pb", "m.bin", "m"] {
            std::fs::write(at(name), ONE_HOT).unwrap();
            let (files, notes) = checked(&at(name).into()).unwrap();
            assert_eq!(files, [at(name)]);
            assert!(notes[0].contains("OneHot"), "{name}: {notes:?}");
        }
        let (files, notes) = checked(&ModelSource::from_bytes(ONE_HOT)).unwrap();
        assert!(files.is_empty() && notes[0].contains("OneHot"), "{notes:?}");
        // A TensorFlow graph: only OpenVINO can check it.
        std::fs::write(at("graph.onnx"), b"\x0a\x00").unwrap();
        let (files, notes) = checked(&at("graph.onnx").into()).unwrap();
        assert_eq!((files, notes), (vec![at("graph.onnx")], Vec::new()));
    }
}
