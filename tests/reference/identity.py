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
# Blocks whose text is compared, for each model and pair; the others are those that `compare` counts.
TEXTS = 100
MODELS = ["efficientnet-lite0.onnx", "mobilenet-v2/model.onnx", "squeezenet1.1.onnx"]


def run(arguments, set_up, codes=(0,)):
    done = subprocess.run(arguments, capture_output=True, text=True, env={**os.environ, "CLASSIFY_HOME": str(set_up)})
    if done.returncode not in codes:
        sys.exit(f"{arguments}: {done.returncode}\n{done.stderr}")
    return done.stdout


def blocks(classify, model, engine, images, set_up):
    """The text for each image."""
    text = run([classify, "--quiet", "--backend", engine, "-m", model, "-i", *images], set_up)
    return ["Image path:" + block for block in text.split("Image path:")[1:]]


def classes(block):
    """Ids and labels in order, without the scores."""
    lines = [line.split(None, 5) for line in block.splitlines()]
    ranked = [words for words in lines if len(words) > 4 and words[3].isdigit()]
    return [(words[3], words[5] if len(words) > 5 else "") for words in ranked]


def check_text(classify, model, images, set_up, pairs):
    """The text itself of some images: `compare` counts right."""
    printed = {engine: blocks(classify, model, engine, images, set_up) for engine in ENGINES}
    for pair in itertools.combinations(ENGINES, 2):
        rows = pairs[pair]["pictures"][: len(images)]
        both = list(zip(*(printed[engine] for engine in pair), rows, strict=True))
        if not both or not all(len(classes(a)) == 10 for a, *_ in both):
            sys.exit(f"{model}: {len(both)} blocks")
        for a, b, row in both:
            if (classes(a) == classes(b)) != row["ordered_match"]:
                sys.exit(f"{model} {pair}: `compare` says {row['ordered_match']} for\n{a}{b}")
    return printed


def main(classify, set_up, count=1000):
    set_up, count = Path(set_up).resolve(), int(count)
    blocks_total = same_classes = same_text = texts = same_texts = 0
    largest = 0.0
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory, "images")
        folder.mkdir()
        images = thousand_images.make(set_up, folder, count)
        print("| model | pair | same classes, order and labels | same text at 4 digits | max |Δp| | max relative error |")
        print("|---|---|---|---|---|---|")
        for model in MODELS:
            path = str(set_up / "models" / model)
            report = Path(directory, "report.json")
            compare = [classify, "compare", "--quiet", *ENGINES, "-m", path, "-i", folder, "--report", report]
            run(compare, set_up, codes=(0, 1))
            pairs = {(pair["reference"], pair["run"]): pair for pair in json.loads(report.read_text())["pairs"]}
            printed = check_text(classify, path, images[:TEXTS], set_up, pairs)
            for pair in itertools.combinations(ENGINES, 2):
                found = pairs[pair]
                equal, text = (found[key]["count"] for key in ("ordered_match", "identical_text"))
                of = found["identical_text"]["of"]
                delta, error = (found["distributions"][key]["max"] for key in ("max_delta", "relative_error"))
                print(f"| {model} | {' and '.join(pair)} | {equal}/{of} | {text}/{of} | {delta:.2e} | {error:.2e} |", flush=True)
                if of != count:
                    sys.exit(f"{of} of {count} images were compared")
                blocks_total += of
                same_classes += equal
                same_text += text
                largest = max(largest, delta)
                both = list(zip(*(printed[engine] for engine in pair)))
                texts += len(both)
                same_texts += sum(a == b for a, b in both)
        print(
            f"\n{same_classes} of {blocks_total} blocks have the same classes, order and labels; {same_text} "
            f"({100 * same_text / blocks_total:.2f} %) are the same byte for byte; |Δp| is at most {largest:.2e}.\n"
            f"The printed text of {texts} blocks was compared itself: {same_texts} are the same."
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
