//! The examples run from the commands in their comments, and the service keeps its limits.

#[cfg(unix)]
mod commands;
#[allow(dead_code)]
#[path = "../custom_engine.rs"]
mod custom_engine;
#[cfg(unix)]
mod load;
#[cfg(unix)]
mod service;

use std::fs;

use backend_api::conformance::Subject;
use backend_api::{Engine, Tensor};
use classify_tests::{Needs, checkout, ensure};
use custom_engine::{CHANNEL, ColorBackend};
use libtest_mimic::{Arguments, Failed};

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = classify_tests::conformance(&Needs::nothing(), "custom_engine", colors);
    trials.push(Needs::nothing().test("the_readme_shows_one_image", readme));
    // The commands are for a Unix shell, and signals end the service.
    #[cfg(unix)]
    {
        let openvino = backend_openvino::find_library(None, &classify_tests::library_dirs());
        let onnx = backend_onnx::find_library(None, &classify_tests::library_dirs());
        let engines = Needs::engine(&openvino).and(&Needs::engine(&onnx));
        let set_up = engines.and(&Needs::set_up());
        trials.extend(commands::trials(&set_up));
        trials.extend(service::trials(&set_up));
        trials.extend(load::trials(&set_up));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// The code in the workspace's README is a part of the example.
fn readme() -> Result<(), Failed> {
    let readme = fs::read_to_string(checkout().join("README.md"))?.replace("\r\n", "\n");
    let (_, shown) = readme.split_once("```rust\n").ok_or("code")?;
    let (shown, _) = shown.split_once("```").ok_or("its end")?;
    let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect();
    let shown: Vec<String> = lines(shown);
    let example: Vec<String> = lines(include_str!("../one_image.rs"));
    let is_part = example.windows(shown.len()).any(|part| part == shown);
    ensure(is_part, shown)
}

/// The custom engine, for the conformance suite. Channels of one value have this value as their mean.
fn colors() -> Subject {
    let value = |n: u64| n as f32;
    Subject {
        open: Box::new(|| Box::new(ColorBackend::open(2).expect("two threads"))),
        parts: Box::new(|| {
            let (info, engines) = ColorBackend::parts(2);
            let boxed = engines
                .into_iter()
                .map(|engine| Box::new(engine) as Box<dyn Engine>);
            (info, boxed.collect())
        }),
        pool: backend_api::conformance::slot_pool,
        input: Box::new(move |n| {
            let channels = [value(n), value(n + 1), 0.5].map(|value| [value; CHANNEL]);
            Tensor::new([1, 3, 32, 32], channels.concat()).expect("three channels")
        }),
        expected: Box::new(move |n| {
            Tensor::new([1, 3], vec![value(n), value(n + 1), 0.5]).expect("three means")
        }),
    }
}
