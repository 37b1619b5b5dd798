"""Compares random preprocessing files with the library that reads them, and prints a table and every disagreement.

    random_configs.py [--count N] [--seed N] [--examples N] SERIES...

SERIES is `pillow` or `torchvision` (image processors of the installed transformers, which resize with that library), `timm` or
`open_clip`. Needs them, torch, torchvision, Pillow and numpy; measured with transformers 5.24.0 and 4.57.6 (which needs an
environment of its own), torch 2.15.0, torchvision 0.29.2, timm 1.0.31, open_clip_torch 3.3.0 and Pillow 13.0.0. Run it from
the root of the checkout. It builds and runs `cargo run --package classify-tests --example tensors`.

Each file is read by the library and by us, and prepares two images of odd sizes; every float is compared. The same seed gives
the same files. The columns:

- equal: to the bit; rounding: within a millionth of the largest value; larger: anything else, also another size.
- refused: only we refuse the file. several sizes: the result has the size of the image, and we refuse that.
- both: the library stops with an error, and we refuse the file. only ours: the library stops, and we prepare the image.

Exits with 1 if there is a tensor in "larger".
"""

import argparse
import collections
import json
import pathlib
import random
import re
import sys
import tempfile
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "recipes"))
import numpy as np
from compare import MODEL, Ours, drawn_images, judge
from PIL import Image

SIZES = [(57, 40), (33, 61)]
COLUMNS = ["equal", "rounding", "larger", "refused", "several sizes", "both", "only ours"]

PROCESSORS = [
    "Beit", "Bit", "Blip", "CLIP", "ChineseCLIP", "ConvNext", "DeiT", "EfficientNet", "Levit", "MobileNetV1", "MobileNetV2",
    "MobileViT", "Perceiver", "PoolFormer", "Pvt", "Segformer", "Siglip", "ViT",
]


class Draws:
    """Random keys of a file."""

    def __init__(self, random):
        self.random = random

    def one(self, *values):
        return self.random.choice(values)

    def chance(self, probability):
        return self.random.random() < probability

    def side(self):
        return self.random.randint(8, 48)

    def size(self):
        side, other = self.side(), self.side()
        usual = [side, {"shortest_edge": side}, {"height": side, "width": side}, {"height": side, "width": other}] * 4
        edges = {"shortest_edge": side, "longest_edge": side + other}
        return self.one(*usual, [side, other], edges, {"longest_edge": side}, {"height": side}, None)

    def crop_size(self):
        side, other = self.side(), self.side()
        usual = [side, {"height": side, "width": side}, {"height": side, "width": other}] * 4
        return self.one(*usual, [side, other], {"shortest_edge": side}, {"height": side}, None)

    def three(self, low, high):
        number = lambda: round(self.random.uniform(low, high), 3)
        return self.one(*[[number(), number(), number()]] * 12, number(), [number()] * 4, None)

    def flag(self):
        return self.one(True, True, False, None)


def hugging_face_file(draws, suffix, version):
    processor = draws.one(*PROCESSORS)
    file = {}

    def maybe(key, probability, value):
        if draws.chance(probability):
            file[key] = value()

    maybe("size", 0.8, draws.size)
    maybe("crop_size", 0.5, draws.crop_size)
    for key, probability in [
        ("do_resize", 0.1), ("do_center_crop", 0.5), ("do_rescale", 0.2), ("do_normalize", 0.3), ("do_convert_rgb", 0.2),
    ]:
        maybe(key, probability, draws.flag)
    maybe("resample", 0.6, lambda: draws.one(0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, None))
    maybe("image_mean", 0.5, lambda: draws.three(0, 1))
    maybe("image_std", 0.5, lambda: draws.three(0.1, 1))
    maybe("rescale_factor", 0.2, lambda: draws.one(1 / 255, 1 / 127.5, 1, 1 / 256, 1 / 256, None))
    own = {
        "PoolFormer": [("crop_pct", 0.7, lambda: draws.one(0.5, 0.9, 0.95, 1, 1.5, 0, None))],
        "ConvNext": [("crop_pct", 0.7, lambda: draws.one(0.5, 0.875, 0.95, 1, 1.5, 0, None))],
        "EfficientNet": [("rescale_offset", 0.5, draws.flag), ("include_top", 0.5, draws.flag)],
        "MobileViT": [("do_flip_channel_order", 0.5, draws.flag)],
        "CLIP": [("use_square_size", 0.3, draws.flag)],
    }
    for key, probability, value in own.get(processor, []):
        maybe(key, probability, value)
    maybe("default_to_square", 0.15, draws.flag)
    maybe("_name_or_path", 0.1, lambda: "x")
    file["image_processor_type"] = f"{processor}ImageProcessor{suffix}"
    if version.startswith("5"):
        file["transformers_version"] = version
    return "preprocessor_config.json", file


def hugging_face(library):
    import transformers

    version = transformers.__version__
    suffix = {("4", "torchvision"): "Fast", ("5", "pillow"): "Pil"}.get((version[0], library), "")

    def read(folder):
        file = json.loads((folder / "preprocessor_config.json").read_text())
        processor = getattr(transformers, file["image_processor_type"]).from_pretrained(folder)

        def tensor(path):
            with Image.open(path) as image:
                values = processor(image.convert("RGB"), return_tensors=None)["pixel_values"][0]
            values = np.asarray(values)
            if values.ndim != 3 or values.shape[0] != 3:
                raise ValueError(f"a tensor of shape {values.shape}")
            return values

        return tensor

    return f"transformers {version}, {library}", lambda draws: hugging_face_file(draws, suffix, version), read


