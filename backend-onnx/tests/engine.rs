//! ONNX Runtime itself: the contract, the model files, the devices.

use std::path::Path;

use backend_api::conformance::Subject;
use backend_api::{Dim, Engine, Error, ErrorKind, InferBackend, InferRequest, Precision, Tensor};
use backend_onnx::{OnnxBackend, OnnxConfig, find_library};
use classify_tests::{Needs, conformance, doubled, doubling_input, ensure, small_model};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let engine = Needs::engine(&find_library(None));
    let mut trials = conformance(&engine, "double.onnx", subject);
    let tests: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("a_damaged_or_missing_file_is_named", damaged_files),
        ("models_that_do_not_fit_are_refused", models_that_do_not_fit),
        ("an_ir_names_the_onnx_beside_it", ir),
        ("awkward_models_run", awkward_models),
        ("only_what_is_there_can_be_asked_for", unavailable),
        ("a_second_runtime_is_refused", second_runtime),
    ];
    trials.extend(tests.map(|(name, test)| engine.test(name, test)));
    trials.push(Trial::test("a_wrong_library_is_refused", wrong_library));
    libtest_mimic::run(&arguments, trials).exit();
}

fn subject() -> Subject {
    let config = || {
        let mut config = OnnxConfig::new(small_model("double.onnx"));
        config.requests = Some(3);
        config
    };
    Subject {
        open: Box::new(move || Box::new(OnnxBackend::open(&config()).unwrap())),
        parts: Box::new(move || {
            let (info, engines) = OnnxBackend::parts(&config()).unwrap();
            let engines = engines
                .into_iter()
                .map(|engine| Box::new(engine) as Box<dyn Engine>);
            (info, engines.collect())
        }),
        input: Box::new(doubling_input),
        expected: Box::new(doubled),
    }
}

fn open(model: impl AsRef<Path>) -> Result<OnnxBackend, Error> {
    OnnxBackend::open(&OnnxConfig::new(model.as_ref()))
}

fn error(result: Result<OnnxBackend, Error>, kind: ErrorKind) -> Result<Error, Failed> {
    match result {
        Err(error) if error.kind() == kind => Ok(error),
        other => Err(format!("expected {kind}, got {other:#?}").into()),
    }
}

fn infer(backend: &OnnxBackend, input: Tensor) -> Result<Tensor, Error> {
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

fn ir() -> Result<(), Failed> {
    let beside = error(open(small_model("plain.xml")), ErrorKind::ModelUnsupported)?;
    ensure(
        beside
            .hint()
            .is_some_and(|hint| hint.contains("plain.onnx")),
        &beside,
    )?;
    let folder = tempfile::tempdir()?;
    let alone = folder.path().join("alone.xml");
    std::fs::copy(small_model("plain.xml"), &alone)?;
    let alone = error(open(alone), ErrorKind::ModelUnsupported)?;
    ensure(
        alone
            .hint()
            .is_some_and(|hint| hint.contains("--backend openvino")),
        &alone,
    )
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

fn unavailable() -> Result<(), Failed> {
    let with = |change: fn(&mut OnnxConfig)| {
        let mut config = OnnxConfig::new(small_model("double.onnx"));
        change(&mut config);
        OnnxBackend::open(&config)
    };
    let gpu = error(
        with(|config| config.device = "GPU".into()),
        ErrorKind::DeviceUnavailable,
    )?;
    ensure(gpu.to_string().contains("available: CPU"), &gpu)?;
    error(
        with(|config| config.precision = Precision::Bf16),
        ErrorKind::InvalidConfig,
    )?;
    error(
        with(|config| config.requests = Some(0)),
        ErrorKind::InvalidConfig,
    )?;
    let info = with(|config| config.requests = Some(2))?.info().clone();
    ensure(
        info.slots == 2 && info.precision == "f32" && info.devices == ["CPU"],
        &info,
    )?;
    ensure(info.engine_version.starts_with("1."), &info)?;
    let half = open(small_model("half.onnx"))?.info().clone();
    ensure(half.precision == "f16", half)
}

fn second_runtime() -> Result<(), Failed> {
    open(small_model("double.onnx"))?;
    let folder = tempfile::tempdir()?;
    let other = folder.path().join("libonnxruntime.so");
    std::fs::copy(find_library(None)?.path, &other)?;
    let mut config = OnnxConfig::new(small_model("double.onnx"));
    config.library = Some(other);
    let refused = error(OnnxBackend::open(&config), ErrorKind::EngineUnavailable)?;
    ensure(refused.to_string().contains("loaded already"), refused)
}

fn wrong_library() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    for (name, bytes) in [("text.so", &b"not a library"[..]), ("empty.so", b"")] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        let mut config = OnnxConfig::new(small_model("double.onnx"));
        config.library = Some(path);
        let refused = error(OnnxBackend::open(&config), ErrorKind::EngineUnavailable)?;
        ensure(refused.to_string().contains(name), refused)?;
    }
    Ok(())
}
