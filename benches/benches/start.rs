//! `cargo bench-start`: opening a model on OpenVINO's CPU without the cache of compiled models and with
//! it. Needs the set-up.
//!
//! Machines are noisy, so both run in turns and what is printed is the median of the ratios of
//! neighbouring runs.

// Printing is what a bench is for.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use backend_api::InferBackend as _;
use backend_openvino::{OpenvinoBackend, OpenvinoConfig};

const MODELS: [&str; 3] = [
    "models/efficientnet-lite0.onnx",
    "models/mobilenet-v2/model.onnx",
    "models/squeezenet1.1.onnx",
];

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let rounds = if std::env::args().any(|argument| argument == "--test") {
        1
    } else {
        15
    };
    let Some(set_up) = classify_tests::set_up_dir() else {
        println!("there is no set-up; run `cargo setup`");
        return;
    };
    println!("| model | without, ms | with, ms | ratio | quartiles |");
    println!("|---|---|---|---|---|");
    for model in MODELS {
        let directory = tempfile::tempdir().expect("a folder for the cache");
        let mut config = OpenvinoConfig::new(set_up.join(model));
        config.library_dirs = classify_tests::library_dirs();
        let mut cached = config.clone();
        cached.cache = Some(directory.path().join("cache"));
        // The first one fills it.
        open(&cached, "in the cache now");
        let mut runs: Vec<[f64; 3]> = (0..rounds)
            .map(|_| {
                let (without, with) = (open(&config, ""), open(&cached, "from the cache"));
                [with / without, without, with]
            })
            .collect();
        runs.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let at = |part: usize| runs[(runs.len() - 1) * part / 4];
        let [ratio, without, with] = at(2);
        println!(
            "| {model} | {without:.0} | {with:.0} | {ratio:.2} | {:.2} to {:.2} |",
            at(1)[0],
            at(3)[0]
        );
    }
}

/// Milliseconds to open the model. `note` is what the backend has to say of the cache.
fn open(config: &OpenvinoConfig, note: &str) -> f64 {
    let start = Instant::now();
    let backend = OpenvinoBackend::open(config).expect("the set-up's model opens");
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    let notes = backend.info().notes.join(" ");
    assert!(notes.contains(note), "{notes}");
    elapsed
}
