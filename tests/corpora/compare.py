"""Compares the decoders with Pillow on any directory of images and prints the table equal / different / refused.

    compare.py [--examples N] DIRECTORY...

Run it with a Python that has Pillow (the set-up's is `assets/python/bin/python`) from the root of the checkout. It builds
and runs `cargo run --package classify-tests --example decode`. Files that neither side takes for images are not counted.

The reference is Pillow's `exif_transpose(image).convert("RGB")`, except that grey of 16 bits keeps its upper 8 bits, which
Pillow clips. "near" is a difference of one level at most. Exits with 1 if there is an image that both read differently.

Needs: pillow, numpy.
"""

import argparse
import collections
import os
import pathlib
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "reference"))
import numpy as np
from example import Example
from image_files import reference
from PIL import Image

COLUMNS = ["equal", "near", "different", "refused", "only ours", "neither"]


class Decoder(Example):
    """Our decoders, as a process."""

    def __init__(self):
        super().__init__("decode")

    def decode(self, path):
        """The line about the image, and its pixels unless it was refused."""
        line = self.ask(os.fsencode(path))
        if "error" in line:
            return line, None
        shape = line["height"], line["width"], 3
        return line, np.frombuffer(self.read(line["height"] * line["width"] * 3), np.uint8).reshape(shape)


def compare(path, decoder):
    """The format, the column of the table, and a remark."""
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                name = image.format
            theirs, trouble = reference(data), None
        except Exception as error:
            theirs, trouble = None, f"{type(error).__name__}: {error}"
            name = path.suffix.lower()
    line, ours = decoder.decode(path)
    if ours is None:
        why = f"{line['error']}: {line['source']}" if line["source"] else line["error"]
        if theirs is None:
            # What nobody takes for an image does not count.
            return (name, None, "") if line["code"] in ("unknown-format", "empty-file") else (name, "neither", why)
        return name, "refused", why
    if theirs is None:
        return name, "only ours", trouble
    if ours.shape != theirs.shape:
        return name, "different", f"{ours.shape} and {theirs.shape}"
    largest = int(np.abs(ours.astype(np.int16) - theirs).max())
    if largest == 0:
        return name, "equal", ""
    means = " ".join(f"{a:.1f}/{b:.1f}" for a, b in zip(ours.mean((0, 1)), theirs.mean((0, 1))))
    return name, "near" if largest == 1 else "different", f"by up to {largest}; channel means {means}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=5, help="files to name for each format and column")
    parser.add_argument("directories", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    decoder, counts, examples = Decoder(), collections.defaultdict(collections.Counter), collections.defaultdict(list)
    for directory in arguments.directories:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            if path.stat().st_size > 200 << 20:
                continue
            name, column, remark = compare(path, decoder)
            if column is None:
                continue
            counts[name][column] += 1
            if column != "equal":
                examples[column, name].append((path, remark))
    print("| format | " + " | ".join(COLUMNS) + " |")
    print("|---|" + "---|" * len(COLUMNS))
    total = collections.Counter()
    for name in sorted(counts):
        total.update(counts[name])
        print(f"| {name} | " + " | ".join(str(counts[name][column]) for column in COLUMNS) + " |")
    print("| all | " + " | ".join(str(total[column]) for column in COLUMNS) + " |")
    for (column, name), files in sorted(examples.items(), key=lambda item: (COLUMNS.index(item[0][0]), item[0][1])):
        print(f"\n{column}, {name}:")
        for path, remark in files[:arguments.examples]:
            print(f"  {path}: {remark}")
        if len(files) > arguments.examples:
            print(f"  and {len(files) - arguments.examples} others")
    sys.exit(total["different"] > 0)


if __name__ == "__main__":
    main()
