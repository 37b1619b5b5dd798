//! ONNX models: the checks of their files, their stored precision, their preprocessing, and the edits that a bisection
//! makes.
#![no_main]

use std::cell::RefCell;

use backend_api::ModelSource;
use image_classification::sources;
use libfuzzer_sys::fuzz_target;
use model_file::expose::{Encoding, Exposure, What};

thread_local! {
    static DIRECTORY: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a directory"));
}

fuzz_target!(|bytes: &[u8]| {
    let model = ModelSource::from_bytes(bytes);
    let _ = model_file::stored_precision(model.clone());
    let _ = sources::find(model.clone());
    if let Ok(checked) = model_file::check_onnx(model, "the engine", None) {
        let nodes = checked.model.nodes().iter();
        let names = nodes.flat_map(|node| node.output.iter());
        let values = names.take(4).map(|name| (name.clone(), Encoding::Single));
        let values: Vec<_> = values.collect();
        for what in [What::Shapes, What::Numbers, What::Integers] {
            let values = values.clone();
            let _ = Exposure { values, what }.apply(&checked.model);
        }
    }
    // External data is checked only for a model with a directory.
    DIRECTORY.with_borrow(|directory| {
        let path = directory.path().join("model.onnx");
        let data = directory.path().join("weights.bin");
        std::fs::write(&data, [1; 64]).expect("a file");
        std::fs::write(&path, bytes).expect("a file");
        for file in model_file::check(path.as_path()).unwrap_or_default() {
            assert!(file.starts_with(directory.path()), "{}", file.display());
        }
    });
});
