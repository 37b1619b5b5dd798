//! Models, the files next to them, and lists of labels: never a crash. The first byte selects the kind.
#![no_main]

use std::cell::RefCell;
use std::path::PathBuf;

use image_classification::Labels;
use image_classification::sources;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 9] = [
    "model.onnx",
    "model.xml",
    "model.tflite",
    "model",
    "preprocessor_config.json",
    "config.json",
    "model.yml",
    "own.json",
    "labels",
];

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a folder"));
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, content)) = bytes.split_first() else {
        return;
    };
    let name = NAMES[usize::from(which) % NAMES.len()];
    if name == "labels" {
        let _ = Labels::parse(content);
        return;
    }
    FOLDER.with_borrow(|folder| {
        let path: PathBuf = folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        let _ = match name {
            "model.onnx" | "model.xml" | "model.tflite" | "model" => {
                let _ = model_file::check(&path);
                let _ = model_file::stored_precision(&path);
                sources::find(&path).map(|_| ())
            }
            _ => sources::read_file(&path).map(|_| ()),
        };
        std::fs::remove_file(&path).expect("it was there");
    });
});
