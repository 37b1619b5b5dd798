//! TensorFlow Lite models: their graph, their metadata, and the archive of labels behind them.
#![no_main]

use std::cell::RefCell;

use image_classification::sources;
use libfuzzer_sys::fuzz_target;
use model_file::{tflite, zip};

thread_local! {
    static DIRECTORY: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a directory"));
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(graph) = tflite::Graph::read(bytes) {
        for number in -1..16 {
            let _ = graph.tensor(number);
            let _ = graph.producer(number).map(tflite::Operator::name);
        }
    }
    if let Some(metadata) = tflite::Metadata::read(bytes) {
        for name in metadata.labels.iter().take(4) {
            let _ = zip::entry(bytes, name);
        }
    }
    DIRECTORY.with_borrow(|directory| {
        let path = directory.path().join("model.tflite");
        std::fs::write(&path, bytes).expect("a file");
        let _ = model_file::check(path.as_path());
        let _ = model_file::stored_precision(path.as_path());
        let _ = sources::find(path.as_path());
    });
});
