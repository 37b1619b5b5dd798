//! RTen itself: the contract, the model files, the threads.

use backend_api::conformance::Subject;
use backend_api::{ElementType, Error, ErrorKind, InferBackend, ModelSource, Precision, Tensor};
use backend_rten::{RtenBackend, RtenConfig};
use classify_tests::models::{self, error};
use classify_tests::{
    Needs, conformance, doubled, doubling_input, doubling_subject, ensure, outputs, small_model,
};
use libtest_mimic::{Arguments, Failed, Trial};

/// Element types of inputs that the engine has.
const TYPES: &[&str] = &["i8", "i32", "i64", "u8", "f64"];

fn main() {
    let arguments = Arguments::from_args();
    let nothing = Needs::nothing();
    let mut trials = conformance(&nothing, "double.onnx", subject);
    let boxed: models::Open = |model| Ok(Box::new(open(model)?));
    trials.extend(models::trials(&nothing, boxed));
    let with: outputs::OpenWith = |options| {
        let config = RtenConfig::from(options);
        Ok(Box::new(RtenBackend::open(&config)?))
    };
    trials.extend(outputs::trials(&nothing, "three-outputs.onnx", with));
    trials.push(outputs::without_scores(&nothing, with));
    trials.push(models::onnx_alone(&nothing, boxed));
    trials.push(models::other_classes(&nothing, boxed));
    trials.push(models::span(&nothing, "rten", boxed));
    trials.push(models::input_types(&nothing, boxed, TYPES));
    trials.push(Trial::test(
        "only_what_is_there_can_be_asked_for",
        unavailable,
    ));
    trials.push(Trial::test("half_precision_is_computed_in_f32", half));
    trials.push(Trial::test("a_model_may_have_any_name", any_name));
    trials.push(Trial::test("models_in_memory_pass_the_same_guard", guard));
    trials.push(Trial::test(
        "external_data_are_those_that_were_checked",
        external_data,
    ));
    libtest_mimic::run(&arguments, trials).exit();
}

fn subject() -> Subject {
    let config = || {
        let mut config = RtenConfig::new(small_model("double.onnx"));
        config.options.requests = Some(3);
        config
    };
    doubling_subject(
        move || RtenBackend::open(&config()),
        move || RtenBackend::parts(&config()),
    )
}

fn open(model: impl Into<ModelSource>) -> Result<RtenBackend, Error> {
    RtenBackend::open(&RtenConfig::new(model))
}

fn unavailable() -> Result<(), Failed> {
    let with = |change: fn(&mut RtenConfig)| {
        let mut config = RtenConfig::new(small_model("double.onnx"));
        change(&mut config);
        RtenBackend::open(&config)
    };
    let gpu = error(
        with(|config| config.options.device = "GPU".into()),
        ErrorKind::DeviceUnavailable,
    )?;
    ensure(gpu.to_string().contains("available: CPU"), &gpu)?;
    for change in [
        (|config| config.options.precision = Precision::F16) as fn(&mut RtenConfig),
        |config| config.options.requests = Some(0),
        |config| config.options.threads = Some(0),
    ] {
        error(with(change), ErrorKind::InvalidConfig)?;
    }
    let other_shape = with(|config| config.options.shape = Some(vec![1, 5]));
    error(other_shape, ErrorKind::ModelUnsupported)?;
    let info = with(|config| {
        config.options.requests = Some(2);
        config.options.device = " cpu".into();
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

/// The guard rejects the same model from memory and from a file, and adds the attributes that RTen needs.
fn guard() -> Result<(), Failed> {
    let model = small_model("cases/argmax.onnx");
    let memory = ModelSource::from_bytes(std::fs::read(&model)?);
    for source in [ModelSource::from(&model), memory] {
        let refused = error(open(source), ErrorKind::ModelUnsupported)?;
        ensure(refused.to_string().contains("first index"), refused)?;
    }
    let without_attribute = std::fs::read(small_model("cases/conv_without_kernel_shape.onnx"))?;
    open(ModelSource::from_bytes(without_attribute))?;
    Ok(())
}

fn any_name() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let model = directory.path().join("model.bin");
    std::fs::copy(small_model("double.onnx"), &model)?;
    let output = models::infer(&open(&model)?, doubling_input(3))?;
    ensure(output == doubled(3), output)
}

/// Weights in a file next to the model, for every model name; if the model is a link, those next to
/// the link.
fn external_data() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("sub"))?;
    let scaled = |model: &str| -> Result<f32, Failed> {
        let input = Tensor::new([1, 4], vec![1.0_f32; 4])?;
        Ok(models::infer(&open(at(model))?, input)?.to_f32()[3])
    };
    for (location, factor) in [("w.data", 2.0_f32), ("w.onnx_data_1", 3.0)] {
        std::fs::write(at(location), factor.to_le_bytes().repeat(4))?;
        for model in ["m.onnx", "m.model"] {
            std::fs::write(at(model), models::scaling_model(location))?;
            ensure(scaled(model)? == factor, (location, model))?;
        }
    }
    // RTen's own rule allows other names, and no directories.
    for (location, factor) in [("w.bin", 4.0_f32), ("sub/w.data", 5.0)] {
        std::fs::write(at(location), factor.to_le_bytes().repeat(4))?;
        std::fs::write(at("other.onnx"), models::scaling_model(location))?;
        ensure(scaled("other.onnx")? == factor, location)?;
    }
    // A byte before the values: they lie at no multiple of four.
    let aligned = models::scaling_model("odd.data");
    let offset = b"offset\x12\x010";
    let place = aligned
        .windows(offset.len())
        .position(|bytes| bytes == offset);
    let place = place.ok_or("the model names an offset")? + offset.len() - 1;
    let mut unaligned = aligned;
    unaligned[place] = b'1';
    std::fs::write(at("odd.onnx"), unaligned)?;
    let values = [0.5_f32, 1.5, 2.5, 6.0];
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    std::fs::write(
        at("odd.data"),
        std::iter::once(9).chain(bytes).collect::<Vec<u8>>(),
    )?;
    ensure(scaled("odd.onnx")? == 6.0, "unaligned weights")?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        std::fs::write(at("sub/m.onnx"), models::scaling_model("w.data"))?;
        std::fs::write(at("sub/w.data"), 9.0_f32.to_le_bytes().repeat(4))?;
        symlink(at("sub/m.onnx"), at("link.onnx"))?;
        ensure(scaled("link.onnx")? == 2.0, "weights next to the link")?;
        symlink(at("w.data"), at("sub/out.data"))?;
        std::fs::write(at("sub/m.model"), models::scaling_model("out.data"))?;
        let refused = error(open(at("sub/m.model")), ErrorKind::ModelInvalid)?;
        ensure(refused.to_string().contains("outside"), refused)?;
    }
    Ok(())
}
