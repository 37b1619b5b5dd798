"""Writes images of every combination of format, depth, mode, compression and order of bytes for `compare.py`.

    generate.py OUT

The name of a file has its properties. Combinations that no reader knows are among them; `compare.py` counts them as
"neither". `tests/reference/image_cases.py` has the ones that every test run compares.

Needs: pillow, numpy.
"""

import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "reference"))
import numpy as np
from image_cases import cases
from image_files import pattern, png, tiff

SIZES = [(1, 1), (7, 5), (33, 31), (70, 18)]
TYPES = {"u8": np.uint8, "i8": np.int8, "u16": np.uint16, "i16": np.int16, "u32": np.uint32, "i32": np.int32,
         "f32": np.float32, "f64": np.float64}


def samples_of(name, width, height, count):
    """Smooth values over most of the range of a type."""
    samples = pattern(width, height, count)
    kind = np.dtype(TYPES[name])
    if kind.kind == "f":
        return samples.astype(kind) * 1.37 - 20
    if kind.kind == "i":
        return (samples.astype(np.int64) * 3 - 100).clip(np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)
    return samples.astype(kind) * kind.type(np.iinfo(kind).max // 255)


def tiffs():
    # Photometric interpretation: samples, and the extra ones.
    models = {
        "white-is-0": (0, 1, ()), "grey": (1, 1, ()), "grey-alpha": (1, 2, (2,)), "grey-unspecified": (1, 2, (0,)), "rgb": (2, 3, ()),
        "rgb-unspecified": (2, 4, (0,)), "rgb-multiplied": (2, 4, (1,)), "rgb-alpha": (2, 4, (2,)), "rgb-2": (2, 5, (0, 0)),
        "rgb-3": (2, 6, (0, 0, 0)), "palette": (3, 1, ()), "ink": (5, 4, ()), "ink-alpha": (5, 5, (2,)),
    }
    layouts = {"strip": {}, "strips": {"rows": 7}, "tiles": {"tile": (16, 16)}}
    palette = np.random.default_rng(8).integers(0, 65536, 3 * 256).tolist()
    for size, order, big, (layout, place), compression, (model, (photometric, count, extra)), kind, planar, predictor in (
        itertools.product(SIZES, "<>", (False, True), layouts.items(), (1, 5, 8, 32773), models.items(), TYPES, (1, 2), (1, 2, 3))
    ):
        is_float = kind.startswith("f")
        if (planar == 2 and count == 1 or model == "palette" and kind != "u8" or (predictor == 3) != is_float and predictor != 1
                or predictor != 1 and compression not in (5, 8) or size != (33, 31) and (big or kind not in ("u8", "u16"))):
            continue
        options = {"order": order, "big": big, "compression": compression, "planar": planar, "predictor": predictor, "extra": extra}
        options |= place | ({"palette": palette} if model == "palette" else {})
        sample_kind = 3 if is_float else 2 if kind.startswith("i") else 1
        data = tiff(samples_of(kind, *size, count), photometric, kind=sample_kind, **options)
        form = {"<": "le", ">": "be"}[order], "big" if big else "classic", layout
        method = {1: "raw", 5: "lzw", 8: "deflate", 32773: "packbits"}[compression]
        name = "-".join([f"tiff-{size[0]}x{size[1]}", model, kind, *form, method, f"planar{planar}", f"predictor{predictor}"])
        yield name, data
    for size, bits, photometric, fill, compression, order in itertools.product(
            SIZES, (1, 2, 4, 8), (0, 1, 3), (1, 2), (1, 5, 8, 32773), "<>"):
        grey = pattern(*size, 1) >> (8 - bits)
        table = palette[:3 << bits] if photometric == 3 else None
        data = tiff(grey, photometric, bits=bits, fill=fill, compression=compression, palette=table, order=order)
        yield f"tiff-{size[0]}x{size[1]}-bits{bits}-photometric{photometric}-fill{fill}-{compression}-{'be' if order == '>' else 'le'}", data


def pngs():
    for width, height in itertools.product((1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33), repeat=2):
        for color, depth, interlaced in itertools.product((0, 2, 3, 4, 6), (1, 2, 4, 8, 16), (False, True)):
            if (depth != 16 or color != 3) and (depth >= 8 or color in (0, 3)):
                name = f"png-{width}x{height}-color{color}-depth{depth}{'-interlaced' if interlaced else ''}"
                yield name, png((width, height), depth, color, interlaced)


def others():
    for index, (kind, data, _) in enumerate(cases()):
        yield f"{kind.replace(' ', '-').replace(':', '')}-{index}", data


def main(out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, data in itertools.chain(tiffs(), pngs(), others()):
        (out / name).write_bytes(data)
        count += 1
    print(f"{count} files")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
