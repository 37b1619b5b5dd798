//! The examples in the READMEs of the engines and of `image-classification` give the answers of the command line.
//!
//! The files in `readmes/` have the code of the READMEs, and the lines that tests need to find the engines.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use backend_api::Tensor;
use backend_onnx::{OnnxBackend, OnnxConfig};
use classify_test_server::{Options, TestServer};
use classify_tests::{Needs, ensure, examples_of_readme_are, photos, set_up};
use futures_executor::block_on;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classifier::results;

thread_local! {
    /// The lines that an example prints.
    static PRINTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Stands for the standard library's in the examples.
macro_rules! println {
    ($($text:tt)*) => {
        $crate::readmes::PRINTED.with_borrow_mut(|lines| lines.push(format!($($text)*)))
    };
}

/// An example: the paths of a model and of an image.
type Example = fn(&str, &str) -> Result<(), Box<dyn Error>>;

/// Makes a module of the code of an example, and a constant with its text. `$run` calls it.
macro_rules! example {
    ($name:ident, |$($argument:ident: $type:ty),*| -> $output:ty $run:block) => {
        mod $name {
            include!(concat!("readmes/", stringify!($name), ".rs"));

            pub const CODE: &str = include_str!(concat!("readmes/", stringify!($name), ".rs"));

            pub fn run($($argument: $type),*) -> Result<$output, Box<dyn std::error::Error>> $run
        }
    };
}

example!(onnx, |model: &str, image: &str| -> () {
    super::block_on(classify(model, image))
});
example!(openvino, |model: &str, image: &str| -> () {
    super::block_on(classify(model, image))
});
example!(openvino_devices, |model: &str,
                            cache: &str|
 -> OpenvinoBackend {
    Ok(open(model, cache)?)
});
example!(rten, |model: &str, image: &str| -> () {
    super::block_on(classify(model, image))
});
example!(image_classification, |model: &str, image: &str| -> () {
    classify(super::onnx_backend(model)?, model, image)
});
example!(image_classification_steps, |model: &str,
                                      image: &str|
 -> () {
    super::block_on(classify_by_steps(super::onnx_backend(model)?, model, image))
});

example!(remote, |server: &str, model: &str, image: &str| -> () {
    super::block_on(classify(server, model, image))
});

fn onnx_backend(model: &str) -> Result<OnnxBackend, backend_api::Error> {
    let mut config = OnnxConfig::new(model);
    config.library_dirs = classify_tests::library_dirs();
    OnnxBackend::open(&config)
}

/// The packages with the code of the examples in their READMEs.
const READMES: &[(&str, &[&str])] = &[
    ("backend-onnx", &[onnx::CODE]),
    (
        "backend-openvino",
        &[openvino::CODE, openvino_devices::CODE],
    ),
    ("backend-remote", &[remote::CODE]),
    ("backend-rten", &[rten::CODE]),
    (
        "image-classification",
        &[image_classification::CODE, image_classification_steps::CODE],
    ),
];

/// The examples that classify, with the engine whose answers theirs are.
const CLASSIFYING: &[(&str, &str, Example)] = &[
    ("onnx", "onnx", onnx::run),
    ("openvino", "openvino", openvino::run),
    ("rten", "rten", rten::run),
    ("image_classification", "onnx", image_classification::run),
    (
        "image_classification_steps",
        "onnx",
        image_classification_steps::run,
    ),
];

const MODELS: [&str; 3] = [
    "efficientnet-lite0.onnx",
    "mobilenet-v2/model.onnx",
    "squeezenet1.1.onnx",
];

pub fn trials(set_up: &Needs) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &(package, codes) in READMES {
        trials.push(Needs::nothing().test(
            format!("readmes::examples_of_{package}_are_those_that_are_tested"),
            move || examples_of_readme_are(package, codes),
        ));
    }
    for &(name, engine, example) in CLASSIFYING {
        trials.push(set_up.test(
            format!("readmes::{name}_answers_as_the_command_line"),
            move || same_answers(engine, example),
        ));
    }
    trials.push(set_up.test("readmes::openvino_devices_opens_a_model", devices));
    trials.push(set_up.test("readmes::remote_classifies_by_a_server", server));
    trials
}

