"""The cases of operators.py: normalization, matrices, quantization."""

import numpy as np
from onnx import numpy_helper
from operator_cases import BYTES, F16, I8, I32, POSITIVE, U8, WHOLE
from operator_cases_convolutions import convolve, first_weight
from operators import case, values

# ---- normalization ----------------------------------------------------------------------------------------------------


def positive(g, *shape):
    return g.const(g.random.random(shape) + 0.2)


case(
    "BatchNormalization",
    "plain",
    lambda g: g.op("BatchNormalization", g.x, g.weights(3), g.weights(3), g.weights(3), positive(g, 3)),
    reference=15,
    at="all",
)
case(
    "BatchNormalization",
    "epsilon",
    lambda g: g.op("BatchNormalization", g.x, g.weights(3), g.weights(3), g.weights(3), positive(g, 3), epsilon=0.1),
    at="last",
)
case(
    "BatchNormalization",
    "two-dimensions",
    lambda g: g.op("BatchNormalization", g.x, g.weights(3), g.weights(3), g.weights(3), positive(g, 3)),
    x=(4, 3),
    at="last",
)
case(
    "BatchNormalization",
    "training",
    lambda g: g.op(
        "BatchNormalization", g.x, g.weights(3), g.weights(3), g.weights(3), positive(g, 3), outputs=3, training_mode=1
    ),
    since=14,
    at="last",
)
case(
    "BatchNormalization",
    "not-spatial",
    lambda g: g.op(
        "BatchNormalization",
        g.x,
        g.weights(3, 2, 2),
        g.weights(3, 2, 2),
        g.weights(3, 2, 2),
        positive(g, 3, 2, 2),
        spatial=0,
    ),
    x=(1, 3, 2, 2),
    until=8,
    expect=lambda x, g: (
        (x - first_weight(g, 2)) / np.sqrt(first_weight(g, 3) + 1e-5) * first_weight(g, 0) + first_weight(g, 1)
    ).astype(np.float32),
)
case(
    "InstanceNormalization", "plain", lambda g: g.op("InstanceNormalization", g.x, g.weights(3), g.weights(3)), at="all"
)
case(
    "InstanceNormalization",
    "epsilon",
    lambda g: g.op("InstanceNormalization", g.x, g.weights(3), g.weights(3), epsilon=0.2),
    at="last",
)
for variant, axis, shape, bias in [
    ("plain", -1, (7,), True),
    ("no-bias", -1, (7,), False),
    ("axis-2", 2, (6, 7), True),
    ("axis-1", 1, (3, 6, 7), True),
    ("broadcast", 1, (7,), True),
    ("axis-minus-2", -2, (6, 7), False),
    ("scalar-scale", 2, (1,), True),
]:
    case(
        "LayerNormalization",
        variant,
        lambda g, axis=axis, shape=shape, bias=bias: g.op(
            "LayerNormalization", g.x, g.weights(*shape), *([g.weights(*shape)] if bias else []), axis=axis
        ),
    )
    case(
        "RMSNormalization",
        variant,
        lambda g, axis=axis, shape=shape: g.op("RMSNormalization", g.x, g.weights(*shape), axis=axis),
        since=23,
    )
case("LayerNormalization", "epsilon", lambda g: g.op("LayerNormalization", g.x, g.weights(7), epsilon=0.3))
case("LayerNormalization", "mean", lambda g: g.op("LayerNormalization", g.x, g.weights(7), outputs=2, keep=1))
case(
    "LayerNormalization",
    "offset",
    lambda g: g.op("LayerNormalization", g.x, g.weights(7)),
    x=lambda random: random.standard_normal((1, 5, 7)) + 100,
    tolerance=1e-3,
)
for variant, groups, epsilon in [("plain", 2, 1e-5), ("one-group", 1, 1e-5), ("epsilon", 2, 0.2)]:

    def group_norm(g, groups=groups, epsilon=epsilon):
        return g.op("GroupNormalization", g.x, g.weights(4), g.weights(4), num_groups=groups, epsilon=epsilon)

    def group_normed(x, g, groups=groups, epsilon=epsilon):
        rows = x.astype(np.float64).reshape(x.shape[0], groups, -1)
        rows = (rows - rows.mean(axis=2, keepdims=True)) / np.sqrt(rows.var(axis=2, keepdims=True) + epsilon)
        scale, bias = (first_weight(g, at).reshape(1, 4, 1, 1) for at in (0, 1))
        return (rows.reshape(x.shape) * scale + bias).astype(np.float32)

    case("GroupNormalization", variant, group_norm, x=(1, 4, 3, 5), expect=group_normed, since=21)
