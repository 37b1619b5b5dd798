//! OpenVINO itself: the contract, the model files, the devices.

use std::path::Path;

use backend_api::conformance::Subject;
use backend_api::{Dim, Engine, Error, ErrorKind, InferBackend, InferRequest, Precision, Tensor};
use backend_openvino::{OpenvinoBackend, OpenvinoConfig, find_library};
use classify_tests::{Needs, conformance, doubled, doubling_input, ensure, set_up, small_model};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let engine = Needs::engine(&find_library(None));
    let with_set_up = engine.and(&Needs::set_up());
    let mut trials = Vec::new();
    for file in ["double.onnx", "double.xml"] {
        trials.extend(conformance(&engine, file, move || subject(file)));
    }
    let tests: [(&str, fn() -> Result<(), Failed>); 8] = [
        ("a_damaged_or_missing_file_is_named", damaged_files),
        ("models_that_do_not_fit_are_refused", models_that_do_not_fit),
        ("awkward_models_run", awkward_models),
        ("a_missing_device_lists_what_there_is", missing_devices),
        ("virtual_devices_run", virtual_devices),
        ("f32_is_the_default_and_reported", precision),
        ("values_out_of_range_are_refused", bad_configuration),
        ("a_second_runtime_is_refused", second_runtime),
    ];
    trials.extend(tests.map(|(name, test)| engine.test(name, test)));
    trials.push(Trial::test("a_wrong_library_is_refused", wrong_library));
    trials.push(with_set_up.test("requests_set_the_slots", slots));
    libtest_mimic::run(&arguments, trials).exit();
}

fn subject(file: &'static str) -> Subject {
    let config = move || {
        let mut config = OpenvinoConfig::new(small_model(file));
        config.requests = Some(3);
        config
    };
    Subject {
        open: Box::new(move || Box::new(OpenvinoBackend::open(&config()).unwrap())),
        parts: Box::new(move || {
            let (info, engines) = OpenvinoBackend::parts(&config()).unwrap();
            let engines = engines
                .into_iter()
                .map(|engine| Box::new(engine) as Box<dyn Engine>);
            (info, engines.collect())
        }),
        input: Box::new(doubling_input),
        expected: Box::new(doubled),
    }
}

fn open(model: impl AsRef<Path>) -> Result<OpenvinoBackend, Error> {
    OpenvinoBackend::open(&OpenvinoConfig::new(model.as_ref()))
}

fn on_device(device: &str) -> Result<OpenvinoBackend, Error> {
    let mut config = OpenvinoConfig::new(small_model("double.onnx"));
    device.clone_into(&mut config.device);
    OpenvinoBackend::open(&config)
}

fn error(result: Result<OpenvinoBackend, Error>, kind: ErrorKind) -> Result<Error, Failed> {
    match result {
        Err(error) if error.kind() == kind => Ok(error),
        other => Err(format!("expected {kind}, got {other:#?}").into()),
    }
}

fn infer(backend: &OpenvinoBackend, input: Tensor) -> Result<Tensor, Error> {
    futures_executor::block_on(async {
        Ok(backend
            .submit(InferRequest::new(0, input))
            .await?
            .await?
            .tensor)
    })
}

fn damaged_files() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let missing = error(open(at("none.onnx")), ErrorKind::ModelNotFound)?;
    ensure(missing.to_string().contains("none.onnx"), &missing)?;
    error(open(folder.path()), ErrorKind::ModelNotFound)?;

    std::fs::copy(small_model("plain.xml"), at("plain.xml"))?;
    let no_weights = error(open(at("plain.xml")), ErrorKind::ModelNotFound)?;
    ensure(no_weights.to_string().contains("plain.bin"), &no_weights)?;
    let weights = std::fs::read(small_model("plain.bin"))?;
    std::fs::write(at("plain.bin"), &weights[..weights.len() / 2])?;
    error(open(at("plain.xml")), ErrorKind::ModelInvalid)?;

    let model = std::fs::read(small_model("plain.onnx"))?;
    for (name, bytes) in [
        ("cut.onnx", &model[..model.len() / 2]),
        ("empty.onnx", b""),
        ("text.onnx", b"this is not a model"),
    ] {
        std::fs::write(at(name), bytes)?;
        error(open(at(name)), ErrorKind::ModelInvalid)?;
    }
    Ok(())
}

