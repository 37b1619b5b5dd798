"""The cases of operators.py: which operators, with which attributes and inputs."""

import numpy as np
from onnx import TensorProto, numpy_helper
from operators import case, values

F32, F16, F64, BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16
I8, U8, I32, I64, BOOL = TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL

SPECIAL = values(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 100.0, -100.0, np.inf, -np.inf)
WHOLE = values(-7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8)
TIES = lambda random: random.integers(-2, 3, (1, 3, 6, 7))
POSITIVE = lambda random: random.random((1, 3, 6, 7)) * 4 + 0.1
BYTES = lambda random: random.integers(0, 256, (1, 3, 6, 7))
SMALL = lambda random: random.random((1, 3, 6, 7)) * 1.8 - 0.9


def truth(g, value=None):
    """Booleans: where the input is positive."""
    return g.op("Greater", value or g.x, 0.0)


# ---- one input, element by element -------------------------------------------------------------------------------


def unary(operator, x=(1, 3, 6, 7), special=True, **attributes):
    case(operator, "plain", lambda g: g.op(operator, g.x, **attributes), x=x, at="all")
    if special:
        case(operator, "special", lambda g: g.op(operator, g.x, **attributes), x=SPECIAL, at="last")
        case(operator, "nan", lambda g: g.op(operator, g.x, **attributes), x=values(1, np.nan, -1), at="last")


for name in [
    "Abs",
    "Asinh",
    "Atan",
    "Ceil",
    "Cos",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
    "Softsign",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Celu",
    "Mish",
    "Shrink",
    "Swish",
    "Gelu",
    "Cosh",
    "Sinh",
]:
    unary(name)
for name in ["Acos", "Asin", "Atanh"]:
    unary(name, x=SMALL)
for name in ["Log", "Sqrt"]:
    unary(name, x=POSITIVE)
unary("Acosh", x=lambda random: random.random((1, 3, 6, 7)) * 3 + 1)
for name, attributes in [
    ("Elu", {"alpha": 2.0}),
    ("HardSigmoid", {"alpha": 0.1, "beta": 0.6}),
    ("LeakyRelu", {"alpha": 0.3}),
    ("Selu", {"alpha": 1.2, "gamma": 0.9}),
    ("ThresholdedRelu", {"alpha": 0.3}),
    ("Celu", {"alpha": 2.0}),
    ("Shrink", {"lambd": 0.7, "bias": 0.2}),
    ("Swish", {"alpha": 1.7}),
    ("Gelu", {"approximate": "tanh"}),
]:
    case(name, "attributes", lambda g, name=name, attributes=attributes: g.op(name, g.x, **attributes))
case("Gelu", "tanh-special", lambda g: g.op("Gelu", g.x, approximate="tanh"), x=SPECIAL)
for name in ["Abs", "Neg", "Sign"]:
    case(name, "i32", lambda g, name=name: g.op(name, g.cast(g.x, I32)), x=WHOLE, at="last")
    case(name, "i8", lambda g, name=name: g.op(name, g.cast(g.x, I8)), x=WHOLE, at="last")
case("Relu", "i32", lambda g: g.op("Relu", g.cast(g.x, I32)), x=WHOLE, since=14, at="last")
for name in ["Exp", "Tanh", "Sqrt", "Sigmoid"]:
    case(name, "f16", lambda g, name=name: g.op(name, g.cast(g.x, F16)), x=POSITIVE, at="last")
    case(name, "f64", lambda g, name=name: g.op(name, g.cast(g.x, F64)), x=POSITIVE, at="last")
case("Abs", "zero-sign", lambda g: g.op("Reciprocal", g.op("Abs", g.x)), x=values(0.0, -0.0, 2.0, -2.0), at="last")
case("Neg", "zero-sign", lambda g: g.op("Reciprocal", g.op("Neg", g.x)), x=values(0.0, -0.0, 2.0, -2.0), at="last")
for name, attributes in [("plain", {}), ("positive", {"detect_negative": 0}), ("negative", {"detect_positive": 0})]:
    case("IsInf", name, lambda g, attributes=attributes: g.op("IsInf", g.x, **attributes), x=SPECIAL, at="all")