for variant, attributes in {
    "plain": {"size": 3},
    "attributes": {"size": 5, "alpha": 0.02, "beta": 0.6, "bias": 2.0},
    "even": {"size": 2, "alpha": 0.1},
}.items():
    case(
        "LRN",
        variant,
        lambda g, attributes=attributes: g.op("LRN", g.x, **attributes),
        x=(1, 6, 4, 3),
        at="all",
        expect=lambda x, g, attributes=attributes: local_response(x, **attributes),
    )


def local_response(x, size, alpha=1e-4, beta=0.75, bias=1.0):
    """LRN as its text says: the squares of channels from c - floor((size - 1) / 2) to c + ceil((size - 1) / 2)."""
    squares = x.astype(np.float64) ** 2
    sums = [squares[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1].sum(axis=1) for c in range(x.shape[1])]
    return (x / (bias + alpha / size * np.stack(sums, axis=1)) ** beta).astype(np.float32)


for p in (1, 2):
    for axis in (1, -1):
        case(
            "LpNormalization",
            f"p{p}-axis-{axis}",
            lambda g, p=p, axis=axis: g.op("LpNormalization", g.x, p=p, axis=axis),
            at="last",
            expect=lambda x, g, p=p, axis=axis: x / (np.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p),
        )
case(
    "LpNormalization",
    "default",
    lambda g: g.op("LpNormalization", g.x),
    at="all",
    expect=lambda x, g: x / np.sqrt((x * x).sum(axis=-1, keepdims=True)),
)
case(
    "LpNormalization",
    "zeros",
    lambda g: g.op("LpNormalization", g.x, axis=1),
    x=lambda _: [[0, 0, 0], [3, 4, 0]],
    since=22,
    expect=lambda x, g: np.array([[0, 0, 0], [0.6, 0.8, 0]], np.float32),
)
case("MeanVarianceNormalization", "plain", lambda g: g.op("MeanVarianceNormalization", g.x), at="all")
case("MeanVarianceNormalization", "axes", lambda g: g.op("MeanVarianceNormalization", g.x, axes=[1, 2, 3]), at="last")

# ---- matrices and quantization ----------------------------------------------------------------------------------------

for variant, x, other in [
    ("plain", (5, 7), (7, 4)),
    ("batch", (2, 3, 5, 7), (7, 4)),
    ("batches", (1, 3, 5, 7), (2, 1, 7, 4)),
    ("vector", (1, 3, 5, 7), (7,)),
    ("row", (1, 7), (7, 10)),
    ("vector-of-matrix", (5, 7), (7,)),
    ("vector-of-one", (1, 5, 7), (7,)),
    ("one-column", (5, 7), (7, 1)),
]:
    case(
        "MatMul",
        variant,
        lambda g, other=other: g.op("MatMul", g.x, g.weights(*other)),
        x=x,
        at="all" if variant == "plain" else "last",
    )
case("MatMul", "first-vector", lambda g: g.op("MatMul", g.x, g.weights(7, 4)), x=(7,), at="last")
case("MatMul", "vectors", lambda g: g.op("MatMul", g.x, g.weights(7)), x=(7,), at="last")
case(
    "MatMul",
    "vector-computed",
    lambda g: g.op("MatMul", g.x, g.op("ReduceMean", g.x, axes=[0, 1, 2], keepdims=0)),
    since=13,
    until=13,
)
case("MatMul", "second-computed", lambda g: g.op("MatMul", g.weights(4, 5), g.x), x=(5, 7), at="last")
case(
    "MatMul",
    "i32",
    lambda g: g.op("MatMul", g.cast(g.x, I32), g.const(g.random.integers(-3, 4, (16, 3)), np.int32)),
    x=WHOLE,
    since=9,
    at="last",
)
case(
    "MatMul",
    "f16",
    lambda g: g.op("MatMul", g.cast(g.x, F16), g.const(g.random.standard_normal((7, 4)), np.float16)),
    x=(5, 7),
    at="last",
    tolerance=4e-3,
)
GEMMS = {
    "plain": ((7, 4), (4,), {}),
    "transposed": ((4, 7), (4,), {"transB": 1}),
    "alpha-beta": ((7, 4), (5, 4), {"alpha": 0.5, "beta": 2.0}),
    "column": ((7, 4), (5, 1), {}),
    "scalar": ((7, 4), (), {}),
    "one": ((7, 4), (1, 1), {"beta": 0.3}),
}
for variant, (b, c, attributes) in GEMMS.items():
    case(
        "Gemm",
        variant,
        lambda g, b=b, c=c, attributes=attributes: g.op(
            "Gemm", g.x, g.weights(*b), g.const(g.random.standard_normal(c)), **attributes
        ),
        x=(5, 7),
        at="all" if variant == "plain" else "last",
    )
