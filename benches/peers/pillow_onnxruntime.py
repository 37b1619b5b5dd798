"""How people classify images with ONNX Runtime in Python: Pillow, numpy and one session, an image at a time.

    pillow_onnxruntime.py MODEL IMAGE...

Prepares images as EfficientNet-Lite0's or SqueezeNet's authors do, and prints the best class of each.
"""

import math
import sys

import numpy as np
import onnxruntime
from PIL import Image

model, *images = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(name,) = [given.name for given in session.get_inputs()]
size = session.get_inputs()[0].shape[2]


def prepare(path):
    image = Image.open(path).convert("RGB")
    if "squeezenet" in model:
        pixels = np.asarray(image.resize((size, size), Image.BILINEAR), np.float32)[..., ::-1]
    else:
        w, h = image.size
        c = math.floor(size / (size + 32) * min(w, h))
        top, left = (h - c + 1) // 2, (w - c + 1) // 2
        image = image.crop((left, top, left + c, top + c)).resize((size, size), Image.BICUBIC)
        pixels = (np.asarray(image, np.float32) - np.float32(127)) / np.float32(128)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


for image in images:
    scores = session.run(None, {name: prepare(image)})[0].reshape(-1)
    best = np.argsort(scores)[-10:][::-1]
    print(image, " ".join(f"{k}:{scores[k]:.4f}" for k in best))