case("IsNaN", "plain", lambda g: g.op("IsNaN", g.x), x=SPECIAL, at="all")
case("Not", "plain", lambda g: g.op("Not", truth(g)), at="all")
case("BitwiseNot", "i32", lambda g: g.op("BitwiseNot", g.cast(g.x, I32)), x=WHOLE)
case("Det", "plain", lambda g: g.op("Det", g.x), x=(1, 3, 4, 4), at="all")

# ---- Cast ----------------------------------------------------------------------------------------------------------

for name, to in [("i32", I32), ("i64", I64), ("i8", I8), ("u8", U8), ("bool", BOOL), ("f16", F16), ("f64", F64)]:
    x = (
        values(-3.7, -2.5, -1.5, -0.5, -0.0, 0.0, 0.4, 0.5, 1.5, 2.5, 7.9, 100.2)
        if name != "u8"
        else values(0, 0.5, 1.5, 200.7)
    )
    case("Cast", name, lambda g, to=to: g.cast(g.x, to), x=x, at="ends")
case("Cast", "plain", lambda g: g.cast(g.x, F32), at="all")
case("Cast", "i16", lambda g: g.cast(g.x, TensorProto.INT16), x=WHOLE, at="last")
case("Cast", "bf16", lambda g: g.cast(g.cast(g.x, BF16), F32), x=WHOLE, at="last")
case("Cast", "u32", lambda g: g.cast(g.x, TensorProto.UINT32), x=values(0, 1, 2, 70000), at="last")
case("Cast", "bool-to-i32", lambda g: g.cast(truth(g), I32), at="last")
case("Cast", "bool-of-special", lambda g: g.cast(g.x, BOOL), x=SPECIAL, at="last")
case("Cast", "bool-of-nan", lambda g: g.cast(g.x, BOOL), x=values(1, np.nan, 0), at="last")
case("IsNaN", "nan", lambda g: g.op("IsNaN", g.x), x=values(1, np.nan, -1), at="last")
case("IsInf", "nan", lambda g: g.op("IsInf", g.x), x=values(1, np.nan, -1), at="last")
case("Cast", "bool-of-i32", lambda g: g.cast(g.cast(g.x, I32), BOOL), x=WHOLE, at="last")
case(
    "Cast", "bool-counted", lambda g: g.op("ReduceSum", g.cast(g.cast(g.x, BOOL), I32), keepdims=1), x=WHOLE, at="last"
)
case("Cast", "i8-wraps", lambda g: g.cast(g.cast(g.x, I32), I8), x=values(127, 128, 255, 256, -129, 300), at="last")
case("Cast", "u8-wraps", lambda g: g.cast(g.cast(g.x, I32), U8), x=values(127, 128, 255, 256, -1, 300), at="last")
case("Cast", "i8-to-u8", lambda g: g.cast(g.cast(g.x, I8), U8), x=values(127, -128, -1, 3), at="last")
case(
    "Cast",
    "beyond-i32",
    lambda g: g.op("Div", g.op("Mul", g.cast(g.x, I64), g.ints(3_000_000_000)), g.ints(1_000_000_000)),
    x=values(1, 2, 3, 4),
    at="last",
)
for name, like in [
    ("f32", lambda g: g.const([1.0])),
    ("i32", lambda g: g.const([1], np.int32)),
    ("u8", lambda g: g.const([1], np.uint8)),
    ("bool", lambda g: g.const([True], np.bool_)),
    ("bool-computed", lambda g: truth(g)),
    ("f64", lambda g: g.const([1.0], np.float64)),
    ("f16", lambda g: g.const([1.0], np.float16)),
]:
    case(
        "CastLike",
        name,
        lambda g, like=like: g.op("CastLike", g.x, like(g)),
        x=values(0.0, 0.4, 1.5, 2.5, 7.9, 100.2),
        at="all" if name in ("f32", "bool") else "last",
    )
case("BitCast", "i32", lambda g: g.op("BitCast", g.op("BitCast", g.x, to=I32), to=F32))

