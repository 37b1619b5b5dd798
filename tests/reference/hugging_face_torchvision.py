"""Prints the table in image-classification/src/sources/hugging_face/expected_torchvision.rs.

Needs transformers 5.24.0, torch and torchvision, on a processor with AVX2: each file goes through the image processor that
uses torchvision.

    python hugging_face_torchvision.py > ../../image-classification/src/sources/hugging_face/expected_torchvision.rs
"""

import json
import warnings

import numpy as np
import torch
import transformers
from hugging_face_cases import COMMON, EXACT, SIZES, TORCHVISION, drawn
from PIL import Image

warnings.simplefilter("ignore")

CASES = COMMON + TORCHVISION


def hashed(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def grouped(value):
    text = f"{value:016x}"
    return "0x" + "_".join(text[i:i + 4] for i in range(0, 16, 4))


assert torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
print("//! Made by `tests/reference/hugging_face_torchvision.py`; see there.\n")
print("#![allow(clippy::large_const_arrays, clippy::unreadable_literal)]\n")
print("/// `model_type`, file, size of the image; the FNV-1a hashes of the tensor that transformers 5.24.0 gives with")
print("/// torchvision, and of the bytes that it was made of; for each channel the values of a black and a white image.")
print("type Case = (Option<&'static str>, &'static str, (u32, u32), [u64; 2], [[f32; 2]; 3]);\n")
print("#[rustfmt::skip]")
print(f"pub(super) const CASES: [Case; {len(SIZES) * len(CASES)}] = [")
for name, model_type, file in CASES:
    processor = getattr(transformers, name + "ImageProcessor")(**file)
    assert processor.backend == "torchvision"

    def tensor(image):
        return np.asarray(processor(image)["pixel_values"][0].to(torch.float32))

    grounds = (tensor(Image.new("RGB", (50, 50), (value,) * 3)) for value in (0, 255))
    # In the middle, nothing is padded.
    black, white = (ground[:, ground.shape[1] // 2, ground.shape[2] // 2] for ground in grounds)
    for width, height in SIZES:
        values = tensor(drawn(width, height))
        low, high = (end.astype(np.float64)[:, None, None] for end in (black, white))
        pixels = np.rint((values - low) / (high - low) * 255).astype(np.uint8)
        text = json.dumps(file | ({} if model_type else {"image_processor_type": name + "ImageProcessor"}))
        model_type_text = f'Some("{model_type}")' if model_type else "None"
        hashes = ", ".join(grouped(hashed(data.tobytes())) for data in (values, pixels))
        ends = ", ".join(f"[{a!s}, {b!s}]" for a, b in zip(black, white))
        print(f'    ({model_type_text}, r#"{text}"#, ({width}, {height}), [{hashes}], [{ends}]),')
print("];\n")

FLOATS = [
    {"size": EXACT},
    {"size": {"height": 30, "width": 21}, "resample": 3},
    {"size": {"height": 50, "width": 50}, "do_center_crop": True, "crop_size": {"height": 41, "width": 40}},
    {},
]
SAMPLES = 40
print("/// File of `DINOv3ViT`, size of the image, and values at equal distances of the tensor.")
print(f"type Floats = (&'static str, (u32, u32), [f32; {SAMPLES}]);\n")
print("#[rustfmt::skip]")
print(f"pub(super) const FLOATS: [Floats; {len(SIZES) * len(FLOATS)}] = [")
for file in FLOATS:
    processor = transformers.DINOv3ViTImageProcessor(**file)
    for width, height in SIZES:
        values = np.asarray(processor(drawn(width, height))["pixel_values"][0].to(torch.float32)).ravel()
        text = json.dumps(file | {"image_processor_type": "DINOv3ViTImageProcessorFast"})
        samples = ", ".join(str(values[i * len(values) // SAMPLES]) for i in range(SAMPLES))
        print(f'    (r#"{text}"#, ({width}, {height}), [{samples}]),')
print("];")
