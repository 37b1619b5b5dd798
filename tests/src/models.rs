//! The small models on every engine.

use std::path::Path;

use backend_api::{Dim, Error, ErrorKind, InferBackend, InferRequest, Tensor};
use libtest_mimic::{Failed, Trial};

use crate::{Needs, ensure, small_model};

/// Opens a model on an engine with its defaults.
pub type Open = fn(&Path) -> Result<Box<dyn InferBackend>, Error>;

/// Tests of ONNX files: damaged ones, ones that do not fit the contract, awkward ones that do.
pub fn trials(needs: &Needs, open: Open) -> Vec<Trial> {
    let tests: [(&str, fn(Open) -> Result<(), Failed>); 3] = [
        ("a_damaged_or_missing_file_is_named", damaged_files),
        ("models_that_do_not_fit_are_refused", models_that_do_not_fit),
        ("awkward_models_run", awkward_models),
    ];
    tests
        .map(|(name, test)| needs.test(name, move || test(open)))
        .into()
}

/// Tests of an engine that reads ONNX alone.
pub fn onnx_alone(needs: &Needs, open: Open) -> Trial {
    needs.test("an_ir_names_the_onnx_beside_it", move || {
        let beside = error(open(&small_model("plain.xml")), ErrorKind::ModelUnsupported)?;
        let hint = beside.hint().unwrap_or_default();
        ensure(hint.contains("plain.onnx"), &beside)?;
        let folder = tempfile::tempdir()?;
        let alone = folder.path().join("alone.xml");
        std::fs::copy(small_model("plain.xml"), &alone)?;
        let alone = error(open(&alone), ErrorKind::ModelUnsupported)?;
        let hint = alone.hint().unwrap_or_default();
        ensure(hint.contains("--backend openvino"), &alone)
    })
}

/// The error of `kind` that `result` is.
///
/// # Errors
///
/// If it is none, or of another kind.
pub fn error<T: std::fmt::Debug>(
    result: Result<T, Error>,
    kind: ErrorKind,
) -> Result<Error, Failed> {
    match result {
        Err(error) if error.kind() == kind => Ok(error),
        other => Err(format!("expected {kind}, got {other:#?}").into()),
    }
}

/// One inference.
///
/// # Errors
///
/// The engine's.
pub fn infer(backend: &dyn InferBackend, input: Tensor) -> Result<Tensor, Error> {
    futures_executor::block_on(async {
        let pending = backend.submit(InferRequest::new(0, input)).await?;
        Ok(pending.await?.tensor)
    })
}

fn damaged_files(open: Open) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let missing = error(open(&at("none.onnx")), ErrorKind::ModelNotFound)?;
    ensure(missing.to_string().contains("none.onnx"), &missing)?;
    error(open(folder.path()), ErrorKind::ModelNotFound)?;
    let model = std::fs::read(small_model("plain.onnx"))?;
    for (name, bytes) in [
        ("cut.onnx", &model[..model.len() / 2]),
        ("empty.onnx", b""),
        ("text.onnx", b"this is not a model"),
    ] {
        std::fs::write(at(name), bytes)?;
        error(open(&at(name)), ErrorKind::ModelInvalid)?;
    }
    Ok(())
}

fn models_that_do_not_fit(open: Open) -> Result<(), Failed> {
    for (file, counts) in [
        ("two-inputs.onnx", "2 inputs"),
        ("two-outputs.onnx", "2 outputs"),
    ] {
        let refused = error(open(&small_model(file)), ErrorKind::ModelUnsupported)?;
        ensure(refused.to_string().contains(counts), &refused)?;
    }
    Ok(())
}

fn awkward_models(open: Open) -> Result<(), Failed> {
    let dynamic = open(&small_model("dynamic-batch.onnx"))?;
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
        let backend = open(&small_model(file))?;
        let input = Tensor::new([1, 3, 8, 8], vec![128.0_f32; 192])?;
        let output = infer(&*backend, input)?;
        let classes = if file == "three-classes.onnx" { 3 } else { 12 };
        ensure(output.len() == classes, (file, &output))?;
    }
    let bytes = open(&small_model("nhwc-bytes.onnx"))?;
    infer(&*bytes, Tensor::new([1, 8, 8, 3], vec![128_u8; 192])?)?;
    let any_size = open(&small_model("dynamic-size.onnx"))?;
    let input = &any_size.info().input;
    ensure(input.fixed_shape().is_none(), input)?;
    for size in [4, 9] {
        let input = Tensor::new([1, 3, size, size], vec![1.0_f32; 3 * size * size])?;
        infer(&*any_size, input)?;
    }
    Ok(())
}
