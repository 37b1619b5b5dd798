//! TensorFlow models, as a frozen graph and as the graph of a `SavedModel`: their nodes behind the outputs, and the ends of
//! their graphs.
#![no_main]

use std::cell::RefCell;
use std::collections::HashSet;

use image_classification::sources;
use libfuzzer_sys::fuzz_target;
use model_file::tensorflow::{Graph, Value};

thread_local! {
    static DIRECTORY: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a directory"));
}

/// Looks at everything behind the outputs.
fn walk(graph: &Graph<'_>) {
    let outputs = graph.outputs().iter();
    let mut open: Vec<Value> = outputs.filter_map(|output| graph.value(output)).collect();
    let mut seen = HashSet::new();
    while let Some(value) = open.pop() {
        if !seen.insert(value) || seen.len() > 10_000 {
            continue;
        }
        let (node, port) = graph.producer(value);
        let _ = (node.operator(), node.dims(port), node.constant());
        let _ = (node.integers("squeeze_dims"), graph.names(value));
        let inputs = 0..graph.inputs(value);
        open.extend(inputs.filter_map(|index| graph.input(value, index)));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let graphs = [Graph::of_frozen(bytes), Graph::of_saved_model(bytes)];
    graphs.iter().flatten().for_each(walk);
    DIRECTORY.with_borrow(|directory| {
        let frozen = directory.path().join("model.pb");
        let saved = directory.path().join(model_file::SAVED_MODEL);
        for path in [&frozen, &saved] {
            std::fs::write(path, bytes).expect("a file");
        }
        for model in [frozen.as_path(), directory.path()] {
            let _ = model_file::check(model);
            let _ = model_file::stored_precision(model);
            let _ = sources::find(model);
        }
    });
});