# ---- two inputs, element by element --------------------------------------------------------------------------------

BROADCAST = [("same", (1, 3, 6, 7)), ("channel", (3, 1, 1)), ("scalar", ()), ("row", (7,)), ("one", (1,))]


def others(g, shape):
    return g.const(np.asarray(g.random.standard_normal(shape)) + 3.0)


for name in [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Equal",
    "Greater",
    "Less",
    "GreaterOrEqual",
    "LessOrEqual",
    "PRelu",
    "Max",
    "Min",
    "Mean",
    "Sum",
]:
    x = (
        POSITIVE
        if name == "Pow"
        else TIES
        if name in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
        else (1, 3, 6, 7)
    )
    for variant, shape in BROADCAST:
        since = {"Max": 8, "Min": 8, "Mean": 8, "Sum": 8, "Equal": 11, "Greater": 9, "Less": 9}.get(name, 7)
        if variant == "same" and name in ("Max", "Min", "Mean", "Sum"):
            since = 7
        case(
            name,
            variant,
            lambda g, name=name, shape=shape: g.op(
                name,
                g.x,
                others(g, shape)
                if name not in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
                else g.const(g.random.integers(-2, 3, shape)),
            ),
            x=x,
            since=since,
            at="all" if variant in ("same", "channel") else "last",
        )
for name in ["Add", "Sub", "Mul", "Div", "Max", "Min", "Equal", "Less", "GreaterOrEqual", "Pow", "Mean"]:
    case(
        name,
        "both-broadcast",
        lambda g, name=name: g.op(name, g.op("Abs", g.x), others(g, (6, 1))),
        x=(1, 3, 1, 7),
        since=13 if name != "Pow" else 15,
        at="last",
        # The evaluator adds to the first operand in place, which cannot grow.
        expect=(lambda x, g: (np.abs(x) + numpy_helper.to_array(g.initializers[0])) / 2) if name == "Mean" else None,
    )
