"""The metrics of `classify evaluate` on the outputs of tests/data/metrics.json, computed with torchmetrics 1.9.0.

Usage: metrics_torch.py tests/data/metrics.json > tests/data/metrics-torch.json

Needs torch 2.15.0 and torchmetrics, which are too large for every run. `evaluation/tests/metrics.rs` compares every value.
torchmetrics counts in single precision.
"""

import json
import sys

import torch
from torchmetrics.functional import classification as metrics

BINS = 15
KINDS = ("precision", "recall", "f1")


def of_kind(kind, task):
    return getattr(metrics, f"{task}_{'f1_score' if kind == 'f1' else kind}")


def averages(task, answer, truth, **options):
    values = {}
    for kind in KINDS:
        for average in ("micro", "macro", "weighted"):
            values[f"{kind}-{average}"] = of_kind(kind, task)(answer, truth, average=average, **options)
    return values


def of_classes(task, answer, truth, used, **options):
    values = {}
    for kind in KINDS:
        found = of_kind(kind, task)(answer, truth, average="none", **options)
        values |= {f"{kind}:{label}": found[label] for label in used}
    return values


def single(outputs, truth):
    truth = torch.tensor(truth).flatten()
    probabilities = outputs.softmax(dim=1)
    images, classes = outputs.shape
    # torch takes any one of equal classes: the order is given to it.
    order = outputs.argsort(dim=1, descending=True, stable=True)
    answer = order[:, 0]
    places = torch.empty(images, classes).scatter_(1, order, -torch.arange(classes, dtype=torch.float).repeat(images, 1))
    options = {"num_classes": classes}
    used = sorted(set(truth.tolist()) | set(answer.tolist()))
    values = averages("multiclass", answer, truth, **options)
    values |= of_classes("multiclass", answer, truth, used, **options)
    values["mcc"] = metrics.multiclass_matthews_corrcoef(answer, truth, **options)
    shown = sorted(set(truth.tolist()))
    values["mean-per-class"] = metrics.multiclass_recall(answer, truth, average="none", **options)[shown].mean()
    for k in (1, 2):
        values[f"top{k}"] = metrics.multiclass_accuracy(places, truth, average="micro", top_k=k, **options)
    # It gets the answer with its confidence, for the same reason.
    confidence = probabilities[torch.arange(images), answer]
    values["ece"] = metrics.binary_calibration_error(confidence, (answer == truth).int(), n_bins=BINS, norm="l1")
    if classes == 2:
        values["roc-auc"] = metrics.binary_auroc(probabilities[:, 1], truth)
    return values


def multi(outputs, truth):
    shown = torch.zeros(outputs.shape, dtype=torch.int)
    for row, labels in zip(shown, truth):
        row[labels] = 1
    scores = outputs.sigmoid()
    answer = (scores >= 0.5).int()
    options = {"num_labels": outputs.shape[1]}
    used = (shown | answer).any(dim=0).nonzero().flatten().tolist()
    values = averages("multilabel", answer, shown, **options)
    values |= of_classes("multilabel", answer, shown, used, **options)
    of_labels = metrics.multilabel_average_precision(scores, shown, average="none", **options)
    positive = shown.any(dim=0).nonzero().flatten().tolist()
    values |= {f"ap:{label}": of_labels[label] for label in positive}
    values["map"] = of_labels[positive].mean()
    values["exact-match"] = metrics.multilabel_exact_match(answer, shown, **options)
    return values


found = []
for case in json.load(open(sys.argv[1])):
    outputs = torch.tensor(case["outputs"], dtype=torch.float64)
    of_case = (single if case["scores"] == "softmax" else multi)(outputs, case["truth"])
    found.append({name: float(value) for name, value in of_case.items()})
print("[" + ",\n".join(json.dumps(case) for case in found) + "]")
