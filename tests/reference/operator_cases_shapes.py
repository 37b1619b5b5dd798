"""The cases of operators.py: moving values about and generating them."""

import numpy as np
from onnx import helper, numpy_helper
from operator_cases import F32, I32, I64, TIES, WHOLE
from operators import case, values

for axis in (0, 1, 2, 4, -1, -2):
    case(
        "Flatten",
        f"axis-{axis}",
        lambda g, axis=axis: g.op("Flatten", g.x, axis=axis),
        since=7 if axis >= 0 else 11,
        at="all" if axis == 1 else "last",
    )
case("Flatten", "default", lambda g: g.op("Flatten", g.x), at="last")
for variant, shape, attributes, since in [
    ("plain", (1, 18, 7), {}, 7),
    ("infer", (1, -1), {}, 7),
    ("keep", (0, 0, -1), {}, 7),
    ("allow-zero", (1, 3, 42), {"allowzero": 1}, 14),
]:
    case(
        "Reshape",
        variant,
        lambda g, shape=shape, attributes=attributes: g.op("Reshape", g.x, g.ints(*shape), **attributes),
        since=since,
        at="all" if variant == "infer" else "last",
    )
case(
    "Reshape",
    "computed",
    lambda g: g.op("Reshape", g.x, g.op("Concat", g.op("Gather", g.op("Shape", g.x), g.ints(0)), g.ints(-1), axis=0)),
    at="last",
)


def axes(g, operator, x, *which):
    return g.op(operator, x, g.ints(*which)) if g.opset >= 13 else g.op(operator, x, axes=list(which))


for variant, which, x, since in [
    ("one", (0,), (1, 3, 1, 7), 7),
    ("two", (0, 2), (1, 3, 1, 7), 7),
    ("negative", (-2,), (1, 3, 1, 7), 11),
]:
    case(
        "Squeeze",
        variant,
        lambda g, which=which: axes(g, "Squeeze", g.x, *which),
        x=x,
        since=since,
        at="all" if variant == "two" else "last",
    )
case("Squeeze", "all", lambda g: g.op("Squeeze", g.x), x=(1, 3, 1, 7), at="last")
for variant, which, since in [
    ("one", (0,), 7),
    ("two", (0, 4), 7),
    ("unordered", (4, 0), 11),
    ("negative", (-1, 1), 11),
]:
    case(
        "Unsqueeze",
        variant,
        lambda g, which=which: axes(g, "Unsqueeze", g.x, *which),
        x=(3, 6, 7),
        since=since,
        at="all" if variant == "two" else "last",
    )
for variant, perm in [("default", None), ("nhwc", [0, 2, 3, 1]), ("swap", [0, 1, 3, 2])]:
    case(
        "Transpose",
        variant,
        lambda g, perm=perm: g.op("Transpose", g.x, perm=perm),
        at="all" if variant == "nhwc" else "last",
    )
for variant, shape in [("rank", (2, 1, 3, 6, 7)), ("both", (1, 3, 1, 7)), ("less", (6, 1))]:
    case(
        "Expand",
        variant,
        lambda g, shape=shape: g.op("Expand", g.x, g.ints(*shape)),
        x=(1, 3, 6, 1) if variant == "both" else (1, 3, 6, 7),
        at="all" if variant == "both" else "last",
    )
case("Expand", "i32", lambda g: g.op("Expand", g.cast(g.x, I32), g.ints(3, 16)), x=WHOLE, at="last")
case("Tile", "plain", lambda g: g.op("Tile", g.x, g.ints(1, 2, 1, 3)), at="all")
case(
    "Tile",
    "zero",
    lambda g: g.op("ReduceSum", g.op("Concat", g.op("Tile", g.x, g.ints(1, 0, 1, 1)), g.x, axis=1), g.ints(1)),
    since=13,
    at="last",
)
for axis in (1, 3, -2):
    case(
        "Concat",
        f"axis-{axis}",
        lambda g, axis=axis: g.op("Concat", g.x, g.op("Neg", g.x), axis=axis),
        since=11 if axis < 0 else 7,
        at="all" if axis == 1 else "last",
    )
