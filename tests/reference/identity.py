"""Measures what the engines promise at f32: on many images, whether they print the same classes in the same order with
the same labels, whether the text is the same byte for byte, and how far the probabilities and the outputs differ.

usage: identity.py CLASSIFY SET_UP [COUNT]

CLASSIFY is the program (a release build; a thousand images take minutes), SET_UP the set-up's directory.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import thousand_images  # noqa: E402

ENGINES = ["onnx", "openvino", "rten"]
MODELS = ["efficientnet-lite0.onnx", "mobilenet-v2/model.onnx", "squeezenet1.1.onnx"]


def run(arguments, set_up, codes=(0,)):
    done = subprocess.run(arguments, capture_output=True, text=True, env={**os.environ, "CLASSIFY_HOME": str(set_up)})
    if done.returncode not in codes:
        sys.exit(f"{arguments}: {done.returncode}\n{done.stderr}")
    return done.stdout


def blocks(classify, model, engine, directory, set_up):
    """The text for each image."""
    text = run([classify, "--quiet", "--backend", engine, "-m", model, "-i", directory], set_up)
    return ["Image path:" + block for block in text.split("Image path:")[1:]]


def classes(block):
    """Ids and labels in order, without the scores."""
    lines = [line.split(None, 5) for line in block.splitlines()]
    ranked = [words for words in lines if len(words) > 4 and words[3].isdigit()]
    return [(words[3], words[5] if len(words) > 5 else "") for words in ranked]


def main(classify, set_up, count=1000):
    set_up = Path(set_up).resolve()
    blocks_total = same_classes = same_text = 0
    largest = 0.0
    with tempfile.TemporaryDirectory() as directory:
        images = Path(directory, "images")
        images.mkdir()
        thousand_images.make(set_up, images, int(count))
        print("| model | pair | same classes, order and labels | same text at 4 digits | max |Δp| | max relative error |")
        print("|---|---|---|---|---|---|")
        for model in MODELS:
            path = str(set_up / "models" / model)
            printed = {engine: blocks(classify, path, engine, images, set_up) for engine in ENGINES}
            report = Path(directory, "report.json")
            compare = [classify, "compare", "--quiet", *ENGINES, "-m", path, "-i", images, "--report", report]
            run(compare, set_up, codes=(0, 1))
            pairs = {(pair["reference"], pair["run"]): pair for pair in json.loads(report.read_text())["pairs"]}
            for pair in itertools.combinations(ENGINES, 2):
                both = list(zip(*(printed[engine] for engine in pair), strict=True))
                if len(both) != int(count) or not all(len(classes(a)) == 10 for a, _ in both):
                    sys.exit(f"{model}: {len(both)} blocks")
                equal = sum(classes(a) == classes(b) for a, b in both)
                text = sum(a == b for a, b in both)
                found = pairs[pair]
                if found["identical_text"]["count"] != text or found["ordered_match"]["count"] != equal:
                    sys.exit(f"{model} {pair}: {equal} and {text}, but compare counts {found['identical_text']}")
                delta, error = (found["distributions"][key]["max"] for key in ("max_delta", "relative_error"))
                print(f"| {model} | {' and '.join(pair)} | {equal}/{len(both)} | {text}/{len(both)} | {delta:.2e} | {error:.2e} |", flush=True)
                blocks_total += len(both)
                same_classes += equal
                same_text += text
                largest = max(largest, delta)
        print(
            f"\n{same_classes} of {blocks_total} blocks have the same classes, order and labels; {same_text} "
            f"({100 * same_text / blocks_total:.2f} %) are the same byte for byte; |Δp| is at most {largest:.2e}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
