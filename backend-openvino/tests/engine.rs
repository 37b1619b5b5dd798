//! OpenVINO itself: the contract, the model files, the devices.

use std::sync::Arc;
use std::time::Duration;

use backend_api::conformance::Subject;
use backend_api::{
    BlockingInfer, Error, ErrorKind, InferBackend, InferRequest, ModelSource, PendingInfer,
    Precision, Tensor,
};
use backend_openvino::{OpenvinoBackend, OpenvinoConfig, find_library};
use classify_tests::models::{self, error, infer};
use classify_tests::{
    Loader, Needs, conformance, doubled, doubling_input, doubling_subject, ensure, library_dirs,
    library_trials, outputs, set_up, small_model,
};
use libtest_mimic::{Arguments, Failed};

/// Element types of inputs that the engine has.
const TYPES: &[&str] = &[
    "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f64", "bf16",
];

fn main() {
    let arguments = Arguments::from_args();
    let engine = Needs::engine(&find_library(None, &library_dirs()));
    let with_set_up = engine.and(&Needs::set_up());
    let mut trials = Vec::new();
    for file in ["double.onnx", "double.xml"] {
        trials.extend(conformance(&engine, file, move || subject(file)));
    }
    let boxed: models::Open = |model| Ok(Box::new(open(model)?));
    trials.extend(models::trials(&engine, boxed));
    let with: outputs::OpenWith = |options| {
        let mut config = OpenvinoConfig::from(options);
        config.library_dirs = library_dirs();
        Ok(Box::new(OpenvinoBackend::open(&config)?))
    };
    for file in ["three-outputs.onnx", "three-outputs.xml"] {
        trials.extend(outputs::trials(&engine, file, with));
    }
    trials.push(outputs::without_scores(&engine, with));
    trials.extend(models::stopping(&engine, boxed));
    trials.push(models::span(&engine, "openvino", boxed));
    trials.push(models::input_types(&engine, boxed, TYPES));
    let tests: [(&str, fn() -> Result<(), Failed>); 8] = [
        ("an_ir_needs_its_weights", ir),
        ("an_ir_in_memory_gives_the_same", ir_in_memory),
        ("a_model_in_memory_is_cached", cached_memory),
        ("a_missing_device_lists_what_there_is", missing_devices),
        ("virtual_devices_run", virtual_devices),
        (
            "a_stopped_virtual_device_runs_the_next_request",
            stopped_virtual_devices,
        ),
        ("f32_is_the_default_and_reported", precision),
        ("values_out_of_range_are_rejected", bad_configuration),
    ];
    trials.extend(tests.map(|(name, test)| engine.test(name, test)));
    trials.extend(library_trials(Loader {
        find: || find_library(None, &library_dirs()),
        open: |library| {
            let mut config = config_of("double.onnx");
            config.library = library;
            Ok(Box::new(OpenvinoBackend::open(&config)?))
        },
    }));
    trials.push(with_set_up.test("requests_set_the_slots", slots));
    libtest_mimic::run(&arguments, trials).exit();
}

fn subject(file: &'static str) -> Subject {
    let config = move || {
        let mut config = config_of(file);
        config.options.requests = Some(3);
        config
    };
    doubling_subject(
        move || OpenvinoBackend::open(&config()),
        move || OpenvinoBackend::parts(&config()),
    )
}

/// The defaults for a small model.
fn config_of(model: &str) -> OpenvinoConfig {
    let mut config = OpenvinoConfig::new(small_model(model));
    config.library_dirs = library_dirs();
    config
}

fn open(model: impl Into<ModelSource>) -> Result<OpenvinoBackend, Error> {
    let mut config = OpenvinoConfig::new(model);
    config.library_dirs = library_dirs();
    OpenvinoBackend::open(&config)
}

fn on_device(device: &str) -> Result<OpenvinoBackend, Error> {
    let mut config = config_of("double.onnx");
    device.clone_into(&mut config.options.device);
    OpenvinoBackend::open(&config)
}