for name in ["Add", "Sub", "Mul", "Div", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"]:
    kind = name in ("Add", "Sub", "Mul", "Div")
    for dtype, to in [(np.int32, I32), (np.int64, I64)]:
        case(
            name,
            np.dtype(dtype).name,
            lambda g, name=name, dtype=dtype, to=to: g.op(
                name, g.cast(g.x, to), g.const(np.array([[3, -3, 2, -2] * 4]), dtype)
            ),
            x=WHOLE,
            since=9,
            at="last",
            expect=(lambda x, g, dtype=dtype: np.trunc(x / np.array([[3, -3, 2, -2] * 4])).astype(dtype))
            if name == "Div"
            else None,
        )
    if kind:
        case(
            name,
            "u8",
            lambda g, name=name: g.op(name, g.cast(g.x, U8), g.const([2], np.uint8)),
            x=values(2, 4, 6, 100),
            since=14,
            at="last",
        )
        case(name, "special", lambda g, name=name: g.op(name, g.x, g.op("Abs", g.x)), x=SPECIAL, at="last")
        for axis, shape in [(1, (3,)), (2, (6, 7)), (None, (7,)), (1, (3, 6))]:
            case(
                name,
                f"old-broadcast-{axis}-{len(shape)}",
                lambda g, name=name, axis=axis, shape=shape: g.op(name, g.x, others(g, shape), broadcast=1, axis=axis),
                since=6,
                until=6,
                expect=lambda x, g, name=name, axis=axis: old_broadcast(name, x, g, axis),
            )
    elif name != "Equal":
        case(name, "special", lambda g, name=name: g.op(name, g.x, 0.5), x=SPECIAL, since=13, at="last")
case("Equal", "special", lambda g: g.op("Equal", g.x, g.op("Abs", g.x)), x=SPECIAL, since=13, at="last")
case(
    "Equal",
    "bool",
    lambda g: g.op("Equal", truth(g), g.const(np.array([True, False] * 8), np.bool_)),
    x=WHOLE,
    since=13,
    at="last",
)


def old_broadcast(name, x, g, axis):
    """Opset 6: the second operand's dimensions are those from `axis` on, or the last ones."""
    other = numpy_helper.to_array(g.initializers[0])
    if axis is not None:
        other = other.reshape(other.shape + (1,) * (x.ndim - axis - other.ndim))
    return {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[name](x, other).astype(np.float32)


for variant, build in {
    "integers": lambda g: g.op("Pow", g.cast(g.x, I32), g.const([2], np.int32)),
    "integer-exponent": lambda g: g.op("Pow", g.x, g.const([3], np.int64)),
    "integer-base": lambda g: g.op("Pow", g.cast(g.x, I32), g.const([2.0])),
    "fraction-of-integer": lambda g: g.op("Pow", g.cast(g.op("Abs", g.x), I32), g.const([0.5])),
    "negative-base": lambda g: g.op("Pow", g.x, 3.0),
    "square": lambda g: g.op("Pow", g.x, 2.0),
    "root": lambda g: g.op("Pow", g.x, 0.5),
    "negative-exponent": lambda g: g.op("Pow", g.x, -2.0),
    "zero-exponent": lambda g: g.op("Pow", g.x, 0.0),
}.items():
    case("Pow", variant, build, x=WHOLE, since=15, at="last")
case("Pow", "special", lambda g: g.op("Pow", g.x, g.const(np.full((1, 14), 2.0))), x=SPECIAL, since=15, at="last")
for variant, build in {
    "i32": lambda g: g.op("Mod", g.cast(g.x, I32), g.const([[3, -3, 5, -5] * 4], np.int32)),
    "i32-fmod": lambda g: g.op("Mod", g.cast(g.x, I32), g.const([[3, -3, 5, -5] * 4], np.int32), fmod=1),
    "i64": lambda g: g.op("Mod", g.cast(g.x, I64), g.const([[3, -3, 5, -5] * 4], np.int64)),
    "f32-fmod": lambda g: g.op("Mod", g.op("Mul", g.x, 0.7), g.const([[3, -3, 1.5, -1.5] * 4]), fmod=1),
}.items():
    case("Mod", variant, build, x=WHOLE, at="all")
case("Max", "three", lambda g: g.op("Max", g.x, others(g, (3, 1, 1)), g.op("Neg", g.x)), since=8, at="last")
case("Mean", "three", lambda g: g.op("Mean", g.x, others(g, (3, 1, 1)), g.op("Exp", g.x)), since=8, at="last")
case("Sum", "three", lambda g: g.op("Sum", g.x, others(g, (3, 1, 1)), g.op("Exp", g.x)), since=8, at="last")
for name in ["Max", "Min", "Sum", "Mean"]:
    case(name, "single", lambda g, name=name: g.op(name, g.x), since=8, at="last")
for name in ["Max", "Min"]:
    case(name, "special", lambda g, name=name: g.op(name, g.x, 0.5), x=SPECIAL, since=13, at="last")
    case(name, "nan", lambda g, name=name: g.op(name, g.x, 0.5), x=values(1, np.nan, -1), since=13, at="last")
    case(
        name,
        "nan-second",
        lambda g, name=name: g.op(name, g.op("Abs", g.op("Identity", 0.5)), g.x),
        x=values(1, np.nan, -1),
        since=13,
        at="last",
    )
    case(
        name,
        "i32",
        lambda g, name=name: g.op(name, g.cast(g.x, I32), g.const([1], np.int32)),
        x=WHOLE,
        since=12,
        at="last",
    )
case("PRelu", "all", lambda g: g.op("PRelu", g.x, g.weights(1, 3, 6, 7)), at="last")
case("PRelu", "negative-slope", lambda g: g.op("PRelu", g.x, g.const(np.full((3, 1, 1), -0.5))), at="last")
case(
    "PRelu",
    "old-channel",
    lambda g: g.op("PRelu", g.x, g.weights(3)),
    since=6,
    until=6,
    expect=lambda x, g: prelu_by_channel(x, g),
)


def prelu_by_channel(x, g):
    slope = numpy_helper.to_array(g.initializers[0]).reshape(3, 1, 1)
    return np.where(x < 0, x * slope, x).astype(np.float32)


for name in ["And", "Or", "Xor"]:
    case(name, "plain", lambda g, name=name: g.op(name, truth(g), g.op("Less", g.x, 1.0)), since=9, at="last")
    case(
        name,
        "broadcast",
        lambda g, name=name: g.op(name, truth(g), g.const([[[True]], [[False]], [[True]]], np.bool_)),
        since=9,
        at="last",
    )
for name in ["BitwiseAnd", "BitwiseOr", "BitwiseXor"]:
    case(name, "i32", lambda g, name=name: g.op(name, g.cast(g.x, I32), g.const([5], np.int32)), x=WHOLE)
for direction in ["LEFT", "RIGHT"]:
    case(
        "BitShift",
        direction,
        lambda g, direction=direction: g.op("BitShift", g.cast(g.x, U8), g.const([1], np.uint8), direction=direction),
        x=values(1, 2, 3, 100),
    )
case("Where", "plain", lambda g: g.op("Where", truth(g), g.x, g.op("Exp", g.x)), at="all")
case(
    "Where",
    "broadcast",
    lambda g: g.op("Where", g.const([[[True]], [[False]], [[True]]], np.bool_), g.x, 0.0),
    at="last",
)
case("Where", "i32", lambda g: g.op("Where", truth(g), g.cast(g.x, I32), g.const([0], np.int32)), x=WHOLE, at="last")
for variant, limits in {
    "plain": (-0.5, 0.8),
    "min": (-0.5, None),
    "max": (None, 0.5),
    "none": (None, None),
    "min-over-max": (1.0, -1.0),
    "infinite": (-np.inf, np.inf),
}.items():

    def clip(g, limits=limits):
        if g.opset >= 11:
            return g.op("Clip", g.x, *["" if limit is None else g.const(np.float32(limit)) for limit in limits])
        return g.op("Clip", g.x, min=limits[0], max=limits[1])

    case("Clip", variant, clip, at="all" if variant in ("plain", "min") else "last")
case("Clip", "old-min-over-max", lambda g: g.op("Clip", g.x, min=1.0, max=-1.0), until=10, at="last")
case("Clip", "special", lambda g: g.op("Clip", g.x, np.float32(-1), np.float32(1)), x=SPECIAL, since=13)
case("Clip", "nan", lambda g: g.op("Clip", g.x, np.float32(-1), np.float32(1)), x=values(1, np.nan, -1), since=13)
case(
    "Clip",
    "i32",
    lambda g: g.op("Clip", g.cast(g.x, I32), g.const(-2, np.int32), g.const(3, np.int32)),
    x=WHOLE,
    since=13,
)
case(
    "Clip", "i8", lambda g: g.op("Clip", g.cast(g.x, I8), g.const(-2, np.int8), g.const(3, np.int8)), x=WHOLE, since=13
)

# ---- reductions ------------------------------------------------------------------------------------------------------

REDUCE = [
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
]


def reduced(g, name, axes, x=None, **attributes):
    if axes is not None and g.opset >= (13 if name == "ReduceSum" else 18):
        return g.op(name, x or g.x, g.ints(*axes), **attributes)
    return g.op(name, x or g.x, axes=axes, **attributes)


for name in REDUCE:
    x = POSITIVE if name == "ReduceLogSum" else (1, 3, 4, 3)
    for variant, axes, attributes, since in [
        ("spatial", [2, 3], {}, 7),
        ("all", None, {}, 7),
        ("all-flat", None, {"keepdims": 0}, 7),
        ("one-flat", [1], {"keepdims": 0}, 7),
        ("negative", [-1], {}, 11),
        ("unordered", [3, 1], {"keepdims": 0}, 7),
    ]:
        case(
            name,
            variant,
            lambda g, name=name, axes=axes, attributes=attributes: reduced(g, name, axes, **attributes),
            x=x,
            since=since,
            at="all" if variant == "spatial" else "last",
        )
    new = 13 if name == "ReduceSum" else 18
    for variant, attributes in [("empty-axes", {}), ("empty-axes-noop", {"noop_with_empty_axes": 1})]:
        case(
            name,
            variant,
            lambda g, name=name, attributes=attributes: g.op(name, g.x, g.ints(), **attributes),
            x=x,
            since=new,
            at="last",
        )
    case(name, "no-axes-noop", lambda g, name=name: g.op(name, g.x, noop_with_empty_axes=1), x=x, since=new, at="last")
    case(
        name,
        "special",
        lambda g, name=name: reduced(g, name, [1]),
        x=lambda _: [[1, np.inf, 2], [-np.inf, 1, 0], [0, -0.0, 0]],
        at="last",
    )
    case(name, "nan", lambda g, name=name: reduced(g, name, [1]), x=lambda _: [[1, np.nan, 2], [3, 1, 2]], at="last")
for name in [
    "ReduceMax",
    "ReduceMin",
    "ReduceSum",
    "ReduceProd",
    "ReduceMean",
    "ReduceL1",
    "ReduceSumSquare",
    "ReduceL2",
]:
    case(
        name,
        "i32",
        lambda g, name=name: reduced(g, name, [1], g.cast(g.x, I32)),
        x=lambda random: random.integers(-4, 5, (1, 3, 6, 7)),
        at="last",
    )
case(
    "ReduceLogSumExp",
    "large",
    lambda g: reduced(g, "ReduceLogSumExp", [1]),
    x=lambda _: [[100.0, 101.0, 99.0], [-200.0, -201.0, -300.0]],
    at="last",
    expect=lambda x, g: np.array([[101.40760596], [-199.68673831]], np.float32),
)
case("ReduceL2", "large", lambda g: reduced(g, "ReduceL2", [1]), x=lambda _: [[1e18, 2e18]], at="last")
case("ReduceMax", "bool", lambda g: g.op("ReduceMax", truth(g), g.ints(1)), since=20)
for name in ["ArgMax", "ArgMin"]:
    for variant, attributes, x, since in [
        ("channel", {"axis": 1}, (1, 3, 6, 7), 7),
        ("default", {}, (3, 2, 4), 7),
        ("flat", {"axis": 2, "keepdims": 0}, (1, 3, 6, 7), 7),
        ("negative", {"axis": -1}, (1, 3, 6, 7), 11),
        ("ties", {"axis": 3}, TIES, 7),
        ("ties-last", {"axis": 3, "select_last_index": 1}, TIES, 12),
        ("last-without-ties", {"axis": 1, "select_last_index": 1}, (1, 3, 6, 7), 12),
        ("ties-channel", {"axis": 1}, TIES, 7),
        ("ties-row", {"axis": 2, "keepdims": 0}, TIES, 7),
        ("all-equal", {"axis": 1}, lambda _: np.zeros((1, 20)), 7),
        ("zeros", {"axis": 1}, lambda _: [[-0.0, 0.0], [0.0, -0.0]], 7),
        ("long-ties", {"axis": 1}, lambda random: random.integers(-2, 3, (2, 100)), 7),
        ("nan", {"axis": 1}, lambda _: [[1.0, np.nan, 3.0], [np.nan, 2.0, 3.0]], 7),
    ]:
        case(
            name,
            variant,
            lambda g, name=name, attributes=attributes: g.op(name, g.x, **attributes),
            x=x,
            since=since,
            at="all" if variant in ("channel", "ties") else "last",
        )
    case(name, "i32-ties", lambda g, name=name: g.op(name, g.cast(g.x, I32), axis=1), x=TIES, at="last")
for exclusive in (0, 1):
    for reverse in (0, 1):
        case(
            "CumSum",
            f"exclusive-{exclusive}-reverse-{reverse}",
            lambda g, e=exclusive, r=reverse: g.op("CumSum", g.x, g.const(2, np.int64), exclusive=e, reverse=r),
            at="all" if exclusive == reverse else "last",
        )
case("CumSum", "negative", lambda g: g.op("CumSum", g.x, g.const(-1, np.int32)), at="last")
case("CumSum", "i32", lambda g: g.op("CumSum", g.cast(g.x, I32), g.const(1, np.int32)), at="last")
case("CumProd", "plain", lambda g: g.op("CumProd", g.x, g.const(1, np.int64)))


def top_k(g, k, keep, value=None, **attributes):
    if g.opset >= 10:
        return g.op("TopK", value or g.x, g.ints(k), outputs=2, keep=keep, **attributes)
    return g.op("TopK", value or g.x, outputs=2, keep=keep, k=k, **attributes)


for variant, keep, attributes, x, since in [
    ("values", 0, {}, (1, 3, 6, 7), 7),
    ("indices", 1, {}, (1, 3, 6, 7), 7),
    ("ties", 1, {}, TIES, 7),
    ("axis", 0, {"axis": 2}, (1, 3, 6, 7), 7),
    ("smallest", 0, {"largest": 0}, (1, 3, 6, 7), 11),
    ("smallest-ties", 1, {"largest": 0}, TIES, 11),
    ("nan", 1, {}, lambda _: [[1.0, np.nan, 3.0, 2.0, 5.0]], 11),
    ("axis-ties", 1, {"axis": 1}, TIES, 11),
]:
    case(
        "TopK",
        variant,
        lambda g, keep=keep, attributes=attributes: top_k(g, 3, keep, **attributes),
        x=x,
        since=since,
        at="all" if variant in ("values", "ties") else "last",
    )
case("TopK", "i32", lambda g: top_k(g, 3, 0, g.cast(g.x, I32)), x=TIES, since=11)
case("TopK", "unsorted", lambda g: g.op("ReduceSum", top_k(g, 3, 0, sorted=0), g.ints(3)), x=(1, 3, 6, 7), since=13)
for name in ["Softmax", "LogSoftmax", "Hardmax"]:

    def old(x, g, axis, name=name):
        """Until opset 12: over all dimensions from `axis` on together."""
        axis = axis % x.ndim
        flat = x.astype(np.float64).reshape(int(np.prod(x.shape[:axis])), -1)
        exps = np.exp(flat - flat.max(axis=1, keepdims=True))
        soft = exps / exps.sum(axis=1, keepdims=True)
        hard = (np.arange(flat.shape[1]) == flat.argmax(axis=1)[:, None]).astype(np.float32)
        logs = flat - flat.max(axis=1, keepdims=True) - np.log(exps.sum(axis=1, keepdims=True))
        return {"Softmax": soft, "LogSoftmax": logs, "Hardmax": hard}[name].reshape(x.shape).astype(np.float32)

    for variant, axis, x in [
        ("default", None, (1, 3, 6, 7)),
        ("channel", 1, (1, 3, 6, 7)),
        ("last", 3, (1, 3, 6, 7)),
        ("classes", 1, (1, 10)),
        ("two-default", None, (2, 10)),
        ("pooled", 1, (1, 9, 1, 1)),
        ("row", 2, (1, 3, 6, 7)),
        ("pooled-default", None, (1, 9, 1, 1)),
        ("first", 0, (1, 10)),
        ("first-of-two", 0, (2, 5)),
    ]:
        build = lambda g, name=name, axis=axis: g.op(name, g.x, axis=axis)
        case(
            name,
            variant,
            build,
            x=x,
            until=12,
            at="all",
            expect=lambda x, g, old=old, axis=axis: old(x, g, 1 if axis is None else axis),
        )
        case(name, variant, build, x=x, since=13, at="all")
    case(name, "negative", lambda g, name=name: g.op(name, g.x, axis=-2), x=(1, 3, 6, 7), since=13)
    case(
        name,
        "old-negative",
        lambda g, name=name: g.op(name, g.x, axis=-1),
        x=(1, 3, 6, 7),
        since=11,
        until=12,
        at="last",
        expect=lambda x, g, old=old: old(x, g, -1),
    )
    case(
        name,
        "large",
        lambda g, name=name: g.op(name, g.x, axis=1),
        x=lambda random: random.standard_normal((1, 10)) * 1000,
        since=13,
        expect=lambda x, g, old=old: old(x, g, 1),
    )
    case(name, "ties", lambda g, name=name: g.op(name, g.x, axis=3), x=TIES, since=13)