case(
    "Concat", "constant", lambda g: g.op("Concat", g.weights(1, 2, 6, 7), g.x, g.weights(1, 1, 6, 7), axis=1), at="last"
)
case(
    "Concat",
    "i32",
    lambda g: g.op("Concat", g.cast(g.x, I32), g.const(np.ones((1, 2)), np.int32), axis=1),
    x=WHOLE,
    at="last",
)
LARGEST, SMALLEST = 2**63 - 1, -(2**63)
for variant, starts, ends, which, steps in [
    ("plain", (1, 2), (3, 6), (1, 3), None),
    ("negative", (-2, -4), (-1, LARGEST), (-3, -1), None),
    ("clamped", (-100, 2), (100, 100), (1, 3), None),
    ("steps", (0, 1), (6, 7), (2, 3), (2, 3)),
    ("reversed", (-1,), (SMALLEST,), (3,), (-1,)),
    ("reversed-steps", (5, 6), (0, 1), (2, 3), (-2, -3)),
    ("no-axes", (0, 1, 2, 3), (1, 3, 5, 7), None, None),
    ("reversed-clamped", (100,), (-100,), (2,), (-2,)),
]:

    def sliced(g, starts=starts, ends=ends, which=which, steps=steps):
        if g.opset < 10:
            return g.op("Slice", g.x, starts=list(starts), ends=list(ends), axes=which and list(which))
        inputs = [g.ints(*starts), g.ints(*ends)] + ([g.ints(*which)] if which else [])
        return g.op("Slice", g.x, *inputs, *([g.ints(*steps)] if steps else []))

    case("Slice", variant, sliced, since=10 if steps else 7, at="all" if variant == "negative" else "last")
case(
    "Slice",
    "i32-axes",
    lambda g: g.op(
        "Slice", g.x, g.const([1], np.int32), g.const([3], np.int32), g.const([1], np.int32), g.const([1], np.int32)
    ),
    since=10,
    at="last",
)
case(
    "Slice",
    "computed-largest",
    lambda g: g.op(
        "Slice",
        g.x,
        g.ints(1),
        g.op("Concat", g.op("Unsqueeze", g.const(LARGEST, np.int64), g.ints(0)), axis=0),
        g.ints(3),
    ),
    since=13,
    at="last",
)
case(
    "Slice",
    "unordered-axes",
    lambda g: g.op("Slice", g.x, g.ints(2, 1), g.ints(6, 3), g.ints(3, 1)),
    since=10,
    at="last",
)


def split(g, axis, parts, count, keep):
    if parts is None:
        return g.op("Split", g.x, outputs=count, keep=keep, axis=axis, num_outputs=count if g.opset >= 18 else None)
    if g.opset >= 13:
        return g.op("Split", g.x, g.ints(*parts), outputs=count, keep=keep, axis=axis)
    return g.op("Split", g.x, outputs=count, keep=keep, axis=axis, split=list(parts))


for variant, axis, parts, count, keep, since in [
    ("even", 2, None, 3, 1, 7),
    ("uneven", 3, (2, 4, 1), 3, 1, 7),
    ("remainder", 3, None, 3, 2, 18),
    ("negative", -1, (2, 5), 2, 1, 11),
    ("zero", 3, (0, 7), 2, 1, 13),
]:
    case(
        "Split",
        variant,
        lambda g, axis=axis, parts=parts, count=count, keep=keep: split(g, axis, parts, count, keep),
        since=since,
        at="all" if variant == "uneven" else "last",
        expect=(lambda x, g: x[..., 6:]) if variant == "remainder" else None,
    )
for variant, axis, indices, since in [
    ("plain", 1, [2, 0], 7),
    ("negative", 3, [-1, -7, 0], 11),
    ("scalar", 1, 1, 7),
    ("matrix", 2, [[0, 1], [5, 2]], 7),
    ("negative-axis", -1, [[3]], 7),
]:
    case(
        "Gather",
        variant,
        lambda g, axis=axis, indices=indices: g.op("Gather", g.x, g.const(indices, np.int64), axis=axis),
        since=since,
        at="all" if variant == "plain" else "last",
    )
case(
    "Gather",
    "computed",
    lambda g: g.op("Gather", g.weights(20, 3), g.cast(g.x, I64), axis=0),
    x=WHOLE,
    since=11,
    at="last",
)
case(
    "GatherElements",
    "plain",
    lambda g: g.op("GatherElements", g.x, g.const(g.random.integers(-7, 7, (1, 3, 6, 2)), np.int64), axis=3),
    at="all",
)
case(
    "GatherElements",
    "channel",
    lambda g: g.op("GatherElements", g.x, g.const(g.random.integers(0, 3, (1, 2, 6, 7)), np.int32), axis=1),
    at="last",
)
for variant, indices, batch in [
    ("plain", [[0, 1, 2], [0, 2, -1]], 0),
    ("whole", [[0, 1, 2, 3]], 0),
    ("batch", [[[0, 1], [2, -3]]], 1),
]:
    case(
        "GatherND",
        variant,
        lambda g, indices=indices, batch=batch: g.op(
            "GatherND", g.x, g.const(indices, np.int64), **({"batch_dims": batch} if batch else {})
        ),
        since=12 if batch else 11,
        at="all" if variant == "plain" else "last",
    )
