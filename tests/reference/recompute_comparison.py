"""The numbers of a report of `classify compare`."""

import hashlib
import json
from fractions import Fraction
from itertools import combinations

from recompute_pairs import compare_pair
from recompute_report import NOT_RECOMPUTED, NUMBER, Text
from recompute_scores import Answer

# name: |Δp|, relative error of outputs, ties, order, share of equal best classes.
TOLERANCES = {
    "f32": (1e-4, 1e-4, 1e-4, True, None),
    "f16": (0.05, 0.05, 0.05, False, Fraction(99, 100)),
    "bf16": (0.3, 0.4, 0.1, False, Fraction(98, 100)),
    "int8": (0.3, 0.5, 0.5, False, Fraction(95, 100)),
}
NAMES = list(TOLERANCES)


def precision_name(precision):
    names = {"f16": "f16", "bf16": "bf16", "i8": "int8", "u8": "int8", "int8": "int8"}
    return max((names.get(part, "f32") for part in precision.split("+")), key=NAMES.index)


def choose_tolerance(runs, options):
    """The tolerance of all pairs, and how its reason begins."""
    if options.tolerance:
        name, why = options.tolerance, "--tolerance"
    else:
        reasons = [(precision_name(run["precision"]), f"{run['name']} computes in {run['precision']}") for run in runs]
        if len({run["model_sha256"] for run in runs}) > 1:
            stored = [run for run in runs if run.get("stored_precision")]
            reasons += [
                (precision_name(run["stored_precision"]), f"{run['model']} holds {run['stored_precision']} weights")
                for run in stored
            ]
        # The first of the coarsest.
        name, why = max(reasons, key=lambda reason: NAMES.index(reason[0]))
        if name == "f32":
            why = "all runs compute in f32"
    max_delta, max_error, tie, same_order, min_top1 = TOLERANCES[name]
    return {
        "name": name,
        "max_delta": max_delta if options.max_delta is None else float(options.max_delta),
        "max_relative_error": max_error,
        "same_order": same_order,
        "tie": tie,
        "best_tie": 0.0 if name == "f32" else 0.05,
        "min_top1": min_top1 if options.min_top1 is None else options.min_top1,
        "min_overlap": options.min_overlap,
    }, why


def majority(count, agree):
    """The largest group in which each agrees with each; of equally large ones, the one that leaves out later runs."""
    for size in range(count, 0, -1):
        groups = [g for g in combinations(range(count), size) if all(agree(a, b) for a, b in combinations(g, 2))]
        if groups:
            group = min(groups, key=lambda g: g[::-1])
            break
    if size == count:
        return "all", []
    return ("most", [run for run in range(count) if run not in group]) if 2 * size > count else ("none", [])


def read_recording(path):
    with open(path, encoding="utf-8") as file:
        header, *images, footer = map(json.loads, file)
    assert footer["pictures"] == len(images), footer
    return header["runs"], images


def read_answers(runs, images, top):
    # A run without a finite output is read as the others are.
    known = [run["interpretation"] for run in runs if run["interpretation"]]
    known += [{"scoring": "raw", "quantization": None}]
    return [
        [output and Answer(output, run["interpretation"] or known[0], top) for run, output in zip(runs, image["outputs"])]
        for image in images
    ]


def duplicates(images):
    """Images with the content of an earlier one."""
    first = {}
    return [
        {"path": image["path"], "same_as": same}
        for image in images
        if (same := first.setdefault(image["sha256"], image["path"])) is not image["path"]
    ]


def compare(options, report):
    """What the report should be. Of it only those things are read that the recording does not have."""
    runs, images = read_recording(options.recording)
    top = options.top[0] if options.top else 10
    answers = read_answers(runs, images, top)
    paths = [image["path"] for image in images]
    files = [image["sha256"] for image in images]
    tolerance, why = choose_tolerance(runs, options)
    made_up = {}
    if len(set(files)) == 1:
        for pair in report["pairs"]:
            passed = [found["passed"] for found in pair["gates"] if found["name"] == "informative"]
            made_up[pair["reference"]] = passed[0] if passed else None
    places = [(0, run) for run in range(1, len(runs))] + list(combinations(range(1, len(runs)), 2))
    pairs, agreed = [], {}
    for reference, run in places:
        names = {"reference": runs[reference]["name"], "run": runs[run]["name"]}
        pair = compare_pair(answers, paths, reference, run, tolerance, made_up.get(names["reference"]))
        agreed[reference, run] = pair["verdict"] == "agree"
        pairs.append(names | pair)
    found = None
    if len(runs) > 2:
        word, off = majority(len(runs), lambda a, b: agreed[min(a, b), max(a, b)])
        found = {"found": word, "off": [runs[lane]["name"] for lane in off]}
    verdicts = [pair["verdict"] for pair in pairs if pair["reference"] == runs[0]["name"]][: len(runs) - 1]
    worst = max(verdicts, key=["agree", "disagree", "could-not-compare"].index)
    word = {"agree": "AGREE", "disagree": "DISAGREE", "could-not-compare": "COULD NOT COMPARE"}[worst]
    compared = sum(sum(bool(answer) for answer in of_image) > 1 for of_image in answers)
    summary = NOT_RECOMPUTED
    if worst == "agree":
        named = ", ".join(run["name"] for run in runs[1:])
        summary = Text([], f"AGREE: {named} with {runs[0]['name']} on {compared} ")
        summary.numbers = [*map(float, NUMBER.findall(summary.starts))]
    elif worst == "disagree":
        off = ", ".join(run["name"] for run, verdict in zip(runs[1:], verdicts) if verdict == worst)
        failed = []
        for pair in pairs[: len(runs) - 1]:
            failed += [g["name"] for g in pair["gates"] if not g["passed"] and g["name"] not in failed]
        summary = Text([], f"DISAGREE: {off} differ")
        gates = f"({', '.join(failed)})"
        if not report["summary"].endswith(gates):
            summary.starts += f" … {gates}"
        summary.numbers = [*map(float, NUMBER.findall(report["summary"]))]
    elif not report["summary"].startswith(word):
        summary = word
    tensors = hashlib.sha256(b"".join(bytes.fromhex(image["tensor_sha256"]) for image in images)).hexdigest()
    return {
        "schema_version": 1,
        "kind": "compare",
        "verdict": worst,
        "summary": summary,
        "machine": runs[0]["machine"],
        "top": top,
        "tolerance": pairs[0]["tolerance"],
        "tolerance_by": Text(map(float, NUMBER.findall(why)), why),
        "tensors_sha256": tensors,
        "tensor_notes": NOT_RECOMPUTED,
        "pictures": len(images),
        "compared": compared,
        "runs": [
            {"name": run["name"], "reference": place == 0, "facts": run, "error": None} for place, run in enumerate(runs)
        ],
        "majority": found,
        "duplicates": duplicates(images),
        "failures": [],
        "bisect": None,
        "pairs": pairs,
    }
