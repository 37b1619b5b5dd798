//! All engines in one process, on the identical tensor, through the crates.

use std::path::PathBuf;
use std::sync::Arc;

use backend_api::{ErrorKind, InferBackend, InferRequest, Tensor};
use backend_onnx::{OnnxBackend, OnnxConfig};
use backend_openvino::{OpenvinoBackend, OpenvinoConfig};
use backend_rten::{RtenBackend, RtenConfig};
use classify_tests::{Needs, ensure, library_dirs, photos, set_up, small_model};
use image_classification::{
    DecodeLimits, Image, InputLayout, Interpretation, Preprocess, PreprocessOverrides, Ranked,
    ResolvedPreprocessing, Scores,
};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let engines = Needs::engine(&backend_openvino::find_library(None, &library_dirs())).and(
        &Needs::engine(&backend_onnx::find_library(None, &library_dirs())),
    );
    let set_up = engines.and(&Needs::set_up());
    let trials: Vec<Trial> = vec![
        engines.test("small_models_give_the_same", small_models),
        set_up.test("the_same_tensor_gives_the_same_ranking", real_models),
        set_up.test("constant_weights_tie_by_class_id", light_models),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// Models with an operator that RTen lacks or computes in another way.
const RTEN_REFUSES: [(&str, &str); 5] = [
    ("input-quantized.onnx", "QLinearConv"),
    ("light_bvlc_alexnet.onnx", "LRN"),
    ("light_inception_v1.onnx", "LRN"),
    ("light_zfnet512.onnx", "LRN"),
    ("light_squeezenet.onnx", "Softmax"),
];

/// Models that RTen loads, but whose answers differ for a known reason.
const RTEN_DIFFERS: [(&str, &str); 3] = [
    ("half.onnx", "it takes f32 for f16"),
    (
        "light_resnet50.onnx",
        "the rounding of the last eight classes decides the softmax",
    ),
    ("light_vgg19.onnx", "the same"),
];

/// OpenVINO, ONNX Runtime, and RTen but for what is above.
fn open(model: &PathBuf) -> Result<Vec<Arc<dyn InferBackend>>, backend_api::Error> {
    // One request: the largest models take more than half a gigabyte for each.
    let mut openvino = OpenvinoConfig::new(model);
    openvino.options.requests = Some(1);
    openvino.library_dirs = library_dirs();
    let mut onnx = OnnxConfig::new(model);
    onnx.options.requests = Some(1);
    onnx.library_dirs = library_dirs();
    let mut rten = RtenConfig::new(model);
    rten.options.requests = Some(1);
    let mut backends: Vec<Arc<dyn InferBackend>> = vec![
        Arc::new(OpenvinoBackend::open(&openvino)?),
        Arc::new(OnnxBackend::open(&onnx)?),
    ];
    match RtenBackend::open(&rten) {
        Ok(_) if RTEN_DIFFERS.iter().any(|(file, _)| model.ends_with(file)) => {}
        Ok(rten) => backends.push(Arc::new(rten)),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ModelUnsupported, "{error:#?}");
            let said = format!("{error:?}");
            let known = RTEN_REFUSES
                .iter()
                .any(|(file, why)| model.ends_with(file) && said.contains(why));
            assert!(known, "{}: {error:#?}", model.display());
        }
    }
    Ok(backends)
}

/// Feeds one tensor to all; none gets a copy of its own.
fn outputs(
    backends: &[Arc<dyn InferBackend>],
    tensor: Tensor,
) -> Result<Vec<Tensor>, backend_api::Error> {
    let tensor = Arc::new(tensor);
    futures_executor::block_on(async {
        let mut results = Vec::new();
        for backend in backends {
            results.push(
                backend
                    .submit(InferRequest::new(0, Arc::clone(&tensor)))
                    .await?,
            );
        }
        let mut outputs = Vec::new();
        for result in results {
            outputs.push(result.await?.tensor);
        }
        Ok(outputs)
    })
}

