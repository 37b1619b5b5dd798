"""Usage: planted_pairs.py FOLDER [--only unlike] — writes pairs of small models with one planted difference each, and pairs.json,
which names the right node of each pair: the place in the first model of the node where the difference begins; and whether
the pair is for ONNX Runtime alone. `--only unlike` writes one pair instead, of two networks that have nothing in common.

Weights are random with a fixed seed for each pair. Names of pairs are FAMILY-DIFFERENCE. Works with the set-up's Python.
"""

import copy
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 16
CLASSES = 10


class Net:
    """A graph that grows. `marks` are names of nodes in which differences can be planted."""

    def __init__(self, seed, opset=17):
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights, self.marks, self.opset = [], [], {}, opset

    def weight(self, array, dtype=np.float32):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def normal(self, *shape, scale=1.0, dtype=np.float32):
        return self.weight(self.random.standard_normal(shape) * scale, dtype)

    def node(self, operator, *inputs, outputs=1, **attributes):
        place = len(self.nodes)
        made = [f"v{place}"] if outputs == 1 else [f"v{place}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), made, name=f"n{place}", **attributes))
        self.marks.setdefault(operator, []).append(place)
        return made[0] if outputs == 1 else made

    def conv(self, value, cin, cout, kernel=3, **attributes):
        scale = (2 / (cin * kernel * kernel)) ** 0.5
        weight = self.normal(cout, cin, kernel, kernel, scale=scale)
        pad = kernel // 2
        return self.node("Conv", value, weight, self.normal(cout, scale=0.1), kernel_shape=[kernel] * 2, pads=[pad] * 4, **attributes)

    def batch_norm(self, value, channels):
        one = self.random.random(channels)
        return self.node(
            "BatchNormalization", value, self.weight(0.5 + one), self.normal(channels, scale=0.1),
            self.normal(channels, scale=0.1), self.weight(0.5 + one[::-1]), epsilon=1e-5,
        )

    def head(self, value, channels):
        value = self.node("GlobalAveragePool", value)
        value = self.node("Flatten", value)
        return self.dense(value, channels, CLASSES)

    def dense(self, value, cin, cout):
        return self.node("Gemm", value, self.normal(cin, cout, scale=3 / cin**0.5), self.normal(cout, scale=0.1))

    def linear(self, value, cin, cout):
        return self.node("MatMul", value, self.normal(cin, cout, scale=1 / cin**0.5))

    def tokens(self, value, channels):
        """[1, C, H, W] to [1, H * W, C]."""
        value = self.node("Reshape", value, self.weight([1, channels, -1], np.int64))
        return self.node("Transpose", value, perm=[0, 2, 1])

    def norm(self, value, channels):
        return self.node(
            "LayerNormalization", value, self.weight(1 + 0.1 * self.random.standard_normal(channels)),
            self.normal(channels, scale=0.1), axis=-1, epsilon=1e-5,
        )

    def gelu(self, value):
        half = self.node("Erf", self.node("Mul", value, self.weight(np.sqrt(0.5))))
        return self.node("Mul", self.node("Mul", value, self.node("Add", half, self.weight(1.0))), self.weight(0.5))

    def model(self, output):
        def info(name, shape):
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        for node in self.nodes:
            node.output[:] = ["y" if name == output else name for name in node.output]
            node.input[:] = ["y" if name == output else name for name in node.input]
        graph = helper.make_graph(
            self.nodes, "net", [info("x", [1, 3, SIZE, SIZE])], [info("y", [1, CLASSES])], self.weights
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(model)
        return model


# Families of networks.


def plain(net):
    value = "x"
    for cin, cout in ((3, 8), (8, 8), (8, 12), (12, 16)):
        value = net.node("Relu", net.batch_norm(net.conv(value, cin, cout), cout))
    return net.head(value, 16)


def residual(net):
    value = net.node("Relu", net.conv("x", 3, 8))
    for _ in range(5):
        branch = net.node("Relu", net.conv(value, 8, 8))
        value = net.node("Relu", net.node("Add", net.conv(branch, 8, 8), value))
    return net.head(value, 8)


def branches(net):
    value = net.node("Relu", net.conv("x", 3, 12))
    parts = net.node("Split", value, outputs=3, axis=1)
    parts = [net.node("LeakyRelu", net.conv(part, 4, 4, kernel), alpha=0.1) for part, kernel in zip(parts, (1, 3, 5))]
    value = net.node("Concat", *parts, axis=1)
    pooled = net.node("MaxPool", value, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
    value = net.node("Concat", net.conv(pooled, 12, 6, 1), net.node("Sigmoid", net.conv(value, 12, 6, 3)), axis=1)
    return net.head(value, 12)


def wide(net):
    value = net.node("Relu", net.conv("x", 3, 8))
    parts = [net.node("Tanh", net.conv(value, 8, 2, 1)) for _ in range(40)]
    return net.head(net.node("Concat", *parts, axis=1), 80)


def hidden(net):
    """What a ReLU hides on the way through is seen by the residual."""
    value = net.conv("x", 3, 8)
    shifted = net.node("Sub", value, net.weight(np.full((1, 8, 1, 1), 50.0)))
    quiet = net.node("Relu", shifted)
    for _ in range(6):
        quiet = net.node("Relu", net.node("Mul", quiet, net.weight(0.5)))
    loud = net.node("Mul", shifted, net.weight(0.02))
    return net.head(net.node("Add", net.conv(quiet, 8, 8), loud), 8)


def transformer(net):
    value = net.tokens(net.conv("x", 3, 16, 3, strides=[2, 2]), 16)
    for _ in range(2):
        normed = net.norm(value, 16)
        query, key, content = (net.linear(normed, 16, 16) for _ in range(3))
        scores = net.node("MatMul", query, net.node("Transpose", key, perm=[0, 2, 1]))
        scores = net.node("Softmax", net.node("Mul", scores, net.weight(0.25)), axis=-1)
        value = net.node("Add", value, net.linear(net.node("MatMul", scores, content), 16, 16))
        value = net.node("Add", value, net.linear(net.gelu(net.linear(net.norm(value, 16), 16, 32)), 32, 16))
    value = net.node("ReduceMean", value, axes=[1], keepdims=0)
    return net.dense(value, 16, CLASSES)


def captured_if(net):
    value = net.node("Relu", net.conv("x", 3, 8))
    for _ in range(4):
        value = net.node("Relu", net.conv(value, 8, 8))
    condition = net.weight(np.array(True), np.bool_)

    def branch(name, operator):
        made = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)
        nodes = [helper.make_node(operator, [value], [f"{name}_in"]), helper.make_node("Abs", [f"{name}_in"], [f"{name}_out"])]
        return helper.make_graph(nodes, name, [], [made])

    value = net.node("If", condition, then_branch=branch("then", "Neg"), else_branch=branch("else", "Tanh"))
    for _ in range(3):
        value = net.node("Relu", net.conv(value, 8, 8))
    return net.head(value, 8)


def captured_loop(net):
    value = net.node("Tanh", net.conv("x", 3, 8))
    start = net.node("Mul", value, net.weight(0.5))
    for _ in range(3):
        value = net.node("Relu", net.conv(value, 8, 8))

    def info(name, kind=TensorProto.FLOAT, shape=None):
        return helper.make_tensor_value_info(name, kind, shape)

    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("Add", ["state_in", value], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["state_out"]),
        ],
        "body",
        [info("i", TensorProto.INT64, []), info("go_in", TensorProto.BOOL, []), info("state_in", shape=[1, 8, SIZE, SIZE])],
        [info("go_out", TensorProto.BOOL, []), info("state_out", shape=[1, 8, SIZE, SIZE])],
    )
    value = net.node("Loop", net.weight(3, np.int64), net.weight(True, np.bool_), start, body=body)
    value = net.node("Relu", net.conv(value, 8, 8))
    return net.head(value, 8)