case(
    "Gemm",
    "first-transposed",
    lambda g: g.op("Gemm", g.x, g.weights(7, 4), g.weights(4), transA=1),
    x=(7, 5),
    at="last",
)
case("Gemm", "no-c", lambda g: g.op("Gemm", g.x, g.weights(7, 4), alpha=0.7), x=(5, 7), since=11, at="last")
case(
    "Gemm",
    "old-broadcast",
    lambda g: g.op("Gemm", g.x, g.weights(7, 4), g.weights(4), broadcast=1),
    x=(5, 7),
    since=6,
    until=6,
)
for variant, a_zero, b_zero, kinds in [
    ("plain", None, None, "uu"),
    ("zero-points", 5, 7, "uu"),
    ("signed", 5, -3, "us"),
    ("per-column", 5, [1, 2, 3, 4], "uu"),
    ("both-signed", -5, 3, "ss"),
    ("per-row", [1, 2, 3, 4, 5], 7, "uu"),
    ("large", None, None, "uu"),
    ("large-signed", None, None, "us"),
    ("middle", 5, 130, "uu"),
    ("small-signed", None, None, "us"),
    ("small-signed-zero-point", 5, None, "us"),
    ("small-both-signed", None, None, "ss"),
    ("small-signed-weight-zero-point", 5, 3, "us"),
    ("small-both-signed-zero-point", 5, None, "ss"),
]:

    def mat_mul_integer(g, a_zero=a_zero, b_zero=b_zero, kinds=kinds, variant=variant):
        a, b = ({"u": (U8, np.uint8), "s": (I8, np.int8)}[kind] for kind in kinds)
        least, most = {"large": (0, 256), "large-signed": (-128, 128), "middle": (64, 192)}.get(
            variant, (-64, 65) if "small" in variant else (0, 100)
        )
        weight = g.const(g.random.integers(least, most, (7, 4)), b[1])
        zeros = [] if a_zero is None else [g.const(a_zero, a[1])] + ([] if b_zero is None else [g.const(b_zero, b[1])])
        return g.op("MatMulInteger", g.cast(g.x, a[0]), weight, *zeros)

    def mat_mul_integers(x, g, a_zero=a_zero, b_zero=b_zero):
        a_zero = np.asarray(a_zero or 0)
        return (
            (x.astype(np.int32) - (a_zero[:, None] if a_zero.ndim else a_zero))
            @ (first_weight(g).astype(np.int32) - np.asarray(b_zero or 0))
        ).astype(np.int32)

    case(
        "MatMulInteger",
        variant,
        mat_mul_integer,
        x=lambda random, kinds=kinds: random.integers(*((0, 256) if kinds[0] == "u" else (-128, 128)), (5, 7)),
        expect=mat_mul_integers,
    )
