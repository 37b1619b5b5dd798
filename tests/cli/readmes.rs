//! The example in each engine's README gives the answers of the command line.
//!
//! The files in `readmes/` hold the code of the READMEs, hidden lines included.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use classify_tests::{Needs, checkout, ensure, photos, set_up};
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

macro_rules! examples {
    ($($(#[$condition:meta])? $engine:ident),*) => {
        $(
            $(#[$condition])?
            mod $engine {
                include!(concat!("readmes/", stringify!($engine), ".rs"));

                pub fn run(model: &str, image: &str) -> Result<(), Box<dyn std::error::Error>> {
                    super::block_on(classify(model, image))
                }
            }
        )*

        /// Each engine with the code of its example.
        const EXAMPLES: &[(&str, &str, Example)] = &[$(
            $(#[$condition])?
            (
                stringify!($engine),
                include_str!(concat!("readmes/", stringify!($engine), ".rs")),
                $engine::run,
            )
        ),*];
    };
}

examples!(
    onnx,
    openvino,
    #[cfg(feature = "rten")]
    rten
);

const MODELS: [&str; 3] = [
    "efficientnet-lite0.onnx",
    "mobilenet-v2/model.onnx",
    "squeezenet1.1.onnx",
];

pub fn trials(set_up: &Needs) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &(engine, code, example) in EXAMPLES {
        trials.push(Needs::nothing().test(
            format!("readmes::{engine}_is_the_code_that_is_tested"),
            move || same_code(engine, code),
        ));
        trials.push(set_up.test(
            format!("readmes::{engine}_answers_as_the_command_line"),
            move || same_answers(engine, example),
        ));
    }
    trials
}

/// The first example of a README without its `main`, as the documentation tests compile it.
fn same_code(engine: &str, code: &str) -> Result<(), Failed> {
    let readme = std::fs::read_to_string(checkout().join(format!("backend-{engine}/README.md")))?;
    let (_, example) = readme.split_once("```rust\n").ok_or("an example")?;
    let (example, _) = example.split_once("# fn main() ").ok_or("a hidden main")?;
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| {
            let line = line.strip_prefix("# ").unwrap_or(line);
            line.trim().to_owned()
        });
        lines.collect()
    };
    let (example, code) = (lines(example), lines(code));
    ensure(example == code, (example, code))
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
            ensure(
                printed.len() == 5 && is_line_of(&printed[0], best),
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
