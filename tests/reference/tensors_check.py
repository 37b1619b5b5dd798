"""Usage: tensors_check.py NPZ DIRECTORY RECIPE IMAGE... — compares the tensors of `classify tensors` with an independent
preparation of the images, by Pillow and numpy alone, and the archive with the directory. Prints how much that was."""

import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image

npz, directory, recipe, *paths = sys.argv[1:]


def pixels(path, resize, size):
    with Image.open(path) as image:
        return np.asarray(resize(image.convert("RGB"), size), np.float32)


def central_square(image, size):
    w, h = image.size
    side = math.floor(size / (size + 32) * min(w, h))
    top, left = (h - side + 1) // 2, (w - side + 1) // 2
    return image.crop((left, top, left + side, top + side)).resize((size, size), Image.BICUBIC)


def short_side(image, size, short=256):
    w, h = image.size
    new = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    image = image.resize(new, Image.BILINEAR)
    left, top = (new[0] - size) // 2, (new[1] - size) // 2
    return image.crop((left, top, left + size, top + size))


def stretched(image, size):
    return image.resize((size, size), Image.BILINEAR)


def efficientnet_lite(path):
    return ((pixels(path, central_square, 224) - 127) / 128).transpose(2, 0, 1)


def hugging_face(path):
    mean, std = np.float64([0.485, 0.456, 0.406]), np.float64([0.229, 0.224, 0.225])
    return ((pixels(path, short_side, 224) / 255 - mean) / std).transpose(2, 0, 1)


def half(path):
    return pixels(path, stretched, 8).transpose(2, 0, 1)


def bytes_last(path):
    return pixels(path, stretched, 8)


prepare, dtype = {
    "efficientnet-lite": (efficientnet_lite, np.float32),
    "hugging-face": (hugging_face, np.float32),
    "f16": (half, np.float16),
    "u8": (bytes_last, np.uint8),
    "i8": (lambda path: half(path) - 128, np.int8),
}[recipe]

with np.load(npz, allow_pickle=False) as archive:
    arrays = dict(archive)
assert sorted(arrays) == ["hashes", "images", "preprocessing", "tensors"], sorted(arrays)
files = {file.stem: file for file in Path(directory).iterdir()}
assert sorted(files) == sorted(arrays), sorted(files)
for name, file in files.items():
    mapped = np.load(file, mmap_mode="r", allow_pickle=False)
    assert mapped.dtype == arrays[name].dtype and (mapped == arrays[name]).all(), name

tensors = arrays["tensors"]
assert tensors.dtype == dtype and tensors.dtype.isnative and tensors.flags.c_contiguous, tensors.dtype
assert arrays["images"].tolist() == paths
expected = np.stack([prepare(path) for path in paths])
assert tensors.shape == expected.shape, (tensors.shape, expected.shape)
largest = np.abs(tensors.astype(np.float64) - expected).max()
# The integers and the halves are exact; normalized values differ by the order of the operations.
assert largest <= (1e-6 if dtype == np.float32 else 0), (recipe, largest)
hashes = [hashlib.sha256(tensor.tobytes()).hexdigest() for tensor in tensors]
assert arrays["hashes"].tolist() == hashes
settings = json.loads(str(arrays["preprocessing"]))["settings"]
assert settings["type"] == {"float32": "f32", "float16": "f16", "uint8": "u8", "int8": "i8"}[tensors.dtype.name], settings
print(f"{len(paths)} tensors of {list(tensors.shape[1:])}")