def captured_scan(net):
    """Rows of the image, each added to what a body captures."""
    value = net.node("Tanh", net.conv("x", 3, 8))
    mean = net.node("Relu", net.node("ReduceMean", value, axes=[0, 2], keepdims=0))
    for _ in range(3):
        mean = net.node("Tanh", net.node("Mul", mean, net.normal(8, SIZE)))
    rows = net.node("Transpose", value, perm=[2, 0, 1, 3])

    def info(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    body = helper.make_graph(
        [
            helper.make_node("Add", ["state_in", "row"], ["sum"]),
            helper.make_node("Mul", ["sum", mean], ["made"]),
            helper.make_node("Tanh", ["made"], ["state_out"]),
            helper.make_node("Identity", ["state_out"], ["row_out"]),
        ],
        "body",
        [info("state_in", [1, 8, SIZE]), info("row", [1, 8, SIZE])],
        [info("state_out", [1, 8, SIZE]), info("row_out", [1, 8, SIZE])],
    )
    start = net.weight(np.zeros((1, 8, SIZE)))
    _, rows = net.node("Scan", start, rows, outputs=2, num_scan_inputs=1, body=body)
    value = net.node("Relu", net.conv(net.node("Transpose", rows, perm=[1, 2, 0, 3]), 8, 8))
    return net.head(value, 8)


def captured_nested(net):
    """A body in a body captures the value."""
    value = net.node("Relu", net.conv("x", 3, 8))
    for _ in range(3):
        value = net.node("Relu", net.conv(value, 8, 8))
    condition = net.weight(np.array(True), np.bool_)

    def branch(name, nodes, output):
        return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)])

    def inner(name):
        nodes = [helper.make_node("Neg", [value], [f"{name}_n"]), helper.make_node("Abs", [f"{name}_n"], [f"{name}_o"])]
        return branch(name, nodes, f"{name}_o")

    def outer(name):
        node = helper.make_node("If", [condition], [f"{name}_o"], then_branch=inner(f"{name}_t"), else_branch=inner(f"{name}_e"))
        return branch(name, [node], f"{name}_o")

    value = net.node("If", condition, then_branch=outer("t"), else_branch=outer("e"))
    return net.head(net.node("Relu", net.conv(value, 8, 8)), 8)


