"""Usage: output_kinds.py FOLDER — writes models below FOLDER that differ in their last operators, in ONNX, as an OpenVINO IR and in
TensorFlow Lite, and prints one line for each: the file, and the kind of its output, "-" where the graph does not tell,
"refused" where the output tells no classes. Works with the
set-up's Python."""

import sys
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

folder = Path(sys.argv[1])
CLASSES, SIZE = 6, 8
MATRIX = np.random.default_rng(5).normal(size=(3, CLASSES)).astype(np.float32)


def node(operator, inputs, outputs, **attributes):
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def constant(name, value):
    return numpy_helper.from_array(np.array(value), name)


# The nodes from `logits`, a [1, CLASSES], to `y`; the opset; the type of `y`; the kind; constants.
F, I, U = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8
ENDS = {
    "gemm": ([node("Identity", "logits", "y")], 13, F, "logits"),
    "softmax": ([node("Softmax", "logits", "y", axis=-1)], 13, F, "probabilities"),
    "softmax-default": ([node("Softmax", "logits", "y")], 11, F, "probabilities"),
    "softmax-of-batch": ([node("Softmax", "logits", "y", axis=0)], 13, F, "refused"),
    "softmax-of-ones": ([node("Unsqueeze", "logits two", "a"), node("Softmax", "a", "b"), node("Squeeze", "b two", "y")], 13, F, "-"),
    "softmax-then-scale": ([node("Softmax", "logits", "a"), node("Mul", "a half", "y")], 13, F, "-"),
    "softmax-by-hand": (
        [node("Exp", "logits", "e"), node("ReduceSum", "e one", "s", keepdims=1), node("Div", "e s", "y")], 13, F, "probabilities"),
    "exp-by-sum-of-another": (
        [node("Exp", "logits", "e"), node("ReduceSum", "logits one", "s", keepdims=1), node("Div", "e s", "y")], 13, F, "-"),
    "log-softmax": ([node("LogSoftmax", "logits", "y")], 13, F, "log-probabilities"),
    "log-of-softmax": ([node("Softmax", "logits", "a"), node("Log", "a", "y")], 13, F, "log-probabilities"),
    "sigmoid": ([node("Sigmoid", "logits", "a"), node("Flatten", "a", "y")], 13, F, "independent-probabilities"),
    "sigmoid-clipped": ([node("Sigmoid", "logits", "a"), node("Clip", "a low high", "y")], 13, F, "independent-probabilities"),
    "silu": ([node("Sigmoid", "logits", "a"), node("Mul", "a logits", "y")], 13, F, "-"),
    "argmax": ([node("ArgMax", "logits", "y", axis=1, keepdims=1)], 13, I, "class-ids"),
    "argmax-of-batch": ([node("ArgMax", "logits", "y", axis=0, keepdims=1)], 13, I, "refused"),
    "best-ids": ([node("TopK", "logits all", "values y")], 13, I, "class-ids"),
    "worst-ids": ([node("TopK", "logits all", "values y", largest=0)], 13, I, "refused"),
    "best-ids-of-batch": ([node("TopK", "logits one", "values y", axis=0)], 13, I, "refused"),
    "shapes-after-softmax": (
        [node("Softmax", "logits", "a"), node("Unsqueeze", "a two", "b"), node("Squeeze", "b two", "c"), node("Cast", "c", "d", to=F),
         node("Reshape", "d shape", "e"), node("Flatten", "e", "f"), node("Dropout", "f", "y")], 13, F, "probabilities"),
    "sigmoid-by-hand": (
        [node("Neg", "logits", "n"), node("Exp", "n", "e"), node("Add", "e unit", "s"), node("Div", "unit s", "y")],
        13, F, "independent-probabilities"),
    "sigmoid-by-reciprocal": (
        [node("Neg", "logits", "n"), node("Exp", "n", "e"), node("Add", "unit e", "s"), node("Reciprocal", "s", "y")],
        13, F, "independent-probabilities"),
    "reciprocal": ([node("Div", "unit logits", "y")], 13, F, "-"),
    "rounded": ([node("Softmax", "logits", "a"), node("Cast", "a", "y", to=I)], 13, I, "-"),
    "bias-and-relu": ([node("Add", "logits bias", "a"), node("Relu", "a", "y")], 13, F, "logits"),
    "tanh": ([node("Tanh", "logits", "y")], 13, F, "-"),
    "quantized": (
        [node("Softmax", "logits", "a"), node("QuantizeLinear", "a scale zero", "b"), node("DequantizeLinear", "b scale zero", "y")],
        13, F, "probabilities"),
    "bytes": ([node("Softmax", "logits", "a"), node("QuantizeLinear", "a scale zero", "y")], 13, U, "probabilities"),
}  # fmt: skip
CONSTANTS = {
    "one": np.array([1]), "two": np.array([2]), "half": np.float32(0.5), "bias": np.ones(CLASSES, np.float32),
    "all": np.array([CLASSES]), "shape": np.array([1, -1]), "unit": np.float32(1),
    "low": np.float32(1e-6), "high": np.float32(1 - 1e-6),
    "scale": np.float32(1 / 256), "zero": np.uint8(0),
}  # fmt: skip

