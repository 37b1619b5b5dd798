//! OpenVINO's core: devices, reading a model, compiling it.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

use backend_api::{
    ChosenOutputs, Dim, Error, ErrorKind, ModelSource, OpenOptions, choose_outputs, only_input,
};
use model_file::Format;
use openvino::{CompiledModel, Core, InferenceError, Model};

use crate::device_string::{Device, VirtualDevice};
use crate::engine::{input_spec, partial_shape, spec};
use crate::error::{compile_failed, engine_error, invalid_config};
use crate::plugins::Plugins;
use crate::probe;
use crate::property::device_type;

/// Returns a path as the binding takes it.
pub(crate) fn path_text(path: &Path) -> Result<&str, Error> {
    path.to_str()
        .filter(|path| !path.contains('\0'))
        .ok_or_else(|| {
            invalid_config(
                "path",
                format!("{:?}", path.to_string_lossy()),
                "valid UTF-8: OpenVINO's binding accepts nothing else",
            )
        })
}

/// Returns OpenVINO's core, with the plugins of the file if there is one.
pub(crate) fn new_core(plugins: &Plugins) -> Result<Core, Error> {
    let core = match &plugins.file {
        None => Core::new(),
        Some(file) => Core::new_with_config(path_text(file)?),
    };
    core.map_err(|source| {
        let error = Error::new(ErrorKind::EngineUnavailable, "OpenVINO did not start");
        match &plugins.file {
            Some(file) => error
                .with_context("plugins", file.display())
                .with_hint("check the plugins file: OpenVINO must be able to read it"),
            None => error.with_hint("install OpenVINO again"),
        }
        .with_source(source)
    })
}

/// Returns the devices that work; none if OpenVINO cannot list them.
pub(crate) fn available_devices(core: &Core) -> Vec<String> {
    core.available_devices()
        .unwrap_or_default()
        .iter()
        .map(|device| device.as_ref().to_owned())
        .collect()
}

/// Reads a model.
pub(crate) fn read_model(core: &mut Core, source: &ModelSource) -> Result<Model, Error> {
    let model = match source {
        // Without a path of weights OpenVINO takes the .bin next to an .xml.
        ModelSource::Path(path) => core.read_model_from_file(path_text(path)?, ""),
        ModelSource::Bytes { model, weights } => {
            let weights = weights.as_deref().map(weights_tensor).transpose();
            weights.and_then(|weights| core.read_model_from_buffer(model, weights.as_ref()))
        }
    };
    model.map_err(|error| match missing_front_end(source) {
        Some((library, directory)) => engine_error(
            ErrorKind::EngineUnavailable,
            format!("OpenVINO cannot read the model without its library {library}"),
            error,
        )
        .with_context("directory", directory.display())
        .with_context("model", source)
        .with_hint(
            "install all of OpenVINO, for instance with `pip install openvino==2026.4.1`, or the package of this \
             library",
        ),
        None => engine_error(
            ErrorKind::ModelInvalid,
            "OpenVINO cannot read the model",
            error,
        )
        .with_context("model", source),
    })
}

/// Checks that the model has one input.
pub(crate) fn check_input(model: &Model, options: &OpenOptions) -> Result<(), Error> {
    let count = model.get_inputs_len().map_err(ports_failed)?;
    let name = |index| {
        let port = model.get_input_by_index(index);
        port.and_then(|port| port.get_name()).unwrap_or_default()
    };
    let names: Vec<String> = (0..count).map(name).collect();
    only_input(&names, options).map(|_| ())
}

/// Chooses the outputs of the model.
pub(crate) fn outputs(model: &Model, options: &OpenOptions) -> Result<ChosenOutputs, Error> {
    let count = model.get_outputs_len().map_err(ports_failed)?;
    let declared = (0..count).map(|index| {
        let port = model.get_output_by_index(index).map_err(ports_failed)?;
        // Models may leave a port unnamed, which OpenVINO reports as an error. Among several outputs, a name that this
        // crate invents must not say what an output holds: `output` would be taken for the scores.
        let unnamed = match count {
            1 => "output".to_owned(),
            _ => format!("unnamed {}", index + 1),
        };
        let name = port.get_name().unwrap_or(unnamed);
        let spec = spec(&port, &name, "output");
        Ok((name, spec))
    });
    choose_outputs(declared.collect::<Result<_, Error>>()?, options)
}

