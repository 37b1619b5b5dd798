"""Prints the table of torchvision's weights in docs/preprocessing.md.

Reads the sources of an installed torchvision; needs neither torch nor an import of it.

    python torchvision_recipes.py SITE_PACKAGES
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

models = Path(sys.argv[1]) / "torchvision/models"
weights = defaultdict(list)
for path in [*sorted(models.glob("*.py")), *sorted(models.glob("quantization/*.py"))]:
    for entry in ast.parse(path.read_text()).body:
        if not (isinstance(entry, ast.ClassDef) and entry.name.endswith("Weights")):
            continue
        for line in entry.body:
            if not (isinstance(line, ast.Assign) and isinstance(line.value, ast.Call)):
                continue
            given = {keyword.arg: keyword.value for keyword in line.value.keywords}
            transforms = given.get("transforms")
            if not isinstance(transforms, ast.Call) or ast.unparse(transforms.args[0]) != "ImageClassification":
                continue
            stated = {keyword.arg: ast.unparse(keyword.value) for keyword in transforms.keywords}
            recipe = (
                stated.get("resize_size", "256"),
                stated["crop_size"],
                stated.get("interpolation", ".bilinear").rsplit(".")[-1].lower(),
                stated.get("mean"),
                stated.get("std"),
            )
            weights[recipe].append(f"{entry.name}.{line.targets[0].id}")


def in_bytes(text):
    values = [float(eval(value)) * 255 for value in text.strip("()").split(",")]
    return ",".join(f"{value:.6g}" for value in values)


print("| `--resize` | input | `--interpolation` | weights |")
print("|---|---|---|---|")
for (resize, crop, interpolation, mean, std), names in sorted(weights.items(), key=lambda item: -len(item[1])):
    other = f" with `--mean {in_bytes(mean)} --scale {in_bytes(std)}`" if mean else ""
    by_version = defaultdict(list)
    for name in names:
        model, version = name.split(".")
        quantized = model.endswith("_QuantizedWeights")
        model = model.removesuffix("_Weights").removesuffix("_QuantizedWeights")
        by_version[version + (" (quantized)" if quantized else "")].append(model)
    listed = "; ".join(f"{version}: {', '.join(models)}" for version, models in by_version.items())
    print(f"| `short:{resize}` | {crop} | `{interpolation}`{other} | {listed} |")
