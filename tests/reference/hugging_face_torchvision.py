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
from PIL import Image

warnings.simplefilter("ignore")

SHORT = {"shortest_edge": 20}
EXACT = {"height": 20, "width": 20}
CROP = {"height": 16, "width": 16}
LARGER = {"height": 24, "width": 23}

# The processor, the model_type or None, and the file without its type.
CASES = [
    ("PoolFormer", None, {"size": 20, "crop_pct": 0.9, "crop_size": 16}),
    ("PoolFormer", None, {"size": SHORT, "crop_pct": None, "crop_size": CROP}),
    ("PoolFormer", None, {"size": EXACT, "crop_pct": 0.8, "crop_size": CROP}),
    ("PoolFormer", None, {"size": EXACT, "crop_size": LARGER, "crop_pct": 1.0}),
    ("PoolFormer", "poolformer", {"do_resize": True, "size": 20, "crop_size": 16, "do_resize_and_center_crop": True}),
    ("EfficientNet", None, {"size": EXACT, "resample": 0}),
    ("EfficientNet", None, {"size": EXACT}),
    ("EfficientNet", None, {"size": EXACT, "include_top": False, "resample": 0}),
    ("EfficientNet", "efficientnet", {"do_resize": True, "size": 20, "rescale_offset": True, "rescale_factor": 1 / 127.5}),
    ("MobileViT", None, {"size": SHORT, "crop_size": CROP, "do_normalize": True, "image_mean": [0.1, 0.2, 0.3]}),
    ("MobileViT", None, {"size": 20, "crop_size": 16, "do_flip_channel_order": False, "do_center_crop": True}),
    ("MobileViT", None, {"size": SHORT, "crop_size": CROP, "resample": 2}),
    ("CLIP", None, {"size": SHORT, "crop_size": CROP, "use_square_size": True}),
    ("CLIP", None, {"size": 20, "crop_size": 16, "do_convert_rgb": None}),
    ("CLIP", None, {"size": SHORT, "crop_size": LARGER}),
    ("CLIP", None, {"size": {"shortest_edge": 21}, "crop_size": {"height": 40, "width": 24}}),
    ("ChineseCLIP", None, {"size": SHORT, "crop_size": CROP}),
    ("ViT", None, {"size": EXACT, "do_flip_channel_order": True, "_name_or_path": "x", "patch_size": 16}),
    ("ViT", None, {"size": EXACT, "do_normalize": None, "image_mean": None}),
    ("ViT", None, {"size": EXACT, "do_normalize": False}),
    ("ViT", None, {"size": EXACT, "do_rescale": False, "image_mean": [120.0, 110.0, 100.0], "image_std": [60.0, 50.0, 40.0]}),
    ("ViT", None, {"size": {"height": 20, "width": 31}, "resample": 1, "image_mean": [0.485, 0.456, 0.406]}),
    ("ViT", None, {"size": {"height": 100, "width": 99}, "resample": 0}),
    ("ViT", None, {"size": EXACT, "do_center_crop": True, "crop_size": {"height": 25, "width": 25}}),
    ("Levit", None, {"size": 14, "do_center_crop": True, "crop_size": 14}),
    ("Levit", "levit", {"do_resize": True, "size": 14, "crop_size": 14}),
    ("Pvt", None, {"size": EXACT, "image_mean": [0.1, 0.2, 0.3]}),
    ("Pvt", None, {"size": EXACT, "resample": 2}),
    ("Segformer", None, {"size": EXACT, "do_reduce_labels": True}),
    ("Blip", None, {"size": EXACT, "do_convert_rgb": True}),
    ("Perceiver", None, {"size": {"height": 21, "width": 21}, "crop_size": {"height": 24, "width": 24}}),
    ("Perceiver", None, {"size": 21, "crop_size": 24}),
    ("ConvNext", None, {"size": SHORT}),
    ("ConvNext", None, {"size": 20, "crop_pct": 0.95, "resample": 2}),
    ("Beit", None, {"size": EXACT, "crop_size": CROP, "do_center_crop": True}),
    ("Beit", None, {"size": EXACT, "crop_size": CROP}),
    ("Bit", None, {"size": SHORT, "crop_size": CROP}),
    ("DeiT", None, {"size": 20, "crop_size": 16}),
    ("DeiT", None, {"size": 20, "crop_size": 25}),
    ("Siglip", None, {"size": EXACT}),
    ("MobileNetV1", None, {"size": SHORT, "crop_size": CROP}),
    ("MobileNetV2", None, {"size": SHORT, "crop_size": CROP}),
] + [
    (name, None, {})
    for name in ["Beit", "Bit", "Blip", "CLIP", "ChineseCLIP", "ConvNext", "DeiT", "EfficientNet", "Levit", "MobileNetV1",
                 "MobileNetV2", "MobileViT", "Perceiver", "PoolFormer", "Pvt", "Segformer", "Siglip", "ViT"]
]
SIZES = [(57, 40), (33, 61)]


def drawn(width, height):
    values = [
        value % 256
        for y in range(height)
        for x in range(width)
        for value in (x * 7 + y * 3, x * x + y, x * y + 5)
    ]
    return Image.frombytes("RGB", (width, height), bytes(values))


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
