//! Prints the five best classes of an image, on ONNX Runtime.
//!
//! ```sh
//! VIRTUAL_ENV=$PWD/assets/python cargo run -p classify-examples --bin one_image -- \
//!     assets/models/mobilenet-v2/model.onnx assets/photos/n02123597_284_Siamese_cat.jpg
//! ```
//!
//! The engine's library comes from an active Python environment: the one of the set-up, or another one with `onnxruntime`.

use std::env;
use std::error::Error;

use backend_onnx::{OnnxBackend, OnnxConfig};
use image_classification::Classifier;

fn main() -> Result<(), Box<dyn Error>> {
    let (Some(model), Some(image)) = (env::args().nth(1), env::args().nth(2)) else {
        return Err("usage: one_image MODEL IMAGE".into());
    };
    let backend = OnnxBackend::open(&OnnxConfig::new(&model))?;
    // Finds the preprocessing and the labels in the model or in the files next to it.
    let classifier = Classifier::discover(backend, &model)?;
    let classification = classifier.classify_blocking(&std::fs::read(image)?)?;
    for class in classification.top(5) {
        println!("{:.4} {}", class.score, class.label);
    }
    Ok(())
}
