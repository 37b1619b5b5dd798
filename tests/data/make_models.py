"""Writes the small models beside this file. They are committed: `python make_models.py` (with the
set-up's Python) writes the same bytes again. Weights are made up, so that nothing is third-party.

The models in `cases/` are self-made too; its README says what they are.

Every classifier is: mean of the image by channel -> 1x1 convolution -> 12 logits.
"""

import struct
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
CLASSES = 12
SIZE = 8


def save(name, nodes, inputs, outputs, initializers=(), opset=13, ir_version=8, domains=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)],
        ir_version=ir_version,
    )
    if not domains:
        onnx.checker.check_model(model)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def weights(dtype=np.float32, classes=CLASSES, order=slice(None)):
    # Different for each class and channel, small enough for half precision.
    values = [[((7 * k + 3 * c) % 11 - 5) / 256 for c in range(3)] for k in range(classes)]
    return numpy_helper.from_array(np.array(values, dtype)[order].reshape(classes, 3, 1, 1), "weights")


def classifier(name, input_info, before=(), first="input", after=(), output=None, dtype=np.float32,
               classes=CLASSES, order=slice(None), **more):
    """`before` turns `input` into `first` (NCHW); `after` turns [1, classes, 1, 1] into `output`."""
    nodes = [
        *before,
        helper.make_node("GlobalAveragePool", [first], ["mean"]),
        # `kernel_shape` is optional, but every exporter writes it, and RTen needs it.
        helper.make_node("Conv", ["mean", "weights"], ["scores"], kernel_shape=[1, 1]),
        *(after or [helper.make_node("Flatten", ["scores"], ["output"])]),
    ]
    kind = TensorProto.FLOAT16 if dtype == np.float16 else TensorProto.FLOAT
    output = output or [value("output", [1, classes], kind)]
    save(name, nodes, [input_info], output, [weights(dtype, classes, order)], **more)


image = value("input", [1, 3, SIZE, SIZE])

# For the conformance suite: doubles its input, exactly.
two = numpy_helper.from_array(np.array(2, np.float32), "two")
save("double", [helper.make_node("Mul", ["input", "two"], ["output"])],
     [value("input", [1, 4])], [value("output", [1, 4])], [two])

# Many operations that no engine fuses, for tests that stop an inference between two of them.
save("slow", [helper.make_node("Softmax", [f"v{n}" if n else "input"], [f"v{n + 1}" if n < 199 else "output"], axis=1)
              for n in range(200)],
     [value("input", [1, "N"])], [value("output", [1, "N"])])