def timm_file(draws):
    config = {"input_size": [3, draws.side(), draws.side()]}
    if draws.chance(0.6):
        config["input_size"][2] = config["input_size"][1]
    for key, probability, value in [
        ("interpolation", 0.8, lambda: draws.one(*["bilinear", "bicubic", "nearest", "lanczos", "box"] * 3, "random", "hamming", "")),
        ("crop_pct", 0.8, lambda: draws.one(0.5, 0.875, 0.9, 0.95, 1.0, 1.15, 0, None)),
        ("crop_mode", 0.5, lambda: draws.one(*["center", "squash", "border"] * 4, "", "fill", None)),
        ("mean", 0.7, lambda: draws.three(0, 1)),
        ("std", 0.7, lambda: draws.three(0.1, 1)),
        ("num_classes", 0.3, lambda: 7),
    ]:
        if draws.chance(probability):
            config[key] = value()
    return "config.json", {"architecture": "none", "num_classes": 7, "pretrained_cfg": config}


def timm():
    import timm
    from timm.data import create_transform, resolve_data_config

    def read(folder):
        config = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
        data = resolve_data_config(pretrained_cfg=config)
        transform = create_transform(**data)
        return lambda path: np.asarray(transform(Image.open(path).convert("RGB")))

    return f"timm {timm.__version__}", timm_file, read


def open_clip_file(draws):
    side, other = draws.side(), draws.side()
    config = {"size": draws.one(side, side, [side, side], [side, other], None)}
    for key, probability, value in [
        ("mode", 0.3, lambda: draws.one(*["RGB"] * 8, "L", None)),
        ("interpolation", 0.8, lambda: draws.one(*["bilinear", "bicubic"] * 4, "random", "nearest", None)),
        ("resize_mode", 0.7, lambda: draws.one(*["shortest", "longest", "squash"] * 4, "fill", None)),
        ("fill_color", 0.4, lambda: draws.one(0, 7, 255, 300, None)),
        ("mean", 0.7, lambda: draws.three(0, 1)),
        ("std", 0.7, lambda: draws.three(0.1, 1)),
    ]:
        if draws.chance(probability):
            config[key] = value()
    return "open_clip_config.json", {"model_cfg": {"embed_dim": 8, "vision_cfg": {"image_size": side}}, "preprocess_cfg": config}


def open_clip():
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict

    def read(folder):
        config = json.loads((folder / "open_clip_config.json").read_text())
        # As `open_clip.factory` reads a file.
        of_model = PreprocessCfg(size=config["model_cfg"]["vision_cfg"]["image_size"])
        merged = merge_preprocess_dict(of_model, config["preprocess_cfg"])
        transform = image_transform_v2(PreprocessCfg(**merged), is_train=False)
        return lambda path: np.asarray(transform(Image.open(path)))

    return f"open_clip {open_clip.__version__}", open_clip_file, read


SERIES = {
    "pillow": lambda: hugging_face("pillow"),
    "torchvision": lambda: hugging_face("torchvision"),
    "timm": timm,
    "open_clip": open_clip,
}


def compare(ours, folder, images, read):
    """The column of a file, and a remark."""
    try:
        transform = read(folder)
        theirs, trouble = [transform(image) for image in images], None
    except Exception as error:
        theirs, trouble = None, f"{type(error).__name__}: {error}".splitlines()[0]
    answers = [ours.tensor("model", folder / "model.onnx", (0, 0), image) for image in images]
    said = answers[0][0]
    if theirs is None:
        return ("both" if answers[0][1] is None else "only ours"), trouble, said
    shapes = [array.shape for array in theirs]
    if answers[0][1] is None:
        return ("refused" if shapes[0] == shapes[1] else "several sizes"), said, said
    columns = []
    for array, (_, tensor) in zip(theirs, answers):
        if tensor is None or array.shape != tensor.shape:
            return "larger", f"shapes {[answer[1].shape for answer in answers]}, there {shapes}", said
        columns.append(judge(tensor, array))
    worst = max(columns, key=["equal", "rounding", "level", "larger", "refused"].index)
    if worst in ("equal", "rounding"):
        return worst, "", said
    differences = [np.abs(tensor - array).max() for array, (_, tensor) in zip(theirs, answers)]
    return "larger", f"differences {differences}, largest value {np.abs(theirs[0]).max()}", said


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="files of each series")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=3, help="files to print for each remark")
    parser.add_argument("series", nargs="+", choices=SERIES)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    ours, failed, rows = Ours(), False, []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        images = drawn_images(folder, SIZES)
        for series in arguments.series:
            name, draw, read = SERIES[series]()
            draws = Draws(random.Random(f"{series} {arguments.seed}"))
            tally, remarks = collections.Counter(), collections.defaultdict(list)
            for number in range(arguments.count):
                beside = folder / f"{series}{number}"
                beside.mkdir()
                (beside / "model.onnx").write_bytes(MODEL)
                file_name, file = draw(draws)
                (beside / file_name).write_text(json.dumps(file))
                column, remark, said = compare(ours, beside, images, read)
                tally[column] += 1
                if column not in ("equal", "rounding"):
                    remarks[column, re.sub(r"[0-9.]+", "N", remark.replace(str(beside), ""))].append((file, said, remark))
            failed |= tally["larger"] > 0
            rows.append((name, tally))
            for (column, remark), files in sorted(remarks.items(), key=lambda item: (COLUMNS.index(item[0][0]), -len(item[1]))):
                print(f"{series}, {column}, {len(files)} times: {remark}")
                for file, said, remark in files[:arguments.examples]:
                    print(f"  {json.dumps(file)}\n    {json.dumps(said)}\n    {remark}")
    print(f"\n| library | {' | '.join(COLUMNS)} |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for name, tally in rows:
        print(f"| {name} | {' | '.join(str(tally[column]) for column in COLUMNS)} |")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