fn ports_failed(source: InferenceError) -> Error {
    engine_error(
        ErrorKind::ModelInvalid,
        "OpenVINO cannot read the model's inputs and outputs",
        source,
    )
}

/// Returns the library that reads the model's format and the directory where OpenVINO looks for it, if it is not there.
fn missing_front_end(source: &ModelSource) -> Option<(String, PathBuf)> {
    let format = match model_file::format(source).ok()? {
        Format::Onnx => "onnx",
        Format::Ir => "ir",
        Format::TensorflowLite => "tensorflow_lite",
        Format::Tensorflow | Format::SavedModel => "tensorflow",
        Format::Paddle => "paddle",
        _ => return None,
    };
    let directory = probe::loaded()?.parent()?.to_path_buf();
    let stem = format!("{DLL_PREFIX}openvino_{format}_frontend");
    let mut files = directory.read_dir().ok()?.flatten();
    // Versions stand at the end: `.so.2641`.
    let is_there = files.any(|file| file.file_name().to_string_lossy().starts_with(&stem));
    (!is_there).then(|| (format!("{stem}{DLL_SUFFIX}"), directory))
}

/// Copies weights into a tensor of OpenVINO, which the model then shares.
fn weights_tensor(weights: &[u8]) -> Result<openvino::Tensor, InferenceError> {
    let shape = openvino::Shape::new(&[weights.len() as i64])?;
    let mut tensor = openvino::Tensor::new(openvino::ElementType::U8, &shape)?;
    tensor.get_raw_data_mut()?.copy_from_slice(weights);
    Ok(tensor)
}

/// Sets the requested shape and batch; a dynamic batch becomes 1, because static shapes compile to faster code.
/// Returns a note if the requested sizes differ from the model's.
pub(crate) fn reshape(model: &mut Model, options: &OpenOptions) -> Result<Option<String>, Error> {
    let failed = |source| {
        engine_error(
            ErrorKind::ModelUnsupported,
            "OpenVINO cannot read the model's input",
            source,
        )
    };
    let declared = input_spec(&model.get_input_by_index(0).map_err(failed)?)?;
    let wanted = declared
        .clone()
        .reshaped(options.shape.as_deref(), options.batch)?
        .within(options.most_input_bytes)?;
    if wanted == declared {
        return Ok(None);
    }
    partial_shape(&wanted)
        .and_then(|shape| model.reshape_single_input(&shape))
        .map_err(|source| {
            engine_error(
                ErrorKind::ModelUnsupported,
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
            "the model declares the input {declared}, but runs with {wanted}; it may not be designed for that"
        )
    }))
}

/// Returns the devices that may execute, at least one.
pub(crate) fn leaves(device: &Device, core: &Core) -> Result<Vec<String>, Error> {
    // Only a virtual device needs to know which there are, and to find that out loads every plugin.
    let available = match device {
        Device::Single(_) => Vec::new(),
        Device::Virtual { .. } => available_devices(core),
    };
    let refused = |message: String, hint: &str| {
        Error::new(ErrorKind::InvalidConfig, message)
            .with_context("requested", device)
            .with_context("available", available.join(", "))
            .with_hint(hint)
    };
    if let Some(name) = device.unknown_exclusions(&available).first() {
        return Err(refused(
            format!("the device string excludes {name}, but there is no such device"),
            "name a device that `devices()` lists",
        ));
    }
    let leaves = device.leaves(&available);
    if leaves.is_empty() {
        return Err(refused(
            "the device string excludes all available devices".to_owned(),
            "exclude fewer devices",
        ));
    }
    Ok(leaves)
}

/// Compiles the model for the device. `leaves` are the devices that may execute.
pub(crate) fn compile(
    core: &mut Core,
    model: &Model,
    device: &Device,
    leaves: &[String],
    plugins: &Plugins,
) -> Result<CompiledModel, Error> {
    let name = device.to_string();
    core.compile_model(model, device_type(&name))
        .map_err(|source| {
            let error = compile_failed(&name, leaves, &available_devices(core), source);
            let chooses = !matches!(device.virtual_device(), None | Some(VirtualDevice::Hetero));
            match leaves.iter().find(|leaf| plugins.alias(leaf).is_some()) {
            Some(alias) if chooses => error.with_hint(format!(
                "{alias} is an alias from the plugins file: AUTO, MULTI and BATCH cannot use aliases, HETERO can"
            )),
            _ => error,
        }
        })
}
