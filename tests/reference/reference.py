"""Usage: reference.py ENGINE MODEL RECIPE IMAGE... — an independent classification, for tests.

ENGINE is `openvino` or `onnx`. RECIPE is how the model's authors prepare images, written with
Pillow, OpenCV and numpy alone. Prints one JSON object an image: path, and the ten best classes as
[class id, probability]; equal probabilities by class id.
"""

import json
import math
import sys

import numpy as np

engine, model, recipe, *images = sys.argv[1:]


def efficientnet_lite(path, size=224):
    """A central square of size / (size + 32) of the short side, bicubic; (x - 127) / 128."""
    from PIL import Image

    with Image.open(path) as image:
        image = image.convert("RGB")
    w, h = image.size
    c = math.floor(size / (size + 32) * min(w, h))
    top, left = (h - c + 1) // 2, (w - c + 1) // 2
    image = image.crop((left, top, left + c, top + c)).resize((size, size), Image.BICUBIC)
    pixels = (np.asarray(image, np.float32) - np.float32(127)) / np.float32(128)
    return pixels.transpose(2, 0, 1)[None]


def hugging_face(path, short=256, size=224):
    """MobileNetV2ImageProcessor: the short side to 256, the centre of 224 rounded down, x / 255, ImageNet's mean and deviation."""
    from PIL import Image

    with Image.open(path) as image:
        image = image.convert("RGB")
    w, h = image.size
    new = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    image = image.resize(new, Image.BILINEAR)
    left, top = (new[0] - size) // 2, (new[1] - size) // 2
    image = image.crop((left, top, left + size, top + size))
    pixels = np.asarray(image, np.float32) / np.float32(255)
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return ((pixels - mean) / std).transpose(2, 0, 1)[None]


def opencv_stretch(path, size=227):
    """BGR as OpenCV reads it, stretched, 0-255."""
    import cv2

    image = cv2.resize(cv2.imread(path), (size, size))
    return image.astype(np.float32).transpose(2, 0, 1)[None]


prepare = {
    "efficientnet-lite": efficientnet_lite,
    "hugging-face": hugging_face,
    "opencv-stretch": opencv_stretch,
}[recipe]

if engine == "openvino":
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def infer(tensor):
        return compiled(tensor)[0]

else:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def infer(tensor):
        return session.run(None, {session.get_inputs()[0].name: tensor})[0]


for image in images:
    values = infer(np.ascontiguousarray(prepare(image))).reshape(-1).astype(np.float64)
    if not (values.min() >= 0 and abs(values.sum() - 1) < 1e-3):
        values = np.exp(values - values.max())
        values /= values.sum()
    best = sorted(range(len(values)), key=lambda k: (-values[k], k))[:10]
    print(json.dumps({"path": image, "top": [[k, values[k]] for k in best]}))