for name, (nodes, opset, kind_of_y, kind) in ENDS.items():
    nodes = [
        node("GlobalAveragePool", "x", "mean"),
        node("Flatten", "mean", "flat"),
        node("Gemm", "flat matrix", "logits"),
        *nodes,
    ]
    used = {value for each in nodes for value in each.input}
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", F, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", kind_of_y, [1, 1 if name == "argmax" else CLASSES])],
        [constant("matrix", MATRIX), *(constant(each, value) for each, value in CONSTANTS.items() if each in used)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    print(path.name, kind)
    openvino.save_model(openvino.Core().read_model(path), folder / f"{name}.xml", compress_to_fp16=False)
    # In an IR the constants of a sigmoid by hand lie in another file.
    unknown = name.startswith("sigmoid-by")
    # An IR has the sizes of inner values.
    print(f"{name}.xml", "-" if unknown else "refused" if name == "softmax-of-ones" else kind)


def table(builder, fields):
    builder.StartObject(8)
    for slot, kind, value in fields:
        if kind == "offset":
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        else:
            getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
    return builder.EndObject()


def vector(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


MEAN, FULLY_CONNECTED, SOFTMAX, LOGISTIC, QUANTIZE = 40, 9, 25, 14, 114
OPTIONS = {MEAN: 27, FULLY_CONNECTED: 8, SOFTMAX: 9, LOGISTIC: 0, QUANTIZE: 0}


def lite(ends, quantization):
    """Mean, fully connected, then `ends`; the last value is bytes if there is a quantization."""
    builder = flatbuffers.Builder(1024)
    contents = [None, np.array([1, 2], np.int32).tobytes(), np.ascontiguousarray(MATRIX.T).tobytes()]
    buffers = []
    for content in contents:
        fields = [] if content is None else [(0, "offset", builder.CreateByteVector(content))]
        buffers.append(table(builder, [*fields, (1, "Uint64", 0)]))
    values = [("x", [1, SIZE, SIZE, 3], 0, 0), ("axes", [2], 2, 1), ("mean", [1, 3], 0, 0), ("matrix", [CLASSES, 3], 0, 2)]
    steps = [(MEAN, (0, 1), 2), (FULLY_CONNECTED, (2, 3, -1), 4)]
    values.append(("logits", [1, CLASSES], 0, 0))
    for index, end in enumerate(ends):
        steps.append((end, (len(values) - 1,), len(values)))
        values.append((f"y{index}", [1, CLASSES], 3 if end == QUANTIZE else 0, 0))
    tensors = []
    for name, shape, kind, buffer in values:
        fields = [(0, "offset", builder.CreateNumpyVector(np.array(shape, np.int32))), (3, "offset", builder.CreateString(name))]
        if kind == 3:
            scale, zero = quantization
            scales = builder.CreateNumpyVector(np.array([scale], np.float32))
            zeros = builder.CreateNumpyVector(np.array([zero], np.int64))
            fields.append((4, "offset", table(builder, [(2, "offset", scales), (3, "offset", zeros)])))
        tensors.append(table(builder, [*fields, (1, "Int8", kind), (2, "Uint32", buffer)]))
    used = sorted({code for code, _, _ in steps})
    codes = [table(builder, [(0, "Int8", code), (2, "Int32", 1), (3, "Int32", code)]) for code in used]
    operators = []
    for code, inputs, output in steps:
        # Softmax has beta, the others begin with what is off.
        options = table(builder, [(0, "Float32", 1.0)] if code == SOFTMAX else [(0, "Int8", 0)])
        lists = [(1, "offset", builder.CreateNumpyVector(np.array(inputs, np.int32)))]
        lists.append((2, "offset", builder.CreateNumpyVector(np.array([output], np.int32))))
        if OPTIONS[code]:
            lists += [(4, "offset", options), (3, "Uint8", OPTIONS[code])]
        operators.append(table(builder, [*lists, (0, "Uint32", used.index(code))]))
    parts = [
        vector(builder, tensors),
        builder.CreateNumpyVector(np.array([0], np.int32)),
        builder.CreateNumpyVector(np.array([len(values) - 1], np.int32)),
        vector(builder, operators),
    ]
    graph = table(builder, [(slot, "offset", part) for slot, part in enumerate(parts)])
    lists = [(1, "offset", vector(builder, codes)), (2, "offset", vector(builder, [graph])), (4, "offset", vector(builder, buffers))]
    builder.Finish(table(builder, [*lists, (0, "Uint32", 3)]), b"TFL3")
    return bytes(builder.Output())


for name, ends, quantization, kind in [
    ("fully-connected", [], None, "logits"),
    ("softmax", [SOFTMAX], None, "probabilities"),
    ("logistic", [LOGISTIC], None, "independent-probabilities"),
    ("softmax-bytes", [SOFTMAX, QUANTIZE], (1 / 256, 0), "probabilities"),
    ("logits-bytes", [QUANTIZE], (0.125, 100), "logits"),
]:
    (folder / f"{name}.tflite").write_bytes(lite(ends, quantization))
    print(f"{name}.tflite", kind)
