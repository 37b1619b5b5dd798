"""The files of image processors, and the image, that `hugging_face_processors.py` and `hugging_face_torchvision.py` share.

Needs: pillow.
"""

from PIL import Image

SHORT = {"shortest_edge": 20}
EXACT = {"height": 20, "width": 20}
WIDE = {"height": 20, "width": 31}
CROP = {"height": 16, "width": 16}
LARGER = {"height": 24, "width": 23}
PERCEIVER = {"size": {"height": 21, "width": 21}, "crop_size": {"height": 24, "width": 24}}

# The processor, the model_type or None, and the file without its type.
COMMON = [
    ("PoolFormer", None, {"size": 20, "crop_pct": 0.9, "crop_size": 16}),
    ("PoolFormer", None, {"size": SHORT, "crop_pct": None, "crop_size": CROP}),
    ("PoolFormer", None, {"size": EXACT, "crop_pct": 0.8, "crop_size": CROP}),
    ("PoolFormer", None, {"size": WIDE, "crop_pct": 0.8, "crop_size": CROP}),
    ("PoolFormer", None, {"size": WIDE, "crop_pct": None, "crop_size": CROP}),
    ("PoolFormer", "poolformer", {"do_resize": True, "size": 20, "crop_size": 16, "do_resize_and_center_crop": True}),
    ("EfficientNet", None, {"size": EXACT}),
    ("EfficientNet", "efficientnet", {"do_resize": True, "size": 20, "rescale_offset": True, "rescale_factor": 1 / 127.5}),
    ("MobileViT", None, {"size": SHORT, "crop_size": CROP, "do_normalize": True, "image_mean": [0.1, 0.2, 0.3]}),
    ("MobileViT", None, {"size": 20, "crop_size": 16, "do_flip_channel_order": False, "do_center_crop": True}),
    ("CLIP", None, {"size": SHORT, "crop_size": CROP, "use_square_size": True}),
    ("CLIP", None, {"size": 20, "crop_size": 16, "do_convert_rgb": None}),
    ("ViT", None, {"size": EXACT, "do_flip_channel_order": True, "_name_or_path": "x", "patch_size": 16}),
    ("ViT", None, {"size": EXACT, "do_normalize": None, "image_mean": None}),
    ("Levit", None, {"size": 14, "do_center_crop": True, "crop_size": 14}),
    ("Levit", "levit", {"do_resize": True, "size": 14, "crop_size": 14}),
    ("Levit", None, {"size": WIDE, "crop_size": CROP}),
    ("Pvt", None, {"size": EXACT, "image_mean": [0.1, 0.2, 0.3]}),
    ("Segformer", None, {"size": EXACT, "do_reduce_labels": True}),
    ("Blip", None, {"size": EXACT, "do_convert_rgb": True}),
    ("Perceiver", None, PERCEIVER),
    ("Perceiver", None, {"size": 21, "crop_size": 24}),
    ("Perceiver", None, PERCEIVER | {"size": {"height": 21, "width": 13}}),
    ("Perceiver", None, PERCEIVER | {"crop_size": {"height": 40, "width": 23}}),
    ("Perceiver", None, {"size": {"height": 14, "width": 21}, "crop_size": {"height": 16, "width": 24}}),
    ("ConvNext", None, {"size": 20, "crop_pct": 0.95, "resample": 2}),
    ("Beit", None, {"size": EXACT, "crop_size": CROP, "do_center_crop": True}),
    ("Beit", None, {"size": WIDE, "crop_size": CROP, "do_center_crop": True}),
    ("Beit", None, {"size": {"height": 30, "width": 21}, "crop_size": LARGER, "do_center_crop": True}),
    ("Bit", None, {"size": SHORT, "crop_size": CROP}),
    ("DeiT", None, {"size": 20, "crop_size": 16}),
    ("DeiT", None, {"size": WIDE, "crop_size": {"height": 19, "width": 16}}),
    ("Siglip", None, {"size": EXACT}),
    ("MobileNetV1", None, {"size": SHORT, "crop_size": CROP}),
    ("MobileNetV2", None, {"size": SHORT, "crop_size": CROP}),
]

# Files whose processor exists with Pillow only, or whose meaning differs.
PILLOW = [
    ("PoolFormer", None, {"size": EXACT, "crop_pct": None, "crop_size": CROP}),
    ("PoolFormer", None, {"size": EXACT, "crop_size": CROP}),
    ("EfficientNet", None, {"size": EXACT, "include_top": False}),
    ("EfficientFormer", None, {"size": EXACT, "crop_size": CROP}),
    ("EfficientFormer", None, {"size": SHORT, "crop_size": CROP}),
    ("ViTHybrid", None, {"size": SHORT, "crop_size": CROP}),
    ("ConvNext", None, {"size": SHORT, "crop_pct": None}),
    ("Beit", None, {"size": EXACT, "crop_size": CROP}),
]

TORCHVISION = [
    ("PoolFormer", None, {"size": EXACT, "crop_size": LARGER, "crop_pct": 1.0}),
    ("EfficientNet", None, {"size": EXACT, "resample": 0}),
    ("EfficientNet", None, {"size": EXACT, "include_top": False, "resample": 0}),
    ("MobileViT", None, {"size": SHORT, "crop_size": CROP, "resample": 2}),
    ("CLIP", None, {"size": SHORT, "crop_size": LARGER}),
    ("CLIP", None, {"size": {"shortest_edge": 21}, "crop_size": {"height": 40, "width": 24}}),
    ("CLIP", None, {"size": EXACT, "crop_size": CROP, "use_square_size": True}),
    ("Siglip", None, {"size": 20, "do_center_crop": True, "crop_size": CROP}),
    ("ChineseCLIP", None, {"size": SHORT, "crop_size": CROP}),
    ("ViT", None, {"size": EXACT, "do_normalize": False}),
    ("ViT", None, {"size": EXACT, "do_rescale": False, "image_mean": [120.0, 110.0, 100.0], "image_std": [60.0, 50.0, 40.0]}),
    ("ViT", None, {"size": WIDE, "resample": 1, "image_mean": [0.485, 0.456, 0.406]}),
    ("ViT", None, {"size": {"height": 100, "width": 99}, "resample": 0}),
    ("ViT", None, {"size": EXACT, "do_center_crop": True, "crop_size": {"height": 25, "width": 25}}),
    ("ViT", None, {"size": WIDE, "do_center_crop": True, "crop_size": LARGER}),
    ("Pvt", None, {"size": EXACT, "resample": 2}),
    ("ConvNext", None, {"size": SHORT}),
    ("Beit", None, {"size": EXACT, "crop_size": CROP}),
    ("DeiT", None, {"size": 20, "crop_size": 25}),
] + [
    (name, None, {})
    for name in ["Beit", "Bit", "Blip", "CLIP", "ChineseCLIP", "ConvNext", "DeiT", "EfficientNet", "Levit", "MobileNetV1",
                 "MobileNetV2", "MobileViT", "Perceiver", "PoolFormer", "Pvt", "Segformer", "Siglip", "ViT"]
]

# Width and height of the images.
SIZES = [(57, 40), (33, 61)]


def drawn(width, height):
    values = [
        value % 256
        for y in range(height)
        for x in range(width)
        for value in (x * 7 + y * 3, x * x + y, x * y + 5)
    ]
    return Image.frombytes("RGB", (width, height), bytes(values))