def whole_numbers(net):
    value = net.node("Relu", net.conv("x", 3, 12))
    pooled = net.node("Flatten", net.node("GlobalAveragePool", value))
    best = net.node("ArgMax", net.node("Mul", pooled, net.normal(1, 12)), axis=1, keepdims=1)
    # Beyond what single precision can tell apart.
    best = net.node("Add", best, net.weight([[1 << 24]], np.int64))
    best = net.node("Mod", best, net.weight([[12]], np.int64))
    rows = net.node("Gather", net.normal(12, 6, scale=2), best, axis=0)
    rows = net.node("Reshape", rows, net.weight([1, 6], np.int64))
    return net.dense(net.node("Concat", pooled, rows, axis=1), 18, CLASSES)


def large_numbers(net):
    """Integers that single precision cannot tell apart, looked up in a table."""
    value = net.node("Relu", net.conv("x", 3, 12))
    pooled = net.node("Flatten", net.node("GlobalAveragePool", value))
    best = net.node("ArgMax", pooled, axis=1, keepdims=0)
    table = net.random.integers(1 << 28, 1 << 30, (12, 6))
    rows = net.node("Gather", net.weight(table, np.int64), best, axis=0)
    rows = net.node("Cast", net.node("Mod", rows, net.weight([[7]], np.int64)), to=TensorProto.FLOAT)
    return net.dense(net.node("Concat", pooled, rows, axis=1), 18, CLASSES)


def doubles(net):
    value = net.node("Relu", net.conv("x", 3, 8))
    value = net.node("Flatten", net.node("GlobalAveragePool", value))
    value = net.node("Cast", value, to=TensorProto.DOUBLE)
    value = net.node("MatMul", value, net.normal(8, 16, dtype=np.float64))
    # The difference is 1e-9 of the value until it is taken away.
    value = net.node("Add", value, net.weight(np.full((1, 16), 1e6), np.float64))
    value = net.node("Add", value, net.normal(1, 16, dtype=np.float64))
    value = net.node("Sub", value, net.weight(np.full((1, 16), 1e6), np.float64))
    value = net.node("Cast", net.node("Tanh", value), to=TensorProto.FLOAT)
    return net.dense(value, 16, CLASSES)


def quantized(net):
    def rounded(value, scale):
        scale, zero = net.weight(scale), net.weight(128, np.uint8)
        return net.node("DequantizeLinear", net.node("QuantizeLinear", value, scale, zero), scale, zero)

    value = rounded("x", 0.01)
    for cin, cout in ((3, 8), (8, 8), (8, 8)):
        value = rounded(net.node("Relu", net.conv(value, cin, cout)), 0.02)
    return net.head(value, 8)


FAMILIES = {
    family.__name__: family
    for family in (
        plain, residual, branches, wide, hidden, transformer, captured_if, captured_loop, captured_scan,
        captured_nested, whole_numbers, large_numbers,
        doubles, quantized,
    )
}


# Differences. Each changes one node of the copy.


def weights_of(model, node, place):
    return next(weight for weight in model.graph.initializer if weight.name == node.input[place])


