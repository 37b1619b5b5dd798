"""Compares the tensors of all recipes with those of the libraries' own transforms, and prints a table.

    compare.py [--write FILE] LIBRARY...

LIBRARY is timm, torchvision or keras. Needs them, Pillow and numpy; run it from the root of the checkout. `cargo recipes` does
so in an environment of its own. It builds and runs `cargo run --package classify-tests --example tensors`.

Every distinct recipe is tried with images of odd sizes: by its name, and for timm also by the `config.json` that timm writes;
at the size of the input, at timm's size for tests, and at a smaller one. Every float is compared. `--write` replaces the lines
of FILE that changed, which `tests/recipes.rs` checks: the hashes of the resized pixels of each image, by resize, filter and
size; and the values of three pixels, by order of the channels, mean and scale.
Exits with 1 if a tensor differs by more than the rounding of 32-bit numbers, or was refused, or if a table of recipes is not what
the library gives.
"""

import argparse
import collections
import hashlib
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import types

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "reference"))
import numpy as np
from example import CHECKOUT, Example
from PIL import Image

SIZES = [(500, 375), (333, 517), (64, 48), (1001, 37)]
# An ONNX file that states its version and nothing else: an empty file is no model.
MODEL = b"\x08\x08"
# A row of pixels whose values are written.
PIXELS = np.array([[[0, 1, 2], [100, 150, 200], [255, 254, 253]]], np.uint8)
# A millionth of the largest value.
ROUNDING = 1e-6
COLUMNS = ["equal", "rounding", "level", "larger", "refused"]


class Ours(Example):
    """Our preprocessing, as a process."""

    def __init__(self):
        super().__init__("tensors")

    def tensor(self, kind, name, size, image):
        """The preprocessing, and the tensor; or the error, and None. A size of (0, 0) is that of the files."""
        answer = self.ask("\t".join([kind, str(name), *map(str, size), str(image)]).encode())
        if "error" in answer:
            return answer["error"], None
        data = self.read(answer["bytes"])
        return answer["preprocess"], np.frombuffer(data, "<f4").reshape(answer["shape"][1:])


