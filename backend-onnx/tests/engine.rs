//! ONNX Runtime itself: the contract, the model files, the devices.

use std::path::Path;

use backend_api::conformance::Subject;
use backend_api::{Error, ErrorKind, InferBackend, Precision};
use backend_onnx::{OnnxBackend, OnnxConfig, find_library};
use classify_tests::models::{self, error};
use classify_tests::{Needs, conformance, doubling_subject, ensure, small_model};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let engine = Needs::engine(&find_library(None));
    let mut trials = conformance(&engine, "double.onnx", subject);
    let boxed: models::Open = |model| Ok(Box::new(open(model)?));
    trials.extend(models::trials(&engine, boxed));
    trials.push(models::onnx_alone(&engine, boxed));
    let tests: [(&str, fn() -> Result<(), Failed>); 2] = [
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
    doubling_subject(
        move || OnnxBackend::open(&config()),
        move || OnnxBackend::parts(&config()),
    )
}

fn open(model: impl AsRef<Path>) -> Result<OnnxBackend, Error> {
    OnnxBackend::open(&OnnxConfig::new(model.as_ref()))
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