def change(model, node, place, how):
    weight = weights_of(model, node, place)
    values = numpy_helper.to_array(weight).copy()
    weight.CopyFrom(numpy_helper.from_array(how(values).astype(values.dtype), weight.name))


def times(factor):
    return lambda model, node: change(model, node, 1, lambda values: values * factor)


def one_weight(factor):
    def plant(values):
        values.flat[np.abs(values).argmax()] *= factor
        return values

    return lambda model, node: change(model, node, 1, plant)


def plus(amount, place=2):
    return lambda model, node: change(model, node, place, lambda values: values + amount)


def attribute(name, value):
    def plant(model, node):
        kept = [each for each in node.attribute if each.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return plant


def operator(name, **attributes):
    def plant(model, node):
        node.op_type = name
        del node.attribute[:]
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())

    return plant


# Changes of the whole copy, which are no difference.


def renamed(model):
    names = {"x": "image", "y": "scores"}
    graph = model.graph

    def new(name):
        return names.setdefault(name, f"t{len(names) * 7 % 1009}_{len(names)}") if name else name

    for node in graph.node:
        node.name = ""
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
        for each in node.attribute:
            if each.HasField("g"):
                for inner in each.g.node:
                    inner.input[:] = [names.get(name, name) for name in inner.input]
    for weight in graph.initializer:
        weight.name = new(weight.name)
    for value in (*graph.input, *graph.output):
        value.name = new(value.name)


def numbered_on(model):
    """An exporter that numbers values, with a node more at the start."""
    graph = model.graph
    first = graph.node[0]
    names = {}
    for place, node in enumerate(graph.node):
        for output in node.output:
            if output != "y":
                names[output] = f"v{place + 1}" + output[len(f"v{place}"):]
    for node in graph.node:
        node.name = ""
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    first.input[0] = "v0"
    graph.node.insert(0, helper.make_node("Identity", ["x"], ["v0"]))


def with_softmax(model):
    for node in model.graph.node:
        node.output[:] = ["logits" if name == "y" else name for name in node.output]
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["y"], axis=-1))