fn models_that_do_not_fit() -> Result<(), Failed> {
    for (file, counts) in [
        ("two-inputs.onnx", "2 inputs"),
        ("two-outputs.onnx", "2 outputs"),
    ] {
        let refused = error(open(small_model(file)), ErrorKind::ModelUnsupported)?;
        ensure(refused.to_string().contains(counts), &refused)?;
    }
    Ok(())
}

fn awkward_models() -> Result<(), Failed> {
    let dynamic = open(small_model("dynamic-batch.onnx"))?;
    ensure(
        dynamic.info().input.dims[0] == Dim::Fixed(1),
        dynamic.info(),
    )?;
    for file in [
        "dynamic-batch.onnx",
        "initializer-as-input.onnx",
        "output-four-dimensions.onnx",
        "output-one-dimension.onnx",
        "plain.xml",
        "three-classes.onnx",
    ] {
        let backend = open(small_model(file))?;
        let output = infer(&backend, Tensor::new([1, 3, 8, 8], vec![128.0_f32; 192])?)?;
        ensure(
            output.len() == if file == "three-classes.onnx" { 3 } else { 12 },
            (file, &output),
        )?;
    }
    let bytes = open(small_model("nhwc-bytes.onnx"))?;
    infer(&bytes, Tensor::new([1, 8, 8, 3], vec![128_u8; 192])?)?;
    let any_size = open(small_model("dynamic-size.onnx"))?;
    ensure(
        any_size.info().input.fixed_shape().is_none(),
        any_size.info(),
    )?;
    for size in [4, 9] {
        infer(
            &any_size,
            Tensor::new([1, 3, size, size], vec![1.0_f32; 3 * size * size])?,
        )?;
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

fn precision() -> Result<(), Failed> {
    let info = |precision| -> Result<_, Error> {
        let mut config = OpenvinoConfig::new(small_model("plain.onnx"));
        config.precision = precision;
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
    // What `auto` is depends on the CPU; it must be said.
    let auto = info(Precision::Auto)?;
    ensure(
        ["f32", "bf16", "f16"].contains(&auto.precision.as_str()),
        &auto,
    )
}

fn bad_configuration() -> Result<(), Failed> {
    let mut config = OpenvinoConfig::new(small_model("double.onnx"));
    config.requests = Some(0);
    error(OpenvinoBackend::open(&config), ErrorKind::InvalidConfig)?;
    for device in ["", "  ", "CPU\0", "HETERO"] {
        error(on_device(device), ErrorKind::InvalidConfig)?;
    }
    let mut config = OpenvinoConfig::new(small_model("double.onnx"));
    config.plugins = Some(small_model("no-such-plugins.xml"));
    let missing = error(OpenvinoBackend::open(&config), ErrorKind::InvalidConfig)?;
    ensure(missing.to_string().contains("no-such-plugins.xml"), missing)
}

fn second_runtime() -> Result<(), Failed> {
    open(small_model("double.onnx"))?;
    let folder = tempfile::tempdir()?;
    let other = folder.path().join("libopenvino_c.so");
    std::fs::copy(find_library(None)?.path, &other)?;
    let mut config = OpenvinoConfig::new(small_model("double.onnx"));
    config.library = Some(other);
    let refused = error(OpenvinoBackend::open(&config), ErrorKind::EngineUnavailable)?;
    ensure(refused.to_string().contains("loaded already"), refused)
}

fn wrong_library() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    for (name, bytes) in [("text.so", &b"not a library"[..]), ("empty.so", b"")] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        let mut config = OpenvinoConfig::new(small_model("double.onnx"));
        config.library = Some(path);
        let refused = error(OpenvinoBackend::open(&config), ErrorKind::EngineUnavailable)?;
        ensure(refused.to_string().contains(name), refused)?;
    }
    Ok(())
}

fn slots() -> Result<(), Failed> {
    let mut config = OpenvinoConfig::new(set_up("models/squeezenet1.1.xml"));
    config.requests = Some(5);
    ensure(
        OpenvinoBackend::open(&config)?.info().slots == 5,
        "requests = 5",
    )?;
    config.requests = None;
    let default = OpenvinoBackend::open(&config)?.info().slots;
    ensure(default >= 1, default)
}
