//! Prints the best class of each image of a directory, on RTen, which needs nothing installed.
//!
//! ```sh
//! cargo run -p classify-examples --bin folder_stream -- assets/models/squeezenet1.1.onnx assets/photos
//! ```
//!
//! `classify_all` reads, decodes and infers several images at a time. The number of images in flight is bounded, so that
//! memory does not grow with the directory, and the results have the order of the paths.

use std::error::Error;
use std::path::PathBuf;
use std::pin::pin;
use std::{env, fs, io};

use backend_rten::{RtenBackend, RtenConfig};
use futures_util::StreamExt as _;
use image_classification::Classifier;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (Some(model), Some(directory)) = (env::args().nth(1), env::args().nth(2)) else {
        return Err("usage: folder_stream MODEL DIRECTORY".into());
    };
    let backend = RtenBackend::open(&RtenConfig::new(&model))?;
    let classifier = Classifier::discover(backend, &model)?;

    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    paths.sort();
    let mut results = pin!(classifier.classify_all(paths.clone()));
    for path in &paths {
        // An image that fails takes no other with it.
        match results.next().await.expect("a result for each path") {
            Ok(classification) => {
                let best = classification.best().expect("the model has classes");
                println!("{}: {} {:.4}", path.display(), best.label, best.score);
            }
            Err(error) => eprintln!("{}: {error}", path.display()),
        }
    }
    Ok(())
}