case(
    "Scatter",
    "plain",
    lambda g: g.op("Scatter", g.x, g.const([[0, 5, 2]], np.int64), g.weights(1, 3), axis=1),
    x=(1, 8),
    until=10,
    expect=lambda x, g: scattered(x, [0, 5, 2], numpy_helper.to_array(g.initializers[1])),
)


def scattered(x, at, values_):
    x = x.copy()
    x[0, at] = values_[0]
    return x


for reduction, since in [(None, 11), ("add", 16), ("mul", 16), ("min", 18), ("max", 18)]:
    case(
        "ScatterElements",
        reduction or "plain",
        lambda g, reduction=reduction: g.op(
            "ScatterElements",
            g.x,
            g.const([[0, -3, 0 if reduction else 2]], np.int64),
            g.weights(1, 3),
            axis=1,
            reduction=reduction,
        ),
        x=(1, 8),
        since=since,
        at="all" if not reduction else "last",
    )
    case(
        "ScatterND",
        reduction or "plain",
        lambda g, reduction=reduction: g.op(
            "ScatterND",
            g.x,
            g.const([[0, 1], [0, 2], [0, 1 if reduction else -1]], np.int64),
            g.weights(3, 6, 7),
            reduction=reduction,
        ),
        x=(1, 4, 6, 7),
        since=since,
        at="all" if not reduction else "last",
    )
case(
    "ScatterElements",
    "rows",
    lambda g: g.op("ScatterElements", g.x, g.const([[[[1, 0, 2]]]], np.int64), g.weights(1, 1, 1, 3), axis=2),
    at="last",
)
case("TensorScatter", "plain", lambda g: g.op("TensorScatter", g.x, g.weights(1, 3, 2, 7), g.ints(1), axis=2))


def pad(g, pads, mode="constant", value=None, which=None):
    if g.opset < 11:
        return g.op("Pad", g.x, pads=list(pads), mode=mode, value=value)
    inputs = [g.ints(*pads)]
    if value is not None or which:
        inputs.append("" if value is None else g.const(np.float32(value)))
    return g.op("Pad", g.x, *inputs, *([g.ints(*which)] if which else []), mode=mode)


def cut_and_padded(x, pads, mode="constant"):
    """Negative pads cut. What is mirrored or repeated is what is left."""
    begins, ends = pads[:4], pads[4:]
    x = x[tuple(slice(max(-begin, 0), size - max(-end, 0)) for begin, end, size in zip(begins, ends, x.shape))]
    return np.pad(x, [(max(begin, 0), max(end, 0)) for begin, end in zip(begins, ends)], mode=mode)


PADS = (0, 0, 1, 2, 0, 0, 3, 1)
for variant, arguments, since in [
    ("constant", {"pads": PADS}, 7),
    ("value", {"pads": PADS, "value": 1.5}, 7),
    ("reflect", {"pads": PADS, "mode": "reflect"}, 7),
    ("edge", {"pads": PADS, "mode": "edge"}, 7),
    ("wrap", {"pads": PADS, "mode": "wrap"}, 19),
    ("negative", {"pads": (0, 0, -1, 2, 0, 0, 3, -2)}, 7),
    ("axes", {"pads": (1, 2, 3, 1), "which": (2, 3)}, 18),
    ("negative-axes", {"pads": (1, 2, 3, 1), "which": (-1, 1)}, 18),
    ("channels", {"pads": (0, 1, 0, 0, 0, 2, 0, 0), "value": -1.0}, 7),
    ("reflect-largest", {"pads": (0, 0, 5, 6, 0, 0, 5, 6), "mode": "reflect"}, 7),
    ("negative-reflect", {"pads": (0, 0, -1, 2, 0, 0, 3, -2), "mode": "reflect"}, 11),
    ("negative-edge", {"pads": (0, 0, -1, 2, 0, 0, 3, -2), "mode": "edge"}, 11),
    ("wrap-around", {"pads": (0, 0, 8, 9, 0, 0, 7, 1), "mode": "wrap"}, 19),
    ("reflect-twice", {"pads": (0, 0, 8, 9, 0, 0, 7, 1), "mode": "reflect"}, 19),
    ("reflect-channels", {"pads": (0, 1, 0, 0, 0, 2, 0, 0), "mode": "reflect"}, 11),
]:
    case(
        "Pad",
        variant,
        lambda g, arguments=arguments: pad(g, **arguments),
        since=since,
        expect=(lambda x, g, arguments=arguments: cut_and_padded(x, **arguments))
        if "negative" in variant and "axes" not in variant
        else None,
        at="all" if variant == "value" else "last",
    )
