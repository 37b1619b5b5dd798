//! ONNX Runtime itself: the contract, the model files, the devices.

use backend_api::conformance::Subject;
use backend_api::{Error, ErrorKind, InferBackend, ModelSource, Precision};
use backend_onnx::{OnnxBackend, OnnxConfig, find_library};
use classify_tests::models::{self, error};
use classify_tests::{
    Loader, Needs, conformance, doubling_subject, ensure, library_dirs, library_trials, outputs,
    small_model,
};
use libtest_mimic::{Arguments, Failed};

/// Element types of inputs that the engine has.
const TYPES: &[&str] = &[
    "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f64", "bf16",
];

fn main() {
    let arguments = Arguments::from_args();
    let engine = Needs::engine(&find_library(None, &library_dirs()));
    let mut trials = conformance(&engine, "double.onnx", subject);
    let boxed: models::Open = |model| Ok(Box::new(open(model)?));
    trials.extend(models::trials(&engine, boxed));
    let with: outputs::OpenWith = |options| {
        let mut config = OnnxConfig::from(options);
        config.library_dirs = library_dirs();
        Ok(Box::new(OnnxBackend::open(&config)?))
    };
    trials.extend(outputs::trials(&engine, "three-outputs.onnx", with));
    trials.push(outputs::without_scores(&engine, with));
    trials.push(models::onnx_alone(&engine, boxed));
    trials.extend(models::stopping(&engine, boxed));
    trials.push(models::other_classes(&engine, boxed));
    trials.push(models::span(&engine, "onnx", boxed));
    trials.push(models::input_types(&engine, boxed, TYPES));
    trials.push(engine.test("only_what_is_there_can_be_asked_for", unavailable));
    trials.extend(library_trials(Loader {
        find: || find_library(None, &library_dirs()),
        open: |library| {
            let mut config = config_of("double.onnx");
            config.library = library;
            Ok(Box::new(OnnxBackend::open(&config)?))
        },
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn subject() -> Subject {
    let config = || {
        let mut config = config_of("double.onnx");
        config.options.requests = Some(3);
        config
    };
    doubling_subject(
        move || OnnxBackend::open(&config()),
        move || OnnxBackend::parts(&config()),
    )
}

/// The defaults for a small model.
fn config_of(model: &str) -> OnnxConfig {
    let mut config = OnnxConfig::new(small_model(model));
    config.library_dirs = library_dirs();
    config
}

fn open(model: impl Into<ModelSource>) -> Result<OnnxBackend, Error> {
    let mut config = OnnxConfig::new(model);
    config.library_dirs = library_dirs();
    OnnxBackend::open(&config)
}

fn unavailable() -> Result<(), Failed> {
    let with = |change: fn(&mut OnnxConfig)| {
        let mut config = config_of("double.onnx");
        change(&mut config);
        OnnxBackend::open(&config)
    };
    let gpu = error(
        with(|config| config.options.device = "GPU".into()),
        ErrorKind::DeviceUnavailable,
    )?;
    ensure(gpu.to_string().contains("available: CPU"), &gpu)?;
    error(
        with(|config| config.options.precision = Precision::Bf16),
        ErrorKind::InvalidConfig,
    )?;
    error(
        with(|config| config.options.requests = Some(0)),
        ErrorKind::InvalidConfig,
    )?;
    let info = with(|config| config.options.requests = Some(2))?
        .info()
        .clone();
    ensure(
        info.slots == 2 && info.precision == "f32" && info.devices == ["CPU"],
        &info,
    )?;
    ensure(info.engine_version.starts_with("1."), &info)?;
    let half = open(small_model("half.onnx"))?.info().clone();
    ensure(half.precision == "f16", half)
}
