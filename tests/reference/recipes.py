"""Prints the table of the recipes of a library, in image-classification/src/recipes/.

    python recipes.py timm > ../../image-classification/src/recipes/timm.txt
    python recipes.py torchvision > ../../image-classification/src/recipes/torchvision.txt
    python recipes.py keras > ../../image-classification/src/recipes/keras.txt

Each library is asked itself. No weights are downloaded.
"""

import importlib
import importlib.util
import os
import re
import sys
from unittest import mock

import numpy as np

RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def number(value):
    """The shortest decimals of a 32-bit number."""
    return np.format_float_positional(np.float32(value), trim="-")


def three(values):
    return ",".join(map(number, values))


def times_255(values):
    return three([value * 255 for value in values])


def fraction(value):
    return f"{value:.17g}" if float(f"{value:.12g}") != value else f"{value:.12g}"


def timm():
    """Returns the version and, for each model, its weights and their recipes. The default weights are the first."""
    import timm
    from timm.models._registry import _model_pretrained_cfgs as configs

    def resize(config, crop_pct):
        mode = config.crop_mode or "center"
        # `transforms_imagenet_eval` fills with the mean.
        fill = ":" + ",".join(str(round(255 * mean)) for mean in config.mean) if mode == "border" else ""
        return f"{mode}:{fraction(crop_pct)}{fill}"

    def recipe(config):
        _, height, width = config.input_size
        parts = ["rgb", times_255(config.mean), times_255(config.std), resize(config, config.crop_pct)]
        parts += [config.interpolation, f"{width}x{height}"]
        if config.test_input_size and config.test_input_size != config.input_size and config.test_crop_pct:
            _, height, width = config.test_input_size
            parts += [f"{width}x{height}", resize(config, config.test_crop_pct)]
        return " ".join(parts)

    models = {}
    for name, config in configs.items():
        model, _, tag = name.partition(".")
        if not tag:
            tag = config.tag or ""
        weights = models.setdefault(model, {})
        assert weights.setdefault(tag, recipe(config)) == recipe(config), name
    for model, weights in models.items():
        default = timm.get_pretrained_cfg(model).tag or ""
        models[model] = {default: weights[default]} | weights
    assert sum(len(weights) for weights in models.values()) + sum("." not in name for name in configs) - sum(
        "" in weights for weights in models.values()
    ) == len(configs)
    return timm.__version__, models


def torchvision():
    import torchvision
    from torchvision.transforms._presets import ImageClassification

    def recipe(weights):
        transform = weights.transforms()
        [short], [side] = transform.resize_size, transform.crop_size
        parts = ["rgb", times_255(transform.mean), times_255(transform.std), f"short:{short}"]
        return " ".join([*parts, transform.interpolation.value, f"{side}x{side}"])

    models = {}
    for model in torchvision.models.list_models():
        entries = torchvision.models.get_model_weights(model)
        entries = [entry for entry in entries if isinstance(entry.transforms(), ImageClassification)]
        if entries:
            default = torchvision.models.get_model_weights(model).DEFAULT
            entries.sort(key=lambda entry: entry is not default)
            models[model] = {entry.name: recipe(entry) for entry in entries}
    return torchvision.__version__.partition("+")[0], models


def in_snake_case(name):
    """`efficientnet_v2_b0` for `EfficientNetV2B0`; `Net` and `NeXt` stay with the word before them."""
    words = r"V\d|B\d|(?<!^)ResNet|(?<=[a-z\d])(?:Tiny|Small|Base|X?Large)|(?<=NASNet)(?:Large|Mobile)|(?<=\d)[SML]$"
    return re.sub(words, lambda match: "_" + match[0], name).lower()


def keras():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if importlib.util.find_spec("tensorflow") is None:
        os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from keras.src.applications import imagenet_utils

    class Found(Exception):
        pass

    def note(*_, default_size, **__):
        raise Found(default_size)

    def open_size(**_):
        # MobileNetV3 leaves the size open. Its weights are for 224.
        raise Found(224)

    pixels = np.stack([np.arange(256, dtype="float32") + step for step in (0, 0.25, 0.5)], axis=-1)[None, None]
    modes = {
        "tf": f"rgb {three([127.5] * 3)} {three([127.5] * 3)}",
        "torch": f"rgb {times_255(RGB_MEAN)} {times_255(RGB_STD)}",
        "caffe": f"bgr {three([103.939, 116.779, 123.68])} 1,1,1",
        None: "rgb 0,0,0 1,1,1",
    }

    def values(preprocess, **mode):
        return np.asarray(preprocess(pixels.copy(), **mode))

    models = {}
    for name in dir(keras.applications):
        build = getattr(keras.applications, name)
        if not name[0].isupper():
            continue
        module = importlib.import_module(build.__module__)
        module.imagenet_utils.obtain_input_shape = note
        # Some models refuse a backend, which only the layers need.
        backend = mock.patch("keras.src.backend.backend", lambda: "tensorflow")
        layers = mock.patch("keras.src.layers.Input", open_size)
        side = None
        try:
            with backend, layers:
                build(weights=None)
        except Found as found:
            side = found.args[0]
        theirs = values(module.preprocess_input)
        [mode] = [
            mode
            for mode in modes
            if np.array_equal(theirs, values(imagenet_utils.preprocess_input, mode=mode) if mode else pixels)
        ]
        models[in_snake_case(name)] = {"": f"{modes[mode]} stretch nearest {side}x{side}"}
    return keras.__version__, models


library = sys.argv[1]
version, models = {"timm": timm, "torchvision": torchvision, "keras": keras}[library]()
distinct = {}
for weights in models.values():
    for recipe in weights.values():
        distinct.setdefault(recipe, len(distinct))
print(f"# {library} {version}; made by tests/reference/recipes.py. The recipes, then each model with its weights.")
for recipe in distinct:
    print(recipe)
print()
for model, weights in sorted(models.items()):
    print(model, *(f"{name}={distinct[recipe]}" for name, recipe in weights.items()))