fn ir() -> Result<(), Failed> {
    let output = infer(
        &open(small_model("plain.xml"))?,
        Tensor::new([1, 3, 8, 8], vec![128.0_f32; 192])?,
    )?;
    ensure(output.len() == 12, &output)?;
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    std::fs::copy(small_model("plain.xml"), at("plain.xml"))?;
    let no_weights = error(open(at("plain.xml")), ErrorKind::ModelNotFound)?;
    ensure(no_weights.to_string().contains("plain.bin"), &no_weights)?;
    let weights = std::fs::read(small_model("plain.bin"))?;
    std::fs::write(at("plain.bin"), &weights[..weights.len() / 2])?;
    error(open(at("plain.xml")), ErrorKind::ModelInvalid)?;
    Ok(())
}

/// The content of `plain.xml` and `plain.bin`.
fn plain_in_memory() -> Result<(Vec<u8>, Vec<u8>), Failed> {
    let read = |file| std::fs::read(small_model(file));
    Ok((read("plain.xml")?, read("plain.bin")?))
}

fn memory(model: &[u8], weights: Option<&[u8]>) -> ModelSource {
    ModelSource::Bytes {
        model: model.into(),
        weights: weights.map(Into::into),
    }
}

fn ir_in_memory() -> Result<(), Failed> {
    let (xml, weights) = plain_in_memory()?;
    let by_path = open(small_model("plain.xml"))?;
    let by_memory = open(memory(&xml, Some(&weights)))?;
    let mut info = by_path.info().clone();
    info.model = None;
    ensure(info == *by_memory.info(), (info, by_memory.info()))?;
    let values: Vec<f32> = (0..192_u8).map(f32::from).collect();
    let input = Tensor::new([1, 3, 8, 8], values)?;
    let outputs = (infer(&by_path, input.clone())?, infer(&by_memory, input)?);
    ensure(outputs.0 == outputs.1, outputs)?;

    let without = error(open(memory(&xml, None)), ErrorKind::ModelInvalid)?;
    ensure(
        without.hint().is_some_and(|hint| hint.contains(".bin")),
        without,
    )?;
    let half = &weights[..weights.len() / 2];
    error(open(memory(&xml, Some(half))), ErrorKind::ModelInvalid)?;
    let cut = &xml[..xml.len() / 2];
    error(open(memory(cut, Some(&weights))), ErrorKind::ModelInvalid)?;
    let tensorflow = std::fs::read(small_model("tensorflow.pb"))?;
    error(open(memory(&tensorflow, None)), ErrorKind::ModelUnsupported)?;
    Ok(())
}

fn cached_memory() -> Result<(), Failed> {
    let (xml, weights) = plain_in_memory()?;
    let mut other_weights = weights.clone();
    other_weights[0] ^= 1;
    let directory = tempfile::tempdir()?;
    let notes = |weights: &[u8]| -> Result<String, Failed> {
        let mut config = OpenvinoConfig::new(memory(&xml, Some(weights)));
        config.library_dirs = library_dirs();
        config.cache = Some(directory.path().join("cache"));
        Ok(OpenvinoBackend::open(&config)?.info().notes.join("; "))
    };
    for (weights, note) in [
        (&weights, "added to the cache"),
        (&weights, "loaded from the cache"),
        (&other_weights, "added to the cache"),
    ] {
        let notes = notes(weights)?;
        ensure(notes.contains(note), (note, notes))?;
    }
    Ok(())
}

fn missing_devices() -> Result<(), Failed> {
    for device in [
        "MYRIAD",
        "HDDL",
        "GPU",
        "GPU.1",
        "NPU",
        "HETERO:MYRIAD,CPU",
        "FPGA",
        "GPU.7",
    ] {
        let missing = error(on_device(device), ErrorKind::DeviceUnavailable)?;
        ensure(missing.to_string().contains("available: CPU"), &missing)?;
        if device.contains("MYRIAD") || device.contains("HDDL") {
            ensure(missing.to_string().contains("2023.0"), &missing)?;
        }
    }
    Ok(())
}

