"""The cases of operators.py: control flow, functions, sequences, recurrent networks, and what optimizers merge."""

import numpy as np
from onnx import helper, numpy_helper
from operator_cases import BOOL, F16, F32, F64, I32, I64
from operators import case

# ---- control flow and functions: also what the bodies hold ------------------------------------------------------------


def branch(g, inside, otherwise=None):
    """An If that takes the branch `inside`."""
    out = [(F32, None)]
    condition = g.op("Greater", g.op("ReduceMax", g.op("Abs", g.x), keepdims=0), np.float32(-1))
    return g.op(
        "If",
        condition,
        then_branch=g.body([], out, lambda inner: [inside(inner)]),
        else_branch=g.body([], out, lambda inner: [(otherwise or (lambda i: i.op("Neg", "x")))(inner)]),
    )


INSIDE = {
    "relu": (lambda g: g.op("Relu", "x"), 13),
    "constants": (lambda g: g.op("Mul", "x", g.const(2.0)), 13),
    "resize-cubic": (lambda g: g.op("Resize", "x", "", g.const([1, 1, 2, 2]), mode="cubic"), 13),
    "cast-bool": (lambda g: g.cast(g.op("Cast", "x", to=BOOL), F32), 13),
    "cast-f64": (lambda g: g.cast(g.op("Exp", g.op("Cast", "x", to=F64)), F32), 13),
    "same-lower": (lambda g: g.op("MaxPool", "x", kernel_shape=[2, 2], auto_pad="SAME_LOWER"), 13),
    "sign": (lambda g: g.op("Sign", g.op("Relu", "x")), 13),
    "conv-without-kernel-shape": (lambda g: g.op("Conv", "x", g.weights(3, 3, 3, 3), pads=[1, 1, 1, 1]), 13),
}
for name, (inside, since) in INSIDE.items():
    case("If", name, lambda g, inside=inside: branch(g, inside), since=since, at="all" if name == "relu" else "last")
case(
    "If",
    "softmax-12",
    lambda g: branch(g, lambda inner: inner.op("Softmax", "x", axis=1)),
    since=11,
    until=12,
    at="last",
    expect=lambda x, g: (np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum()).astype(np.float32),
)
case(
    "If",
    "other-branch",
    lambda g: branch(
        g,
        lambda inner: inner.op("Relu", "x"),
        lambda inner: inner.op("Resize", "x", "", inner.const([1, 1, 1, 1]), mode="cubic"),
    ),
    since=13,
    at="last",
)
case("If", "nested", lambda g: branch(g, lambda inner: branch_inside(inner)), since=13, at="last")


def branch_inside(g):
    g.x = "x"
    return branch(g, lambda inner: inner.cast(inner.op("Cast", "x", to=BOOL), F32))


def looped(g, inside, times=3):
    state = [("i", I64, []), ("go", BOOL, []), ("state", F32, None)]
    body = g.body(state, [(BOOL, []), (F32, None)], lambda inner: [inner.op("Identity", "go"), inside(inner)])
    return g.op("Loop", g.const(times, np.int64), g.const(True, np.bool_), g.x, body=body)


for name, inside in {
    "sum": lambda g: g.op("Add", "state", "x"),
    "counter": lambda g: g.op("Add", "state", g.op("Cast", "i", to=F32)),
    "sign": lambda g: g.op("Sign", g.op("Relu", "state")),
    "cast-bool": lambda g: g.op("Cast", g.op("Cast", "state", to=BOOL), to=F32),
    "average-same-lower": lambda g: g.op("AveragePool", "state", kernel_shape=[2, 2], auto_pad="SAME_LOWER"),
}.items():
    case(
        "Loop",
        name,
        lambda g, inside=inside: looped(g, inside),
        since=13,
        at="all" if name == "sum" else "last",
        expect=(lambda x, g: same_lower_thrice(x)) if name == "average-same-lower" else None,
    )


def same_lower_thrice(x):
    from operator_cases_convolutions import pool

    for _ in range(3):
        x = pool(x, "AveragePool", kernel_shape=[2, 2], auto_pad="SAME_LOWER")
    return x


def scanned(g, inside):
    body = g.body(
        [("state", F32, [7]), ("row", F32, [7])],
        [(F32, [7]), (F32, [7])],
        lambda inner: (lambda name: [name, inner.op("Identity", name)])(inside(inner)),
    )
    return g.op("Scan", g.const(np.zeros(7)), g.x, outputs=2, keep=1, body=body, num_scan_inputs=1)


