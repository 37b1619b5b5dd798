"""The cases of operators.py: convolutions, pools, resizing, normalization, quantization."""

import numpy as np
from onnx import TensorProto, numpy_helper
from operator_cases import BYTES, F16, F32, F64, I8, I32, I64, POSITIVE, SPECIAL, TIES, U8, WHOLE
from operators import case, values

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
    "depthwise-multiplied": ((6, 1, 3, 3), {"kernel_shape": [3, 3], "group": 3, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "depthwise-dilated": ((3, 1, 2, 2), {"kernel_shape": [2, 2], "group": 3, "dilations": [2, 3], "pads": [2, 1, 0, 1]}),
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


def convolve(x, weight, bias=None, kernel_shape=None, strides=None, pads=None, dilations=None, group=1, auto_pad="NOTSET"):
    """Conv as the text of its definition says, for any number of spatial dimensions, in float64."""
    dims = x.ndim - 2
    strides, dilations, pads = strides or [1] * dims, dilations or [1] * dims, pads or [0] * 2 * dims
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(weight.shape[2:], dilations)]
    if auto_pad == "VALID":
        pads = [0] * 2 * dims
    if auto_pad.startswith("SAME"):
        total = [max((-(-size // stride) - 1) * stride + span - size, 0) for size, stride, span in zip(x.shape[2:], strides, spans)]
        half = [size // 2 if auto_pad == "SAME_UPPER" else size - size // 2 for size in total]
        pads = half + [all_of_it - begin for all_of_it, begin in zip(total, half)]
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *zip(pads[:dims], pads[dims:])])
    sizes = [(size - span) // stride + 1 for size, span, stride in zip(padded.shape[2:], spans, strides)]
    out = np.zeros((x.shape[0], weight.shape[0], *sizes))
    per_group, inputs = weight.shape[0] // group, weight.shape[1]
    for at in np.ndindex(*sizes):
        window = padded[(slice(None), slice(None), *[slice(i * stride, i * stride + span, dilation) for i, stride, span, dilation in zip(at, strides, spans, dilations)])]
        for channel in range(weight.shape[0]):
            begin = channel // per_group * inputs
            out[(slice(None), channel, *at)] = (window[:, begin:begin + inputs] * weight[channel]).reshape(x.shape[0], -1).sum(axis=1)
    return out if bias is None else out + bias.reshape(-1, *[1] * dims)


def first_weight(g, at=0):
    return numpy_helper.to_array(g.initializers[at])


for variant, (shape, attributes) in CONVOLUTIONS.items():
    case("Conv", variant, lambda g, shape=shape, attributes=attributes: g.op("Conv", g.x, g.weights(*shape), **attributes),
         expect=lambda x, g, attributes=attributes: convolve(x, first_weight(g), **attributes).astype(np.float32),
         at="all" if variant == "plain" else "last")
case("Conv", "bias", lambda g: g.op("Conv", g.x, g.weights(4, 3, 3, 3), g.weights(4), kernel_shape=[3, 3]), at="all")
case("Conv", "batch", lambda g: g.op("Conv", g.x, g.weights(4, 3, 3, 3), g.weights(4), kernel_shape=[3, 3]), x=(2, 3, 6, 7), at="last")
case("Conv", "group", lambda g: g.op("Conv", g.x, g.weights(6, 2, 3, 3), kernel_shape=[3, 3], group=2), x=(1, 4, 6, 7), at="last",
     expect=lambda x, g: convolve(x, first_weight(g), group=2).astype(np.float32))
case("Conv", "one-dimension", lambda g: g.op("Conv", g.x, g.weights(4, 3, 3), g.weights(4), kernel_shape=[3], strides=[2], pads=[1, 0]), x=(1, 3, 9), at="last")
case("Conv", "one-dimension-same-lower", lambda g: g.op("Conv", g.x, g.weights(4, 3, 2), auto_pad="SAME_LOWER", kernel_shape=[2]), x=(1, 3, 9), at="last",
     expect=lambda x, g: convolve(x, first_weight(g), auto_pad="SAME_LOWER").astype(np.float32))
case("Conv", "three-dimensions", lambda g: g.op("Conv", g.x, g.weights(2, 2, 2, 3, 2), kernel_shape=[2, 3, 2], pads=[0, 1, 0, 1, 0, 0]), x=(1, 2, 4, 5, 4), at="last")
case("Conv", "weights-computed", lambda g: g.op("Conv", g.x, g.op("Mul", g.weights(4, 3, 3, 3), g.op("ReduceMax", g.x, keepdims=1)), pads=[1, 1, 1, 1]), at="last",
     expect=lambda x, g: convolve(x, first_weight(g) * x.max(), pads=[1, 1, 1, 1]).astype(np.float32))
case("Conv", "weights-dequantized", lambda g: g.op("Conv", g.x, g.op("DequantizeLinear", g.const(g.random.integers(-9, 9, (4, 3, 3, 3)), np.int8), np.float32(0.1),
     g.const(0, np.int8))), at="last")
case("Conv", "weights-constant", lambda g: g.op("Conv", g.x, g.op("Constant", value=numpy_helper.from_array(g.random.standard_normal((4, 3, 3, 3)).astype(np.float32)))), at="last")
case("Conv", "f16", lambda g: g.op("Conv", g.cast(g.x, F16), g.const(g.random.standard_normal((4, 3, 3, 3)), np.float16), kernel_shape=[3, 3]), at="last", tolerance=4e-3)
TRANSPOSED = {
    "plain": ((3, 4, 3, 3), {"kernel_shape": [3, 3]}),
    "no-kernel-shape": ((3, 4, 3, 3), {}),
    "no-kernel-shape-strides": ((3, 4, 3, 2), {"strides": [2, 3], "pads": [1, 0, 0, 1]}),
    "strides": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [2, 3]}),
    "pads": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 2, 1]}),
    "output-padding": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [3, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    "output-shape": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [3, 2], "output_shape": [19, 15]}),
    "group": ((3, 2, 3, 3), {"kernel_shape": [3, 3], "group": 3}),
    "dilations": ((3, 4, 2, 2), {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    "same-upper": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same-lower": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "valid": ((3, 4, 3, 3), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "VALID"}),
}


def transpose_convolve(x, weight, kernel_shape=None, strides=(1, 1), pads=None, dilations=(1, 1), group=1, auto_pad="NOTSET", output_padding=(0, 0), output_shape=None):
    """ConvTranspose as the text of its definition says: every input value adds its filter to the output."""
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(weight.shape[2:], dilations)]
    whole = [stride * (size - 1) + extra + span for stride, size, extra, span in zip(strides, x.shape[2:], output_padding, spans)]
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
            full[:, to:to + outputs, rows, columns] += x[:, channel, i, j][:, None, None, None] * weight[channel].astype(np.float64)
    rows, columns = (slice(max(begin, 0), size - max(end, 0)) for begin, end, size in zip(begins, ends, whole))
    cut = full[:, :, rows, columns]
    return np.pad(cut, [(0, 0), (0, 0), *[(max(-begin, 0), max(-end, 0)) for begin, end in zip(begins, ends)]]).astype(np.float32)