def with_identities(model):
    """Identities after every third node."""
    nodes = []
    for place, node in enumerate(model.graph.node):
        nodes.append(node)
        if place % 3 == 1 and node.output[0] != "y":
            made = node.output[0]
            node.output[0] = f"{made}_before"
            nodes.append(helper.make_node("Identity", [f"{made}_before"], [made]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def with_softmax_renamed(model):
    with_softmax(model)
    renamed(model)


def with_identities_renamed(model):
    with_identities(model)
    renamed(model)


# Family, difference, operator and which of them, and what else is done to the copy.
PAIRS = [
    ("plain", "weights", times(1.3), "Conv", 0, None),
    ("plain", "weights-middle", times(1.3), "Conv", 2, None),
    ("plain", "weights-last", times(1.3), "Gemm", 0, None),
    ("plain", "thousandth", times(1.002), "Conv", 1, None),
    ("plain", "one-weight", one_weight(1.5), "Conv", 3, None),
    ("plain", "bias", plus(0.3), "Conv", 1, None),
    ("plain", "epsilon", attribute("epsilon", 0.02), "BatchNormalization", 1, None),
    ("plain", "mean", plus(0.2, 3), "BatchNormalization", 2, None),
    ("plain", "leaky", operator("LeakyRelu", alpha=0.05), "Relu", 1, None),
    ("plain", "elu", operator("Elu", alpha=0.3), "Relu", 0, None),
    ("plain", "renamed-weights", times(1.3), "Conv", 2, renamed),
    ("plain", "renamed-leaky", operator("LeakyRelu", alpha=0.05), "Relu", 2, renamed),
    ("plain", "renamed-epsilon", attribute("epsilon", 0.02), "BatchNormalization", 3, renamed),
    ("plain", "numbered-weights", times(1.3), "Conv", 1, numbered_on),
    ("plain", "numbered-leaky", operator("LeakyRelu", alpha=0.05), "Relu", 2, numbered_on),
    ("plain", "softmax-weights", times(1.3), "Conv", 2, with_softmax),
    ("residual", "weights", times(1.3), "Conv", 1, None),
    ("residual", "weights-middle", times(1.3), "Conv", 5, None),
    ("residual", "one-weight", one_weight(2.0), "Conv", 0, None),
    ("residual", "bias", plus(0.2), "Conv", 8, None),
    ("residual", "leaky", operator("LeakyRelu", alpha=0.05), "Relu", 4, None),
    ("residual", "sum-is-max", operator("Max"), "Add", 2, None),
    ("residual", "renamed-weights", times(1.3), "Conv", 7, renamed),
    ("residual", "renamed-leaky", operator("LeakyRelu", alpha=0.05), "Relu", 3, renamed),
    ("residual", "numbered-bias", plus(0.2), "Conv", 3, numbered_on),
    ("branches", "first", times(1.3), "Conv", 1, None),
    ("branches", "second", times(1.3), "Conv", 2, None),
    ("branches", "third", times(1.3), "Conv", 3, None),
    ("branches", "alpha", attribute("alpha", 0.3), "LeakyRelu", 1, None),
    ("branches", "pooled", times(1.3), "Conv", 4, None),
    ("branches", "hard-sigmoid", operator("HardSigmoid"), "Sigmoid", 0, None),
    ("branches", "renamed-third", times(1.3), "Conv", 3, renamed),
    ("branches", "renamed-alpha", attribute("alpha", 0.3), "LeakyRelu", 2, renamed),
    ("branches", "average", operator("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]), "MaxPool", 0, None),
    ("wide", "branch", times(1.5), "Conv", 17, None),
    ("wide", "last-branch", times(1.5), "Conv", 40, None),
    ("wide", "soft-sign", operator("Softsign"), "Tanh", 31, None),
    ("wide", "renamed-branch", times(1.5), "Conv", 23, renamed),
    ("hidden", "weights", times(1.3), "Conv", 0, None),
    ("hidden", "shift", plus(2.0, 1), "Sub", 0, None),
    ("transformer", "patches", times(1.3), "Conv", 0, None),
    ("transformer", "query", times(1.3), "MatMul", 0, None),
    ("transformer", "content", times(1.3), "MatMul", 2, None),
    ("transformer", "projection", times(1.3), "MatMul", 5, None),
    ("transformer", "epsilon", attribute("epsilon", 0.05), "LayerNormalization", 2, None),
    ("transformer", "scale", times(2.0), "Mul", 0, None),
    ("transformer", "axis", attribute("axis", 1), "Softmax", 1, None),
    ("transformer", "gelu-by-tanh", operator("Tanh"), "Erf", 0, None),
    ("transformer", "gelu-by-tanh-second", operator("Tanh"), "Erf", 1, None),
    ("transformer", "renamed-query", times(1.3), "MatMul", 8, renamed),
    ("transformer", "renamed-gelu", operator("Tanh"), "Erf", 1, renamed),
    ("transformer", "softmax-content", times(1.3), "MatMul", 2, with_softmax),
    ("captured_if", "before", times(1.3), "Conv", 2, None),
    ("captured_if", "just-before", operator("LeakyRelu", alpha=0.1), "Relu", 4, None),
    ("captured_if", "after", times(1.3), "Conv", 6, None),
    ("captured_if", "renamed-before", times(1.3), "Conv", 3, renamed),
    ("captured_if", "body", "body", "If", 0, None),
    ("captured_loop", "captured", times(1.3), "Conv", 2, None),
    ("captured_loop", "state", times(1.5), "Mul", 0, None),
    ("captured_loop", "after", times(1.3), "Conv", 4, None),
    ("captured_loop", "body", "body", "Loop", 0, None),
    ("captured_loop", "renamed-captured", times(1.3), "Conv", 1, renamed),
    ("captured_scan", "captured", times(1.5), "Mul", 1, None),
    ("captured_scan", "rows", times(1.3), "Conv", 0, None),
    ("captured_nested", "captured", times(1.3), "Conv", 2, None),
    ("plain", "identities-weights", times(1.3), "Conv", 2, with_identities),
    ("plain", "identities-renamed-bias", plus(0.3), "Conv", 1, with_identities_renamed),
    ("residual", "identities-leaky", operator("LeakyRelu", alpha=0.05), "Relu", 3, with_identities),
    ("residual", "softmax-renamed-weights", times(1.3), "Conv", 5, with_softmax_renamed),
    ("transformer", "identities-renamed-scale", times(2.0), "Mul", 4, with_identities_renamed),
    ("branches", "softmax-renamed-second", times(1.3), "Conv", 2, with_softmax_renamed),
    ("whole_numbers", "added", plus(5, 1), "Add", 0, None),
    ("whole_numbers", "last-index", operator("ArgMin", axis=1, keepdims=1), "ArgMax", 0, None),
    ("whole_numbers", "rows", "rows", "Gather", 0, None),
    ("whole_numbers", "modulus", plus(-5, 1), "Mod", 0, None),
    ("large_numbers", "table", plus(1, 0), "Gather", 0, None),
    ("large_numbers", "renamed-table", plus(1, 0), "Gather", 0, renamed),
    ("doubles", "tiny", plus(1e-3, 1), "Add", 1, None),
    ("doubles", "matrix", times(1.3), "MatMul", 0, None),
    ("doubles", "large", plus(0.05, 1), "Add", 0, None),
    ("doubles", "renamed-tiny", plus(1e-3, 1), "Add", 1, renamed),
    ("quantized", "weights", times(1.3), "Conv", 1, None),
    ("quantized", "zero-point", plus(3), "DequantizeLinear", 1, None),
    ("quantized", "scale", plus(0.004, 1), "DequantizeLinear", 2, None),
    ("quantized", "renamed-weights", times(1.3), "Conv", 2, renamed),
]
# OpenVINO computes these families in single precision, so that it differs before the right node, or cannot read them.
ONNX_ALONE = ("whole_numbers", "large_numbers", "doubles", "captured_scan")
# Families whose weights lie in another file, behind a link in the folder.
EXTERNAL = [("plain", "weights", times(1.3), "Conv", 2), ("residual", "bias", plus(0.2), "Conv", 6)]


def plant(model, place, how):
    node = model.graph.node[place]
    if how == "body":
        for each in node.attribute:
            for inner in each.g.node:
                if inner.op_type == "Abs":
                    inner.op_type = "Relu" if each.name == "else_branch" else "Identity"
                elif inner.op_type == "Tanh" and node.op_type == "Loop":
                    inner.op_type = "Softsign"
    elif how == "rows":
        change(model, node, 0, lambda values: -values)
    else:
        own = {name for other in model.graph.node for name in other.input if other is not node}
        # What several nodes read is made this one's own.
        for at, name in enumerate(node.input):
            weight = next((weight for weight in model.graph.initializer if weight.name == name), None)
            if weight is not None and name in own:
                mine = copy.deepcopy(weight)
                mine.name = f"{name}_own"
                model.graph.initializer.append(mine)
                node.input[at] = mine.name
        how(model, node)


def save_external(model, folder, name):
    """The weights are in `real/`, and the model names a link to them."""
    (folder / "real").mkdir(exist_ok=True)
    onnx.save(model, folder / f"{name}.onnx", save_as_external_data=True, location=f"{name}.bin", size_threshold=0)
    (folder / f"{name}.bin").rename(folder / "real" / f"{name}.bin")
    (folder / f"{name}.bin").symlink_to(Path("real") / f"{name}.bin")


def main(folder):
    pairs = []
    cases = [(*pair, False) for pair in PAIRS] + [(*pair, None, True) for pair in EXTERNAL]
    for seed, (family, difference, how, kind, which, also, external) in enumerate(cases):
        net = Net(seed)
        model = net.model(FAMILIES[family](net))
        place = net.marks[kind][which]
        other = copy.deepcopy(model)
        plant(other, place, how)
        if also is not None:
            also(other)
        onnx.checker.check_model(other)
        name = f"{family}-{difference}{'-external' if external else ''}"
        for letter, each in (("a", model), ("b", other)):
            if external:
                save_external(each, folder, f"{name}.{letter}")
            else:
                onnx.save(each, folder / f"{name}.{letter}.onnx")
        pairs.append({"name": name, "node": place, "onnx_alone": family in ONNX_ALONE})
    (folder / "pairs.json").write_text(json.dumps(pairs, indent=1))


def unlike(folder):
    """Two networks without a node in common."""
    net = Net(1000)
    value = net.node("GlobalAveragePool", net.node("Relu", net.conv("x", 3, CLASSES)))
    onnx.save(net.model(net.node("Flatten", value)), folder / "unlike.a.onnx")
    net = Net(1001)
    value = net.node("ReduceMean", net.node("Tanh", "x"), axes=[2, 3], keepdims=0)
    onnx.save(net.model(net.linear(value, 3, CLASSES)), folder / "unlike.b.onnx")


if __name__ == "__main__":
    (unlike if sys.argv[2:] == ["--only", "unlike"] else main)(Path(sys.argv[1]))
