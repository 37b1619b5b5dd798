"""Writes the small models beside this file. They are committed: `python make_models.py` (with the
set-up's Python) writes the same bytes again. Weights are made up, so that nothing is third-party.

Every classifier is: mean of the picture by channel -> 1x1 convolution -> 12 logits.
"""

from pathlib import Path

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
CLASSES = 12
SIZE = 8


def save(name, nodes, inputs, outputs, initializers=(), opset=13, ir_version=8):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
    )
    onnx.checker.check_model(model)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def weights(dtype=np.float32, classes=CLASSES):
    # Different for each class and channel, small enough for half precision.
    values = [[((7 * k + 3 * c) % 11 - 5) / 256 for c in range(3)] for k in range(classes)]
    return numpy_helper.from_array(np.array(values, dtype).reshape(classes, 3, 1, 1), "weights")


def classifier(name, input_info, before=(), first="input", after=(), output=None, dtype=np.float32,
               classes=CLASSES, **more):
    """`before` turns `input` into `first` (NCHW); `after` turns [1, classes, 1, 1] into `output`."""
    nodes = [
        *before,
        helper.make_node("GlobalAveragePool", [first], ["mean"]),
        helper.make_node("Conv", ["mean", "weights"], ["scores"]),
        *(after or [helper.make_node("Flatten", ["scores"], ["output"])]),
    ]
    kind = TensorProto.FLOAT16 if dtype == np.float16 else TensorProto.FLOAT
    output = output or [value("output", [1, classes], kind)]
    save(name, nodes, [input_info], output, [weights(dtype, classes)], **more)


picture = value("input", [1, 3, SIZE, SIZE])

# For the conformance suite: doubles its input, exactly.
two = numpy_helper.from_array(np.array(2, np.float32), "two")
save("double", [helper.make_node("Mul", ["input", "two"], ["output"])],
     [value("input", [1, 4])], [value("output", [1, 4])], [two])

classifier("plain", picture)
classifier("dynamic-batch", value("input", ["N", 3, SIZE, SIZE]), output=[value("output", ["N", CLASSES])])
classifier("dynamic-size", value("input", [1, 3, "H", "W"]))
classifier("batch-of-two", value("input", [2, 3, SIZE, SIZE]), output=[value("output", [2, CLASSES])])
classifier("three-classes", picture, classes=3)
classifier("half", value("input", [1, 3, SIZE, SIZE], TensorProto.FLOAT16), dtype=np.float16)
classifier(
    "nhwc-bytes",
    value("input", [1, SIZE, SIZE, 3], TensorProto.UINT8),
    before=[
        helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
    ],
    first="planes",
)
classifier(
    "output-four-dimensions", picture,
    after=[helper.make_node("Identity", ["scores"], ["output"])],
    output=[value("output", [1, CLASSES, 1, 1])],
)
classifier(
    "output-one-dimension", picture,
    after=[helper.make_node("Squeeze", ["scores"], ["output"])],
    output=[value("output", [CLASSES])],
)
classifier(
    "probabilities", picture,
    after=[
        helper.make_node("Flatten", ["scores"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["output"], axis=1),
    ],
)
# log of what is at most 0: NaN or minus infinity for some classes.
classifier(
    "not-a-number", picture,
    after=[
        helper.make_node("Flatten", ["scores"], ["flat"]),
        helper.make_node("Log", ["flat"], ["output"]),
    ],
)
save(
    "two-inputs",
    [helper.make_node("Add", ["input", "other"], ["output"])],
    [picture, value("other", [1, 3, SIZE, SIZE])],
    [value("output", [1, 3, SIZE, SIZE])],
)
save(
    "two-outputs",
    [helper.make_node("Relu", ["input"], ["output"]), helper.make_node("Abs", ["input"], ["other"])],
    [picture],
    [value("output", [1, 3, SIZE, SIZE]), value("other", [1, 3, SIZE, SIZE])],
)
# Old exporters list the weights among the inputs too.
old = weights()
graph = helper.make_graph(
    [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Conv", ["mean", "weights"], ["scores"]),
        helper.make_node("Flatten", ["scores"], ["output"]),
    ],
    "initializer-as-input",
    [picture, value("weights", [CLASSES, 3, 1, 1])],
    [value("output", [1, CLASSES])],
    [old],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 7)], ir_version=3)
(HERE / "initializer-as-input.onnx").write_bytes(model.SerializeToString(deterministic=True))

core = openvino.Core()
for name in ("double", "plain"):
    openvino.save_model(core.read_model(HERE / f"{name}.onnx"), HERE / f"{name}.xml", compress_to_fp16=False)
