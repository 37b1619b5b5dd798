//! Configuration files with preprocessing, by all of their names: as files that a user names, and as files next to a model.
//! The first byte says which.
#![no_main]

use std::cell::RefCell;

use image_classification::sources;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 9] = [
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "open_clip_config.json",
    "metadata.yaml",
    "model.yml",
    "model_config.json",
    "preprocess.json",
    "own.yaml",
];

thread_local! {
    /// A directory with a small model.
    static DIRECTORY: RefCell<tempfile::TempDir> = RefCell::new({
        let directory = tempfile::tempdir().expect("a directory");
        let model = include_bytes!("../../tests/data/plain.onnx");
        std::fs::write(directory.path().join("model.onnx"), model).expect("a file");
        directory
    });
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, content)) = bytes.split_first() else {
        return;
    };
    DIRECTORY.with_borrow(|directory| {
        let path = directory
            .path()
            .join(NAMES[usize::from(which) % NAMES.len()]);
        std::fs::write(&path, content).expect("a file");
        let _ = sources::read_file(&path);
        let _ = sources::read_file_without_labels(&path);
        let _ = sources::find(directory.path().join("model.onnx"));
        std::fs::remove_file(&path).expect("it was there");
    });
});
