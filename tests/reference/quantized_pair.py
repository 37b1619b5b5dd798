"""Writes a float classifier and its QDQ versions: one with fitting ranges, one of which a node's range is clipped, and
one of more nodes of which only one is quantized. `integers.onnx` and `integers-bad.onnx` are the first two in the format
QOperator, with the names that ONNX Runtime's quantizer gives. `deep.onnx` has many layers; `deep-good.onnx` is its good
QDQ version, in which the steps of COARSE are wider than those of all others.

Usage: quantized_pair.py DIRECTORY
"""

import sys

import numpy
from onnx import TensorProto, helper, load, numpy_helper, save
from onnx.reference import ReferenceEvaluator

LAYERS = 40
COARSE = 29


class Model:
    """The weights and the nodes of a model, in the order in which they are added."""

    def __init__(self):
        self.random = numpy.random.default_rng(4)
        self.nodes, self.weights = [], []

    def constant(self, name, array):
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, channels):
        """The weight of a convolution."""
        return self.random.normal(size=(8, channels, 3, 3)).astype(numpy.float32) / 4

    def save(self, path, *opsets):
        """Ends the model with its last layer."""
        gemm = self.random.normal(size=(8, 5)).astype(numpy.float32)
        flat = self.nodes[-1].output[0]
        self.nodes.append(helper.make_node("Gemm", [flat, self.constant("gemm_w", gemm)], ["output"], "gemm"))
        tensor = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        inputs, outputs = [tensor("input", [1, 3, 32, 32])], [tensor("output", [1, 5])]
        graph = helper.make_graph(self.nodes, "pair", inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), *opsets])
        model.ir_version = 8
        save(model, path)


def write(path, ranges, more=0, layers=3):
    """`ranges`: the largest value of each convolution's output, or None for the float model. `more`: further nodes with
    weights. The first three of the `layers` halve the size."""
    model = Model()
    nodes, constant = model.nodes, model.constant

    def pair(value, largest, of):
        scale = constant(f"{of}_scale", numpy.float32(largest / 255))
        zero = constant(f"{of}_zero", numpy.uint8(0))
        nodes.append(helper.make_node("QuantizeLinear", [value, scale, zero], [f"{of}_q"], f"{of}_quantize"))
        nodes.append(helper.make_node("DequantizeLinear", [f"{of}_q", scale, zero], [f"{of}_d"], f"{of}_dequantize"))
        return f"{of}_d"

    value, channels = "input", 3
    for layer in range(1, layers + 1):
        name = f"conv{layer}"
        weight = model.weight(channels)
        size = {"strides": [2, 2]} if layer <= 3 else {"pads": [1, 1, 1, 1]}
        nodes.append(helper.make_node("Conv", [value, constant(f"{name}_w", weight)], [name], name, **size))
        value, channels = name, 8
        if ranges and ranges[layer - 1]:
            # The quantizer cuts at 0.
            value = pair(name, ranges[layer - 1], name)
        else:
            nodes.append(helper.make_node("Relu", [name], [f"{name}_relu"], f"relu{layer}"))
            value = f"{name}_relu"
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["pooled"], "pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"))
    flat = "flat"
    for layer in range(more):
        identity = constant(f"more{layer}_w", numpy.eye(8, dtype=numpy.float32))
        nodes.append(helper.make_node("MatMul", [flat, identity], [f"more{layer}"], f"more{layer}"))
        flat = f"more{layer}"
    model.save(path)


def write_integers(path, ranges):
    """`ranges`: the largest value of each convolution's output."""
    model = Model()
    nodes, constant = model.nodes, model.constant

    def steps(name, scale, zero):
        return [constant(f"{name}_scale", numpy.float32(scale)), constant(f"{name}_zero_point", zero)]

    value, value_scale = "input", 4 / 255
    value_steps = steps("input", value_scale, numpy.uint8(128))
    nodes.append(helper.make_node("QuantizeLinear", ["input", *value_steps], ["input_quantized"], "input_QuantizeLinear"))
    channels = 3
    for layer, largest in enumerate(ranges, 1):
        name = f"conv{layer}"
        weight = model.weight(channels)
        scale = numpy.abs(weight).max() / 127
        rounded = constant(f"{name}_w_quantized", numpy.round(weight / scale).astype(numpy.int8))
        weight_steps = steps(f"{name}_w", scale, numpy.int8(0))
        # The quantizer cuts at 0, in place of the Relu.
        output_steps = steps(name, largest / 255, numpy.uint8(0))
        inputs = [f"{value}_quantized", *value_steps, rounded, *weight_steps, *output_steps]
        nodes.append(helper.make_node("QLinearConv", inputs, [f"{name}_quantized"], f"{name}_quant", strides=[2, 2]))
        value, value_steps, value_scale, channels = name, output_steps, largest / 255, 8
    pooled = steps("pooled", value_scale, numpy.uint8(0))
    inputs = [f"{value}_quantized", *value_steps, *pooled]
    pool = helper.make_node("QLinearGlobalAveragePool", inputs, ["pooled_quantized"], "pool_quant", domain="com.microsoft")
    nodes.append(pool)
    nodes.append(helper.make_node("Flatten", ["pooled_quantized"], ["flat_quantized"], "flatten"))
    nodes.append(helper.make_node("DequantizeLinear", ["flat_quantized", *pooled], ["flat"], "flat_DequantizeLinear"))
    model.save(path, helper.make_opsetid("com.microsoft", 1))


def largest_values(path):
    """Returns the largest value of each convolution's output on an arbitrary input, with a margin."""
    model = load(path)
    names = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    image = numpy.random.default_rng(5).uniform(-2, 2, (1, 3, 32, 32)).astype(numpy.float32)
    return [1.5 * float(value.max()) for value in ReferenceEvaluator(model).run(names, {"input": image})]


write(f"{sys.argv[1]}/float.onnx", None)
fitting = [8.0, 16.0, 40.0]
write(f"{sys.argv[1]}/good.onnx", fitting)
write(f"{sys.argv[1]}/bad.onnx", [fitting[0], fitting[1] / 20, fitting[2]])
write(f"{sys.argv[1]}/one.onnx", [fitting[0], None, None], more=120)
write_integers(f"{sys.argv[1]}/integers.onnx", fitting)
write_integers(f"{sys.argv[1]}/integers-bad.onnx", [fitting[0], fitting[1] / 20, fitting[2]])
write(f"{sys.argv[1]}/deep.onnx", None, layers=LAYERS)
deep = largest_values(f"{sys.argv[1]}/deep.onnx")
deep[COARSE - 1] *= 8
write(f"{sys.argv[1]}/deep-good.onnx", deep, layers=LAYERS)