case(
    "Pad",
    "i32",
    lambda g: g.op("Pad", g.cast(g.x, I32), g.ints(0, 1, 0, 2), g.const(7, np.int32)),
    x=WHOLE,
    since=11,
    at="last",
)
for mode in (None, "DCR", "CRD"):
    case(
        "DepthToSpace",
        mode or "default",
        lambda g, mode=mode: g.op("DepthToSpace", g.x, blocksize=2, mode=mode),
        x=(1, 8, 2, 3),
        since=11 if mode else 7,
        at="all" if not mode else "last",
    )
case("SpaceToDepth", "plain", lambda g: g.op("SpaceToDepth", g.x, blocksize=2), x=(1, 3, 4, 6), at="all")
case("Shape", "plain", lambda g: g.op("Shape", g.x), at="all")
for variant, attributes in [
    ("start", {"start": 1}),
    ("end", {"end": -1}),
    ("both", {"start": -3, "end": 3}),
    ("beyond", {"start": -10, "end": 10}),
]:
    case("Shape", variant, lambda g, attributes=attributes: g.op("Shape", g.x, **attributes), since=15, at="last")
case("Size", "plain", lambda g: g.op("Size", g.x), at="all")
for variant, value in [
    ("default", None),
    ("f32", np.array([1.5], np.float32)),
    ("i64", np.array([7], np.int64)),
    ("i32", np.array([7], np.int32)),
    ("bool", np.array([True])),
]:
    case(
        "ConstantOfShape",
        variant,
        lambda g, value=value: g.op(
            "Add",
            g.cast(
                g.op(
                    "ConstantOfShape",
                    g.op("Shape", g.x),
                    value=None if value is None else numpy_helper.from_array(value),
                ),
                F32,
            ),
            g.x,
        ),
        at="all" if variant == "f32" else "last",
    )
case(
    "ConstantOfShape",
    "beyond-i32",
    lambda g: g.op(
        "Add",
        g.cast(
            g.op(
                "Div",
                g.op("ConstantOfShape", g.op("Shape", g.x), value=numpy_helper.from_array(np.array([3_000_000_000]))),
                g.ints(1_000_000_000),
            ),
            F32,
        ),
        g.x,
    ),
    at="last",
)
for variant, attributes, since in [
    ("tensor", {"value": numpy_helper.from_array(np.array([1.0, 2.0], np.float32))}, 7),
    ("float", {"value_float": 2.5}, 12),
    ("floats", {"value_floats": [2.5, 1.0]}, 12),
]:
    case(
        "Constant",
        variant,
        lambda g, attributes=attributes: g.op("Mul", g.x, g.op("Constant", **attributes)),
        x=(3, 2),
        since=since,
        at="all" if variant == "tensor" else "last",
    )
for variant, array in [
    ("f64", np.array([1.1, 2.2])),
    ("f16", np.array([1.1, 2.2], np.float16)),
    ("i64", np.array([3, 4])),
    ("i8", np.array([3, -4], np.int8)),
    ("bool", np.array([True, False])),
    ("beyond-i32", np.array([2**40, 3])),
]:
    case(
        "Constant",
        variant,
        lambda g, array=array: g.op("Mul", g.x, g.cast(g.op("Constant", value=numpy_helper.from_array(array)), F32)),
        x=(3, 2),
        at="last",
    )
case("Constant", "int", lambda g: g.op("Mul", g.x, g.cast(g.op("Constant", value_int=3), F32)), since=12, at="last")
case(
    "Constant",
    "ints",
    lambda g: g.op("Mul", g.x, g.cast(g.op("Constant", value_ints=[3, 4]), F32)),
    x=(3, 2),
    since=12,
    at="last",
)
case(
    "Constant",
    "sparse",
    lambda g: g.op(
        "Mul",
        g.x,
        g.op(
            "Constant",
            sparse_value=helper.make_sparse_tensor(
                helper.make_tensor("v", F32, [1], [2.0]), helper.make_tensor("i", I64, [1], [1]), [2]
            ),
        ),
    ),
    x=(3, 2),
    since=11,
    at="last",
    expect=lambda x, g: x * np.array([0, 2], np.float32),
)
case("Range", "f32", lambda g: g.op("Range", g.op("ReduceMin", g.x, keepdims=0), 5.5, 1.25), x=values(-2, 4), at="last")
case(
    "Range",
    "i64",
    lambda g: g.op(
        "Range", g.const(7, np.int64), g.cast(g.op("ReduceMin", g.x, keepdims=0), I64), g.const(-2, np.int64)
    ),
    x=values(-2, 4),
    at="all",
)
for k in (-1, 0, 2):
    case("EyeLike", f"k-{k}", lambda g, k=k: g.op("Add", g.op("EyeLike", g.x, k=k), g.x), x=(4, 5), at="last")