fn devices() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let cache = directory.path().join("compiled-models");
    let model = set_up("models").join(MODELS[0]);
    let paths = [&model, &cache].map(|path| path.to_str().ok_or("a path"));
    let backend = openvino_devices::run(paths[0]?, paths[1]?).map_err(|error| error.to_string())?;
    let info = backend_api::InferBackend::info(&backend);
    ensure(info.devices == ["CPU"], &info.devices)?;
    let printed = PRINTED.take();
    ensure(
        printed.iter().any(|line| line.starts_with("CPU: ")),
        &printed,
    )?;
    ensure(cache.is_dir(), "no cache")
}

fn server() -> Result<(), Failed> {
    let tensor = |name, shape| [(name, "FP32", shape)];
    let server = TestServer::start(Options::new(
        "squeezenet",
        &tensor("data", &[-1, 3, 224, 224][..]),
        &tensor("scores", &[-1, 1000][..]),
        |_| {
            let mut scores = vec![0.0_f32; 1000];
            scores[7] = 1.0;
            let scores = Tensor::new([1, 1000], scores).map_err(|error| error.to_string())?;
            Ok(vec![("scores".to_owned(), scores)])
        },
    ));
    let model = set_up("models/squeezenet1.1.onnx");
    let image = set_up("photos/chelsea.png");
    let paths = [&model, &image].map(|path| path.to_str().ok_or("a path"));
    remote::run(&server.url(), paths[0]?, paths[1]?).map_err(|error| error.to_string())?;
    let printed = PRINTED.take();
    ensure(printed.len() == 5 && printed[0] == "cock 1.0000", printed)
}

fn same_answers(engine: &str, example: Example) -> Result<(), Failed> {
    let truth = std::fs::read_to_string(set_up("photos/ground-truth.tsv"))?;
    let truth: BTreeMap<&str, &str> = truth
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let mut labelled = photos()?;
    labelled.retain(|photo| name(photo).is_some_and(|name| truth.contains_key(name)));
    // Of all parts of the list; each of them opens the model anew.
    let labelled: Vec<PathBuf> = labelled.into_iter().step_by(4).collect();
    let mut right = 0;
    for model in MODELS {
        let model = set_up("models").join(model);
        let expected = results(engine, &model, &labelled)?;
        ensure(expected.len() == labelled.len(), expected.len())?;
        for (photo, expected) in labelled.iter().zip(&expected) {
            let best = &expected["top"][0];
            let paths = (
                model.to_str().ok_or("a path")?,
                photo.to_str().ok_or("a path")?,
            );
            example(paths.0, paths.1).map_err(|error| format!("{engine}: {error}"))?;
            let printed = PRINTED.take();
            // An example may print more behind the classes.
            ensure(
                printed.len() >= 5 && is_line_of(&printed[0], best),
                (&printed, best),
            )?;
            let class = best["class_id"].to_string();
            right += usize::from(name(photo).is_some_and(|name| truth[name] == class));
        }
    }
    // Of wrong preprocessing, 1.5 % are right.
    let share = right as f64 / (MODELS.len() * labelled.len()) as f64;
    ensure(share >= 0.6, share)
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// Returns whether a printed line has the label and the score of a class.
fn is_line_of(line: &str, class: &Value) -> bool {
    let Some((label, score)) = line.rsplit_once(' ') else {
        return false;
    };
    let (Ok(score), Some(expected)) = (score.parse::<f64>(), class["score"].as_f64()) else {
        return false;
    };
    // Four digits are printed.
    class["label"] == label && (score - expected).abs() < 0.000_06
}