QUANTIZED = values(-100, -1.25, -0.75, -0.25, 0, 0.25, 0.75, 1.25, 1.75, 31.6, 127.3, 200, 1e5, -1e5)
for dtype in (np.uint8, np.int8):
    kind = np.dtype(dtype).name
    for keep, what in [(0, "plain"), (None, "no-zero-point")]:
        if keep is None and dtype == np.int8:
            continue
        case(
            "QuantizeLinear",
            f"{kind}-{what}",
            lambda g, dtype=dtype, keep=keep: g.op(
                "QuantizeLinear", g.x, np.float32(0.5), *([g.const(3, dtype)] if keep == 0 else [])
            ),
            x=QUANTIZED,
            at="all" if keep == 0 and dtype == np.uint8 else "last",
        )
    case(
        "QuantizeLinear",
        f"{kind}-channels",
        lambda g, dtype=dtype: g.op("QuantizeLinear", g.x, g.const([0.1, 0.2, 0.3]), g.const([1, 2, 3], dtype), axis=1),
        since=13,
        at="last",
    )
    case(
        "DequantizeLinear",
        f"{kind}-plain",
        lambda g, dtype=dtype: g.op(
            "DequantizeLinear", g.cast(g.x, U8 if dtype == np.uint8 else I8), np.float32(0.5), g.const(3, dtype)
        ),
        x=values(0, 1, 2, 100, 127),
        reference=19,
        at="all" if dtype == np.uint8 else "last",
    )
    case(
        "DequantizeLinear",
        f"{kind}-channels",
        lambda g, dtype=dtype: g.op(
            "DequantizeLinear",
            g.cast(g.op("Abs", g.x), U8 if dtype == np.uint8 else I8),
            g.const([0.1, 0.2, 0.3]),
            g.const([1, 2, 3], dtype),
            axis=1,
        ),
        since=13,
        at="last",
        reference=19,
    )


def quantized_concat(g, dtype):
    """A concatenation that is quantized for a quantized convolution, as `quantize_static` of ONNX Runtime writes it."""
    branches = [g.op("Conv", g.x, g.weights(4, 3, 1, 1)) for _ in range(2)]
    scale, zero = g.const(np.float32(0.05)), g.const(4, dtype)
    joined = g.op("DequantizeLinear", g.op("QuantizeLinear", g.op("Concat", *branches, axis=1), scale, zero), scale, zero)
    weights = g.const(g.random.integers(-127, 128, (4, 8, 1, 1)), np.int8)
    return g.op("Conv", joined, g.op("DequantizeLinear", weights, g.const(np.float32(0.01)), g.const(0, np.int8)))


for dtype in (np.uint8, np.int8):
    # A value close to the middle of two steps may be rounded to either.
    kind = np.dtype(dtype).name
    case("QuantizeLinear", f"{kind}-concat", lambda g, dtype=dtype: quantized_concat(g, dtype), since=13, at="last", tolerance=0.05)
case(
    "QuantizeLinear",
    "default-axis",
    lambda g: g.op("QuantizeLinear", g.x, g.const([0.1, 0.2, 0.3]), g.const([1, 2, 3], np.uint8)),
    since=13,
    at="last",
)
case(
    "QuantizeLinear",
    "last-axis",
    lambda g: g.op("QuantizeLinear", g.x, g.const([0.1, 0.2, 0.3]), g.const([1, 2, 3], np.uint8), axis=-1),
    x=(1, 3, 5, 3),
    since=13,
    at="last",
)
case(
    "QuantizeLinear",
    "output-type",
    lambda g: g.op("QuantizeLinear", g.x, np.float32(0.5), output_dtype=I8),
    x=QUANTIZED,
    since=21,
)
case(
    "QuantizeLinear",
    "blocked",
    lambda g: g.op("QuantizeLinear", g.x, g.const([[0.1, 0.2]]), g.const([[1, 2]], np.uint8), axis=1, block_size=4),
    x=(1, 8),
    since=21,
)
case(
    "QuantizeLinear",
    "infinite",
    lambda g: g.op("QuantizeLinear", g.x, np.float32(0.5), g.const(3, np.uint8)),
    x=values(-np.inf, np.inf, 1e10, -1e10),
    at="last",
    expect=lambda x, g: np.array([[0, 255, 255, 0]], np.uint8),
)
case(
    "QuantizeLinear",
    "i16",
    lambda g: g.op("QuantizeLinear", g.x, np.float32(0.5), g.const(3, np.int16)),
    x=QUANTIZED,
    since=21,
)
case(
    "DequantizeLinear",
    "no-zero-point",
    lambda g: g.op("DequantizeLinear", g.cast(g.x, U8), np.float32(0.5)),
    x=BYTES,
    at="last",
)
case(
    "DequantizeLinear", "i32", lambda g: g.op("DequantizeLinear", g.cast(g.x, I32), np.float32(0.5)), x=WHOLE, at="last"
)
case(
    "DequantizeLinear",
    "default-axis",
    lambda g: g.op("DequantizeLinear", g.cast(g.x, U8), g.const([0.1, 0.2, 0.3])),
    x=BYTES,
    since=13,
    at="last",
)
case(
    "DequantizeLinear",
    "blocked",
    lambda g: g.op(
        "DequantizeLinear", g.cast(g.x, U8), g.const([[0.1, 0.2]]), g.const([[1, 2]], np.uint8), axis=1, block_size=4
    ),
    x=lambda random: random.integers(0, 200, (1, 8)),
    since=21,
)
for keep, what in enumerate(["plain", "scale", "zero-point"]):
    case("DynamicQuantizeLinear", what, lambda g, keep=keep: g.op("DynamicQuantizeLinear", g.x, outputs=3, keep=keep))