case("EyeLike", "i32", lambda g: g.op("EyeLike", g.x, dtype=I32), x=(4, 5), at="all")
for variant, axis, since in [("default", None, 9), ("first", 0, 9), ("middle", 1, 9), ("negative", -2, 9)]:
    case(
        "OneHot",
        variant,
        lambda g, axis=axis: g.op("OneHot", g.cast(g.x, I64), g.const(9, np.int64), g.const([0.5, 2.0]), axis=axis),
        x=lambda random: random.integers(-9, 9, (2, 3)),
        since=since,
        at="all" if axis is None else "last",
    )
case(
    "OneHot",
    "beyond",
    lambda g: g.op("OneHot", g.cast(g.x, I64), g.ints(4), g.const([0.5, 2.0])),
    x=values(-5, -4, -1, 0, 3, 4, 100),
    at="last",
    expect=lambda x, g: np.array(
        [[[2.0 if (v == k or v + 4 == k) else 0.5 for k in range(4)] for v in x[0]]], np.float32
    ),
)
case("NonZero", "plain", lambda g: g.op("NonZero", g.x), x=TIES, at="all")
for upper in (0, 1):
    for k in (None, 1, -2):
        case(
            "Trilu",
            f"upper-{upper}-k-{k}",
            lambda g, upper=upper, k=k: g.op("Trilu", g.x, *([] if k is None else [g.const(k, np.int64)]), upper=upper),
            at="last",
        )
case("Compress", "plain", lambda g: g.op("Compress", g.x, g.const([True, False, True], np.bool_), axis=1), at="all")
case("Compress", "flat", lambda g: g.op("Compress", g.x, g.const([True, False, True], np.bool_)), at="last")
case(
    "ReverseSequence",
    "plain",
    lambda g: g.op("ReverseSequence", g.x, g.ints(1, 3, 4), time_axis=0, batch_axis=1),
    x=(4, 3, 2),
    at="last",
)
case(
    "ReverseSequence",
    "batch-first",
    lambda g: g.op("ReverseSequence", g.x, g.ints(1, 3, 4), time_axis=1, batch_axis=0),
    x=(3, 4, 2),
    at="last",
)
case("Unique", "sorted", lambda g: g.op("Unique", g.x), x=values(3, 1, 2, 1, 3), at="last")
case(
    "Unique",
    "unsorted",
    lambda g: g.op("Unique", g.x, sorted=0),
    x=values(3, 1, 2, 1, 3),
    at="last",
    # The evaluator sorts if there is no second output.
    expect=lambda x, g: np.array([3, 1, 2], np.float32),
)
case("CenterCropPad", "plain", lambda g: g.op("CenterCropPad", g.x, g.ints(4, 10), axes=[2, 3]))
case("Col2Im", "plain", lambda g: g.op("Col2Im", g.x, g.ints(5, 5), g.ints(1, 5)), x=(1, 5, 5))
case("AffineGrid", "plain", lambda g: g.op("AffineGrid", g.x, g.ints(1, 3, 4, 5)), x=(1, 2, 3))
case(
    "NonMaxSuppression",
    "plain",
    lambda g: g.op(
        "NonMaxSuppression", g.x, g.const([[[0.9, 0.75, 0.6, 0.95]]]), g.ints(3), g.const([0.5]), g.const([0.0])
    ),
    x=lambda _: [[[0.0, 0.0, 1.0, 1.0], [0.0, 0.1, 1.0, 1.1], [0.0, 10.0, 1.0, 11.0], [0.0, 10.1, 1.0, 11.1]]],
    at="last",
)
case("Dropout", "plain", lambda g: g.op("Dropout", g.x), at="all")
case(
    "Dropout",
    "ratio",
    lambda g: g.op("Dropout", g.x, 0.5) if g.opset >= 12 else g.op("Dropout", g.x, ratio=0.5),
    at="all",
)
case("Dropout", "mask", lambda g: g.op("Dropout", g.x, outputs=2, keep=1), since=12, at="last")
case(
    "Dropout",
    "training-without-ratio",
    lambda g: g.op("Dropout", g.x, g.const(np.float32(0)), g.const(True, np.bool_)),
    since=12,
    at="last",
)