fn virtual_devices() -> Result<(), Failed> {
    for device in [
        "CPU",
        "HETERO:CPU",
        "AUTO",
        "AUTO:CPU",
        "MULTI:CPU",
        "BATCH:CPU",
    ] {
        let backend = on_device(device).map_err(|error| format!("{device}: {error:#?}"))?;
        ensure(infer(&backend, doubling_input(3))? == doubled(3), device)?;
        let info = backend.info();
        ensure(
            info.requested_device == device && info.devices == ["CPU"],
            info,
        )?;
    }
    Ok(())
}

/// `AUTO`, `MULTI` and `BATCH` do not pass a stop on. They must not be harmed by it either.
fn stopped_virtual_devices() -> Result<(), Failed> {
    let input = models::slow_input(500_000);
    for device in ["HETERO:CPU", "AUTO", "MULTI:CPU", "BATCH:CPU"] {
        let mut config = config_of("slow.onnx");
        device.clone_into(&mut config.options.device);
        config.options.requests = Some(1);
        let backend = OpenvinoBackend::open(&config)?;
        let expected = infer(&backend, Arc::clone(&input))?;
        for _ in 0..2 {
            let request = InferRequest::new(0, Arc::clone(&input));
            let late = request.with_timeout(Duration::from_millis(3));
            let result = backend.submit_blocking(late).and_then(PendingInfer::wait);
            error(result, ErrorKind::DeadlineExceeded)?;
            ensure(infer(&backend, Arc::clone(&input))? == expected, device)?;
        }
    }
    Ok(())
}

fn precision() -> Result<(), Failed> {
    let info = |precision| -> Result<_, Error> {
        let mut config = config_of("plain.onnx");
        config.options.precision = precision;
        Ok(OpenvinoBackend::open(&config)?.info().clone())
    };
    let default = open(small_model("plain.onnx"))?.info().clone();
    ensure(
        default.precision == "f32" && default.engine_version.starts_with("20"),
        &default,
    )?;
    ensure(default == info(Precision::F32)?, &default)?;
    for device in ["HETERO:CPU", "AUTO:-GPU", "AUTO"] {
        let info = on_device(device)?.info().clone();
        ensure(info.precision == "f32", &info)?;
    }
    // The precision of `auto` depends on the CPU; the description must state it.
    let auto = info(Precision::Auto)?;
    ensure(
        ["f32", "bf16", "f16"].contains(&auto.precision.as_str()),
        &auto,
    )
}

fn bad_configuration() -> Result<(), Failed> {
    let mut config = config_of("double.onnx");
    config.options.requests = Some(0);
    error(OpenvinoBackend::open(&config), ErrorKind::InvalidConfig)?;
    for device in ["", "  ", "CPU\0", "HETERO"] {
        error(on_device(device), ErrorKind::InvalidConfig)?;
    }
    let mut config = config_of("double.onnx");
    config.plugins = Some(small_model("no-such-plugins.xml"));
    let missing = error(OpenvinoBackend::open(&config), ErrorKind::InvalidConfig)?;
    ensure(missing.to_string().contains("no-such-plugins.xml"), missing)
}

fn slots() -> Result<(), Failed> {
    let mut config = OpenvinoConfig::new(set_up("models/squeezenet1.1.xml"));
    config.library_dirs = library_dirs();
    config.options.requests = Some(5);
    ensure(
        OpenvinoBackend::open(&config)?.info().slots == 5,
        "requests = 5",
    )?;
    config.options.requests = None;
    let default = OpenvinoBackend::open(&config)?.info().slots;
    ensure(default >= 1, default)
}
