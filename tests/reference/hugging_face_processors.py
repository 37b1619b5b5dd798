"""Prints the table in image-classification/src/sources/hugging_face/expected.rs.

Needs transformers 4.57.1, numpy and Pillow, but not torch: each file goes through the image processor that uses Pillow.

    python hugging_face_processors.py > ../../image-classification/src/sources/hugging_face/expected.rs
"""

import json

import numpy as np
import transformers
from PIL import Image
from transformers.models.deprecated.efficientformer.image_processing_efficientformer import (
    EfficientFormerImageProcessor,
)
from transformers.models.deprecated.vit_hybrid.image_processing_vit_hybrid import ViTHybridImageProcessor

MORE = {"EfficientFormer": EfficientFormerImageProcessor, "ViTHybrid": ViTHybridImageProcessor}

SHORT = {"shortest_edge": 20}
EXACT = {"height": 20, "width": 20}
CROP = {"height": 16, "width": 16}

# The processor, the model_type or None, and the file without its type.
CASES = [
    ("PoolFormer", None, {"size": 20, "crop_pct": 0.9, "crop_size": 16}),
    ("PoolFormer", None, {"size": SHORT, "crop_pct": None, "crop_size": CROP}),
    ("PoolFormer", None, {"size": EXACT, "crop_pct": 0.8, "crop_size": CROP}),
    ("PoolFormer", None, {"size": EXACT, "crop_pct": None, "crop_size": CROP}),
    ("PoolFormer", None, {"size": EXACT, "crop_size": CROP}),
    ("PoolFormer", "poolformer", {"do_resize": True, "size": 20, "crop_size": 16, "do_resize_and_center_crop": True}),
    ("EfficientNet", None, {"size": EXACT}),
    ("EfficientNet", None, {"size": EXACT, "include_top": False}),
    ("EfficientNet", "efficientnet", {"do_resize": True, "size": 20, "rescale_offset": True, "rescale_factor": 1 / 127.5}),
    ("MobileViT", None, {"size": SHORT, "crop_size": CROP, "do_normalize": True, "image_mean": [0.1, 0.2, 0.3]}),
    ("MobileViT", None, {"size": 20, "crop_size": 16, "do_flip_channel_order": False, "do_center_crop": True}),
    ("CLIP", None, {"size": SHORT, "crop_size": CROP, "use_square_size": True}),
    ("CLIP", None, {"size": 20, "crop_size": 16, "do_convert_rgb": None}),
    ("ViT", None, {"size": EXACT, "do_flip_channel_order": True, "_name_or_path": "x", "patch_size": 16}),
    ("ViT", None, {"size": EXACT, "do_normalize": None, "image_mean": None}),
    ("Levit", None, {"size": 14, "do_center_crop": True, "crop_size": 14}),
    ("Levit", "levit", {"do_resize": True, "size": 14, "crop_size": 14}),
    ("Pvt", None, {"size": EXACT, "image_mean": [0.1, 0.2, 0.3]}),
    ("Segformer", None, {"size": EXACT, "do_reduce_labels": True}),
    ("EfficientFormer", None, {"size": EXACT, "crop_size": CROP}),
    ("EfficientFormer", None, {"size": SHORT, "crop_size": CROP}),
    ("ViTHybrid", None, {"size": SHORT, "crop_size": CROP}),
    ("Blip", None, {"size": EXACT, "do_convert_rgb": True}),
    ("Perceiver", None, {"size": {"height": 21, "width": 21}, "crop_size": {"height": 24, "width": 24}}),
    ("Perceiver", None, {"size": 21, "crop_size": 24}),
    ("ConvNext", None, {"size": SHORT, "crop_pct": None}),
    ("ConvNext", None, {"size": 20, "crop_pct": 0.95}),
    ("Beit", None, {"size": EXACT, "crop_size": CROP}),
    ("Bit", None, {"size": SHORT, "crop_size": CROP}),
    ("DeiT", None, {"size": 20, "crop_size": 16}),
    ("Siglip", None, {"size": EXACT}),
    ("MobileNetV1", None, {"size": SHORT, "crop_size": CROP}),
    ("MobileNetV2", None, {"size": SHORT, "crop_size": CROP}),
]


def drawn(width, height):
    values = [
        value % 256
        for y in range(height)
        for x in range(width)
        for value in (x * 7 + y * 3, x * x + y, x * y + 5)
    ]
    return Image.frombytes("RGB", (width, height), bytes(values))


print("//! Made by `tests/reference/hugging_face_processors.py`; see there.\n")
print("/// `model_type`, file, size of the image, and for each channel the mean of the values that transformers 4.57.1 gives,")
print("/// weighted with (31 i + 7) mod 101.")
print("type Case = (Option<&'static str>, &'static str, (u32, u32), [f64; 3]);\n")
print("#[rustfmt::skip]")
print(f"pub(super) const CASES: [Case; {2 * len(CASES)}] = [")
for name, model_type, file in CASES:
    processor = (MORE.get(name) or getattr(transformers, name + "ImageProcessor"))(**file)
    for width, height in [(57, 40), (33, 61)]:
        values = np.asarray(processor(drawn(width, height))["pixel_values"][0], dtype=np.float64)
        weights = (31 * np.arange(values[0].size) + 7) % 101
        means = [float(np.mean(channel.ravel() * weights)) for channel in values]
        text = json.dumps(file | ({} if model_type else {"image_processor_type": name + "ImageProcessor"}))
        model_type_text = f'Some("{model_type}")' if model_type else "None"
        numbers = ", ".join(f"{mean:.5f}" for mean in means)
        print(f'    ({model_type_text}, r#"{text}"#, ({width}, {height}), [{numbers}]),')
print("];")