def drawn(width, height):
    """A gradient with noise, which `tests/recipes.rs` draws too."""
    y, x, channel = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    place = ((y * width + x) * 3 + channel).astype(np.uint64)
    noise = (place * 2654435761 + 12345) % 2**32 >> 24
    gradient = np.choose(channel, [255 * x // width, 255 * y // height, 255 * (x + y) // (width + height)])
    return Image.fromarray(((gradient * 3 + noise.astype(np.int64)) // 4).astype(np.uint8))


def drawn_images(folder, sizes):
    """The paths of PNG files with drawn images."""
    images = [folder / f"{number}.png" for number in range(len(sizes))]
    for path, size in zip(images, sizes):
        drawn(*size).save(path)
    return images


class Case:
    """A distinct recipe: `kind` and `name` are those of `Ours.tensor`; `transform` gives the tensor of an image file, and the
    resized pixels; `values` gives the tensor of such pixels."""

    def __init__(self, kind, name, size, transform, values):
        self.kind, self.name, self.size = kind, name, size
        self.transform, self.values = transform, values


def of_torch(transform, mean, std):
    """The functions of a case. The resized pixels are whole numbers, which are found in the tensor."""
    import torch
    from torchvision.transforms import functional

    def values(pixels):
        tensor = torch.from_numpy(pixels).permute(2, 0, 1).to(torch.float32).div(255)
        return functional.normalize(tensor, mean, std).numpy()

    def run(path):
        with Image.open(path) as image:
            tensor = transform(image.convert("RGB"))
        scaled = tensor * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
        pixels = (scaled * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        assert np.array_equal(values(pixels), tensor.numpy())
        return tensor.numpy(), pixels

    return run, values


def torchvision(_):
    import torchvision
    from torchvision.transforms._presets import ImageClassification

    distinct = {}
    for model in torchvision.models.list_models():
        for weights in torchvision.models.get_model_weights(model):
            preset = weights.transforms()
            if not isinstance(preset, ImageClassification):
                continue
            [side] = preset.crop_size
            key = (preset.resize_size[0], side, preset.interpolation, tuple(preset.mean), tuple(preset.std))
            name = f"torchvision:{model}@{weights.name}"
            distinct.setdefault(
                key, Case("recipe", name, (side, side), *of_torch(preset, preset.mean, preset.std))
            )
    return distinct.values()


def timm(folder):
    import timm
    from timm.data import create_transform, resolve_data_config
    from timm.models._hub import save_config_for_hf
    from timm.models._registry import _model_pretrained_cfgs as configs

    distinct = {}
    for name, config in configs.items():
        key = tuple(map(str, (config.input_size, config.test_input_size, config.crop_pct, config.test_crop_pct)))
        key += tuple(map(str, (config.crop_mode, config.interpolation, config.mean, config.std)))
        distinct.setdefault(key, (name, config))
    # What no weights have: modes, fractions and shapes in other combinations.
    shapes = [((32, 32), 0.95), ((32, 32), 1.15), ((48, 20), 0.9), ((31, 32), 1.1), ((20, 33), 1.2), ((24, 40), 1.0)]
    cases = list(distinct.values())
    for mode in ("center", "squash", "border"):
        for size, crop_pct in shapes:
            config = {"architecture": "none", "input_size": (3, *size), "crop_pct": crop_pct, "crop_mode": mode}
            config |= {"mean": (0.485, 0.5, 0.1), "interpolation": "bicubic", "fixed_input_size": True}
            cases.append((None, timm.models.PretrainedCfg(**config)))
    for number, (name, config) in enumerate(cases):
        beside = folder / str(number)
        beside.mkdir()
        model = types.SimpleNamespace(pretrained_cfg=config.to_dict(), num_classes=config.num_classes, num_features=8)
        save_config_for_hf(model, str(beside / "config.json"))
        (beside / "model.onnx").write_bytes(MODEL)
        has_another = config.test_input_size not in (None, config.input_size)
        for at_test_size in [False, True] if has_another else [False]:
            data = resolve_data_config(pretrained_cfg=config.to_dict(), use_test_size=at_test_size)
            functions = of_torch(create_transform(**data), data["mean"], data["std"])
            size = data["input_size"][2], data["input_size"][1]
            if name:
                yield Case("recipe", f"timm:{name}", size, *functions)
            yield Case("model", beside / "model.onnx", size, *functions)
        # Somebody exported the model for another input.
        if not config.fixed_input_size and config.input_size[1] > 64:
            other = (3, config.input_size[1] - 64, config.input_size[2] - 64)
            data = resolve_data_config({"input_size": other}, pretrained_cfg=config.to_dict())
            functions = of_torch(create_transform(**data), data["mean"], data["std"])
            yield Case("model", beside / "model.onnx", (other[2], other[1]), *functions)


def keras(_):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if importlib.util.find_spec("tensorflow") is None:
        os.environ["KERAS_BACKEND"] = "torch"
    import keras

    # Keras states the sizes nowhere but in the functions that build the models; `recipes.py` finds them there.
    table = (CHECKOUT / "image-classification/src/recipes/keras.txt").read_text()
    recipes, models = (part.splitlines() for part in table.split("\n\n"))
    recipes = {line.split(" =")[0]: recipes[1 + int(line.split(" =")[1])] for line in models}
    distinct = {}
    for name in filter(lambda name: name[0].isupper(), dir(keras.applications)):
        module = importlib.import_module(getattr(keras.applications, name).__module__)
        [ours] = [ours for ours in recipes if ours.replace("_", "") == name.lower()]
        width, height = map(int, recipes[ours].split(" ")[-1].split("x"))

        def values(pixels, preprocess=module.preprocess_input):
            return np.asarray(preprocess(pixels.astype(np.float32)[None]))[0].transpose(2, 0, 1)

        def transform(path, values=values, size=(height, width)):
            pixels = keras.utils.img_to_array(keras.utils.load_img(path, target_size=size))
            return values(pixels), pixels.astype(np.uint8)

        distinct.setdefault((module, width), Case("recipe", f"keras:{ours}", (width, height), transform, values))
    return distinct.values()


def judge(ours, theirs):
    """The column of a tensor."""
    if ours is None:
        return "refused"
    theirs = theirs.astype(np.float32)
    if ours.tobytes() == np.ascontiguousarray(theirs).tobytes():
        return "equal"
    difference = np.abs(ours.astype(np.float64) - theirs).max()
    if difference <= ROUNDING * np.abs(theirs).max():
        return "rounding"
    # The values of neighbouring levels.
    values = np.unique(theirs)
    return "level" if difference <= 1.01 * np.diff(values).max() else "larger"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE")
    parser.add_argument("libraries", nargs="+", choices=["timm", "torchvision", "keras"])
    arguments = parser.parse_args()
    ours = Ours()
    rows, expected, failed, transform = {}, {}, False, None
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        images = drawn_images(folder, SIZES)
        for library in arguments.libraries:
            failed |= not has_table(library)
            for case in globals()[library](folder):
                tally = rows.setdefault(f"{library}, by {case.kind}", [0, collections.Counter()])
                tally[0] += 1
                # The same recipe comes by its name and by a file.
                if case.transform is not transform:
                    transform = case.transform
                    results = [transform(image) for image in images]
                    pixels = [np.ascontiguousarray(pixels).tobytes() for _, pixels in results]
                    digests = [hashlib.sha256(pixels).hexdigest()[:16] for pixels in pixels]
                for image, (theirs, _) in zip(images, results):
                    said, tensor = ours.tensor(case.kind, case.name, case.size, image)
                    column = judge(tensor, theirs)
                    tally[1][column] += 1
                    if column not in ("equal", "rounding"):
                        failed = True
                        print(f"{column}: {case.kind} {case.name} at {case.size}, {image.name}: {said}", file=sys.stderr)
                if isinstance(said, dict):
                    size = "x".join(map(str, case.size))
                    add(expected, f"{said['resize']} {said['interpolation']} {size}", digests)
                    numbers = [",".join(np.format_float_positional(np.float32(number), trim="-") for number in said[key]) for key in ("mean", "scale")]
                    values = case.values(PIXELS).ravel()
                    add(expected, " ".join([said["color"], *numbers]), [f"{value:.8g}" for value in values])
    print(f"| library | recipes and sizes | {' | '.join(COLUMNS)} |")
    print("|---" * (2 + len(COLUMNS)) + "|")
    for name, (count, tally) in rows.items():
        print(f"| {name} | {count} | {' | '.join(str(tally[column]) for column in COLUMNS)} |")
    if arguments.write:
        known = arguments.write.read_text().splitlines() if arguments.write.exists() else []
        known = dict(line.split(": ") for line in known if not line.startswith("#"))
        heading = "# Made by tests/recipes/compare.py --write; see there.\n"
        lines = [f"{key}: {value}\n" for key, value in sorted((known | expected).items())]
        arguments.write.write_text(heading + "".join(lines))
    return int(failed)


def has_table(library):
    """Whether the table is the one that the installed library gives: only one name of each recipe is tried."""
    script = CHECKOUT / "tests/reference/recipes.py"
    table = CHECKOUT / f"image-classification/src/recipes/{library}.txt"
    made = subprocess.run([sys.executable, script, library], capture_output=True, text=True)
    if made.stdout != table.read_text():
        print(f"{table} is not what {script} prints:\n{made.stderr}", file=sys.stderr)
    return made.stdout == table.read_text()


def add(expected, key, parts):
    value = " ".join(parts)
    assert expected.setdefault(key, value) == value, key


if __name__ == "__main__":
    sys.exit(main())