for variant, (shape, attributes) in TRANSPOSED.items():
    case("ConvTranspose", variant, lambda g, shape=shape, attributes=attributes: g.op("ConvTranspose", g.x, g.weights(*shape), **attributes),
         expect=lambda x, g, attributes=attributes: transpose_convolve(x, first_weight(g), **attributes), at="all" if variant == "plain" else "last")
case("ConvTranspose", "bias", lambda g: g.op("ConvTranspose", g.x, g.weights(3, 4, 3, 3), g.weights(4), kernel_shape=[3, 3]), at="last")
case("ConvTranspose", "one-dimension", lambda g: g.op("ConvTranspose", g.x, g.weights(3, 4, 3), strides=[2], kernel_shape=[3]), x=(1, 3, 9), at="last")
for variant, zero, weight_zero, attributes in [
    ("plain", None, None, {"kernel_shape": [3, 3]}), ("zero-point", 7, None, {"kernel_shape": [3, 3]}), ("no-kernel-shape", 7, None, {}),
    ("weight-zero-point", 7, [3], {"kernel_shape": [3, 3]}), ("pads", None, None, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("pads-zero-point", 7, None, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}), ("pads-none", 7, None, {"kernel_shape": [3, 3], "pads": [0, 0, 0, 0]}),
    ("same-upper", 7, None, {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}), ("weight-zero-points", 7, [3, 4, 5, 6], {"kernel_shape": [3, 3]}),
    ("strides", 7, None, {"kernel_shape": [3, 3], "strides": [2, 2]}), ("same-lower", 7, None, {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("small", None, None, {"kernel_shape": [3, 3]}), ("small-zero-point", 200, None, {"kernel_shape": [3, 3]}), ("small-no-kernel-shape", 7, None, {"strides": [2, 1]}),
    ("small-weight-zero-point", 7, [64], {"kernel_shape": [3, 3]}), ("signed", 7, None, {"kernel_shape": [3, 3]}), ("signed-zero-point", 7, [-9], {"kernel_shape": [3, 3]}),
    ("small-grouped", 7, None, {"kernel_shape": [3, 3], "group": 3}),
]:
    def conv_integer(g, zero=zero, weight_zero=weight_zero, attributes=attributes, variant=variant):
        least, most, kind = (-64, 64, np.int8) if "signed" in variant else (0, 128 if "small" in variant else 256, np.uint8)
        group = attributes.get("group", 1)
        weight = g.const(g.random.integers(least, most, (3 if group > 1 else 4, 3 // group, *attributes.get("kernel_shape", [3, 3]))), kind)
        zeros = [] if zero is None else [g.const(zero, np.uint8)]
        if weight_zero:
            zeros.append(g.const(weight_zero if len(weight_zero) > 1 else weight_zero[0], kind))
        return g.op("ConvInteger", g.cast(g.x, U8), weight, *zeros, **attributes)

    def conv_integers(x, g, zero=zero, weight_zero=weight_zero, attributes=attributes):
        weight = first_weight(g).astype(np.int64) - np.asarray(weight_zero or [0]).reshape(-1, 1, 1, 1)
        return convolve(x.astype(np.int64) - (zero or 0), weight, **attributes).astype(np.int32)
    case("ConvInteger", variant, conv_integer, x=BYTES, expect=conv_integers)
case("DeformConv", "plain", lambda g: g.op("DeformConv", g.x, g.weights(4, 3, 2, 2), g.const(g.random.standard_normal((1, 8, 5, 6)) * .3), kernel_shape=[2, 2], pads=[0, 0, 0, 0]))

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


def pool(x, kind, p=2, kernel_shape=(), strides=None, pads=None, dilations=None, ceil_mode=0, auto_pad="NOTSET", count_include_pad=0):
    """Pools as the text of their definitions says. A window never begins in the padding at the end; padding counts where
    `count_include_pad` says so, and what ceil_mode lets a window reach beyond the padding never does."""
    dims = x.ndim - 2
    strides, dilations, pads = strides or [1] * dims, dilations or [1] * dims, pads or [0] * 2 * dims
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(kernel_shape, dilations)]
    if auto_pad.startswith("SAME"):
        total = [max((-(-size // stride) - 1) * stride + span - size, 0) for size, stride, span in zip(x.shape[2:], strides, spans)]
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
        for i, stride, dilation, kernel, begin, end, size in zip(at, strides, dilations, kernel_shape, pads[:dims], pads[dims:], x.shape[2:]):
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
        case(name, variant, lambda g, name=name, attributes=attributes: g.op(name, g.x, **attributes), since=since,
             expect=lambda x, g, name=name, attributes=attributes: pool(x, name, **attributes),
             at="all" if variant in ("plain", "ceil-pads") else "last")
        if name == "AveragePool" and variant in ("pads", "pads-asymmetric", "ceil", "ceil-pads", "ceil-pads-beyond", "same-upper", "same-lower-even", "dilations"):
            case(name, f"{variant}-counted", lambda g, attributes=attributes: g.op("AveragePool", g.x, count_include_pad=1, **attributes), since=since,
                 expect=lambda x, g, attributes=attributes: pool(x, "AveragePool", count_include_pad=1, **attributes),
                 at="all" if variant == "ceil-pads" else "last")
    case(name, "one-dimension", lambda g, name=name: g.op(name, g.x, kernel_shape=[3], strides=[2], pads=[1, 0]), x=(1, 3, 9), at="last",
         expect=lambda x, g, name=name: pool(x, name, kernel_shape=[3], strides=[2], pads=[1, 0]))
    case(name, "three-dimensions", lambda g, name=name: g.op(name, g.x, kernel_shape=[2, 2, 3]), x=(1, 2, 4, 5, 4), at="last",
         expect=lambda x, g, name=name: pool(x, name, kernel_shape=[2, 2, 3]))
case("LpPool", "p1", lambda g: g.op("LpPool", g.x, kernel_shape=[2, 2], p=1), at="last", expect=lambda x, g: pool(x, "LpPool", p=1, kernel_shape=[2, 2]))
case("MaxPool", "indices", lambda g: g.op("MaxPool", g.x, outputs=2, keep=1, kernel_shape=[2, 2], strides=[2, 2]), since=8)
case("MaxPool", "special", lambda g: g.op("MaxPool", g.x, kernel_shape=[1, 2]), x=lambda _: np.array([1, -np.inf, -np.inf, 2, np.inf, 0, -0.0], dtype=np.float32).reshape(1, 1, 1, 7), at="last")
case("MaxPool", "u8", lambda g: g.op("MaxPool", g.cast(g.x, U8), kernel_shape=[2, 2]), x=BYTES, since=12)
for name in ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"]:
    case(name, "plain", lambda g, name=name: g.op(name, g.x), at="all",
         expect=(lambda x, g: np.sqrt((x.astype(np.float64) ** 2).sum(axis=(2, 3), keepdims=True)).astype(np.float32)) if name == "GlobalLpPool" else None)
    case(name, "one-dimension", lambda g, name=name: g.op(name, g.x), x=(1, 3, 9), at="last",
         expect={"GlobalLpPool": lambda x, g: np.sqrt((x.astype(np.float64) ** 2).sum(axis=2, keepdims=True)).astype(np.float32),
                 # The evaluator takes every input for one with two dimensions.
                 "GlobalMaxPool": lambda x, g: x.max(axis=2, keepdims=True)}.get(name))
case("MaxRoiPool", "plain", lambda g: g.op("MaxRoiPool", g.x, g.const([[0, 0, 0, 6, 5], [0, 2, 2, 5, 5]]), pooled_shape=[2, 2]), at="last",
     expect=lambda x, g: max_roi(x))


def max_roi(x):
    out = []
    for _, x1, y1, x2, y2 in [[0, 0, 0, 6, 5], [0, 2, 2, 5, 5]]:
        height, width = (y2 - y1 + 1) / 2, (x2 - x1 + 1) / 2
        bins = [[x[0, :, int(y1 + np.floor(i * height)):int(y1 + np.ceil((i + 1) * height)), int(x1 + np.floor(j * width)):int(x1 + np.ceil((j + 1) * width))]
                 .max(axis=(1, 2)) for j in range(2)] for i in range(2)]
        out.append(np.array(bins).transpose(2, 0, 1))
    return np.stack(out).astype(np.float32)


REGIONS = [[0, 0, 5, 4], [1, 1, 4, 3]]
case("RoiAlign", "output-half-pixel", lambda g: g.op("RoiAlign", g.x, g.const(REGIONS), g.ints(0, 0), output_height=2, output_width=2, sampling_ratio=2,
     # Before opset 16 there was no other way.
     coordinate_transformation_mode="output_half_pixel" if g.opset >= 16 else None), reference=16, at="all")
case("RoiAlign", "half-pixel", lambda g: g.op("RoiAlign", g.x, g.const(REGIONS), g.ints(0, 0), output_height=2, output_width=2, sampling_ratio=2), since=16, at="all")
case("MaxUnpool", "plain", lambda g: g.op("MaxUnpool", g.x, g.const(np.array([0, 3, 9, 14]).reshape(1, 1, 2, 2), np.int64), kernel_shape=[2, 2], strides=[2, 2]), x=(1, 1, 2, 2))

# ---- resizing ---------------------------------------------------------------------------------------------------------


def resize(g, scales=None, sizes=None, x=None, roi="", **attributes):
    if g.opset == 10:
        return g.op("Resize", x or g.x, g.const(scales), **attributes)
    roi = roi if roi or g.opset >= 13 else g.const([])
    inputs = [g.const(scales)] if sizes is None else ["" if g.opset >= 13 else g.const([]), g.ints(*sizes)]
    return g.op("Resize", x or g.x, roi, *inputs, **attributes)


UP, DOWN = [1, 1, 2, 2], [1, 1, 0.6, 0.6]
for mode in ["nearest", "linear", "cubic"]:
    for variant, to in {"double": {"scales": UP}, "triple": {"scales": [1, 1, 3, 3]}, "at-0.6": {"scales": DOWN}, "half": {"scales": [1, 1, 0.5, 0.5]},
                        "odd": {"scales": [1, 1, 1.7, 0.8]}, "to-sizes": {"sizes": [1, 3, 9, 5]}, "to-one": {"sizes": [1, 3, 1, 1]}}.items():
        for coordinates in ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]:
            since = 19 if coordinates == "half_pixel_symmetric" else 11
            if coordinates == "half_pixel_symmetric" and (mode, variant) not in (("linear", "at-0.6"), ("nearest", "to-sizes"), ("cubic", "at-0.6")):
                continue
            if mode == "cubic" and variant not in ("double", "at-0.6", "to-sizes"):
                continue
            plain = variant == "double" and coordinates in ("half_pixel", "asymmetric")
            case("Resize", f"{mode}-{variant}-{coordinates}", lambda g, mode=mode, to=to, coordinates=coordinates: resize(
                g, mode=mode, coordinate_transformation_mode=coordinates, **to), since=since, at="all" if plain else "last")
for rounding in ["floor", "ceil", "round_prefer_ceil", "round_prefer_floor"]:
    for coordinates in ["half_pixel", "asymmetric", "align_corners"]:
        for variant, to in {"double": {"scales": UP}, "half": {"scales": [1, 1, 0.5, 0.5]}, "at-0.6": {"scales": DOWN}, "to-sizes": {"sizes": [1, 3, 4, 10]}}.items():
            case("Resize", f"nearest-{rounding}-{variant}-{coordinates}", lambda g, rounding=rounding, to=to, coordinates=coordinates: resize(
                g, mode="nearest", nearest_mode=rounding, coordinate_transformation_mode=coordinates, **to), since=11, at="last")
for scale in [0.1, 0.3, 0.35, 0.7, 0.9, 1.1, 1.2, 1.4, 1.9, 2.3]:
    for rounding, coordinates in [("floor", "asymmetric"), ("round_prefer_floor", "half_pixel")]:
        case("Resize", f"nearest-{rounding}-{scale}-{coordinates}", lambda g, scale=scale, rounding=rounding, coordinates=coordinates: resize(
            g, [1, 1, scale, scale], mode="nearest", nearest_mode=rounding, coordinate_transformation_mode=coordinates), x=(1, 1, 22, 23), since=11, at="last")
case("Resize", "old-nearest", lambda g: resize(g, UP, mode="nearest"), since=10, until=10, expect=lambda x, g: x.repeat(2, 2).repeat(2, 3))
case("Resize", "default", lambda g: resize(g, UP), since=11, at="all")
case("Resize", "cubic-coefficient", lambda g: resize(g, UP, mode="cubic", cubic_coeff_a=-0.5), since=11, at="last")
case("Resize", "cubic-exclude-outside", lambda g: resize(g, UP, mode="cubic", exclude_outside=1), since=11, at="last")
for mode in ["linear", "cubic"]:
    case("Resize", f"antialias-{mode}", lambda g, mode=mode: resize(g, [1, 1, 0.5, 0.5], mode=mode, antialias=1), since=18)
    case("Resize", f"antialias-{mode}-to-sizes", lambda g, mode=mode: resize(g, sizes=[1, 3, 4, 3], mode=mode, antialias=1), since=18)
case("Resize", "axes", lambda g: resize(g, [2.0, 1.5], mode="linear", axes=[2, 3]), since=18)
case("Resize", "keep-aspect", lambda g: resize(g, sizes=[12, 12], mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_larger"), since=18)
case("Resize", "crop", lambda g: resize(g, sizes=[1, 3, 4, 4], roi=g.const([0, 0, .2, .3, 1, 1, .9, .8]), mode="linear", coordinate_transformation_mode="tf_crop_and_resize"), since=11, at="last")
case("Resize", "channels", lambda g: resize(g, [1, 2, 1, 1], mode="linear"), since=11, at="last")
case("Resize", "one-dimension", lambda g: resize(g, [1, 1, 2], mode="linear"), x=(1, 3, 9), since=11, at="last")
case("Resize", "three-dimensions", lambda g: resize(g, [1, 1, 2, 2, 2], mode="linear"), x=(1, 2, 3, 3, 3), since=11, at="last")
case("Resize", "scales-computed", lambda g: g.op("Resize", g.x, "", g.op("Concat", g.const([1, 1]), g.op("Add", g.op("Mul", g.op("ReduceMax", g.x, keepdims=0), g.const([0.0])), g.const([0.6])),
     g.const([0.6]), axis=0), mode="nearest"), since=13, at="last")
case("Resize", "i32", lambda g: resize(g, UP, x=g.cast(g.x, I32), mode="nearest"), x=BYTES, since=11, at="last")
for mode in ["nearest", "linear"]:
    for variant, scales in {"double": UP, "odd": [1, 1, 1.5, 2.5]}.items():
        if mode == "linear" and variant == "odd":
            continue
        def upsample(g, mode=mode, scales=scales):
            if g.opset >= 9:
                return g.op("Upsample", g.x, g.const(scales), mode=mode)
            return g.op("Upsample", g.x, mode=mode, scales=[float(scale) for scale in scales])
        case("Upsample", f"{mode}-{variant}", upsample, until=9, at="all", expect=lambda x, g, mode=mode, scales=scales: upsampled(x, mode, scales))


def upsampled(x, mode, scales):
    """Upsample is asymmetric: a coordinate divided by the scale."""
    for axis in (2, 3):
        size = int(x.shape[axis] * scales[axis])
        at = np.minimum(np.arange(size) / scales[axis], x.shape[axis] - 1)
        low = np.floor(at).astype(int)
        if mode == "nearest":
            x = x.take(low, axis)
        else:
            high = np.minimum(low + 1, x.shape[axis] - 1)
            weight = (at - low).reshape([-1 if i == axis else 1 for i in range(4)])
            x = x.take(low, axis) * (1 - weight) + x.take(high, axis) * weight
    return x.astype(np.float32)


for mode in ["linear", "nearest", "cubic"]:
    for padding in ["zeros", "border", "reflection"]:
        for align in (0, 1):
            case("GridSample", f"{mode}-{padding}-align-{align}", lambda g, mode=mode, padding=padding, align=align: g.op(
                "GridSample", g.x, g.const(g.random.random((1, 4, 5, 2)) * 2.6 - 1.3), padding_mode=padding, align_corners=align,
                mode=mode if g.opset >= 20 else {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)),
                reference=20, at="all" if mode == "linear" and padding == "zeros" else "last")

# ---- normalization ----------------------------------------------------------------------------------------------------


def positive(g, *shape):
    return g.const(g.random.random(shape) + 0.2)


case("BatchNormalization", "plain", lambda g: g.op("BatchNormalization", g.x, g.weights(3), g.weights(3), g.weights(3), positive(g, 3)), reference=15, at="all")
case("BatchNormalization", "epsilon", lambda g: g.op("BatchNormalization", g.x, g.weights(3), g.weights(3), g.weights(3), positive(g, 3), epsilon=0.1), at="last")
case("BatchNormalization", "two-dimensions", lambda g: g.op("BatchNormalization", g.x, g.weights(3), g.weights(3), g.weights(3), positive(g, 3)), x=(4, 3), at="last")
case("BatchNormalization", "training", lambda g: g.op("BatchNormalization", g.x, g.weights(3), g.weights(3), g.weights(3), positive(g, 3), outputs=3, training_mode=1), since=14, at="last")
case("BatchNormalization", "not-spatial", lambda g: g.op("BatchNormalization", g.x, g.weights(3, 2, 2), g.weights(3, 2, 2), g.weights(3, 2, 2), positive(g, 3, 2, 2), spatial=0), x=(1, 3, 2, 2), until=8,
     expect=lambda x, g: ((x - first_weight(g, 2)) / np.sqrt(first_weight(g, 3) + 1e-5) * first_weight(g, 0) + first_weight(g, 1)).astype(np.float32))
case("InstanceNormalization", "plain", lambda g: g.op("InstanceNormalization", g.x, g.weights(3), g.weights(3)), at="all")
case("InstanceNormalization", "epsilon", lambda g: g.op("InstanceNormalization", g.x, g.weights(3), g.weights(3), epsilon=0.2), at="last")
for variant, axis, shape, bias in [("plain", -1, (7,), True), ("no-bias", -1, (7,), False), ("axis-2", 2, (6, 7), True), ("axis-1", 1, (3, 6, 7), True),
                                   ("broadcast", 1, (7,), True), ("axis-minus-2", -2, (6, 7), False), ("scalar-scale", 2, (1,), True)]:
    case("LayerNormalization", variant, lambda g, axis=axis, shape=shape, bias=bias: g.op("LayerNormalization", g.x, g.weights(*shape), *([g.weights(*shape)] if bias else []), axis=axis))
    case("RMSNormalization", variant, lambda g, axis=axis, shape=shape: g.op("RMSNormalization", g.x, g.weights(*shape), axis=axis), since=23)
case("LayerNormalization", "epsilon", lambda g: g.op("LayerNormalization", g.x, g.weights(7), epsilon=0.3))
case("LayerNormalization", "mean", lambda g: g.op("LayerNormalization", g.x, g.weights(7), outputs=2, keep=1))
case("LayerNormalization", "offset", lambda g: g.op("LayerNormalization", g.x, g.weights(7)), x=lambda random: random.standard_normal((1, 5, 7)) + 100, tolerance=1e-3)
for variant, groups, epsilon in [("plain", 2, 1e-5), ("one-group", 1, 1e-5), ("epsilon", 2, 0.2)]:
    def group_norm(g, groups=groups, epsilon=epsilon):
        return g.op("GroupNormalization", g.x, g.weights(4), g.weights(4), num_groups=groups, epsilon=epsilon)

    def group_normed(x, g, groups=groups, epsilon=epsilon):
        rows = x.astype(np.float64).reshape(x.shape[0], groups, -1)
        rows = (rows - rows.mean(axis=2, keepdims=True)) / np.sqrt(rows.var(axis=2, keepdims=True) + epsilon)
        scale, bias = (first_weight(g, at).reshape(1, 4, 1, 1) for at in (0, 1))
        return (rows.reshape(x.shape) * scale + bias).astype(np.float32)
    case("GroupNormalization", variant, group_norm, x=(1, 4, 3, 5), expect=group_normed, since=21)
for variant, attributes in {"plain": {"size": 3}, "attributes": {"size": 5, "alpha": 0.02, "beta": 0.6, "bias": 2.0}, "even": {"size": 2, "alpha": 0.1}}.items():
    case("LRN", variant, lambda g, attributes=attributes: g.op("LRN", g.x, **attributes), x=(1, 6, 4, 3), at="all",
         expect=lambda x, g, attributes=attributes: local_response(x, **attributes))


def local_response(x, size, alpha=1e-4, beta=0.75, bias=1.0):
    """LRN as its text says: the squares of channels from c - floor((size - 1) / 2) to c + ceil((size - 1) / 2)."""
    squares = x.astype(np.float64) ** 2
    sums = [squares[:, max(0, c - (size - 1) // 2):c + size // 2 + 1].sum(axis=1) for c in range(x.shape[1])]
    return (x / (bias + alpha / size * np.stack(sums, axis=1)) ** beta).astype(np.float32)



for p in (1, 2):
    for axis in (1, -1):
        case("LpNormalization", f"p{p}-axis-{axis}", lambda g, p=p, axis=axis: g.op("LpNormalization", g.x, p=p, axis=axis), at="last",
             expect=lambda x, g, p=p, axis=axis: x / (np.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p))
case("LpNormalization", "default", lambda g: g.op("LpNormalization", g.x), at="all", expect=lambda x, g: x / np.sqrt((x * x).sum(axis=-1, keepdims=True)))
case("LpNormalization", "zeros", lambda g: g.op("LpNormalization", g.x, axis=1), x=lambda _: [[0, 0, 0], [3, 4, 0]], since=22, expect=lambda x, g: np.array([[0, 0, 0], [.6, .8, 0]], np.float32))
case("MeanVarianceNormalization", "plain", lambda g: g.op("MeanVarianceNormalization", g.x), at="all")
case("MeanVarianceNormalization", "axes", lambda g: g.op("MeanVarianceNormalization", g.x, axes=[1, 2, 3]), at="last")

# ---- matrices and quantization ----------------------------------------------------------------------------------------

for variant, x, other in [("plain", (5, 7), (7, 4)), ("batch", (2, 3, 5, 7), (7, 4)), ("batches", (1, 3, 5, 7), (2, 1, 7, 4)), ("vector", (1, 3, 5, 7), (7,)),
                          ("row", (1, 7), (7, 10)), ("vector-of-matrix", (5, 7), (7,)), ("vector-of-one", (1, 5, 7), (7,)), ("one-column", (5, 7), (7, 1))]:
    case("MatMul", variant, lambda g, other=other: g.op("MatMul", g.x, g.weights(*other)), x=x, at="all" if variant == "plain" else "last")
case("MatMul", "first-vector", lambda g: g.op("MatMul", g.x, g.weights(7, 4)), x=(7,), at="last")
case("MatMul", "vectors", lambda g: g.op("MatMul", g.x, g.weights(7)), x=(7,), at="last")
case("MatMul", "vector-computed", lambda g: g.op("MatMul", g.x, g.op("ReduceMean", g.x, axes=[0, 1, 2], keepdims=0)), since=13, until=13)
case("MatMul", "second-computed", lambda g: g.op("MatMul", g.weights(4, 5), g.x), x=(5, 7), at="last")
case("MatMul", "i32", lambda g: g.op("MatMul", g.cast(g.x, I32), g.const(g.random.integers(-3, 4, (16, 3)), np.int32)), x=WHOLE, since=9, at="last")
case("MatMul", "f16", lambda g: g.op("MatMul", g.cast(g.x, F16), g.const(g.random.standard_normal((7, 4)), np.float16)), x=(5, 7), at="last", tolerance=4e-3)
GEMMS = {"plain": ((7, 4), (4,), {}), "transposed": ((4, 7), (4,), {"transB": 1}), "alpha-beta": ((7, 4), (5, 4), {"alpha": 0.5, "beta": 2.0}),
         "column": ((7, 4), (5, 1), {}), "scalar": ((7, 4), (), {}), "one": ((7, 4), (1, 1), {"beta": 0.3})}
for variant, (b, c, attributes) in GEMMS.items():
    case("Gemm", variant, lambda g, b=b, c=c, attributes=attributes: g.op("Gemm", g.x, g.weights(*b), g.const(g.random.standard_normal(c)), **attributes), x=(5, 7), at="all" if variant == "plain" else "last")
case("Gemm", "first-transposed", lambda g: g.op("Gemm", g.x, g.weights(7, 4), g.weights(4), transA=1), x=(7, 5), at="last")
case("Gemm", "no-c", lambda g: g.op("Gemm", g.x, g.weights(7, 4), alpha=0.7), x=(5, 7), since=11, at="last")
case("Gemm", "old-broadcast", lambda g: g.op("Gemm", g.x, g.weights(7, 4), g.weights(4), broadcast=1), x=(5, 7), since=6, until=6)
for variant, a_zero, b_zero, kinds in [("plain", None, None, "uu"), ("zero-points", 5, 7, "uu"), ("signed", 5, -3, "us"), ("per-column", 5, [1, 2, 3, 4], "uu"), ("both-signed", -5, 3, "ss"),
                                       ("per-row", [1, 2, 3, 4, 5], 7, "uu"), ("large", None, None, "uu"), ("large-signed", None, None, "us"), ("middle", 5, 130, "uu"),
                                       ("small-signed", None, None, "us"), ("small-signed-zero-point", 5, None, "us"), ("small-both-signed", None, None, "ss"),
                                       ("small-signed-weight-zero-point", 5, 3, "us"), ("small-both-signed-zero-point", 5, None, "ss")]:
    def mat_mul_integer(g, a_zero=a_zero, b_zero=b_zero, kinds=kinds, variant=variant):
        a, b = ({"u": (U8, np.uint8), "s": (I8, np.int8)}[kind] for kind in kinds)
        least, most = {"large": (0, 256), "large-signed": (-128, 128), "middle": (64, 192)}.get(variant, (-64, 65) if "small" in variant else (0, 100))
        weight = g.const(g.random.integers(least, most, (7, 4)), b[1])
        zeros = [] if a_zero is None else [g.const(a_zero, a[1])] + ([] if b_zero is None else [g.const(b_zero, b[1])])
        return g.op("MatMulInteger", g.cast(g.x, a[0]), weight, *zeros)

    def mat_mul_integers(x, g, a_zero=a_zero, b_zero=b_zero):
        a_zero = np.asarray(a_zero or 0)
        return ((x.astype(np.int32) - (a_zero[:, None] if a_zero.ndim else a_zero)) @ (first_weight(g).astype(np.int32) - np.asarray(b_zero or 0))).astype(np.int32)
    case("MatMulInteger", variant, mat_mul_integer, x=lambda random, kinds=kinds: random.integers(*((0, 256) if kinds[0] == "u" else (-128, 128)), (5, 7)), expect=mat_mul_integers)
QUANTIZED = values(-100, -1.25, -0.75, -0.25, 0, 0.25, 0.75, 1.25, 1.75, 31.6, 127.3, 200, 1e5, -1e5)
for dtype in (np.uint8, np.int8):
    kind = np.dtype(dtype).name
    for keep, what in [(0, "plain"), (None, "no-zero-point")]:
        if keep is None and dtype == np.int8:
            continue
        case("QuantizeLinear", f"{kind}-{what}", lambda g, dtype=dtype, keep=keep: g.op("QuantizeLinear", g.x, np.float32(0.5), *([g.const(3, dtype)] if keep == 0 else [])),
             x=QUANTIZED, at="all" if keep == 0 and dtype == np.uint8 else "last")
    case("QuantizeLinear", f"{kind}-channels", lambda g, dtype=dtype: g.op("QuantizeLinear", g.x, g.const([0.1, 0.2, 0.3]), g.const([1, 2, 3], dtype), axis=1), since=13, at="last")
    case("DequantizeLinear", f"{kind}-plain", lambda g, dtype=dtype: g.op("DequantizeLinear", g.cast(g.x, U8 if dtype == np.uint8 else I8), np.float32(0.5), g.const(3, dtype)),
         x=values(0, 1, 2, 100, 127), reference=19, at="all" if dtype == np.uint8 else "last")
    case("DequantizeLinear", f"{kind}-channels", lambda g, dtype=dtype: g.op("DequantizeLinear", g.cast(g.op("Abs", g.x), U8 if dtype == np.uint8 else I8), g.const([0.1, 0.2, 0.3]), g.const([1, 2, 3], dtype), axis=1), since=13, at="last", reference=19)
case("QuantizeLinear", "default-axis", lambda g: g.op("QuantizeLinear", g.x, g.const([0.1, 0.2, 0.3]), g.const([1, 2, 3], np.uint8)), since=13, at="last")
case("QuantizeLinear", "last-axis", lambda g: g.op("QuantizeLinear", g.x, g.const([0.1, 0.2, 0.3]), g.const([1, 2, 3], np.uint8), axis=-1), x=(1, 3, 5, 3), since=13, at="last")
case("QuantizeLinear", "output-type", lambda g: g.op("QuantizeLinear", g.x, np.float32(0.5), output_dtype=I8), x=QUANTIZED, since=21)
case("QuantizeLinear", "blocked", lambda g: g.op("QuantizeLinear", g.x, g.const([[0.1, 0.2]]), g.const([[1, 2]], np.uint8), axis=1, block_size=4), x=(1, 8), since=21)
case("QuantizeLinear", "infinite", lambda g: g.op("QuantizeLinear", g.x, np.float32(0.5), g.const(3, np.uint8)), x=values(-np.inf, np.inf, 1e10, -1e10), at="last", expect=lambda x, g: np.array([[0, 255, 255, 0]], np.uint8))
case("QuantizeLinear", "i16", lambda g: g.op("QuantizeLinear", g.x, np.float32(0.5), g.const(3, np.int16)), x=QUANTIZED, since=21)
case("DequantizeLinear", "no-zero-point", lambda g: g.op("DequantizeLinear", g.cast(g.x, U8), np.float32(0.5)), x=BYTES, at="last")
case("DequantizeLinear", "i32", lambda g: g.op("DequantizeLinear", g.cast(g.x, I32), np.float32(0.5)), x=WHOLE, at="last")
case("DequantizeLinear", "default-axis", lambda g: g.op("DequantizeLinear", g.cast(g.x, U8), g.const([0.1, 0.2, 0.3])), x=BYTES, since=13, at="last")
case("DequantizeLinear", "blocked", lambda g: g.op("DequantizeLinear", g.cast(g.x, U8), g.const([[0.1, 0.2]]), g.const([[1, 2]], np.uint8), axis=1, block_size=4), x=lambda random: random.integers(0, 200, (1, 8)), since=21)
for keep, what in enumerate(["plain", "scale", "zero-point"]):
    case("DynamicQuantizeLinear", what, lambda g, keep=keep: g.op("DynamicQuantizeLinear", g.x, outputs=3, keep=keep))
case("DynamicQuantizeLinear", "positive", lambda g: g.op("DynamicQuantizeLinear", g.x, outputs=3), x=POSITIVE)
case("DynamicQuantizeLinear", "ties", lambda g: g.op("DynamicQuantizeLinear", g.x, outputs=3), x=values(0, 0.5, 1.5, 2.5, 255.0))
for variant, zero in [("plain", 0), ("zero-point", 9)]:
    case("QLinearMatMul", variant, lambda g, zero=zero: g.op("QLinearMatMul", g.cast(g.x, U8), np.float32(0.05), g.const(zero, np.uint8), g.const(g.random.integers(0, 256, (7, 4)), np.uint8), np.float32(0.03),
         g.const(zero, np.uint8), np.float32(2.7), g.const(3, np.uint8)), x=lambda random: random.integers(0, 256, (5, 7)), at="all", tolerance=0.011)
for variant, scale, attributes in [("plain", [0.03], {}), ("channels", [0.03, 0.02, 0.01, 0.04], {"pads": [1, 1, 1, 1]}), ("strides", [0.03], {"strides": [2, 2]})]:
    def q_linear_conv(g, scale=scale, attributes=attributes):
        weight = g.const(g.random.integers(-9, 10, (4, 3, 3, 3)), np.int8)
        many = len(scale) > 1
        return g.op("QLinearConv", g.cast(g.x, U8), np.float32(0.05), g.const(9, np.uint8), weight, g.const(scale if many else scale[0]),
                    g.const([0] * 4 if many else 0, np.int8), np.float32(0.6), g.const(100, np.uint8), **attributes)

    def q_linear_convs(x, g, scale=scale, attributes=attributes):
        weight = numpy_helper.to_array(g.initializers[0]).astype(np.float64) * np.asarray(scale).reshape(-1, 1, 1, 1)
        real = convolve((x - 9.0) * 0.05, weight, **attributes)
        return np.clip(np.rint(real / np.float64(np.float32(0.6))) + 100, 0, 255).astype(np.uint8)
    case("QLinearConv", variant, q_linear_conv, x=BYTES, expect=q_linear_convs, tolerance=0.011)
for equation, x, others in [("bij,bjk->bik", (2, 3, 4), [(2, 4, 5)]), ("ij->ji", (3, 4), []), ("ij->", (3, 4), []), ("bchw,cd->bdhw", (1, 3, 4, 5), [(3, 2)]), ("ii->i", (4, 4), []),
                            ("...ij,...jk->...ik", (1, 3, 4, 5), [(3, 5, 2)]), ("ij,j,k->ik", (3, 4), [(4,), (5,)]), ("bhqd,bhkd->bhqk", (1, 2, 4, 3), [(1, 2, 5, 3)]), ("ij,jk", (3, 4), [(4, 2)])]:
    case("Einsum", equation, lambda g, equation=equation, others=others: g.op("Einsum", g.x, *[g.weights(*shape) for shape in others], equation=equation), x=x)