case("DynamicQuantizeLinear", "positive", lambda g: g.op("DynamicQuantizeLinear", g.x, outputs=3), x=POSITIVE)
case(
    "DynamicQuantizeLinear",
    "ties",
    lambda g: g.op("DynamicQuantizeLinear", g.x, outputs=3),
    x=values(0, 0.5, 1.5, 2.5, 255.0),
)
for variant, zero in [("plain", 0), ("zero-point", 9)]:
    case(
        "QLinearMatMul",
        variant,
        lambda g, zero=zero: g.op(
            "QLinearMatMul",
            g.cast(g.x, U8),
            np.float32(0.05),
            g.const(zero, np.uint8),
            g.const(g.random.integers(0, 256, (7, 4)), np.uint8),
            np.float32(0.03),
            g.const(zero, np.uint8),
            np.float32(2.7),
            g.const(3, np.uint8),
        ),
        x=lambda random: random.integers(0, 256, (5, 7)),
        at="all",
        tolerance=0.011,
    )
for variant, scale, attributes in [
    ("plain", [0.03], {}),
    ("channels", [0.03, 0.02, 0.01, 0.04], {"pads": [1, 1, 1, 1]}),
    ("strides", [0.03], {"strides": [2, 2]}),
]:

    def q_linear_conv(g, scale=scale, attributes=attributes):
        weight = g.const(g.random.integers(-9, 10, (4, 3, 3, 3)), np.int8)
        many = len(scale) > 1
        return g.op(
            "QLinearConv",
            g.cast(g.x, U8),
            np.float32(0.05),
            g.const(9, np.uint8),
            weight,
            g.const(scale if many else scale[0]),
            g.const([0] * 4 if many else 0, np.int8),
            np.float32(0.6),
            g.const(100, np.uint8),
            **attributes,
        )

    def q_linear_convs(x, g, scale=scale, attributes=attributes):
        weight = numpy_helper.to_array(g.initializers[0]).astype(np.float64) * np.asarray(scale).reshape(-1, 1, 1, 1)
        real = convolve((x - 9.0) * 0.05, weight, **attributes)
        return np.clip(np.rint(real / np.float64(np.float32(0.6))) + 100, 0, 255).astype(np.uint8)

    case("QLinearConv", variant, q_linear_conv, x=BYTES, expect=q_linear_convs, tolerance=0.011)
for equation, x, others in [
    ("bij,bjk->bik", (2, 3, 4), [(2, 4, 5)]),
    ("ij->ji", (3, 4), []),
    ("ij->", (3, 4), []),
    ("bchw,cd->bdhw", (1, 3, 4, 5), [(3, 2)]),
    ("ii->i", (4, 4), []),
    ("...ij,...jk->...ik", (1, 3, 4, 5), [(3, 5, 2)]),
    ("ij,j,k->ik", (3, 4), [(4,), (5,)]),
    ("bhqd,bhkd->bhqk", (1, 2, 4, 3), [(1, 2, 5, 3)]),
    ("ij,jk", (3, 4), [(4, 2)]),
]:
    case(
        "Einsum",
        equation,
        lambda g, equation=equation, others=others: g.op(
            "Einsum", g.x, *[g.weights(*shape) for shape in others], equation=equation
        ),
        x=x,
    )
