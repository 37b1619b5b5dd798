"""The cases of operators.py: convolutions and pools."""

import numpy as np
from onnx import numpy_helper
from operator_cases import BYTES, F16, U8
from operators import case

# ---- convolutions ------------------------------------------------------------------------------------------------

CONVOLUTIONS = {
    "plain": ((4, 3, 3, 3), {"kernel_shape": [3, 3]}),
    "no-kernel-shape": ((4, 3, 3, 3), {}),
    "no-kernel-shape-strides": ((4, 3, 3, 2), {"strides": [2, 1], "pads": [1, 0, 1, 1], "dilations": [1, 2]}),
    "no-kernel-shape-same": ((4, 3, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 1]}),
    "pads": ((4, 3, 3, 3), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "pads-asymmetric": ((4, 3, 3, 2), {"kernel_shape": [3, 2], "pads": [0, 2, 1, 0]}),
    "strides": ((4, 3, 3, 3), {"kernel_shape": [3, 3], "strides": [2, 3], "pads": [1, 0, 0, 1]}),
    "dilations": ((4, 3, 2, 3), {"kernel_shape": [2, 3], "dilations": [2, 2], "pads": [1, 1, 1, 1]}),
    "depthwise": ((3, 1, 3, 3), {"kernel_shape": [3, 3], "group": 3, "pads": [1, 1, 1, 1]}),
    "depthwise-multiplied": (
        (6, 1, 3, 3),
        {"kernel_shape": [3, 3], "group": 3, "strides": [2, 2], "pads": [1, 1, 1, 1]},
    ),
    "depthwise-dilated": (
        (3, 1, 2, 2),
        {"kernel_shape": [2, 2], "group": 3, "dilations": [2, 3], "pads": [2, 1, 0, 1]},
    ),
    "pointwise": ((5, 3, 1, 1), {"kernel_shape": [1, 1]}),
    "pointwise-strides": ((5, 3, 1, 1), {"kernel_shape": [1, 1], "strides": [2, 2]}),
    "pointwise-pads": ((5, 3, 1, 1), {"kernel_shape": [1, 1], "pads": [1, 0, 0, 2]}),
    "same-upper": ((4, 3, 3, 3), {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}),
    "same-upper-even": ((4, 3, 2, 4), {"kernel_shape": [2, 4], "auto_pad": "SAME_UPPER"}),
    "same-upper-strides": ((4, 3, 3, 3), {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same-upper-dilations": ((4, 3, 2, 2), {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER", "dilations": [2, 1]}),
    "same-lower": ((4, 3, 3, 3), {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER"}),
    "same-lower-even": ((4, 3, 2, 4), {"kernel_shape": [2, 4], "auto_pad": "SAME_LOWER"}),
    "same-lower-strides": ((4, 3, 3, 3), {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "valid": ((4, 3, 3, 3), {"kernel_shape": [3, 3], "auto_pad": "VALID", "strides": [1, 2]}),
    "notset": ((4, 3, 3, 3), {"kernel_shape": [3, 3], "auto_pad": "NOTSET", "pads": [1, 1, 1, 1]}),
}


def convolve(
    x, weight, bias=None, kernel_shape=None, strides=None, pads=None, dilations=None, group=1, auto_pad="NOTSET"
):
    """Conv as the text of its definition says, for any number of spatial dimensions, in float64."""
    dims = x.ndim - 2
    strides, dilations, pads = strides or [1] * dims, dilations or [1] * dims, pads or [0] * 2 * dims
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(weight.shape[2:], dilations)]
    if auto_pad == "VALID":
        pads = [0] * 2 * dims
    if auto_pad.startswith("SAME"):
        total = [
            max((-(-size // stride) - 1) * stride + span - size, 0)
            for size, stride, span in zip(x.shape[2:], strides, spans)
        ]
        half = [size // 2 if auto_pad == "SAME_UPPER" else size - size // 2 for size in total]
        pads = half + [all_of_it - begin for all_of_it, begin in zip(total, half)]
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *zip(pads[:dims], pads[dims:])])
    sizes = [(size - span) // stride + 1 for size, span, stride in zip(padded.shape[2:], spans, strides)]
    out = np.zeros((x.shape[0], weight.shape[0], *sizes))
    per_group, inputs = weight.shape[0] // group, weight.shape[1]
    for at in np.ndindex(*sizes):
        window = padded[
            (
                slice(None),
                slice(None),
                *[
                    slice(i * stride, i * stride + span, dilation)
                    for i, stride, span, dilation in zip(at, strides, spans, dilations)
                ],
            )
        ]
        for channel in range(weight.shape[0]):
            begin = channel // per_group * inputs
            out[(slice(None), channel, *at)] = (
                (window[:, begin : begin + inputs] * weight[channel]).reshape(x.shape[0], -1).sum(axis=1)
            )
    return out if bias is None else out + bias.reshape(-1, *[1] * dims)


def first_weight(g, at=0):
    return numpy_helper.to_array(g.initializers[at])


for variant, (shape, attributes) in CONVOLUTIONS.items():
    case(
        "Conv",
        variant,
        lambda g, shape=shape, attributes=attributes: g.op("Conv", g.x, g.weights(*shape), **attributes),
        expect=lambda x, g, attributes=attributes: convolve(x, first_weight(g), **attributes).astype(np.float32),
        at="all" if variant == "plain" else "last",
    )
case("Conv", "bias", lambda g: g.op("Conv", g.x, g.weights(4, 3, 3, 3), g.weights(4), kernel_shape=[3, 3]), at="all")
case(
    "Conv",
    "batch",
    lambda g: g.op("Conv", g.x, g.weights(4, 3, 3, 3), g.weights(4), kernel_shape=[3, 3]),
    x=(2, 3, 6, 7),
    at="last",
)
case(
    "Conv",
    "group",
    lambda g: g.op("Conv", g.x, g.weights(6, 2, 3, 3), kernel_shape=[3, 3], group=2),
    x=(1, 4, 6, 7),
    at="last",
    expect=lambda x, g: convolve(x, first_weight(g), group=2).astype(np.float32),
)
case(
    "Conv",
    "one-dimension",
    lambda g: g.op("Conv", g.x, g.weights(4, 3, 3), g.weights(4), kernel_shape=[3], strides=[2], pads=[1, 0]),
    x=(1, 3, 9),
    at="last",
)
case(
    "Conv",
    "one-dimension-same-lower",
    lambda g: g.op("Conv", g.x, g.weights(4, 3, 2), auto_pad="SAME_LOWER", kernel_shape=[2]),
    x=(1, 3, 9),
    at="last",
    expect=lambda x, g: convolve(x, first_weight(g), auto_pad="SAME_LOWER").astype(np.float32),
)
case(
    "Conv",
    "three-dimensions",
    lambda g: g.op("Conv", g.x, g.weights(2, 2, 2, 3, 2), kernel_shape=[2, 3, 2], pads=[0, 1, 0, 1, 0, 0]),
    x=(1, 2, 4, 5, 4),
    at="last",
)
case(
    "Conv",
    "weights-computed",
    lambda g: g.op(
        "Conv", g.x, g.op("Mul", g.weights(4, 3, 3, 3), g.op("ReduceMax", g.x, keepdims=1)), pads=[1, 1, 1, 1]
    ),
    at="last",
    expect=lambda x, g: convolve(x, first_weight(g) * x.max(), pads=[1, 1, 1, 1]).astype(np.float32),
)
case(
    "Conv",
    "weights-dequantized",
    lambda g: g.op(
        "Conv",
        g.x,
        g.op(
            "DequantizeLinear",
            g.const(g.random.integers(-9, 9, (4, 3, 3, 3)), np.int8),
            np.float32(0.1),
            g.const(0, np.int8),
        ),
    ),
    at="last",
)
case(
    "Conv",
    "weights-constant",
    lambda g: g.op(
        "Conv",
        g.x,
        g.op("Constant", value=numpy_helper.from_array(g.random.standard_normal((4, 3, 3, 3)).astype(np.float32))),
    ),
    at="last",
)
case(
    "Conv",
    "f16",
    lambda g: g.op(
        "Conv", g.cast(g.x, F16), g.const(g.random.standard_normal((4, 3, 3, 3)), np.float16), kernel_shape=[3, 3]
    ),
    at="last",
    tolerance=4e-3,
)
TRANSPOSED = {
    "plain": ((3, 4, 3, 3), {"kernel_shape": [3, 3]}),
    "no-kernel-shape": ((3, 4, 3, 3), {}),
    "no-kernel-shape-strides": ((3, 4, 3, 2), {"strides": [2, 3], "pads": [1, 0, 0, 1]}),
    "strides": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [2, 3]}),
    "pads": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 2, 1]}),
    "output-padding": (
        (3, 4, 3, 3),
        {"kernel_shape": [3, 3], "strides": [3, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    "output-shape": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [3, 2], "output_shape": [19, 15]}),
    "group": ((3, 2, 3, 3), {"kernel_shape": [3, 3], "group": 3}),
    "dilations": ((3, 4, 2, 2), {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    "same-upper": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same-lower": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "valid": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "VALID"}),
}


def transpose_convolve(
    x,
    weight,
    kernel_shape=None,
    strides=(1, 1),
    pads=None,
    dilations=(1, 1),
    group=1,
    auto_pad="NOTSET",
    output_padding=(0, 0),
    output_shape=None,
):
    """ConvTranspose as the text of its definition says: every input value adds its filter to the output."""
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(weight.shape[2:], dilations)]
    whole = [
        stride * (size - 1) + extra + span
        for stride, size, extra, span in zip(strides, x.shape[2:], output_padding, spans)
    ]
    if output_shape is None and auto_pad.startswith("SAME"):
        output_shape = [size * stride for size, stride in zip(x.shape[2:], strides)]
    if output_shape:
        # The text: for SAME_UPPER the larger half at the end, and at the beginning for everything else.
        total = [full - size for full, size in zip(whole, output_shape)]
        begins = [size // 2 if auto_pad == "SAME_UPPER" else size - size // 2 for size in total]
        ends = [size - begin for size, begin in zip(total, begins)]
    else:
        begins, ends = (pads[:2], pads[2:]) if pads else ([0, 0], [0, 0])
    outputs, inputs = weight.shape[1], x.shape[1] // group
    full = np.zeros((x.shape[0], outputs * group, *[max(size, 1) for size in whole]))
    for channel in range(x.shape[1]):
        to = channel // inputs * outputs
        for i, j in np.ndindex(*x.shape[2:]):
            rows = slice(i * strides[0], i * strides[0] + spans[0], dilations[0])
            columns = slice(j * strides[1], j * strides[1] + spans[1], dilations[1])
            full[:, to : to + outputs, rows, columns] += x[:, channel, i, j][:, None, None, None] * weight[
                channel
            ].astype(np.float64)
    rows, columns = (slice(max(begin, 0), size - max(end, 0)) for begin, end, size in zip(begins, ends, whole))
    cut = full[:, :, rows, columns]
    return np.pad(cut, [(0, 0), (0, 0), *[(max(-begin, 0), max(-end, 0)) for begin, end in zip(begins, ends)]]).astype(
        np.float32
    )


for variant, (shape, attributes) in TRANSPOSED.items():
    case(
        "ConvTranspose",
        variant,
        lambda g, shape=shape, attributes=attributes: g.op("ConvTranspose", g.x, g.weights(*shape), **attributes),
        expect=lambda x, g, attributes=attributes: transpose_convolve(x, first_weight(g), **attributes),
        at="all" if variant == "plain" else "last",
    )
case(
    "ConvTranspose",
    "bias",
    lambda g: g.op("ConvTranspose", g.x, g.weights(3, 4, 3, 3), g.weights(4), kernel_shape=[3, 3]),
    at="last",
)
case(
    "ConvTranspose",
    "one-dimension",
    lambda g: g.op("ConvTranspose", g.x, g.weights(3, 4, 3), strides=[2], kernel_shape=[3]),
    x=(1, 3, 9),
    at="last",
)
for variant, zero, weight_zero, attributes in [
    ("plain", None, None, {"kernel_shape": [3, 3]}),
    ("zero-point", 7, None, {"kernel_shape": [3, 3]}),
    ("no-kernel-shape", 7, None, {}),
    ("weight-zero-point", 7, [3], {"kernel_shape": [3, 3]}),
    ("pads", None, None, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("pads-zero-point", 7, None, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("pads-none", 7, None, {"kernel_shape": [3, 3], "pads": [0, 0, 0, 0]}),
    ("same-upper", 7, None, {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}),
    ("weight-zero-points", 7, [3, 4, 5, 6], {"kernel_shape": [3, 3]}),
    ("strides", 7, None, {"kernel_shape": [3, 3], "strides": [2, 2]}),
    ("same-lower", 7, None, {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("small", None, None, {"kernel_shape": [3, 3]}),
    ("small-zero-point", 200, None, {"kernel_shape": [3, 3]}),
    ("small-no-kernel-shape", 7, None, {"strides": [2, 1]}),
    ("small-weight-zero-point", 7, [64], {"kernel_shape": [3, 3]}),
    ("signed", 7, None, {"kernel_shape": [3, 3]}),
    ("signed-zero-point", 7, [-9], {"kernel_shape": [3, 3]}),
    ("small-grouped", 7, None, {"kernel_shape": [3, 3], "group": 3}),
]:

    def conv_integer(g, zero=zero, weight_zero=weight_zero, attributes=attributes, variant=variant):
        least, most, kind = (
            (-64, 64, np.int8) if "signed" in variant else (0, 128 if "small" in variant else 256, np.uint8)
        )
        group = attributes.get("group", 1)
        weight = g.const(
            g.random.integers(
                least, most, (3 if group > 1 else 4, 3 // group, *attributes.get("kernel_shape", [3, 3]))
            ),
            kind,
        )
        zeros = [] if zero is None else [g.const(zero, np.uint8)]
        if weight_zero:
            zeros.append(g.const(weight_zero if len(weight_zero) > 1 else weight_zero[0], kind))
        return g.op("ConvInteger", g.cast(g.x, U8), weight, *zeros, **attributes)

    def conv_integers(x, g, zero=zero, weight_zero=weight_zero, attributes=attributes):
        weight = first_weight(g).astype(np.int64) - np.asarray(weight_zero or [0]).reshape(-1, 1, 1, 1)
        return convolve(x.astype(np.int64) - (zero or 0), weight, **attributes).astype(np.int32)

    case("ConvInteger", variant, conv_integer, x=BYTES, expect=conv_integers)
case(
    "DeformConv",
    "plain",
    lambda g: g.op(
        "DeformConv",
        g.x,
        g.weights(4, 3, 2, 2),
        g.const(g.random.standard_normal((1, 8, 5, 6)) * 0.3),
        kernel_shape=[2, 2],
        pads=[0, 0, 0, 0],
    ),
)

# ---- pools -----------------------------------------------------------------------------------------------------------

POOLS = {
    "plain": {"kernel_shape": [2, 2]},
    "strides": {"kernel_shape": [3, 2], "strides": [2, 3]},
    "pads": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    "pads-asymmetric": {"kernel_shape": [3, 2], "strides": [1, 2], "pads": [0, 1, 2, 0]},
    "ceil": {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    "ceil-pads": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    "ceil-pads-beyond": {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    "ceil-exact": {"kernel_shape": [2, 2], "strides": [2, 1], "ceil_mode": 1},
    "dilations": {"kernel_shape": [2, 2], "dilations": [2, 2]},
    "dilations-ceil": {"kernel_shape": [2, 2], "dilations": [2, 3], "strides": [2, 2], "ceil_mode": 1},
    "same-upper": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "same-upper-even": {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"},
    "same-lower": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    "same-lower-even": {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"},
    "valid": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "VALID"},
    "all": {"kernel_shape": [6, 7]},
}


def pool(
    x,
    kind,
    p=2,
    kernel_shape=(),
    strides=None,
    pads=None,
    dilations=None,
    ceil_mode=0,
    auto_pad="NOTSET",
    count_include_pad=0,
):
    """Pools as the text of their definitions says. A window never begins in the padding at the end; padding counts where
    `count_include_pad` says so, and what ceil_mode lets a window reach beyond the padding never does."""
    dims = x.ndim - 2
    strides, dilations, pads = strides or [1] * dims, dilations or [1] * dims, pads or [0] * 2 * dims
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(kernel_shape, dilations)]
    if auto_pad.startswith("SAME"):
        total = [
            max((-(-size // stride) - 1) * stride + span - size, 0)
            for size, stride, span in zip(x.shape[2:], strides, spans)
        ]
        half = [size // 2 if auto_pad == "SAME_UPPER" else size - size // 2 for size in total]
        pads = half + [whole - begin for whole, begin in zip(total, half)]
    sizes = []
    for size, span, stride, begin, end in zip(x.shape[2:], spans, strides, pads[:dims], pads[dims:]):
        room = size + begin + end - span
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        sizes.append(count - 1 if ceil_mode and (count - 1) * stride >= size + begin else count)
    out = np.zeros((*x.shape[:2], *sizes))
    for at in np.ndindex(*sizes):
        inside, counted = [], 1
        for i, stride, dilation, kernel, begin, end, size in zip(
            at, strides, dilations, kernel_shape, pads[:dims], pads[dims:], x.shape[2:]
        ):
            places = [i * stride - begin + k * dilation for k in range(kernel)]
            inside.append([place for place in places if 0 <= place < size])
            counted *= len([place for place in places if place < size + end])
        window = x[np.ix_(range(x.shape[0]), range(x.shape[1]), *inside)].astype(np.float64).reshape(*x.shape[:2], -1)
        if kind == "MaxPool":
            value = window.max(axis=2)
        elif kind == "LpPool":
            value = (np.abs(window) ** p).sum(axis=2) ** (1 / p)
        else:
            value = window.sum(axis=2) / (counted if count_include_pad else window.shape[2])
        out[(slice(None), slice(None), *at)] = value
    return out.astype(np.float32)


for name in ["AveragePool", "MaxPool", "LpPool"]:
    for variant, attributes in POOLS.items():
        since = {"AveragePool": 10, "MaxPool": 10, "LpPool": 18}[name] if "ceil_mode" in attributes else 7
        if "dilations" in attributes:
            since = max(since, {"AveragePool": 19, "MaxPool": 10, "LpPool": 18}[name])
        case(
            name,
            variant,
            lambda g, name=name, attributes=attributes: g.op(name, g.x, **attributes),
            since=since,
            expect=lambda x, g, name=name, attributes=attributes: pool(x, name, **attributes),
            at="all" if variant in ("plain", "ceil-pads") else "last",
        )
        if name == "AveragePool" and variant in (
            "pads",
            "pads-asymmetric",
            "ceil",
            "ceil-pads",
            "ceil-pads-beyond",
            "same-upper",
            "same-lower-even",
            "dilations",
        ):
            case(
                name,
                f"{variant}-counted",
                lambda g, attributes=attributes: g.op("AveragePool", g.x, count_include_pad=1, **attributes),
                since=since,
                expect=lambda x, g, attributes=attributes: pool(x, "AveragePool", count_include_pad=1, **attributes),
                at="all" if variant == "ceil-pads" else "last",
            )
    case(
        name,
        "one-dimension",
        lambda g, name=name: g.op(name, g.x, kernel_shape=[3], strides=[2], pads=[1, 0]),
        x=(1, 3, 9),
        at="last",
        expect=lambda x, g, name=name: pool(x, name, kernel_shape=[3], strides=[2], pads=[1, 0]),
    )
    case(
        name,
        "three-dimensions",
        lambda g, name=name: g.op(name, g.x, kernel_shape=[2, 2, 3]),
        x=(1, 2, 4, 5, 4),
        at="last",
        expect=lambda x, g, name=name: pool(x, name, kernel_shape=[2, 2, 3]),
    )
case(
    "LpPool",
    "p1",
    lambda g: g.op("LpPool", g.x, kernel_shape=[2, 2], p=1),
    at="last",
    expect=lambda x, g: pool(x, "LpPool", p=1, kernel_shape=[2, 2]),
)
case(
    "MaxPool",
    "indices",
    lambda g: g.op("MaxPool", g.x, outputs=2, keep=1, kernel_shape=[2, 2], strides=[2, 2]),
    since=8,
)
case(
    "MaxPool",
    "special",
    lambda g: g.op("MaxPool", g.x, kernel_shape=[1, 2]),
    x=lambda _: np.array([1, -np.inf, -np.inf, 2, np.inf, 0, -0.0], dtype=np.float32).reshape(1, 1, 1, 7),
    at="last",
)
case("MaxPool", "u8", lambda g: g.op("MaxPool", g.cast(g.x, U8), kernel_shape=[2, 2]), x=BYTES, since=12)
for name in ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"]:
    case(
        name,
        "plain",
        lambda g, name=name: g.op(name, g.x),
        at="all",
        expect=(lambda x, g: np.sqrt((x.astype(np.float64) ** 2).sum(axis=(2, 3), keepdims=True)).astype(np.float32))
        if name == "GlobalLpPool"
        else None,
    )
    case(
        name,
        "one-dimension",
        lambda g, name=name: g.op(name, g.x),
        x=(1, 3, 9),
        at="last",
        expect={
            "GlobalLpPool": lambda x, g: np.sqrt((x.astype(np.float64) ** 2).sum(axis=2, keepdims=True)).astype(
                np.float32
            ),
            # The evaluator takes every input for one with two dimensions.
            "GlobalMaxPool": lambda x, g: x.max(axis=2, keepdims=True),
        }.get(name),
    )
case(
    "MaxRoiPool",
    "plain",
    lambda g: g.op("MaxRoiPool", g.x, g.const([[0, 0, 0, 6, 5], [0, 2, 2, 5, 5]]), pooled_shape=[2, 2]),
    at="last",
    expect=lambda x, g: max_roi(x),
)


def max_roi(x):
    out = []
    for _, x1, y1, x2, y2 in [[0, 0, 0, 6, 5], [0, 2, 2, 5, 5]]:
        height, width = (y2 - y1 + 1) / 2, (x2 - x1 + 1) / 2
        bins = [
            [
                x[
                    0,
                    :,
                    int(y1 + np.floor(i * height)) : int(y1 + np.ceil((i + 1) * height)),
                    int(x1 + np.floor(j * width)) : int(x1 + np.ceil((j + 1) * width)),
                ].max(axis=(1, 2))
                for j in range(2)
            ]
            for i in range(2)
        ]
        out.append(np.array(bins).transpose(2, 0, 1))
    return np.stack(out).astype(np.float32)


REGIONS = [[0, 0, 5, 4], [1, 1, 4, 3]]
case(
    "RoiAlign",
    "output-half-pixel",
    lambda g: g.op(
        "RoiAlign",
        g.x,
        g.const(REGIONS),
        g.ints(0, 0),
        output_height=2,
        output_width=2,
        sampling_ratio=2,
        # Before opset 16 there was no other way.
        coordinate_transformation_mode="output_half_pixel" if g.opset >= 16 else None,
    ),
    reference=16,
    at="all",
)
case(
    "RoiAlign",
    "half-pixel",
    lambda g: g.op("RoiAlign", g.x, g.const(REGIONS), g.ints(0, 0), output_height=2, output_width=2, sampling_ratio=2),
    since=16,
    at="all",
)
case(
    "MaxUnpool",
    "plain",
    lambda g: g.op(
        "MaxUnpool",
        g.x,
        g.const(np.array([0, 3, 9, 14]).reshape(1, 1, 2, 2), np.int64),
        kernel_shape=[2, 2],
        strides=[2, 2],
    ),
    x=(1, 1, 2, 2),
)
