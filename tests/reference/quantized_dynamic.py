"""Writes a float classifier, its dynamically quantized version by ONNX Runtime's `quantize_dynamic`, a copy of that in which
the weights of one node have too few steps, an image, and what each quantized node adds to the error, by own arithmetic.

Usage: quantized_dynamic.py DIRECTORY
"""

import json
import logging
import sys

import numpy
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

DIRECTORY = sys.argv[1]
DAMAGED = "conv2"
# The product and the sum of `linear` are nodes in the float model, too; those of `gemm` are not.
NODES = ["conv1", "conv2", "linear", "gemm"]

random = numpy.random.default_rng(21)
weights = {
    name: random.normal(size=shape).astype(numpy.float32) / 4
    for name, shape in {
        "conv1_w": (8, 3, 3, 3),
        "conv1_b": (8,),
        "conv2_w": (8, 8, 3, 3),
        "linear_w": (8, 8),
        "linear_b": (8,),
        "gemm_w": (8, 5),
        "gemm_b": (5,),
    }.items()
}


def write_float(path):
    """Writes the float model."""
    node = helper.make_node
    nodes = [
        node("Conv", ["input", "conv1_w", "conv1_b"], ["v1"], "conv1", strides=[2, 2]),
        node("Relu", ["v1"], ["v2"], "relu1"),
        node("Conv", ["v2", "conv2_w"], ["v3"], "conv2", strides=[2, 2]),
        node("Relu", ["v3"], ["v4"], "relu2"),
        node("GlobalAveragePool", ["v4"], ["v5"], "pool"),
        node("Flatten", ["v5"], ["v6"], "flatten"),
        node("MatMul", ["v6", "linear_w"], ["v7"], "linear"),
        node("Add", ["v7", "linear_b"], ["v8"], "linear_bias"),
        node("Relu", ["v8"], ["v9"], "relu3"),
        node("Gemm", ["v9", "gemm_w", "gemm_b"], ["output"], "gemm"),
    ]
    tensor = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    inputs, outputs = [tensor("input", [1, 3, 32, 32])], [tensor("output", [1, 5])]
    graph = helper.make_graph(nodes, "dynamic", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, path)


def write_damaged(path, to):
    """Writes a copy of a quantized model, in which the weights of a node have 4 of 256 steps."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == f"{DAMAGED}_w_quantized":
            steps = numpy_helper.to_array(tensor) // 64 * 64 + 32
            tensor.CopyFrom(numpy_helper.from_array(steps, tensor.name))
    onnx.save(model, to)


def without_names(path, to):
    """Writes a copy of a model that has other names of nodes and values."""
    model = onnx.load(path)
    graph = model.graph
    kept = {value.name for value in [*graph.input, *graph.output]}
    others = {}
    new = lambda name: name if name in kept or not name else others.setdefault(name, f"value{len(others)}")
    for at, node in enumerate(graph.node):
        node.name = f"node{at}"
        node.input[:] = map(new, node.input)
        node.output[:] = map(new, node.output)
    for tensor in graph.initializer:
        tensor.name = new(tensor.name)
    del graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, to)


def convolve(x, w):
    """Returns the convolution of an image with a stride of 2."""
    windows = sliding_window_view(x, w.shape[2:], axis=(2, 3))[:, :, ::2, ::2]
    return numpy.einsum("nchwij,ocij->nohw", windows, w, optimize=True)


def multiply(x, w):
    return x @ w


def float_node(name, x):
    """Returns the output of a node of the float model, in 64 bits."""
    product = convolve if name.startswith("conv") else multiply
    y = product(x.astype(numpy.float64), weights[f"{name}_w"].astype(numpy.float64))
    return y + bias(name, y)


def bias(name, y):
    # The sum of `linear` is a node of its own.
    b = weights.get(f"{name}_b") if name != "linear" else None
    return 0 if b is None else b.reshape([1, -1] + [1] * (y.ndim - 2)).astype(numpy.float64)


def dynamic_node(name, x, initializers):
    """Returns the output of a dynamically quantized node, by the formulas of DynamicQuantizeLinear."""
    x = x.astype(numpy.float32)
    least, most = min(x.min(), numpy.float32(0)), max(x.max(), numpy.float32(0))
    scale = (most - least) / numpy.float32(255)
    zero = numpy.clip(numpy.rint(-least / scale), 0, 255)
    steps = numpy.clip(numpy.rint(x / scale) + zero, 0, 255) - zero
    weight = initializers[f"{name}_w_quantized"].astype(numpy.int64) - int(initializers[f"{name}_w_zero_point"])
    product = convolve if name.startswith("conv") else multiply
    y = product(steps.astype(numpy.int64), weight) * float(scale * initializers[f"{name}_w_scale"])
    return y + bias(name, y)


def run(x, node):
    """Returns the inputs and the outputs of the nodes with weights, which `node` computes."""
    seen = {}

    def of(name, x):
        seen[name] = (x, node(name, x))
        return seen[name][1]

    x = numpy.maximum(of("conv1", x), 0)
    x = numpy.maximum(of("conv2", x), 0).mean(axis=(2, 3))
    x = numpy.maximum(of("linear", x) + weights["linear_b"], 0)
    of("gemm", x)
    return seen


def noise(x, y):
    return float(((x - y) ** 2).sum() / (x**2).sum())


def errors(path, x):
    """Returns for each quantized node what it adds, and the signal-to-noise ratio of its output in decibels."""
    initializers = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    real = run(x, float_node)
    seen = run(x, lambda name, x: dynamic_node(name, x, initializers))
    return {
        name: {
            "added": noise(float_node(name, seen[name][0]), seen[name][1]),
            "sqnr": -10 * numpy.log10(noise(real[name][1], seen[name][1])),
        }
        for name in NODES
    }


def main():
    at = lambda name: f"{DIRECTORY}/{name}"
    pixels = random.integers(0, 256, size=(32, 32, 3), dtype=numpy.uint8)
    with open(at("a.ppm"), "wb") as image:
        image.write(b"P6 32 32 255\n" + pixels.tobytes())
    write_float(at("float.onnx"))
    # It advises preprocessing.
    logging.disable()
    quantize_dynamic(at("float.onnx"), at("good.onnx"), weight_type=QuantType.QUInt8, op_types_to_quantize=["Conv", "MatMul"])
    write_damaged(at("good.onnx"), at("bad.onnx"))
    without_names(at("bad.onnx"), at("renamed.onnx"))
    x = ((pixels.astype(numpy.float64) - 127.5) / 64).transpose(2, 0, 1)[None]
    result = {name: errors(at(f"{name}.onnx"), x) for name in ["good", "bad"]}
    with open(at("errors.json"), "w") as file:
        json.dump(result, file)


main()
