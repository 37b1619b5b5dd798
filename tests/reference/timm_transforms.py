"""Prints the table in image-classification/src/preprocess/timm.rs.

Needs timm, torchvision and Pillow, but not torch: the pure functions that compute sizes and offsets are taken out of the
packages' sources and executed.

    python timm_transforms.py SITE_PACKAGES
"""

import ast
import math
import random
import sys
from pathlib import Path

from PIL import Image, ImageOps


class Functional:
    """The operations of torchvision on Pillow's images."""

    @staticmethod
    def get_dimensions(image):
        return [3, image.height, image.width]

    @staticmethod
    def pad(image, sides, fill=0, padding_mode="constant"):
        fill = tuple(fill) if isinstance(fill, list) else fill
        return ImageOps.expand(image, border=tuple(sides), fill=fill)

    @staticmethod
    def crop(image, top, left, height, width):
        return image.crop((left, top, left + width, top + height))


class Torch:
    Tensor = type("Tensor", (), {})

    class jit:
        is_scripting = is_tracing = staticmethod(lambda: False)


def functions(path, names, known):
    """Executes the functions and classes called `names` of a source file, without their annotations."""
    for node in ast.parse(path.read_text()).body:
        if getattr(node, "name", None) in names:
            node.decorator_list = []
            for inner in ast.walk(node):
                if isinstance(inner, ast.FunctionDef):
                    inner.returns = None
                    for argument in inner.args.args:
                        argument.annotation = None
            exec(compile(ast.Module([node], []), str(path), "exec"), known)
    return [known[name] for name in names]


packages = Path(sys.argv[1])
common = {"F": Functional, "torch": Torch, "math": math, "random": random}
keep_ratio, crop_or_pad = functions(
    packages / "timm/data/transforms.py",
    ["ResizeKeepRatio", "center_crop_or_pad"],
    common | {"_setup_size": lambda size: size, "str_to_interp_mode": lambda mode: mode},
)
center_crop, output_size = functions(
    packages / "torchvision/transforms/functional.py",
    ["center_crop", "_compute_resized_output_size"],
    common
    | {name: getattr(Functional, name) for name in ("get_dimensions", "pad", "crop")}
    | {"_log_api_usage_once": lambda _: None, "numbers": __import__("numbers")},
)


def transform(image, size, fraction, mode, mean):
    """`transforms_imagenet_eval`; sizes are height, width."""

    def resized(to):
        return image.resize((to[1], to[0]), Image.BICUBIC)

    target = tuple(math.floor(side / fraction) for side in size)
    if mode == "border":
        recipe = keep_ratio(target, longest=1.0)
        fill = [round(255 * value) for value in mean]
        return crop_or_pad(resized(recipe.get_params(image, recipe.size, recipe.longest)), size, fill=fill)
    if mode == "squash":
        return center_crop(resized(target), list(size))
    if target[0] == target[1]:
        return center_crop(resized(output_size((image.height, image.width), [target[0]])), list(size))
    recipe = keep_ratio(target)
    return center_crop(resized(recipe.get_params(image, recipe.size, recipe.longest)), list(size))


def drawn(width, height):
    values = [
        value % 256
        for y in range(height)
        for x in range(width)
        for value in (x * 7 + y * 3, x * x + y, x * y + 5)
    ]
    return Image.frombytes("RGB", (width, height), bytes(values))


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


for width, height in [(57, 40), (33, 61), (20, 20)]:
    for size, fraction, mode in [
        ((32, 32), 0.95, "center"),
        ((32, 32), 1.15, "center"),
        ((48, 20), 0.9, "center"),
        ((31, 32), 1.1, "center"),
        ((32, 32), 0.9, "squash"),
        ((20, 33), 1.2, "squash"),
        ((32, 32), 0.875, "border"),
        ((24, 40), 1.0, "border"),
        ((24, 40), 1.3, "border"),
    ]:
        result = transform(drawn(width, height), size, fraction, mode, (0.485, 0.5, 0.1))
        resize = f"{mode}:{fraction:g}" + (":124,128,26" if mode == "border" else "")
        digits = f"{fnv1a(result.tobytes()):016x}"
        groups = "_".join(digits[at : at + 4] for at in range(0, 16, 4))
        print(f'(({width}, {height}), ({size[1]}, {size[0]}), "{resize}", 0x{groups}),')
