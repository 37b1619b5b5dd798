//! The `Classifier` of the library against the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_api::InferBackend;
use classify_tests::{Needs, ensure, expect_code, library_dirs, photos, run, set_up};
use image_classification::Classifier;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;

pub fn trials(set_up: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 3] = [
        ("classifier::efficientnet_lite0_as_the_command_line", || {
            same_as_command_line("efficientnet-lite0.onnx")
        }),
        ("classifier::mobilenet_v2_as_the_command_line", || {
            same_as_command_line("mobilenet-v2/model.onnx")
        }),
        ("classifier::squeezenet_as_the_command_line", || {
            same_as_command_line("squeezenet1.1.onnx")
        }),
    ];
    tests.map(|(name, test)| set_up.test(name, test)).into()
}

/// Opens the model on each engine.
fn engines(model: &Path) -> Result<Vec<(&'static str, Arc<dyn InferBackend>)>, backend_api::Error> {
    let mut openvino = backend_openvino::OpenvinoConfig::new(model);
    openvino.library_dirs = library_dirs();
    let mut onnx = backend_onnx::OnnxConfig::new(model);
    onnx.library_dirs = library_dirs();
    Ok(vec![
        (
            "openvino",
            Arc::new(backend_openvino::OpenvinoBackend::open(&openvino)?),
        ),
        ("onnx", Arc::new(backend_onnx::OnnxBackend::open(&onnx)?)),
        #[cfg(feature = "rten")]
        (
            "rten",
            Arc::new(backend_rten::RtenBackend::open(
                &backend_rten::RtenConfig::new(model),
            )?),
        ),
    ])
}

/// The results of the command line, an object for each image.
pub fn results(backend: &str, model: &Path, photos: &[PathBuf]) -> Result<Vec<Value>, Failed> {
    let mut command = classify();
    command.args(["--quiet", "--format", "json", "--top", "5"]);
    command.args(["--backend", backend, "-m"]).arg(model);
    let result = run(command.arg("-i").args(photos));
    expect_code(&result, 0)?;
    let lines = result.stdout.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

/// Every engine gives the same classes, labels and scores in a program of a few lines as on the command line.
fn same_as_command_line(model: &str) -> Result<(), Failed> {
    let model = set_up("models").join(model);
    let photos = &photos()?[..12];
    for (name, backend) in engines(&model)? {
        let classifier = Classifier::discover(backend, &model)?;
        let found = classifier.classify_all_blocking(photos.to_vec());
        let expected = results(name, &model, photos)?;
        ensure(expected.len() == photos.len(), expected.len())?;
        for (found, expected) in found.zip(expected) {
            let found = found?;
            let top = expected["top"].as_array().ok_or("classes")?;
            ensure(top.len() == 5, top)?;
            for (class, expected) in found.top(5).iter().zip(top) {
                let score = expected["score"].as_f64().ok_or("a score")?;
                let is_same = expected["class_id"] == class.id
                    && expected["label"] == *class.label
                    && (f64::from(class.score) - score).abs() < 1e-6;
                ensure(is_same, (name, class, expected))?;
            }
        }
        // One image alone, from memory.
        let bytes = std::fs::read(&photos[0])?;
        let alone = classifier.classify_blocking(&bytes)?;
        let first = &results(name, &model, &photos[..1])?[0]["top"][0];
        let best = alone.best().ok_or("a class")?;
        ensure(first["class_id"] == best.id, (name, best, first))?;
    }
    Ok(())
}