case("Scan", "sum", lambda g: scanned(g, lambda inner: inner.op("Add", "state", "row")), x=(5, 7), at="last", since=11)
case(
    "Scan",
    "cast-bool",
    lambda g: scanned(g, lambda inner: inner.cast(inner.op("Cast", "row", to=BOOL), F32)),
    x=(5, 7),
    at="last",
    since=11,
)


def function(g, domain, name, build, opset):
    from operators import Graph

    inner = Graph(opset, g.random, np.zeros(g.shape))
    inner.count = 5000
    inner.const = lambda value, dtype=np.float32: inner.op(
        "Constant", value=numpy_helper.from_array(np.asarray(value, dtype=dtype))
    )
    output = build(inner)
    g.functions.append(
        helper.make_function(domain, name, ["x"], [output], inner.nodes, [helper.make_opsetid("", opset)])
    )
    g.domains.append(domain)
    return g.op(name, g.x, domain=domain)


for name, build, opset in [
    ("relu", lambda g: g.op("Relu", "x"), 17),
    ("resize-cubic", lambda g: g.op("Resize", "x", "", g.const([1, 1, 2, 2]), mode="cubic"), 17),
    ("sign", lambda g: g.op("Sign", g.op("Relu", "x")), 17),
]:
    case(
        "Identity",
        f"in-function-{name}",
        lambda g, build=build, opset=opset: function(g, "own", "Own", build, opset),
        since=17,
        until=17,
        at="last",
    )
case(
    "Softmax",
    "in-function-of-opset-17",
    lambda g: function(g, "own", "Own", lambda inner: inner.op("Softmax", "x", axis=1), 17),
    since=17,
    until=17,
    at="last",
)

# ---- sequences, recurrent networks, attention -------------------------------------------------------------------------

case(
    "SequenceAt",
    "plain",
    lambda g: g.op("SequenceAt", g.op("SequenceConstruct", g.x, g.op("Neg", g.x)), g.const(1, np.int64)),
)
case(
    "SequenceAt",
    "negative",
    lambda g: g.op("SequenceAt", g.op("SequenceConstruct", g.x, g.op("Neg", g.x)), g.const(-2, np.int64)),
)
case(
    "SequenceConstruct",
    "plain",
    lambda g: g.op("ConcatFromSequence", g.op("SequenceConstruct", g.x, g.op("Neg", g.x)), axis=1),
)
case(
    "ConcatFromSequence",
    "new-axis",
    lambda g: g.op("ConcatFromSequence", g.op("SequenceConstruct", g.x, g.op("Neg", g.x)), axis=1, new_axis=1),
)
case(
    "SequenceInsert",
    "plain",
    lambda g: g.op(
        "ConcatFromSequence",
        g.op("SequenceInsert", g.op("SequenceConstruct", g.x, g.x), g.op("Neg", g.x), g.const(1, np.int64)),
        axis=0,
    ),
)
case(
    "SequenceErase",
    "plain",
    lambda g: g.op(
        "ConcatFromSequence",
        g.op("SequenceErase", g.op("SequenceConstruct", g.x, g.op("Neg", g.x)), g.const(0, np.int64)),
        axis=0,
    ),
)
case("SequenceLength", "plain", lambda g: g.op("SequenceLength", g.op("SequenceConstruct", g.x, g.op("Neg", g.x))))
case(
    "SequenceEmpty",
    "plain",
    lambda g: g.op("ConcatFromSequence", g.op("SequenceInsert", g.op("SequenceEmpty"), g.x), axis=0),
)
for variant, split_into, keepdims, at in [
    ("one", None, 1, 1),
    ("flat", None, 0, 1),
    ("parts", [2, 4, 1], 1, 1),
    ("chunks", 3, 1, 2),
]:
    case(
        "SplitToSequence",
        variant,
        lambda g, s=split_into, keepdims=keepdims, at=at: g.op(
            "SequenceAt",
            g.op("SplitToSequence", g.x, *([] if s is None else [g.const(s, np.int64)]), axis=3, keepdims=keepdims),
            g.const(at, np.int64),
        ),
        at="last",
        expect=(lambda x, g: x[..., 6:]) if variant == "chunks" else None,
    )
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
for name, gates in GATES.items():
    for variant, attributes, ways in (
        [
            ("forward", {}, 1),
            ("reverse", {"direction": "reverse"}, 1),
            ("bidirectional", {"direction": "bidirectional"}, 2),
        ]
        + ([("linear-before-reset", {"linear_before_reset": 1}, 1)] if name == "GRU" else [])
        + ([("clip", {"clip": 0.3}, 1)] if name != "RNN" else [])
        + ([("state", {}, 1)])
    ):

        def recurrent(g, name=name, gates=gates, attributes=attributes, ways=ways, variant=variant):
            keep = 1 if variant == "state" else 0
            return g.op(
                name,
                g.x,
                g.const(g.random.standard_normal((ways, gates * 3, 4)) * 0.5),
                g.const(g.random.standard_normal((ways, gates * 3, 3)) * 0.5),
                g.const(g.random.standard_normal((ways, gates * 6)) * 0.5),
                outputs=2,
                keep=keep,
                hidden_size=3,
                **attributes,
            )

        def recurrence(x, g, name=name, attributes=attributes, ways=ways, variant=variant):
            return recur(
                name,
                x,
                *[numpy_helper.to_array(value) for value in g.initializers[:3]],
                ways=ways,
                last=variant == "state",
                **attributes,
            )

        case(name, variant, recurrent, x=(5, 2, 4), expect=recurrence, at="all" if variant == "forward" else "last")


