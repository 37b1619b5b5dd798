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

# CC0; see NOTICE.md.
PHOTOS = ("chelsea.png", "coffee.png", "camera.png")
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
    for name in PHOTOS:
        shutil.copyfile(photos / name, options.out / name)


if __name__ == "__main__":
    main()
