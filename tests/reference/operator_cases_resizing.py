"""The cases of operators.py: resizing."""

import numpy as np
from operator_cases import BYTES, I32
from operators import case

# ---- resizing ---------------------------------------------------------------------------------------------------------


def resize(g, scales=None, sizes=None, x=None, roi="", **attributes):
    if g.opset == 10:
        return g.op("Resize", x or g.x, g.const(scales), **attributes)
    roi = roi if roi or g.opset >= 13 else g.const([])
    inputs = [g.const(scales)] if sizes is None else ["" if g.opset >= 13 else g.const([]), g.ints(*sizes)]
    return g.op("Resize", x or g.x, roi, *inputs, **attributes)


UP, DOWN = [1, 1, 2, 2], [1, 1, 0.6, 0.6]
for mode in ["nearest", "linear", "cubic"]:
    for variant, to in {
        "double": {"scales": UP},
        "triple": {"scales": [1, 1, 3, 3]},
        "at-0.6": {"scales": DOWN},
        "half": {"scales": [1, 1, 0.5, 0.5]},
        "odd": {"scales": [1, 1, 1.7, 0.8]},
        "to-sizes": {"sizes": [1, 3, 9, 5]},
        "to-one": {"sizes": [1, 3, 1, 1]},
    }.items():
        for coordinates in ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]:
            since = 19 if coordinates == "half_pixel_symmetric" else 11
            if coordinates == "half_pixel_symmetric" and (mode, variant) not in (
                ("linear", "at-0.6"),
                ("nearest", "to-sizes"),
                ("cubic", "at-0.6"),
            ):
                continue
            if mode == "cubic" and variant not in ("double", "at-0.6", "to-sizes"):
                continue
            plain = variant == "double" and coordinates in ("half_pixel", "asymmetric")
            case(
                "Resize",
                f"{mode}-{variant}-{coordinates}",
                lambda g, mode=mode, to=to, coordinates=coordinates: resize(
                    g, mode=mode, coordinate_transformation_mode=coordinates, **to
                ),
                since=since,
                at="all" if plain else "last",
            )
for rounding in ["floor", "ceil", "round_prefer_ceil", "round_prefer_floor"]:
    for coordinates in ["half_pixel", "asymmetric", "align_corners"]:
        for variant, to in {
            "double": {"scales": UP},
            "half": {"scales": [1, 1, 0.5, 0.5]},
            "at-0.6": {"scales": DOWN},
            "to-sizes": {"sizes": [1, 3, 4, 10]},
        }.items():
            case(
                "Resize",
                f"nearest-{rounding}-{variant}-{coordinates}",
                lambda g, rounding=rounding, to=to, coordinates=coordinates: resize(
                    g, mode="nearest", nearest_mode=rounding, coordinate_transformation_mode=coordinates, **to
                ),
                since=11,
                at="last",
            )
for scale in [0.1, 0.3, 0.35, 0.7, 0.9, 1.1, 1.2, 1.4, 1.9, 2.3]:
    for rounding, coordinates in [("floor", "asymmetric"), ("round_prefer_floor", "half_pixel")]:
        case(
            "Resize",
            f"nearest-{rounding}-{scale}-{coordinates}",
            lambda g, scale=scale, rounding=rounding, coordinates=coordinates: resize(
                g,
                [1, 1, scale, scale],
                mode="nearest",
                nearest_mode=rounding,
                coordinate_transformation_mode=coordinates,
            ),
            x=(1, 1, 22, 23),
            since=11,
            at="last",
        )
case(
    "Resize",
    "old-nearest",
    lambda g: resize(g, UP, mode="nearest"),
    since=10,
    until=10,
    expect=lambda x, g: x.repeat(2, 2).repeat(2, 3),
)
case("Resize", "default", lambda g: resize(g, UP), since=11, at="all")
case("Resize", "cubic-coefficient", lambda g: resize(g, UP, mode="cubic", cubic_coeff_a=-0.5), since=11, at="last")
case("Resize", "cubic-exclude-outside", lambda g: resize(g, UP, mode="cubic", exclude_outside=1), since=11, at="last")
for mode in ["linear", "cubic"]:
    case(
        "Resize",
        f"antialias-{mode}",
        lambda g, mode=mode: resize(g, [1, 1, 0.5, 0.5], mode=mode, antialias=1),
        since=18,
    )
    case(
        "Resize",
        f"antialias-{mode}-to-sizes",
        lambda g, mode=mode: resize(g, sizes=[1, 3, 4, 3], mode=mode, antialias=1),
        since=18,
    )
case("Resize", "axes", lambda g: resize(g, [2.0, 1.5], mode="linear", axes=[2, 3]), since=18)
case(
    "Resize",
    "keep-aspect",
    lambda g: resize(g, sizes=[12, 12], mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_larger"),
    since=18,
)
case(
    "Resize",
    "crop",
    lambda g: resize(
        g,
        sizes=[1, 3, 4, 4],
        roi=g.const([0, 0, 0.2, 0.3, 1, 1, 0.9, 0.8]),
        mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize",
    ),
    since=11,
    at="last",
)
case("Resize", "channels", lambda g: resize(g, [1, 2, 1, 1], mode="linear"), since=11, at="last")
case("Resize", "one-dimension", lambda g: resize(g, [1, 1, 2], mode="linear"), x=(1, 3, 9), since=11, at="last")
case(
    "Resize",
    "three-dimensions",
    lambda g: resize(g, [1, 1, 2, 2, 2], mode="linear"),
    x=(1, 2, 3, 3, 3),
    since=11,
    at="last",
)
case(
    "Resize",
    "scales-computed",
    lambda g: g.op(
        "Resize",
        g.x,
        "",
        g.op(
            "Concat",
            g.const([1, 1]),
            g.op("Add", g.op("Mul", g.op("ReduceMax", g.x, keepdims=0), g.const([0.0])), g.const([0.6])),
            g.const([0.6]),
            axis=0,
        ),
        mode="nearest",
    ),
    since=13,
    at="last",
)
case("Resize", "i32", lambda g: resize(g, UP, x=g.cast(g.x, I32), mode="nearest"), x=BYTES, since=11, at="last")
for mode in ["nearest", "linear"]:
    for variant, scales in {"double": UP, "odd": [1, 1, 1.5, 2.5]}.items():
        if mode == "linear" and variant == "odd":
            continue

        def upsample(g, mode=mode, scales=scales):
            if g.opset >= 9:
                return g.op("Upsample", g.x, g.const(scales), mode=mode)
            return g.op("Upsample", g.x, mode=mode, scales=[float(scale) for scale in scales])

        case(
            "Upsample",
            f"{mode}-{variant}",
            upsample,
            until=9,
            at="all",
            expect=lambda x, g, mode=mode, scales=scales: upsampled(x, mode, scales),
        )


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
            case(
                "GridSample",
                f"{mode}-{padding}-align-{align}",
                lambda g, mode=mode, padding=padding, align=align: g.op(
                    "GridSample",
                    g.x,
                    g.const(g.random.random((1, 4, 5, 2)) * 2.6 - 1.3),
                    padding_mode=padding,
                    align_corners=align,
                    mode=mode if g.opset >= 20 else {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode),
                ),
                reference=20,
                at="all" if mode == "linear" and padding == "zeros" else "last",
            )