def recur(name, x, w, r, b, ways, last, direction="forward", linear_before_reset=0, clip=None):
    """RNN, GRU and LSTM as their equations say."""
    limit = (lambda v: np.clip(v, -clip, clip)) if clip else (lambda v: v)
    sigmoid, tanh = (lambda v: 1 / (1 + np.exp(-limit(v)))), (lambda v: np.tanh(limit(v)))
    outputs, ends = [], []
    for way in range(ways):
        backwards = direction == "reverse" or way == 1
        hidden = w.shape[1] // GATES[name]
        size, h, c = GATES[name] * hidden, np.zeros((x.shape[1], r.shape[2])), np.zeros((x.shape[1], r.shape[2]))
        steps = []
        for t in reversed(range(len(x))) if backwards else range(len(x)):
            input_ = x[t].astype(np.float64) @ w[way].T + b[way][:size]
            state = h @ r[way].T + b[way][size:]
            parts = lambda v: np.split(v, GATES[name], axis=1)
            if name == "RNN":
                h = tanh(input_ + state)
            elif name == "LSTM":
                i, o, f, g = parts(input_ + state)
                c = sigmoid(f) * c + sigmoid(i) * tanh(g)
                h = sigmoid(o) * tanh(c)
            else:
                (zi, ri, hi), (zs, rs, hs) = parts(input_), parts(state)
                z, reset = sigmoid(zi + zs), sigmoid(ri + rs)
                if linear_before_reset:
                    new = tanh(hi + reset * hs)
                else:
                    new = tanh(hi + (reset * h) @ r[way][2 * hidden :].T + b[way][size + 2 * hidden :])
                h = (1 - z) * new + z * h
            steps.append(h)
        outputs.append(np.stack(steps[::-1] if backwards else steps))
        ends.append(h)
    return (np.stack(ends) if last else np.stack(outputs, axis=1)).astype(np.float32)


for variant, attributes in [
    ("plain", {}),
    ("causal", {"is_causal": 1}),
    ("scale", {"scale": 0.3}),
    ("softcap", {"softcap": 2.0}),
]:
    case(
        "Attention",
        variant,
        lambda g, attributes=attributes: g.op(
            "Attention", g.x, g.weights(1, 2, 5, 3), g.weights(1, 2, 5, 3), **attributes
        ),
        x=(1, 2, 4, 3),
        at="all" if variant == "plain" else "last",
    )