# The largest value of each channel and of the zeros around it.
save("padded-max-pool", [
    helper.make_node("Pad", ["input", "pads"], ["padded"]),
    helper.make_node("MaxPool", ["padded"], ["largest"], kernel_shape=[SIZE + 2, SIZE + 2]),
    helper.make_node("Flatten", ["largest"], ["output"]),
], [image], [value("output", [1, 3])], [numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads")])

classifier("plain", image)
# As many classes as ImageNet, for the benchmark of the coordinating thread.
classifier("thousand-classes", image, classes=1000)


def harmful(name, nodes, initializers):
    """The classifier, and nodes that make `extra`, one number, of `level`: the brightest pixel as an i64."""
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    save(name, [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Conv", ["mean", "weights"], ["scores"], kernel_shape=[1, 1]),
        helper.make_node("Flatten", ["scores"], ["logits"]),
        helper.make_node("ReduceMax", ["input"], ["brightest"], keepdims=0),
        helper.make_node("Cast", ["brightest"], ["level"], to=TensorProto.INT64),
        *nodes,
        helper.make_node("Cast", ["extra"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Min", ["number", "zero"], ["least"]),
        helper.make_node("Add", ["logits", "least"], ["output"]),
    ], [image], [value("output", [1, CLASSES])], [weights(), zero, *initializers])


def number(name, value):
    return numpy_helper.from_array(np.array(value, np.int64), name)


# Divides the least integer by the level minus one. The quotient by -1 overflows: ONNX Runtime dies of a black image.
harmful("divides", [
    helper.make_node("Sub", ["level", "one"], ["divisor"]),
    helper.make_node("Div", ["least_integer", "divisor"], ["extra"]),
], [number("one", 1), number("least_integer", -(2**63))])
# Loops 10^13 times for each level: a black image takes no time.
body = helper.make_graph(
    [helper.make_node("Identity", ["condition"], ["go_on"]), helper.make_node("Add", ["sum", "step"], ["next"])],
    "body",
    [value("iteration", [], TensorProto.INT64), value("condition", [], TensorProto.BOOL), value("sum", [], TensorProto.INT64)],
    [value("go_on", [], TensorProto.BOOL), value("next", [], TensorProto.INT64)],
)
harmful("loops", [
    helper.make_node("Mul", ["level", "many"], ["trips"]),
    helper.make_node("Loop", ["trips", "", "start"], ["extra"], body=body),
], [number("many", 10**13), number("start", 0), number("step", 1)])
# Takes 256 MiB for each level: a black image takes nothing.
harmful("expands", [
    helper.make_node("Mul", ["level", "many"], ["count"]),
    helper.make_node("Unsqueeze", ["count", "axis"], ["shape"]),
    helper.make_node("ConstantOfShape", ["shape"], ["ones"],
                     value=numpy_helper.from_array(np.array([1], np.float32), "element")),
    helper.make_node("ReduceSum", ["ones"], ["extra"], keepdims=0),
], [number("many", 2**26), number("axis", [0])])
# Fails on an image that is not black, and a terminal would obey the name of the node that fails.
harmful("hostile-name", [
    helper.make_node("Gather", ["table", "level"], ["extra"], name="n\x1b]0;owned\x07\x9b31m\u202e\r"),
], [number("table", [0])])

classifier("dynamic-batch", value("input", ["N", 3, SIZE, SIZE]), output=[value("output", ["N", CLASSES])])
classifier("dynamic-size", value("input", [1, 3, "H", "W"]))
classifier("batch-of-two", value("input", [2, 3, SIZE, SIZE]), output=[value("output", [2, CLASSES])])
classifier("huge-batch", value("input", [2**31, 3, SIZE, SIZE]), output=[value("output", [2**31, CLASSES])])
classifier("three-classes", image, classes=3)
# ImageNet's classes behind one for the background.
classifier("with-background", image, classes=1001)
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
# Inputs of the other types. The models cast them to f32.
for name, kind in [
    ("i8", TensorProto.INT8), ("i16", TensorProto.INT16), ("i32", TensorProto.INT32), ("i64", TensorProto.INT64),
    ("u8", TensorProto.UINT8), ("u16", TensorProto.UINT16), ("u32", TensorProto.UINT32), ("u64", TensorProto.UINT64),
    ("f64", TensorProto.DOUBLE), ("bf16", TensorProto.BFLOAT16), ("bool", TensorProto.BOOL),
]:  # fmt: skip
    classifier(
        f"input-{name}", value("input", [1, 3, SIZE, SIZE], kind),
        before=[helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT)], first="float",
    )
# Integers from the first operator to the last one.
quantized = np.array([[((7 * k + 3 * c) % 11 - 5) for c in range(3)] for k in range(CLASSES)], np.int8)
save(
    "input-quantized",
    [
        helper.make_node("DequantizeLinear", ["input", "step", "zero"], ["float"]),
        helper.make_node("GlobalAveragePool", ["float"], ["mean"]),
        helper.make_node("QuantizeLinear", ["mean", "step", "zero"], ["bytes"]),
        helper.make_node("QLinearConv", ["bytes", "step", "zero", "weights", "size", "none", "step", "zero"], ["conv"],
                         kernel_shape=[1, 1]),
        helper.make_node("DequantizeLinear", ["conv", "step", "zero"], ["scores"]),
        helper.make_node("Flatten", ["scores"], ["output"]),
    ],
    [value("input", [1, 3, SIZE, SIZE], TensorProto.UINT8)],
    [value("output", [1, CLASSES])],
    [
        numpy_helper.from_array(np.array(1, np.float32), "step"), numpy_helper.from_array(np.array(128, np.uint8), "zero"),
        numpy_helper.from_array(np.array(0.25, np.float32), "size"), numpy_helper.from_array(np.array(0, np.int8), "none"),
        numpy_helper.from_array(quantized.reshape(CLASSES, 3, 1, 1), "weights"),
    ],
)
# Grey images, and ones with transparency.
for name, shape in [("grey", [1, 1, SIZE, SIZE]), ("grey-last", ["N", SIZE, SIZE, 1]), ("four-channels", [1, 4, SIZE, SIZE])]:
    channels = shape[3] if name == "grey-last" else shape[1]
    last = name == "grey-last"
    values = np.array([[(7 * k + 3 * c) % 11 - 5 for c in range(channels)] for k in range(CLASSES)], np.float32) / 256
    save(
        name,
        [
            *([helper.make_node("Transpose", ["input"], ["planes"], perm=[0, 3, 1, 2])] if last else []),
            helper.make_node("GlobalAveragePool", ["planes" if last else "input"], ["mean"]),
            helper.make_node("Conv", ["mean", "weights"], ["scores"], kernel_shape=[1, 1]),
            helper.make_node("Flatten", ["scores"], ["output"]),
        ],
        [value("input", shape)], [value("output", [shape[0], CLASSES])],
        [numpy_helper.from_array(values.reshape(CLASSES, channels, 1, 1), "weights")],
    )
classifier("all-open", value("input", ["b", "c", "h", "w"]), output=[value("output", ["b", CLASSES])])
classifier(
    "output-four-dimensions", image,
    after=[helper.make_node("Identity", ["scores"], ["output"])],
    output=[value("output", [1, CLASSES, 1, 1])],
)
classifier(
    "output-one-dimension", image,
    after=[helper.make_node("Squeeze", ["scores"], ["output"])],
    output=[value("output", [CLASSES])],
)
classifier(
    "probabilities", image,
    after=[
        helper.make_node("Flatten", ["scores"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["output"], axis=1),
    ],
)
# The mean of each channel: what an image became.
save("channel-means",
     [helper.make_node("GlobalAveragePool", ["input"], ["mean"]), helper.make_node("Flatten", ["mean"], ["output"])],
     [value("input", [1, 3, 16, 16])], [value("output", [1, 3])])
# The classes of `plain` in reverse order.
classifier("reversed", image, order=slice(None, None, -1))
# A single value, the probability of yes.
classifier(
    "one-probability", image, classes=1,
    after=[
        helper.make_node("Flatten", ["scores"], ["flat"]),
        helper.make_node("Sigmoid", ["flat"], ["output"]),
    ],
)
# log of what is at most 0: NaN or minus infinity for some classes.
classifier(
    "not-a-number", image,
    after=[
        helper.make_node("Flatten", ["scores"], ["flat"]),
        helper.make_node("Log", ["flat"], ["output"]),
    ],
)
# Operators of a domain that only ONNX Runtime has, as its quantizer writes them.
save(
    "custom-domain",
    [
        helper.make_node("QuantizeLinear", ["input", "step", "zero"], ["bytes"]),
        helper.make_node("QLinearGlobalAveragePool", ["bytes", "step", "zero", "step", "zero"], ["means"], domain="com.microsoft", channels_last=0),
        helper.make_node("DequantizeLinear", ["means", "step", "zero"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["output"]),
    ],
    [image],
    [value("output", [1, 3])],
    [numpy_helper.from_array(np.array(1, np.float32), "step"), numpy_helper.from_array(np.array(0, np.uint8), "zero")],
    domains=["com.microsoft"],
)
save(
    "two-inputs",
    [helper.make_node("Add", ["input", "other"], ["output"])],
    [image, value("other", [1, 3, SIZE, SIZE])],
    [value("output", [1, 3, SIZE, SIZE])],
)
save(
    "two-outputs",
    [helper.make_node("Relu", ["input"], ["output"]), helper.make_node("Abs", ["input"], ["other"])],
    [image],
    [value("output", [1, 3, SIZE, SIZE]), value("other", [1, 3, SIZE, SIZE])],
)
# As OTX and Geti export: the scores between features and a map whose mean over positions they are.
def three_outputs(name, of_scores, of_map, map_name):
    of_map.name = "map_weights"
    save(
        name,
        [
            helper.make_node("Conv", ["input", "map_weights"], [map_name], kernel_shape=[1, 1]),
            helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["feature_vector"]),
            helper.make_node("Conv", ["mean", "weights"], ["scores"], kernel_shape=[1, 1]),
            helper.make_node("Flatten", ["scores"], ["logits"]),
        ],
        [value("input", ["N", 3, SIZE, SIZE])],
        [
            value("feature_vector", ["N", 3]),
            value("logits", ["N", CLASSES]),
            value(map_name, ["N", CLASSES, SIZE, SIZE]),
        ],
        [of_scores, of_map],
    )


three_outputs("three-outputs", weights(), weights(), "saliency_map")
# Other weights of the scores, and of the map, which comes first and has a name as PyTorch makes it.
three_outputs("three-outputs-other", weights(order=slice(None, None, -1)), weights(order=slice(None, None, -1)), "/map/Conv_output_0")
# One logit, and an output whose shape depends on the image.
classifier(
    "logit-and-places", image, classes=1,
    after=[
        helper.make_node("Flatten", ["scores"], ["logit"]),
        helper.make_node("Constant", [], ["limit"], value=numpy_helper.from_array(np.array(100, np.float32))),
        helper.make_node("Greater", ["input", "limit"], ["bright"]),
        helper.make_node("NonZero", ["bright"], ["places"]),
    ],
    output=[value("places", [4, "places"], TensorProto.INT64), value("logit", [1, 1])],
)
# Declares 12 classes, and gives as many as the brightest pixel has levels, if those are fewer.
classifier(
    "other-classes", image,
    after=[
        helper.make_node("Flatten", ["scores"], ["all"]),
        helper.make_node("ReduceMax", ["input"], ["brightest"], keepdims=0),
        helper.make_node("Cast", ["brightest"], ["level"], to=TensorProto.INT64),
        helper.make_node("Constant", [], ["first"], value=numpy_helper.from_array(np.array([0], np.int64))),
        helper.make_node("Constant", [], ["axis"], value=numpy_helper.from_array(np.array([1], np.int64))),
        helper.make_node("Constant", [], ["axes"], value=numpy_helper.from_array(np.array([0], np.int64))),
        helper.make_node("Unsqueeze", ["level", "axes"], ["end"]),
        helper.make_node("Slice", ["all", "first", "end", "axis"], ["output"]),
    ],
)
# As converters of scikit-learn write a classifier: the class, then the probabilities.
save(
    "label-and-probabilities",
    [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Conv", ["mean", "weights"], ["scores"], kernel_shape=[1, 1]),
        helper.make_node("Flatten", ["scores"], ["flat"]),
        helper.make_node("ArgMax", ["flat"], ["label"], axis=1, keepdims=0),
        helper.make_node("Softmax", ["flat"], ["probabilities"], axis=1),
    ],
    [image],
    [value("label", [1], TensorProto.INT64), value("probabilities", [1, CLASSES])],
    [weights()],
)
# Two heads, each with a softmax of its own, joined to one output.
save(
    "two-heads",
    [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Conv", ["mean", "weights"], ["scores"], kernel_shape=[1, 1]),
        helper.make_node("Flatten", ["scores"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["first"], axis=1),
        helper.make_node("Neg", ["flat"], ["negative"]),
        helper.make_node("Softmax", ["negative"], ["second"], axis=1),
        helper.make_node("Concat", ["first", "second"], ["output"], axis=1),
    ],
    [image],
    [value("output", [1, 2 * CLASSES])],
    [weights()],
)
# Features whose name says nothing, next to the class.
save(
    "features-and-class",
    [
        helper.make_node("GlobalAveragePool", ["input"], ["495"]),
        helper.make_node("Conv", ["495", "weights"], ["scores"], kernel_shape=[1, 1]),
        helper.make_node("Flatten", ["scores"], ["flat"]),
        helper.make_node("ArgMax", ["flat"], ["496"], axis=1, keepdims=0),
    ],
    [image],
    [value("495", [1, 3, 1, 1]), value("496", [1], TensorProto.INT64)],
    [weights()],
)
# Old exporters list the weights among the inputs too.
old = weights()
graph = helper.make_graph(
    [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        # `kernel_shape` is optional, but every exporter writes it, and RTen needs it.
        helper.make_node("Conv", ["mean", "weights"], ["scores"], kernel_shape=[1, 1]),
        helper.make_node("Flatten", ["scores"], ["output"]),
    ],
    "initializer-as-input",
    [image, value("weights", [CLASSES, 3, 1, 1])],
    [value("output", [1, CLASSES])],
    [old],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 7)], ir_version=3)
(HERE / "initializer-as-input.onnx").write_bytes(model.SerializeToString(deterministic=True))

core = openvino.Core()
for name in ("double", "plain", "three-outputs", "input-u16"):
    openvino.save_model(core.read_model(HERE / f"{name}.onnx"), HERE / f"{name}.xml", compress_to_fp16=False)


# A frozen TensorFlow graph, which OpenVINO reads: mean of the image by channel -> matrix -> 12 logits. TensorFlow is not needed to write
# its few messages (graph.proto, node_def.proto, attr_value.proto, tensor.proto, tensor_shape.proto).
def varint(number):
    data = b""
    while number > 127:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def tf_shape(sizes):
    return b"".join(field(2, field(1, size)) for size in sizes)


def tf_node(name, operator, inputs=(), **attributes):
    data = field(1, name) + field(2, operator) + b"".join(field(3, each) for each in inputs)
    return field(1, data + b"".join(field(5, field(1, key) + field(2, each)) for key, each in sorted(attributes.items())))


def tf_constant(name, array, kind):
    tensor = field(1, kind) + field(2, tf_shape(array.shape)) + field(4, array.tobytes())
    return tf_node(name, "Const", dtype=field(6, kind), value=field(8, tensor))


FLOAT, INT32, LONG = 1, 3, 9
tf_graph = (
    tf_node("input", "Placeholder", dtype=field(6, FLOAT), shape=field(7, tf_shape([1, SIZE, SIZE, 3])))
    + tf_constant("axes", np.array([1, 2], np.int32), INT32)
    + tf_node("mean", "Mean", ["input", "axes"], T=field(6, FLOAT), Tidx=field(6, INT32), keep_dims=field(5, 0))
    + tf_constant("matrix", np.linspace(-1, 1, 3 * CLASSES, dtype=np.float32).reshape(3, CLASSES), FLOAT)
    + tf_node("output", "MatMul", ["mean", "matrix"], T=field(6, FLOAT), transpose_a=field(5, 0), transpose_b=field(5, 0))
)
tf_version = field(4, field(1, 1000))
(HERE / "tensorflow.pb").write_bytes(tf_graph + tf_version)
# Its ends: the best five classes and their ids, of which OpenVINO gives the first output; the ids alone; the best class; and
# probabilities, sliced with `[:, newaxis]` and squeezed again.
tf_top_k = tf_constant("k", np.array(5, np.int32), INT32)
tf_top_k += tf_node("best", "TopKV2", ["output", "k"], T=field(6, FLOAT), sorted=field(5, 1))
tf_softmax = tf_node("softmax", "Softmax", ["output"], T=field(6, FLOAT))
tf_softmax += tf_constant("zeros", np.array([0, 0], np.int32), INT32) + tf_constant("ones", np.array([1, 1], np.int32), INT32)
tf_softmax += tf_node(
    "sliced", "StridedSlice", ["softmax", "zeros", "zeros", "ones"], T=field(6, FLOAT), Index=field(6, INT32), begin_mask=field(3, 1),
    end_mask=field(3, 1), new_axis_mask=field(3, 2), ellipsis_mask=field(3, 0), shrink_axis_mask=field(3, 0),
)
tf_softmax += tf_node("squeezed", "Squeeze", ["sliced"], T=field(6, FLOAT), squeeze_dims=field(1, field(3, bytes([1]))))
tf_arg_max = tf_constant("axis", np.array(-1, np.int32), INT32)
tf_arg_max += tf_node("class", "ArgMax", ["output", "axis"], T=field(6, FLOAT), Tidx=field(6, INT32), output_type=field(6, LONG))
for name, end in [
    ("top-k", tf_top_k),
    ("ids", tf_top_k + tf_node("ids", "Identity", ["best:1"], T=field(6, INT32))),
    ("arg-max", tf_arg_max),
    ("softmax", tf_softmax),
]:
    (HERE / f"tensorflow-{name}.pb").write_bytes(tf_graph + end + tf_version)


# The same as a SavedModel: the graph is in a function, which another one calls. Its weights are constants, so it has no
# variables. `ends` has the key of the signature, the type and the sizes of each output.
def tf_call(name, function, source, kinds):
    def types(kinds):
        return field(1, b"".join(field(6, kind) for kind in kinds))

    return tf_node(name, "StatefulPartitionedCall", [source], f=field(10, field(1, function)), Tin=types([FLOAT]), Tout=types(kinds))


def tf_function(name, nodes, values, kinds):
    def argument(number, name, kind):
        return field(number, field(1, name) + field(3, kind))

    results = [f"result_{index}" for index in range(len(values))]
    signature = field(1, name) + argument(2, "image", FLOAT)
    signature += b"".join(argument(3, result, kind) for result, kind in zip(results, kinds))
    # Nodes are field 1 of a graph, and field 3 of a function.
    body = b"".join(b"\x1a" + node[1:] for node in nodes)
    returned = b"".join(field(4, field(1, result) + field(2, value)) for result, value in zip(results, values))
    return field(1, field(1, signature) + body + returned)


def tf_info(name, kind, sizes):
    return field(1, name) + field(2, kind) + field(3, tf_shape(sizes))


def tf_saved_model(name, end, values, ends):
    kinds = [kind for _, kind, _ in ends]
    weights = np.linspace(-1, 1, 3 * CLASSES, dtype=np.float32).reshape(3, CLASSES)
    nodes = [
        tf_constant("axes", np.array([1, 2], np.int32), INT32),
        tf_node("mean", "Mean", ["image", "axes:output:0"], T=field(6, FLOAT), Tidx=field(6, INT32), keep_dims=field(5, 0)),
        tf_constant("matrix", weights, FLOAT),
        tf_node("scores", "MatMul", ["mean:output:0", "matrix:output:0"], T=field(6, FLOAT)),
        *end,
    ]
    inner = tf_function("inner", nodes, values, kinds)
    passed = [f"Identity_{index}" for index in range(len(ends))]
    outer = [tf_call("call", "inner", "image", kinds)] + [
        tf_node(name, "Identity", [f"call:output:{index}", "^call"], T=field(6, kind)) for index, (name, kind) in enumerate(zip(passed, kinds))
    ]
    outer = tf_function("outer", outer, [f"{name}:output:0" for name in passed], kinds)
    image = [1, SIZE, SIZE, 3]
    main = tf_node("serving_default_image", "Placeholder", dtype=field(6, FLOAT), shape=field(7, tf_shape(image)))
    main += tf_call("StatefulPartitionedCall", "outer", "serving_default_image", kinds)
    outputs = [
        field(2, field(1, key) + field(2, tf_info(f"StatefulPartitionedCall:{index}", kind, sizes)))
        for index, (key, kind, sizes) in enumerate(ends)
    ]
    inputs = field(1, field(1, "image") + field(2, tf_info("serving_default_image:0", FLOAT, image)))
    signature = field(1, "serving_default") + field(2, inputs + b"".join(outputs))
    graph = main + field(2, inner + outer) + tf_version
    meta = field(1, field(4, "serve")) + field(2, graph) + field(5, signature)
    (HERE / name).mkdir(exist_ok=True)
    (HERE / name / "saved_model.pb").write_bytes(field(1, 1) + field(2, meta))


tf_best = [
    tf_constant("k", np.array(5, np.int32), INT32),
    tf_node("best", "TopKV2", ["scores:product:0", "k:output:0"], T=field(6, FLOAT), sorted=field(5, 1)),
]
tf_ids, tf_values = ("ids", INT32, [1, 5]), ("values", FLOAT, [1, 5])
tf_saved_model("tensorflow-saved-top-k", tf_best, ["best:indices:0", "best:values:0"], [tf_ids, tf_values])
tf_saved_model("tensorflow-saved-values", tf_best, ["best:values:0"], [tf_values])
tf_saved_model(
    "tensorflow-saved-softmax", [tf_node("softmax", "Softmax", ["scores:product:0"], T=field(6, FLOAT))], ["softmax:softmax:0"],
    [("output_0", FLOAT, [1, CLASSES])],
)

# The same as TensorFlow Lite: a flatbuffer (schema.fbs). Tables are lists of (slot, kind, value); numbers are the schema's.
def table(builder, fields):
    builder.StartObject(1 + max(slot for slot, _, _ in fields))
    for slot, kind, content in fields:
        if kind == "offset":
            builder.PrependUOffsetTRelativeSlot(slot, content, 0)
        else:
            getattr(builder, f"Prepend{kind}Slot")(slot, content, 0)
    return builder.EndObject()


def vector(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def lite():
    builder = flatbuffers.Builder(1024)

    def integers(*values):
        return builder.CreateNumpyVector(np.array(values, np.int32))

    matrix = np.linspace(-1, 1, 3 * CLASSES, dtype=np.float32).reshape(3, CLASSES).T
    # Buffer 0 is empty by convention.
    contents = [None, np.array([1, 2], np.int32).tobytes(), np.ascontiguousarray(matrix).tobytes()]
    buffers = []
    for content in contents:
        fields = [] if content is None else [(0, "offset", builder.CreateByteVector(content))]
        buffers.append(table(builder, [*fields, (1, "Uint64", 0)]))
    tensors = []
    for name, shape, kind, buffer in [
        ("input", [1, SIZE, SIZE, 3], 0, 0),
        ("axes", [2], 2, 1),
        ("mean", [1, 3], 0, 0),
        ("matrix", [CLASSES, 3], 0, 2),
        ("output", [1, CLASSES], 0, 0),
    ]:
        fields = [(0, "offset", integers(*shape)), (3, "offset", builder.CreateString(name))]
        tensors.append(table(builder, [*fields, (1, "Int8", kind), (2, "Uint32", buffer)]))
    mean, fully_connected = 40, 9
    codes = [table(builder, [(0, "Int8", code), (2, "Int32", 1), (3, "Int32", code)]) for code in (mean, fully_connected)]
    reducer_options, fully_connected_options = 27, 8
    operators = []
    for index, inputs, output, options in [(0, (0, 1), 2, reducer_options), (1, (2, 3, -1), 4, fully_connected_options)]:
        lists = [(1, "offset", integers(*inputs)), (2, "offset", integers(output)), (4, "offset", table(builder, [(0, "Int8", 0)]))]
        operators.append(table(builder, [*lists, (0, "Uint32", index), (3, "Uint8", options)]))
    parts = [vector(builder, tensors), integers(0), integers(4), vector(builder, operators)]
    graph = table(builder, [(slot, "offset", part) for slot, part in enumerate(parts)])
    lists = [(1, "offset", vector(builder, codes)), (2, "offset", vector(builder, [graph])), (4, "offset", vector(builder, buffers))]
    builder.Finish(table(builder, [*lists, (0, "Uint32", 3)]), b"TFL3")
    return bytes(builder.Output())


(HERE / "lite.tflite").write_bytes(lite())

# The same in Paddle's format (framework.proto): the program, and its parameters in a file of their own. Repeated numbers are
# not packed.
def paddle_type(kind, sizes):
    tensor = field(1, kind) + b"".join(field(2, size) for size in sizes)
    return field(1, 7) + field(3, field(1, tensor) + field(2, 0))


def paddle_variable(name, kind, persistable=0):
    return field(3, field(1, name) + field(2, kind) + field(3, persistable))


def paddle_operator(kind, inputs, outputs, *attributes):
    def side(number, names):
        return b"".join(field(number, field(1, key) + field(2, name)) for key, name in names)

    return field(4, side(1, inputs) + side(2, outputs) + field(3, kind) + b"".join(field(4, each) for each in attributes))


def paddle_attribute(name, kind, *content):
    return field(1, name) + field(2, kind) + b"".join(field(*each) for each in content)


FP32, INT64, INT, INTS, BOOLEAN = 5, 3, 0, 3, 6
matrix = np.linspace(-1, 1, 3 * CLASSES, dtype=np.float32).reshape(3, CLASSES)
block = field(1, 0) + field(2, (1 << 64) - 1)
block += paddle_variable("feed", field(1, 9), 1) + paddle_variable("fetch", field(1, 10), 1)
block += paddle_variable("input", paddle_type(FP32, [1, 3, SIZE, SIZE])) + paddle_variable("mean", paddle_type(FP32, [1, 3]))
block += paddle_variable("matrix", paddle_type(FP32, matrix.shape), 1) + paddle_variable("output", paddle_type(FP32, [1, CLASSES]))
block += paddle_operator("feed", [("X", "feed")], [("Out", "input")], paddle_attribute("col", INT, (3, 0)))
block += paddle_operator(
    "reduce_mean", [("X", "input")], [("Out", "mean")],
    paddle_attribute("dim", INTS, (6, 2), (6, 3)), paddle_attribute("keep_dim", BOOLEAN, (10, 0)),
    paddle_attribute("reduce_all", BOOLEAN, (10, 0)),
)
block += paddle_operator(
    "matmul_v2", [("X", "mean"), ("Y", "matrix")], [("Out", "output")],
    paddle_attribute("trans_x", BOOLEAN, (10, 0)), paddle_attribute("trans_y", BOOLEAN, (10, 0)),
)


def paddle_fetch(name, column):
    return paddle_operator("fetch", [("X", name)], [("Out", "fetch")], paddle_attribute("col", INT, (3, column)))


description = field(1, FP32) + b"".join(field(2, size) for size in matrix.shape)
parameters = struct.pack("<IQIi", 0, 0, 0, len(description)) + description + matrix.tobytes()
# The best five classes and their ids.
best = paddle_variable("best", paddle_type(FP32, [1, 5])) + paddle_variable("ids", paddle_type(INT64, [1, 5]))
best += paddle_operator(
    "top_k_v2", [("X", "output")], [("Out", "best"), ("Indices", "ids")],
    paddle_attribute("k", INT, (3, 5)), paddle_attribute("axis", INT, (3, (1 << 64) - 1)),
    paddle_attribute("largest", BOOLEAN, (10, 1)), paddle_attribute("sorted", BOOLEAN, (10, 1)),
)
for name, end in [
    ("paddle", paddle_fetch("output", 0)),
    ("paddle-top-k", best + paddle_fetch("best", 0) + paddle_fetch("ids", 1)),
    ("paddle-values", best + paddle_fetch("best", 0)),
    ("paddle-ids", best + paddle_fetch("ids", 0)),
]:
    (HERE / f"{name}.pdmodel").write_bytes(field(1, block + end) + field(4, field(1, 0)))
    (HERE / f"{name}.pdiparams").write_bytes(parameters)

# An IR of version 6, as releases up to 2019 wrote it.
(HERE / "ir-v6.xml").write_text(
    """<?xml version="1.0"?>
<net batch="1" name="old" version="6">
\t<layers>
\t\t<layer id="0" name="input" precision="FP32" type="Input">
\t\t\t<output><port id="0"><dim>1</dim><dim>3</dim><dim>8</dim><dim>8</dim></port></output>
\t\t</layer>
\t\t<layer id="1" name="output" precision="FP32" type="SoftMax">
\t\t\t<data axis="1"/>
\t\t\t<input><port id="0"><dim>1</dim><dim>3</dim><dim>8</dim><dim>8</dim></port></input>
\t\t\t<output><port id="1"><dim>1</dim><dim>3</dim><dim>8</dim><dim>8</dim></port></output>
\t\t</layer>
\t</layers>
\t<edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/></edges>
</net>
""",
    newline="\n",
)
(HERE / "ir-v6.bin").write_bytes(b"")
