"""Exports classifiers with the ultralytics package and writes the probabilities that `yolo predict` gives for images.

    ultralytics_exports.py OUT IMAGE...

OUT gets a directory for each export, with the model in it, and `expected.json`: for each export its `model`, and for each
image the probabilities of the export and of the checkpoint that it was made of. `ultralytics_compare.py` compares them
with this program. The weights are random, but the normalisation is computed from images, so that the features differ
from image to image, and the last layer is enlarged, so that the probabilities differ.

Needs: ultralytics, onnx, onnxruntime, openvino; for `litert` litert-torch; for int8 nncf.
"""

import json
import os
import pathlib
import shutil
import sys

os.environ["YOLO_OFFLINE"] = "true"
os.environ["YOLO_AUTOINSTALL"] = "false"

import cv2
import torch
from PIL import Image
from ultralytics import YOLO
from ultralytics.data.augment import classify_transforms

# The name of an export, the architecture, and the arguments of `export`.
EXPORTS = [
    ("v8-onnx-224", "yolov8n-cls", {"format": "onnx", "imgsz": 224}),
    ("v8-onnx-224-plain", "yolov8n-cls", {"format": "onnx", "imgsz": 224, "simplify": False, "opset": 12}),
    ("v8-onnx-64", "yolov8n-cls", {"format": "onnx", "imgsz": 64}),
    ("v8-onnx-160x224", "yolov8n-cls", {"format": "onnx", "imgsz": [160, 224]}),
    ("v8-onnx-dynamic", "yolov8n-cls", {"format": "onnx", "imgsz": 224, "dynamic": True}),
    ("v8-onnx-half", "yolov8n-cls", {"format": "onnx", "imgsz": 224, "half": True}),
    ("v8-onnx-batch2", "yolov8n-cls", {"format": "onnx", "imgsz": 224, "batch": 2}),
    ("v8-openvino-224", "yolov8n-cls", {"format": "openvino", "imgsz": 224}),
    ("v8-openvino-224x160", "yolov8n-cls", {"format": "openvino", "imgsz": [224, 160]}),
    ("v8-openvino-half", "yolov8n-cls", {"format": "openvino", "imgsz": 224, "half": True}),
    ("v8-openvino-dynamic", "yolov8n-cls", {"format": "openvino", "imgsz": 224, "dynamic": True}),
    ("v8-openvino-int8", "yolov8n-cls", {"format": "openvino", "imgsz": 64, "int8": True}),
    ("v8-onnx-int8", "yolov8n-cls", {"format": "onnx", "imgsz": 64, "int8": True}),
    ("v11-onnx-224", "yolo11n-cls", {"format": "onnx", "imgsz": 224}),
    ("v11-onnx-64-half", "yolo11n-cls", {"format": "onnx", "imgsz": 64, "half": True}),
    ("v11-openvino-64", "yolo11n-cls", {"format": "openvino", "imgsz": 64}),
    ("v26-onnx-224", "yolo26n-cls", {"format": "onnx", "imgsz": 224}),
    ("v26-openvino-224", "yolo26n-cls", {"format": "openvino", "imgsz": 224}),
    ("v8-litert-224", "yolov8n-cls", {"format": "litert", "imgsz": 224}),
    ("v8-litert-160x224", "yolov8n-cls", {"format": "litert", "imgsz": [160, 224]}),
    ("v11-litert-64", "yolo11n-cls", {"format": "litert", "imgsz": 64}),
    ("v8-litert-int8", "yolov8n-cls", {"format": "litert", "imgsz": 64, "int8": True}),
]


def checkpoint(architecture, images, out):
    """A checkpoint of `architecture` whose answers differ from image to image."""
    torch.manual_seed(5)
    model = YOLO(f"{architecture}.yaml", task="classify")
    transform = classify_transforms(224)
    batch = torch.stack([transform(Image.fromarray(cv2.imread(str(path))[..., ::-1])) for path in images])
    for module in model.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    model.model.train()
    with torch.no_grad():
        for _ in range(2):
            model.model(batch)
        model.model.eval()
        model.model.model[-1].linear.weight *= 12
    model.model.names = {index: name_of(index) for index in range(1000)}
    path = out / f"{architecture}.pt"
    model.save(path)
    return path


def name_of(index):
    """Names with what a reader of Python's notation may stumble over."""
    return {1: "great white shark", 2: "miner's cat", 3: 'a "quoted" name', 4: "café, crème: 5", 5: "7"}.get(
        index, f"class {index}")


def probabilities(path, images, imgsz):
    model = YOLO(path, task="classify")
    answers = {}
    for image in images:
        # Every backend takes one image at a time, but those of a fixed batch take copies.
        result = model.predict(str(image), imgsz=imgsz, verbose=False, save=False, device="cpu")[0]
        answers[image.name] = [float(value) for value in result.probs.data.cpu()]
    return answers


def main(out, images):
    out = pathlib.Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    images = [pathlib.Path(image).resolve() for image in images]
    only = os.environ.get("ONLY", "").split(",")
    results = out / "expected.json"
    expected = json.loads(results.read_text()) if results.exists() else {}
    for name, architecture, arguments in EXPORTS:
        if not any(word in name for word in only) or name in expected:
            continue
        folder = out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        source = out / f"{architecture}.pt"
        if not source.exists():
            checkpoint(architecture, images[:16], out)
        copy = folder / source.name
        shutil.copy(source, copy)
        try:
            if "int8" in arguments:
                data = folder / "data"
                for part in ["train", "val"]:
                    for index in range(2):
                        (data / part / f"c{index}").mkdir(parents=True)
                for index, image in enumerate(images):
                    for part in ["train", "val"]:
                        shutil.copy(image, data / part / f"c{index % 2}")
                arguments = {**arguments, "data": str(data)}
            model = pathlib.Path(YOLO(copy).export(**arguments, verbose=False))
            size = arguments["imgsz"]
            answers = probabilities(model, images, size)
            theirs = probabilities(copy, images, size)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {str(error)[:500]}", flush=True)
            continue
        expected[name] = {"model": str(model), "export": answers, "checkpoint": theirs}
        (out / "expected.json").write_text(json.dumps(expected))
        print(f"{name}: {model}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
