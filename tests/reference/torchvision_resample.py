"""Prints the table in exact-resample/src/torchvision/expected.rs.

Needs torch and torchvision, on a processor with AVX2: torchvision resizes the tensors of generated images.

    python torchvision_resample.py > ../../exact-resample/src/torchvision/expected.rs
"""

import random

import numpy as np
import torch
import torchvision
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

FILTERS = {"Nearest": "nearest", "NearestExact": "nearest-exact", "Bilinear": "bilinear", "Bicubic": "bicubic",
           "Lanczos": "lanczos"}
# Sides that reach every edge of the vector code, one-pixel sides, and extreme ratios.
SIZES = [(1, 1), (2, 1), (1, 2), (3, 3), (4, 5), (7, 9), (11, 10), (13, 17), (31, 33), (33, 31), (64, 48), (97, 101),
         (127, 63), (255, 257), (500, 375), (333, 500), (1, 5000), (5000, 1), (2, 4097), (3000, 41), (1_100_000, 3)]
TARGETS = [(224, 224), (227, 225), (299, 299), (1, 1), (2, 3), (5, 7), (11, 300), (300, 11), (64, 63), (447, 336),
           (1, 40), (40, 1)]
# Products of index and scale that rounding moves across a pixel: nearest neighbours, small targets and others.
BORDERS = [(4, 82, 166), (2, 47, 307), (8, 123, 1420)]


def drawn(width, height, extreme):
    """Noise; if `extreme`, of 0 and 255, which make filters with negative lobes overshoot."""
    values = np.arange(width * height * 3, dtype=np.uint32) * np.uint32(0x9E3779B1)
    values = (values ^ values >> np.uint32(15)) * np.uint32(0x85EBCA77) >> np.uint32(24)
    values = np.where(values < 128, 0, 255) if extreme else values
    return values.astype(np.uint8).reshape(height, width, 3)


def resized(image, size, mode):
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    # torch 2.15 stops with an internal error at contiguous targets of one column.
    if size[0] > 1:
        tensor = tensor.contiguous()
    result = functional.resize(tensor, [size[1], size[0]], interpolation=InterpolationMode(mode), antialias=True)
    return result.permute(1, 2, 0).numpy().tobytes()


def hashed(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def cases():
    rng = random.Random(18)
    for size in SIZES:
        for _ in range(4):
            target = rng.choice(TARGETS)
            target = rng.choice([target, target, (size[0], target[1]), (target[0], size[1])])
            if target[0] * target[1] < 1_000_000:
                yield size, target, rng.random() < 0.4
    for _ in range(40):
        width, height, to_width, to_height = (int(2 ** rng.uniform(0, 8)) for _ in range(4))
        yield (width, height), (to_width, to_height), rng.random() < 0.4


assert torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
rows = []
for size, target, extreme in cases():
    for name, mode in FILTERS.items():
        rows.append((name, size, target, extreme, hashed(resized(drawn(*size, extreme), target, mode))))
for side, small, large in BORDERS:
    for to in (small, large):
        for name in ["Nearest", "NearestExact"]:
            rows.append((name, (side, 5), (to, 5), False, hashed(resized(drawn(side, 5, False), (to, 5), FILTERS[name]))))
            rows.append((name, (5, side), (5, to), False, hashed(resized(drawn(5, side, False), (5, to), FILTERS[name]))))
print("//! Made by `tests/reference/torchvision_resample.py`; see there.\n")
print("#![allow(clippy::large_const_arrays, clippy::unreadable_literal)]\n")
print("use super::Filter::{self, Bicubic, Bilinear, Lanczos, Nearest, NearestExact};\n")
print("/// Filter, size, target, whether the image has 0 and 255 only, and the FNV-1a hash of the bytes that torchvision")
print(f"/// {torchvision.__version__.split('+')[0]} gives with torch {torch.__version__.split('+')[0]}.")
print("type Case = (Filter, (u32, u32), (u32, u32), bool, u64);\n")
print("#[rustfmt::skip]")
print(f"pub(super) const CASES: [Case; {len(rows)}] = [")
for name, size, target, extreme, value in rows:
    text = f"{value:016x}"
    text = "_".join(text[i:i + 4] for i in range(0, 16, 4))
    print(f"    ({name}, {size}, {target}, {'true' if extreme else 'false'}, 0x{text}),")
print("];\n")


def floats(image, size, mode):
    tensor = torch.from_numpy(image).permute(2, 0, 1).contiguous() * (1 / 255)
    result = functional.resize(tensor, [size[1], size[0]], interpolation=InterpolationMode(mode), antialias=True)
    return result.permute(1, 2, 0).numpy().ravel()


SAMPLES = 30
rows = [
    (name, size, target, floats(drawn(*size, False), target, FILTERS[name]))
    for size in [(57, 40), (33, 61), (7, 300), (500, 375), (5, 1)]
    for target in [(20, 20), (64, 31), (size[0], 24), (90, size[1])]
    for name in ["Bilinear", "Bicubic"]
]
print("/// Filter, size, target, and values at equal distances of what torchvision gives for the tensor times 1 / 255.")
print(f"type Floats = (Filter, (u32, u32), (u32, u32), [f32; {SAMPLES}]);\n")
print("#[rustfmt::skip]")
print(f"pub(super) const FLOATS: [Floats; {len(rows)}] = [")
for name, size, target, values in rows:
    text = ", ".join(str(values[i * len(values) // SAMPLES]) for i in range(SAMPLES))
    print(f"    ({name}, {size}, {target}, [{text}]),")
print("];")
