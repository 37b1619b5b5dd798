"""Prints the table in image-classification/src/sources/hugging_face/expected.rs.

Needs transformers 4.57.1, numpy and Pillow, but not torch: each file goes through the image processor that uses Pillow.

    python hugging_face_processors.py > ../../image-classification/src/sources/hugging_face/expected.rs
"""

import json

import numpy as np
import transformers
from hugging_face_cases import COMMON, PILLOW, SIZES, drawn
from transformers.models.deprecated.efficientformer.image_processing_efficientformer import (
    EfficientFormerImageProcessor,
)
from transformers.models.deprecated.vit_hybrid.image_processing_vit_hybrid import ViTHybridImageProcessor

MORE = {"EfficientFormer": EfficientFormerImageProcessor, "ViTHybrid": ViTHybridImageProcessor}

CASES = COMMON + PILLOW

print("//! Made by `tests/reference/hugging_face_processors.py`; see there.\n")
print("/// `model_type`, file, size of the image, and for each channel the mean of the values that transformers 4.57.1 gives,")
print("/// weighted with (31 i + 7) mod 101.")
print("type Case = (Option<&'static str>, &'static str, (u32, u32), [f64; 3]);\n")
print("#[rustfmt::skip]")
print(f"pub(super) const CASES: [Case; {len(SIZES) * len(CASES)}] = [")
for name, model_type, file in CASES:
    processor = (MORE.get(name) or getattr(transformers, name + "ImageProcessor"))(**file)
    for width, height in SIZES:
        values = np.asarray(processor(drawn(width, height))["pixel_values"][0], dtype=np.float64)
        weights = (31 * np.arange(values[0].size) + 7) % 101
        means = [float(np.mean(channel.ravel() * weights)) for channel in values]
        text = json.dumps(file | ({} if model_type else {"image_processor_type": name + "ImageProcessor"}))
        model_type_text = f'Some("{model_type}")' if model_type else "None"
        numbers = ", ".join(f"{mean:.5f}" for mean in means)
        print(f'    ({model_type_text}, r#"{text}"#, ({width}, {height}), [{numbers}]),')
print("];")