case(
    "Attention",
    "heads",
    lambda g: g.op("Attention", g.x, g.weights(1, 5, 6), g.weights(1, 5, 6), q_num_heads=2, kv_num_heads=2),
    x=(1, 4, 6),
    at="last",
)
case(
    "Attention",
    "mask",
    lambda g: g.op(
        "Attention", g.x, g.weights(1, 2, 5, 3), g.weights(1, 2, 5, 3), g.const(g.random.random((4, 5)) > 0.3, np.bool_)
    ),
    x=(1, 2, 4, 3),
    at="last",
)
for variant, attributes in [("plain", {}), ("interleaved", {"interleaved": 1})]:
    case(
        "RotaryEmbedding",
        variant,
        lambda g, attributes=attributes: g.op(
            "RotaryEmbedding", g.x, g.weights(1, 4, 3), g.weights(1, 4, 3), **attributes
        ),
        x=(1, 2, 4, 6),
    )

# ---- what an engine's optimizer makes one operator of -----------------------------------------------------------------


def layer_norm(g, scale, bias=None, axis=-1, keepdims=1, epsilon=1e-5):
    centred = g.op("Sub", g.x, g.op("ReduceMean", g.x, axes=[axis], keepdims=keepdims))
    variance = g.op("ReduceMean", g.op("Pow", centred, g.const(2.0)), axes=[axis], keepdims=keepdims)
    normal = g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.const(np.float32(epsilon)))))
    scaled = g.op("Mul", normal, g.weights(*scale))
    return scaled if bias is None else g.op("Add", scaled, g.weights(*bias))


