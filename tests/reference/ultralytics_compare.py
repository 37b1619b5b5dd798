"""Compares this program's answers about Ultralytics' exports with those of `yolo predict`.

    ultralytics_compare.py OUT IMAGES CLASSIFY...

OUT is a directory that `ultralytics_exports.py` wrote, IMAGES the directory of the images, and CLASSIFY the program, with
arguments. It is given the model and the images and nothing about them: no preprocessing and no labels. For each export a
line of a table tells on how many images the ten best classes, their order and their names are equal, and the largest
difference of a probability from the export and from its checkpoint. Classes whose probabilities differ by less than 1e-5
(5e-3 for half precision and int8) are ties, whose order does not count.

Exits with 1 if ten best classes differ.
"""

import json
import pathlib
import subprocess
import sys


def name_of(index):
    names = {1: "great white shark", 2: "miner's cat", 3: 'a "quoted" name', 4: "café, crème: 5", 5: "7"}
    return names.get(index, f"class {index}")


def same_order(ours, theirs, tie):
    """Whether the classes of `ours` are in descending order of `theirs`, and no other class is before them."""
    values = [theirs[index] for index in ours]
    others = [value for index, value in enumerate(theirs) if index not in ours]
    falls = all(a >= b - tie for a, b in zip(values, values[1:]))
    return falls and values[-1] >= max(others) - tie


def main(out, images, program):
    out = pathlib.Path(out)
    failed = False
    print("| export | images | top 10 = export's | top 10 = checkpoint's | max abs dp, export | max abs dp, checkpoint |")
    print("|---|---|---|---|---|---|")
    for name, expected in json.loads((out / "expected.json").read_text()).items():
        model = pathlib.Path(expected["model"])
        if model.is_dir():
            model = next(model.glob("*.xml"))
        backends = {".xml": ["openvino"], ".onnx": ["onnx", "openvino"], ".tflite": ["openvino"]}[model.suffix]
        for backend in backends:
            command = [*program, "--backend", backend, "--format", "json", "--top", "10", "-m", model]
            paths = [pathlib.Path(images) / image for image in expected["export"]]
            ran = subprocess.run([*command, "-i", *paths], capture_output=True, text=True)
            if ran.returncode != 0:
                print(f"| {name}, {backend} | refused: {ran.stderr.strip().splitlines()[0]} |", flush=True)
                failed = True
                continue
            counts, largest = [0, 0], [0, 0]
            lines = ran.stdout.splitlines()
            assert len(lines) == len(paths), ran
            for path, line in zip(paths, lines):
                top = json.loads(line)["top"]
                labels = all(entry["label"] == name_of(entry["class_id"]) for entry in top)
                ours = [entry["class_id"] for entry in top]
                for place, key in enumerate(["export", "checkpoint"]):
                    theirs = expected[key][path.name]
                    rough = "half" in name or "int8" in name
                    counts[place] += labels and same_order(ours, theirs, 5e-3 if rough else 1e-5)
                    differences = [abs(entry["score"] - theirs[entry["class_id"]]) for entry in top]
                    largest[place] = max(largest[place], *differences)
            failed |= counts[0] != len(paths)
            print(f"| {name}, {backend} | {len(paths)} | {counts[0]} | {counts[1]} | {largest[0]:.1e} | {largest[1]:.1e} |",
                  flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
