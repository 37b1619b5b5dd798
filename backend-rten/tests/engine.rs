//! RTen itself: the contract, the model files, the threads.

use std::path::Path;

use backend_api::conformance::Subject;
use backend_api::{ElementType, Engine, Error, ErrorKind, InferBackend, Precision, Tensor};
use backend_rten::{RtenBackend, RtenConfig};
use classify_tests::models::{self, error};
use classify_tests::{Needs, conformance, doubled, doubling_input, ensure, small_model};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let nothing = Needs::nothing();
    let mut trials = conformance(&nothing, "double.onnx", subject);
    let boxed: models::Open = |model| Ok(Box::new(open(model)?));
    trials.extend(models::trials(&nothing, boxed));
    trials.push(models::onnx_alone(&nothing, boxed));
    trials.push(Trial::test(
        "only_what_is_there_can_be_asked_for",
        unavailable,
    ));
    trials.push(Trial::test("half_precision_is_computed_in_f32", half));
    trials.push(Trial::test("a_model_may_have_any_name", any_name));
    libtest_mimic::run(&arguments, trials).exit();
}

fn subject() -> Subject {
    let config = || {
        let mut config = RtenConfig::new(small_model("double.onnx"));
        config.requests = Some(3);
        config
    };
    Subject {
        open: Box::new(move || Box::new(RtenBackend::open(&config()).unwrap())),
        parts: Box::new(move || {
            let (info, engines) = RtenBackend::parts(&config()).unwrap();
            let engines = engines
                .into_iter()
                .map(|engine| Box::new(engine) as Box<dyn Engine>);
            (info, engines.collect())
        }),
        input: Box::new(doubling_input),
        expected: Box::new(doubled),
    }
}

fn open(model: impl AsRef<Path>) -> Result<RtenBackend, Error> {
    RtenBackend::open(&RtenConfig::new(model.as_ref()))
}

fn unavailable() -> Result<(), Failed> {
    let with = |change: fn(&mut RtenConfig)| {
        let mut config = RtenConfig::new(small_model("double.onnx"));
        change(&mut config);
        RtenBackend::open(&config)
    };
    let gpu = error(
        with(|config| config.device = "GPU".into()),
        ErrorKind::DeviceUnavailable,
    )?;
    ensure(gpu.to_string().contains("available: CPU"), &gpu)?;
    for change in [
        (|config| config.precision = Precision::F16) as fn(&mut RtenConfig),
        |config| config.requests = Some(0),
        |config| config.threads = Some(0),
    ] {
        error(with(change), ErrorKind::InvalidConfig)?;
    }
    let other_shape = with(|config| config.shape = Some(vec![1, 5]));
    error(other_shape, ErrorKind::ModelUnsupported)?;
    let info = with(|config| {
        config.requests = Some(2);
        config.device = " cpu".into();
    })?
    .info()
    .clone();
    ensure(
        info.slots == 2 && info.precision == "f32" && info.devices == ["CPU"],
        &info,
    )?;
    ensure(info.engine_version == backend_rten::VERSION, &info)
}

fn half() -> Result<(), Failed> {
    let half = open(small_model("half.onnx"))?;
    let info = half.info();
    ensure(info.precision == "f32", info)?;
    ensure(info.input.element_type == ElementType::F32, info)?;
    let input = Tensor::new([1, 3, 8, 8], vec![128.0_f32; 192])?;
    models::infer(&half, input)?;
    Ok(())
}

fn any_name() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let model = folder.path().join("model.bin");
    std::fs::copy(small_model("double.onnx"), &model)?;
    let output = models::infer(&open(&model)?, doubling_input(3))?;
    ensure(output == doubled(3), output)
}
