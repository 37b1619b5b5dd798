"""Writes what Pillow and OpenCV make of the grey of images, for models of one channel.

    grey_tensors.py OUT IMAGE...

OUT gets `manifest.jsonl`, one case a line: {"image": PATH, "interpolation": NAME, "resize": RESIZE, "size": [WIDTH, HEIGHT],
"expected": FILE}. Files are raw bytes, one for each pixel. The image is converted with `convert("L")` and resized then, as
torchvision's `Grayscale` before `Resize` does it.

Needs: pillow, numpy, opencv-python-headless.
"""

import json
import pathlib
import sys

import cv2
import numpy as np
from PIL import Image

FILTERS = ["nearest", "box", "bilinear", "bicubic", "lanczos"]


def pillow(image, name, size, source=None):
    return image.resize(size, getattr(Image.Resampling, name.upper()), box=source)


def cases(image):
    width, height = image.size
    for size in [(28, 28), (64, 48), (300, 40)]:
        for name in FILTERS:
            yield name, "stretch", size, pillow(image, name, size)
        yield "opencv-linear", "stretch", size, Image.fromarray(cv2.resize(np.asarray(image), size))
    short = min(width, height)
    resized = tuple(int(40 * side / short) for side in (width, height))
    left, top = (round((side - 32) / 2) for side in resized)
    whole = pillow(image, "bilinear", resized)
    yield "bilinear", "short:40", (32, 32), whole.crop((left, top, left + 32, top + 32))


out, *paths = sys.argv[1:]
out = pathlib.Path(out)
with open(out / "manifest.jsonl", "w") as manifest:
    for number, path in enumerate(paths):
        image = Image.open(path).convert("L")
        for index, (name, resize, size, expected) in enumerate(cases(image)):
            file = f"{number}-{index}.raw"
            (out / file).write_bytes(expected.tobytes())
            case = {"image": path, "interpolation": name, "resize": resize, "size": size, "expected": file}
            manifest.write(json.dumps(case) + "\n")
