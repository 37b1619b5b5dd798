"""Recomputes every number of a report of `classify compare` or `classify evaluate` from the raw outputs of a recording, by
the formulas of docs/compare.md, and fails with the names of the numbers that differ.

usage: recompute.py compare RECORDING REPORT [OPTION...]
       recompute.py evaluate RECORDING REPORT TRUTH [OPTION...]
       recompute.py mutate compare|evaluate ...

RECORDING was written by `classify compare --record`, REPORT is the JSON of the same runs on the same images, and TRUTH has
lines `name<TAB>class id`. The options are those that `classify` was given: --tolerance NAME, --max-delta X, --min-top1 X,
--min-overlap X, --max-drop X, --drop-rule RULE, --min-truth X, --top N (a list for `evaluate`). `mutate` changes each value of
the report in turn, and fails unless the recomputation finds every change.

A report that has a key which is neither recomputed nor listed here fails too.
"""

import argparse
import copy
import json
import sys
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from recompute_changes import leaves, mutate  # noqa: E402
from recompute_comparison import compare  # noqa: E402
from recompute_evaluation import evaluate  # noqa: E402
from recompute_report import differences  # noqa: E402


def share(text):
    return Fraction(text.rstrip("%")) / (100 if text.endswith("%") else 1)


def main(arguments):
    check = arguments[0] == "mutate"
    kind, *rest = arguments[check:]
    parser = argparse.ArgumentParser()
    parser.add_argument("recording")
    parser.add_argument("report")
    if kind == "evaluate":
        parser.add_argument("truth")
    parser.add_argument("--tolerance")
    for name in ("--max-delta", "--min-top1", "--min-overlap", "--max-drop", "--min-truth"):
        parser.add_argument(name, type=share)
    parser.add_argument("--drop-rule", default="shown")
    parser.add_argument("--top", type=lambda text: [int(k) for k in text.split(",")])
    options = parser.parse_args(rest)
    with open(options.report, encoding="utf-8") as file:
        report = json.load(file)
    expected = {"compare": compare, "evaluate": evaluate}[kind](options, copy.deepcopy(report))
    if wrong := sorted(differences(expected, report)):
        sys.exit(f"{len(wrong)} values differ:\n" + "\n".join(wrong[:40]))
    if check:
        count, missed = mutate(options, report, expected)
        if missed:
            sys.exit(f"{len(missed)} of {count} changes were not found:\n" + "\n".join(missed[:40]))
        print(count)
    else:
        print(sum(1 for _ in leaves(report, expected)))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1:])
