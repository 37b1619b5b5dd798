//! RTen itself: the contract, the model files, the threads.

use std::path::Path;

use backend_api::conformance::Subject;
use backend_api::{ElementType, Error, ErrorKind, InferBackend, Precision, Tensor};
use backend_rten::{RtenBackend, RtenConfig};
use classify_tests::models::{self, error};
use classify_tests::{
    Needs, conformance, doubled, doubling_input, doubling_subject, ensure, small_model,
};
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
    trials.push(Trial::test(
        "external_data_are_those_that_were_checked",
        external_data,
    ));
    libtest_mimic::run(&arguments, trials).exit();
}

fn subject() -> Subject {
    let config = || {
        let mut config = RtenConfig::new(small_model("double.onnx"));
        config.requests = Some(3);
        config
    };
    doubling_subject(
        move || RtenBackend::open(&config()),
        move || RtenBackend::parts(&config()),
    )
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

/// Weights in a file beside the model, whatever the model is called; where the model is a link, those beside
/// the link.
fn external_data() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("sub"))?;
    let scaled = |model: &str| -> Result<f32, Failed> {
        let input = Tensor::new([1, 4], vec![1.0_f32; 4])?;
        Ok(models::infer(&open(at(model))?, input)?.to_f32()[3])
    };
    for (location, factor) in [("w.data", 2.0_f32), ("w.onnx_data_1", 3.0)] {
        std::fs::write(at(location), factor.to_le_bytes().repeat(4))?;
        for model in ["m.onnx", "m.model"] {
            std::fs::write(at(model), scaling_model(location))?;
            ensure(scaled(model)? == factor, (location, model))?;
        }
    }
    for location in ["w.bin", "sub/w.data"] {
        std::fs::write(at(location), [0; 16])?;
        std::fs::write(at("other.onnx"), scaling_model(location))?;
        let refused = error(open(at("other.onnx")), ErrorKind::ModelUnsupported)?;
        ensure(refused.to_string().contains("*.onnx_data"), refused)?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        std::fs::write(at("sub/m.onnx"), scaling_model("w.data"))?;
        std::fs::write(at("sub/w.data"), 9.0_f32.to_le_bytes().repeat(4))?;
        symlink(at("sub/m.onnx"), at("link.onnx"))?;
        ensure(scaled("link.onnx")? == 2.0, "weights beside the link")?;
        symlink(at("w.data"), at("sub/out.data"))?;
        std::fs::write(at("sub/m.model"), scaling_model("out.data"))?;
        let refused = error(open(at("sub/m.model")), ErrorKind::ModelInvalid)?;
        ensure(refused.to_string().contains("outside"), refused)?;
    }
    Ok(())
}

/// `y = x · w`, four numbers each, with w in the file at `location`: ONNX, written by hand.
fn scaling_model(location: &str) -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| {
        let mut all = vec![tag << 3 | 2, bytes.len() as u8];
        all.extend(bytes);
        all
    };
    let value = |tag: u8, value: u8| vec![tag << 3, value];
    let entry = |key: &str, text: &str| {
        let entry = [field(1, key.as_bytes()), field(2, text.as_bytes())].concat();
        field(13, &entry)
    };
    let info = |tag: u8, name: &str| {
        let dims: Vec<u8> = [1, 4]
            .iter()
            .flat_map(|size| field(1, &value(1, *size)))
            .collect();
        let tensor = [value(1, 1), field(2, &dims)].concat();
        field(
            tag,
            &[field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat(),
        )
    };
    let node = [
        field(1, b"x"),
        field(1, b"w"),
        field(2, b"y"),
        field(4, b"Mul"),
    ]
    .concat();
    let weights = [
        value(1, 1),
        value(1, 4),
        value(2, 1),
        field(8, b"w"),
        entry("location", location),
        entry("offset", "0"),
        entry("length", "16"),
        value(14, 1),
    ]
    .concat();
    let graph = [
        field(1, &node),
        field(2, b"g"),
        field(5, &weights),
        info(11, "x"),
        info(12, "y"),
    ]
    .concat();
    [
        value(1, 8),
        // A graph may be longer than 127 bytes.
        {
            let mut all = vec![
                7 << 3 | 2,
                graph.len() as u8 & 0x7f | 0x80,
                (graph.len() >> 7) as u8,
            ];
            all.extend(&graph);
            all
        },
        field(8, &value(2, 13)),
    ]
    .concat()
}