fn small_models() -> Result<(), Failed> {
    for file in [
        "plain.onnx",
        "dynamic-batch.onnx",
        "grey.onnx",
        "half.onnx",
        "initializer-as-input.onnx",
        "input-i32.onnx",
        "input-quantized.onnx",
        "input-u8.onnx",
        "nhwc-bytes.onnx",
        "output-four-dimensions.onnx",
        "output-one-dimension.onnx",
        "probabilities.onnx",
        "three-classes.onnx",
    ] {
        let backends = open(&small_model(file))?;
        let input = &backends[0].info().input;
        for other in &backends[1..] {
            ensure(other.info().input == *input, (file, input, other.info()))?;
        }
        let layout = InputLayout::from_spec(input, None, None)?;
        let pixels = (0..8 * 8 * 3).map(|n| (n * 37 % 256) as u8).collect();
        let image = Image::from_rgb(8, 8, pixels).expect("8 x 8");
        let tensor = Preprocess::OPENVINO_SAMPLE.tensor(&image, &layout)?;
        let outputs = outputs(&backends, tensor)?;
        let a = &outputs[0];
        for b in &outputs[1..] {
            ensure(
                a.element_type() == b.element_type() && a.shape() == b.shape(),
                (file, a, b),
            )?;
            // Half precision sums in another order in each engine.
            let tolerance = if file == "half.onnx" { 0.02 } else { 1e-5 };
            let largest = largest(&a.to_f32(), &b.to_f32());
            ensure(largest <= tolerance, (file, largest))?;
        }
    }
    Ok(())
}

fn largest<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| (a.into() - b.into()).abs())
        .fold(0.0, f64::max)
}

fn real_models() -> Result<(), Failed> {
    let model = set_up("models/efficientnet-lite0.onnx");
    let resolved = ResolvedPreprocessing::find(&model, &PreprocessOverrides::default())?;
    ensure(
        resolved.assumed.is_empty(),
        "the set-up's model carries its preprocessing",
    )?;
    let recipe = resolved.preprocess;
    let backends = open(&model)?;
    let layout = InputLayout::from_spec(&backends[0].info().input, None, None)?;
    for photo in photos()? {
        let image = Image::decode(&std::fs::read(&photo)?, &DecodeLimits::default())?;
        let outputs = outputs(&backends, recipe.tensor(&image, &layout)?)?;
        let scores = outputs
            .iter()
            .map(|output| Interpretation::SOFTMAX.scores(output))
            .collect::<Result<Vec<_>, _>>()?;
        let ids = |scores: &Scores| -> Vec<usize> {
            scores
                .top(10)
                .iter()
                .map(|ranked| ranked.class_id)
                .collect()
        };
        ensure(scores.len() == 3, scores.len())?;
        for other in &scores[1..] {
            ensure(ids(&scores[0]) == ids(other), &photo)?;
            let largest = largest(scores[0].values(), other.values());
            ensure(largest <= 1e-4, (&photo, largest))?;
        }
    }
    Ok(())
}

/// Models whose classes should tie, but do not: (backend, file, reason).
const UNEQUAL: [(&str, &str, &str); 1] = [(
    "openvino",
    "light_squeezenet.onnx",
    "its logits are so large that the rounding of the last eight classes decides the softmax",
)];

/// Real architectures with constant weights: every class ties, but for the rounding of the vector
/// code's last elements; equal scores rank by class id.
fn light_models() -> Result<(), Failed> {
    let mut ran = 0;
    let mut files: Vec<PathBuf> = std::fs::read_dir(set_up("models/light"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "onnx"));
    files.sort();
    for file in files {
        let backends = open(&file).map_err(|error| format!("{}: {error:#?}", file.display()))?;
        let layout = InputLayout::from_spec(&backends[0].info().input, None, None)?;
        let image = Image::from_rgb(2, 2, vec![100; 12]).expect("2 x 2");
        let tensor = Preprocess::OPENVINO_SAMPLE.tensor(&image, &layout)?;
        let outputs = outputs(&backends, tensor)?;
        let reference = outputs[1].to_f32();
        for (output, backend) in outputs.iter().zip(&backends) {
            // Scores would hide it: the softmax of any constant is the same.
            let size = reference
                .iter()
                .map(|value| value.abs())
                .fold(1e-30, f32::max);
            let difference = largest(&output.to_f32(), &reference) / f64::from(size);
            let scores = Interpretation::SOFTMAX
                .scores(output)
                .map_err(|error| format!("{}: {error}", file.display()))?;
            let known = UNEQUAL.iter().any(|(name, unequal, _)| {
                backend.info().backend == *name && file.ends_with(unequal)
            });
            if known {
                continue;
            }
            ensure(
                difference <= 1e-4,
                (&file, &backend.info().backend, difference),
            )?;
            let mean = 1.0 / scores.values().len() as f64;
            let spread = scores.values().iter().map(|value| (value - mean).abs());
            ensure(spread.fold(0.0, f64::max) <= 1e-7, (&file, scores.values()))?;
            let ranked = scores.top(scores.values().len());
            // Classes rank by the output itself, in which rounding may show where the softmax ties.
            let value = |class: &Ranked| scores.output()[class.class_id];
            let ordered = ranked.is_sorted_by(|a, b| {
                value(a) > value(b) || value(a) == value(b) && a.class_id < b.class_id
            });
            ensure(ordered, (&file, ranked))?;
        }
        ran += 1;
    }
    ensure(ran == 9, ran)
}
