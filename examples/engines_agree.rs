//! Checks that ONNX Runtime and OpenVINO agree on images, and ends with exit code 1 if they do not.
//!
//! ```sh
//! VIRTUAL_ENV=$PWD/assets/python cargo run -p classify-examples --bin engines_agree -- \
//!     assets/models/efficientnet-lite0.onnx assets/photos/*.jpg
//! ```

use std::env;
use std::error::Error;
use std::path::PathBuf;

use backend_onnx::{OnnxBackend, OnnxConfig};
use backend_openvino::{OpenvinoBackend, OpenvinoConfig};
use evaluation::Comparison;
use evaluation::agreement::Tolerance;
use image_classification::Classifier;

fn main() -> Result<(), Box<dyn Error>> {
    let model = env::args()
        .nth(1)
        .ok_or("usage: engines_agree MODEL IMAGE…")?;
    let images = env::args().skip(2).map(PathBuf::from);
    let reference = OnnxBackend::open(&OnnxConfig::new(&model))?;
    let candidate = OpenvinoBackend::open(&OpenvinoConfig::new(&model))?;
    let reference = Classifier::discover(reference, &model)?;
    let candidate = Classifier::discover(candidate, &model)?;
    let comparison = Comparison::new(reference, [candidate]).tolerance(Tolerance::F32);
    let report = comparison.run_blocking(images)?;
    println!("{report}");
    std::process::exit(i32::from(!report.agrees()));
}
