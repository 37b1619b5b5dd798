"""Writes small classifiers as exporters write them, and the answers that they have to give.

    exported_models.py OUT IMAGE...

OUT gets
- `yolo.onnx` with the metadata that Ultralytics' exporter writes for `-cls` models;
- `dequantized.onnx`, `.xml` and `.bin`, whose input of bytes begins with a DequantizeLinear;
- `concat.onnx`, which quantizes a Concat to int8;
- `saturated-a.onnx` and `saturated-b.onnx`, which saturate behind a softmax of their own;
- `expected.json`: for the first two the probabilities of each image, computed with numpy in float64.

Ultralytics' `classify_transforms(size)`, from version 8.1: torchvision's `Resize(size)` of the short side on Pillow's image,
bilinear, `CenterCrop(size)`, `ToTensor()`, mean 0 and std 1.

Needs: numpy, onnx, openvino, pillow.
"""

import json
import pathlib
import sys

import numpy as np
import openvino
from onnx import TensorProto, checker, helper, numpy_helper, save
from onnx.reference import ReferenceEvaluator
from PIL import Image

SIZE, CLASSES = 64, 12
SCALE, ZERO_POINT = 1 / 32, 117


def weights(seed, classes=CLASSES):
    random = np.random.default_rng(seed)
    return random.normal(0, 0.4, (classes, 3, 3, 3)).astype(np.float32), random.normal(0, 0.2, classes).astype(np.float32)


def head(value, kernel, bias, factor=1.0):
    """The nodes and constants from a value to the probabilities."""
    constants = {"kernel": kernel, "bias": bias, "factor": np.float32(factor)}
    nodes = [
        helper.make_node("Conv", [value, "kernel", "bias"], ["conv"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "factor"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["output0"], axis=1),
    ]
    return nodes, [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]


def probabilities(pixels, kernel, bias, factor=1.0):
    """The same in float64, for values of one image in planes."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3), axis=(1, 2))[:, ::2, ::2]
    conv = np.einsum("cyxij,kcij->kyx", windows, kernel.astype(np.float64)) + bias.astype(np.float64)[:, None, None]
    logits = factor * np.maximum(conv, 0).mean((1, 2))
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def write(path, nodes, constants, kind=TensorProto.FLOAT, metadata=None):
    graph = helper.make_graph(
        nodes, "graph",
        [helper.make_tensor_value_info("images", kind, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, CLASSES])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    checker.check_model(model)
    save(model, path)


def yolo(out, images):
    kernel, bias = weights(1)
    nodes, constants = head("images", kernel, bias, 5.0)
    names = {index: f"name {index}" for index in range(CLASSES)}
    metadata = {
        "description": "Ultralytics YOLOv8n-cls model", "author": "Ultralytics", "date": "2025-01-01T00:00:00", "version": "8.3.0",
        "license": "AGPL-3.0 License (https://ultralytics.com/license)", "docs": "https://docs.ultralytics.com", "stride": "1",
        "task": "classify", "batch": "1", "imgsz": str([SIZE, SIZE]), "names": str(names), "args": "{'batch': 1, 'half': False}",
        "channels": "3",
    }
    write(out / "yolo.onnx", nodes, constants, metadata=metadata)
    answers = []
    for image in images:
        width, height = image.size
        if width <= height:
            size = SIZE, int(SIZE * height / width)
        else:
            size = int(SIZE * width / height), SIZE
        left, top = (round((side - SIZE) / 2) for side in size)
        resized = image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + SIZE, top + SIZE))
        pixels = np.asarray(resized).transpose(2, 0, 1) / 255
        answers.append(probabilities(pixels, kernel, bias, 5.0).tolist())
    return answers


def dequantized(out, images):
    kernel, bias = weights(2)
    nodes, constants = head("real", kernel, bias)
    nodes.insert(0, helper.make_node("DequantizeLinear", ["images", "scale", "zero_point"], ["real"]))
    constants += [numpy_helper.from_array(np.float32(SCALE), "scale"), numpy_helper.from_array(np.uint8(ZERO_POINT), "zero_point")]
    write(out / "dequantized.onnx", nodes, constants, TensorProto.UINT8)
    model = openvino.Core().read_model(out / "dequantized.onnx")
    openvino.save_model(model, out / "dequantized.xml", compress_to_fp16=False)
    answers = []
    for image in images:
        pixels = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)).astype(np.float64).transpose(2, 0, 1)
        # Mean 128 and scale 64: every other quotient is halfway between two integers, and QuantizeLinear rounds it to even.
        quantize = helper.make_node("QuantizeLinear", ["real", "scale", "zero_point"], ["integers"])
        integers = ReferenceEvaluator(quantize).run(
            None, {"real": ((pixels - 128) / 64).astype(np.float32), "scale": np.float32(SCALE), "zero_point": np.uint8(ZERO_POINT)}
        )[0].astype(np.float64)
        real = (integers - ZERO_POINT) * np.float64(np.float32(SCALE))
        answers.append(probabilities(real, kernel, bias).tolist())
    return answers


def concat(out):
    """Two branches, joined, quantized to int8, and a convolution with quantized weights."""
    first, _ = weights(3, 4)
    second, _ = weights(4, 4)
    last = np.random.default_rng(5).integers(-127, 128, (CLASSES, 8, 1, 1)).astype(np.int8)
    constants = {
        "first": first, "second": second, "last8": last, "last_scale": np.float32(1 / 127), "zero": np.int8(0),
        "scale": np.float32(4 / 127),
    }
    nodes = [
        helper.make_node("Conv", ["images", "first"], ["a"], kernel_shape=[3, 3]),
        helper.make_node("Conv", ["images", "second"], ["b"], kernel_shape=[3, 3]),
        helper.make_node("Concat", ["a", "b"], ["joined"], axis=1),
        helper.make_node("QuantizeLinear", ["joined", "scale", "zero"], ["quantized"], "quantize_joined"),
        helper.make_node("DequantizeLinear", ["quantized", "scale", "zero"], ["real"]),
        helper.make_node("DequantizeLinear", ["last8", "last_scale", "zero"], ["last"]),
        helper.make_node("Conv", ["real", "last"], ["scores"], kernel_shape=[1, 1]),
        helper.make_node("GlobalAveragePool", ["scores"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["output0"], axis=1),
    ]
    write(out / "concat.onnx", nodes, [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()])


def main(out, *paths):
    out = pathlib.Path(out)
    images = [Image.open(path).convert("RGB") for path in paths]
    expected = {"yolo": yolo(out, images), "dequantized": dequantized(out, images)}
    concat(out)
    kernel, bias = weights(6)
    # Logits that differ by hundreds.
    for name, factor in (("saturated-a", 4e4), ("saturated-b", 5.2e4)):
        write(out / f"{name}.onnx", *head("images", kernel, bias, factor))
    (out / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main(*sys.argv[1:])