FUSED = {
    "gelu": lambda g: g.op(
        "Mul",
        g.op(
            "Mul",
            g.x,
            g.op("Add", g.op("Erf", g.op("Div", g.x, g.const(np.float32(np.sqrt(2))))), g.const(np.float32(1))),
        ),
        g.const(np.float32(0.5)),
    ),
    "gelu-scaled": lambda g: g.op(
        "Mul",
        g.op("Mul", g.x, g.op("Add", g.op("Erf", g.op("Mul", g.x, g.const(np.float32(0.7)))), g.const(np.float32(1)))),
        g.const(np.float32(0.5)),
    ),
    "gelu-tanh": lambda g: g.op(
        "Mul",
        g.op("Mul", g.x, g.const(np.float32(0.5))),
        g.op(
            "Add",
            g.op(
                "Tanh",
                g.op(
                    "Mul",
                    g.op(
                        "Add", g.x, g.op("Mul", g.op("Pow", g.x, g.const(np.float32(3))), g.const(np.float32(0.044715)))
                    ),
                    g.const(np.float32(np.sqrt(2 / np.pi))),
                ),
            ),
            g.const(np.float32(1)),
        ),
    ),
    "gelu-tanh-other": lambda g: g.op(
        "Mul",
        g.op("Mul", g.x, g.const(np.float32(0.5))),
        g.op(
            "Add",
            g.op(
                "Tanh",
                g.op(
                    "Mul",
                    g.op("Add", g.x, g.op("Mul", g.op("Pow", g.x, g.const(np.float32(3))), g.const(np.float32(0.05)))),
                    g.const(np.float32(np.sqrt(2 / np.pi))),
                ),
            ),
            g.const(np.float32(1)),
        ),
    ),
    "silu": lambda g: g.op("Mul", g.x, g.op("Sigmoid", g.x)),
    "swish": lambda g: g.op("Mul", g.x, g.op("Sigmoid", g.op("Mul", g.const(np.float32(1.7)), g.x))),
    "swish-channels": lambda g: g.op("Mul", g.x, g.op("Sigmoid", g.op("Mul", g.weights(3, 1, 1), g.x))),
    "reciprocal": lambda g: g.op("Div", g.const(np.float32(1)), g.x),
    "reciprocal-of-other": lambda g: g.op("Div", g.const(np.float32(1.0001)), g.x),
    "reciprocal-wider": lambda g: g.op("Div", g.const(np.ones((1, 1, 1, 1, 1))), g.x),
    "add-zero-wider": lambda g: g.op("Add", g.x, g.const(np.zeros((1, 1, 1, 1, 1)))),
    "add-zero-broadcast": lambda g: g.op("Add", g.x, g.const(np.zeros((2, 1, 1, 1)))),
    "multiply-one-wider": lambda g: g.op("Mul", g.const(np.ones((1, 1, 1, 1, 1))), g.x),
    "zero-minus": lambda g: g.op("Sub", g.const(np.float32(0)), g.x),
    "layer-norm": lambda g: layer_norm(g, (7,), (7,)),
    "layer-norm-no-bias": lambda g: layer_norm(g, (7,)),
    "layer-norm-axis-3": lambda g: layer_norm(g, (7,), (7,), axis=3),
    "layer-norm-epsilon": lambda g: layer_norm(g, (7,), (7,), epsilon=0.3),
    "layer-norm-channels": lambda g: layer_norm(g, (3, 1, 1), (3, 1, 1)),
    "layer-norm-scale-rows": lambda g: layer_norm(g, (6, 7), (6, 7)),
    "layer-norm-scalars": lambda g: layer_norm(g, (), ()),
    "layer-norm-bias-wider": lambda g: layer_norm(g, (7,), (2, 3, 1, 7)),
    "layer-norm-scale-wider": lambda g: layer_norm(g, (1, 1, 1, 1, 7)),
    "layer-norm-bias-one": lambda g: layer_norm(g, (7,), (1,)),
    "layer-norm-axis-1": lambda g: layer_norm(g, (3, 1, 1), (3, 1, 1), axis=1),
    "rms-norm": lambda g: g.op(
        "Mul",
        g.op(
            "Mul",
            g.x,
            g.op(
                "Reciprocal",
                g.op(
                    "Sqrt",
                    g.op(
                        "Add",
                        g.op("ReduceMean", g.op("Pow", g.x, g.const(np.float32(2))), axes=[-1]),
                        g.const(np.float32(1e-5)),
                    ),
                ),
            ),
        ),
        g.weights(7),
    ),
    "rms-norm-channels": lambda g: g.op(
        "Mul",
        g.op(
            "Mul",
            g.x,
            g.op(
                "Reciprocal",
                g.op(
                    "Sqrt",
                    g.op(
                        "Add",
                        g.op("ReduceMean", g.op("Pow", g.x, g.const(np.float32(2))), axes=[-1]),
                        g.const(np.float32(1e-5)),
                    ),
                ),
            ),
        ),
        g.weights(3, 1, 1),
    ),
    "mat-mul-add": lambda g: g.op("Add", g.op("MatMul", g.x, g.weights(7, 4)), g.weights(4)),
    "mat-mul-add-one": lambda g: g.op("Add", g.op("MatMul", g.x, g.weights(7, 4)), g.weights(1)),
    "mat-mul-one-column-add": lambda g: g.op("Add", g.op("MatMul", g.x, g.weights(7, 1)), g.weights(4)),
    "mat-mul-scale": lambda g: g.op(
        "Div", g.op("MatMul", g.op("Mul", g.x, g.const(np.float32(3))), g.weights(7, 4)), g.const(np.float32(0.7))
    ),
    "mat-mul-scale-wider": lambda g: g.op(
        "Mul", g.op("MatMul", g.x, g.weights(7, 4)), g.const(np.full((1, 1, 1, 1, 1), 3.0))
    ),
    "mat-mul-scale-inverse": lambda g: g.op("Div", g.const(np.float32(3)), g.op("MatMul", g.x, g.weights(7, 4))),
    "transpose-mat-mul": lambda g: g.op("MatMul", g.op("Transpose", g.x, perm=[0, 1, 3, 2]), g.weights(6, 4)),
    "mat-mul-transpose": lambda g: g.op("MatMul", g.x, g.op("Transpose", g.x, perm=[0, 1, 3, 2])),
    "transpose-batch-mat-mul": lambda g: g.op("MatMul", g.op("Transpose", g.x, perm=[1, 0, 2, 3]), g.weights(7, 4)),
    "add-softmax": lambda g: g.op("Softmax", g.op("Add", g.x, g.weights(1, 1, 6, 7)), axis=-1),
    "add-softmax-wider": lambda g: g.op("Softmax", g.op("Add", g.x, g.weights(2, 3, 6, 7)), axis=-1),
    "add-softmax-axis-1": lambda g: g.op("Softmax", g.op("Add", g.x, g.weights(1, 3, 6, 7)), axis=1),
    "scale-add-softmax": lambda g: g.op(
        "Softmax", g.op("Add", g.op("MatMul", g.x, g.op("Transpose", g.x, perm=[0, 1, 3, 2])), g.weights(6, 6)), axis=-1
    ),
    "safe-softmax": lambda g: (lambda y: g.op("Where", g.op("IsNaN", y), g.const(np.float32(0)), y))(
        g.op("Softmax", g.op("Log", g.op("Relu", g.x)), axis=-1)
    ),
    "conv-add": lambda g: g.op(
        "Add", g.op("Conv", g.x, g.weights(4, 3, 3, 3), kernel_shape=[3, 3]), g.weights(1, 4, 1, 1)
    ),
    "conv-add-scalar": lambda g: g.op(
        "Add", g.op("Conv", g.x, g.weights(4, 3, 3, 3), kernel_shape=[3, 3]), g.weights(1, 1, 1, 1)
    ),
    "conv-add-image": lambda g: g.op(
        "Add", g.op("Conv", g.x, g.weights(4, 3, 3, 3), kernel_shape=[3, 3]), g.weights(1, 4, 4, 5)
    ),
    "conv-one-add-channels": lambda g: g.op(
        "Add", g.op("Conv", g.x, g.weights(1, 3, 3, 3), kernel_shape=[3, 3]), g.weights(1, 4, 1, 1)
    ),
    "conv-batch-norm": lambda g: g.op(
        "BatchNormalization",
        g.op("Conv", g.x, g.weights(4, 3, 3, 3), g.weights(4), kernel_shape=[3, 3]),
        g.weights(4),
        g.weights(4),
        g.weights(4),
        g.const(g.random.random(4) + 0.2),
    ),
    "depthwise-batch-norm": lambda g: g.op(
        "BatchNormalization",
        g.op("Conv", g.x, g.weights(3, 1, 3, 3), kernel_shape=[3, 3], group=3),
        g.weights(3),
        g.weights(3),
        g.weights(3),
        g.const(g.random.random(3) + 0.2),
        epsilon=0.1,
    ),
    "conv-batch-norm-twice-used": lambda g: (
        lambda y: g.op(
            "Add",
            y,
            g.op("BatchNormalization", y, g.weights(4), g.weights(4), g.weights(4), g.const(g.random.random(4) + 0.2)),
        )
    )(g.op("Conv", g.x, g.weights(4, 3, 3, 3), kernel_shape=[3, 3])),
    "scale-shift": lambda g: g.op("Add", g.op("Mul", g.x, g.weights(1, 3, 1, 1)), g.weights(1, 3, 1, 1)),
    "scale-shift-vector": lambda g: g.op("Add", g.op("Mul", g.x, g.weights(3, 1, 1)), g.weights(3, 1, 1)),
    "scale-shift-rows": lambda g: g.op("Add", g.op("Mul", g.x, g.weights(7)), g.weights(7)),
    "repeat": lambda g: g.op(
        "Reshape", g.op("Expand", g.op("Unsqueeze", g.x, g.ints(2)), g.ints(1, 3, 2, 6, 7)), g.ints(1, 6, 6, 7)
    ),
    "repeat-whole": lambda g: g.op(
        "Reshape", g.op("Expand", g.op("Unsqueeze", g.x, g.ints(1)), g.ints(1, 2, 3, 6, 7)), g.ints(1, 6, 6, 7)
    ),
    "dynamic-quantized": lambda g: dynamically_quantized(g),
    "cast-twice": lambda g: g.cast(g.cast(g.x, I32), F32),
    "cast-f16-rounds": lambda g: g.cast(g.cast(g.op("Mul", g.x, g.const(np.float32(1000))), F16), F32),
    "pad-conv": lambda g: g.op(
        "Conv",
        g.op("Pad", g.x, g.ints(0, 0, 1, 1, 0, 0, 1, 1), g.const(np.float32(1.5))),
        g.weights(4, 3, 3, 3),
        kernel_shape=[3, 3],
        pads=[1, 0, 0, 1],
    ),
    "shape-slice": lambda g: g.op(
        "Reshape", g.x, g.op("Concat", g.op("Slice", g.op("Shape", g.x), g.ints(0), g.ints(2)), g.ints(-1), axis=0)
    ),
}


def dynamically_quantized(g):
    weight = g.const(g.random.integers(-60, 60, (7, 4)), np.int8)
    quantized = g.op("DynamicQuantizeLinear", g.x, outputs=3)
    _, scale, zero = g.nodes[-1].output
    product = g.op("MatMulInteger", quantized, weight, zero)
    return g.op("Mul", g.cast(product, F32), g.op("Mul", scale, g.const(np.float32(0.02))))


for variant, build in FUSED.items():
    case("Identity", f"several-{variant}", build, since=17, until=17, tolerance=4e-3 if "f16" in variant else None)
