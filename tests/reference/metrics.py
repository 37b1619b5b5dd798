"""The metrics of `classify evaluate` on recorded outputs, computed with scikit-learn 1.9.1.

Usage: metrics.py > tests/data/metrics.json

Needs numpy and scikit-learn. `evaluation/tests/metrics.rs` compares every value.
"""

import json

import numpy
from sklearn import metrics

BINS = 15


def averages(truth, answer, **options):
    values = {}
    for average in ("micro", "macro", "weighted"):
        found = metrics.precision_recall_fscore_support(truth, answer, average=average, zero_division=0, **options)
        for name, value in zip(("precision", "recall", "f1"), found):
            values[f"{name}-{average}"] = float(value)
    return values


def of_classes(truth, answer, labels):
    found = metrics.precision_recall_fscore_support(truth, answer, labels=labels, average=None, zero_division=0)
    values = {}
    for name, of_class in zip(("precision", "recall", "f1"), found):
        for label, value in zip(labels, of_class):
            values[f"{name}:{label}"] = float(value)
    return values


def calibration_error(right, confidence):
    bins = numpy.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(right[bins == number].mean() - confidence[bins == number].mean()) * (bins == number).sum() for number in set(bins)]
    return float(sum(gaps) / len(right))


def single(classes, images, seed, digits):
    """Logits with ties, and a truth that they fit more often than not."""
    random = numpy.random.default_rng(seed)
    # One class is never shown.
    truth = random.integers(0, max(classes - 1, 2), images)
    logits = random.normal(size=(images, classes)).round(digits).astype(numpy.float32)
    logits[numpy.arange(images), truth] += numpy.float32(1)
    wide = logits.astype(float)
    exponents = numpy.exp(wide - wide.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    # The first of equal classes, as here.
    answer = logits.argmax(axis=1)
    union = sorted(set(truth) | set(answer))
    values = averages(truth, answer)
    values |= of_classes(truth, answer, [int(label) for label in union])
    values["mcc"] = float(metrics.matthews_corrcoef(truth, answer))
    shown = sorted(set(truth))
    values["mean-per-class"] = float(metrics.recall_score(truth, answer, labels=shown, average="macro"))
    order = numpy.argsort(-logits, axis=1, kind="stable")
    for k in (1, 2):
        values[f"top{k}"] = float((order[:, :k] == truth[:, None]).any(axis=1).mean())
    values["ece"] = calibration_error(answer == truth, probabilities[numpy.arange(images), answer])
    if classes == 2:
        values["roc-auc"] = float(metrics.roc_auc_score(truth, probabilities[:, 1]))
    return {"scores": "softmax", "truth": [[int(label)] for label in truth], "outputs": logits.tolist(), "metrics": values}


def multi(classes, images, seed):
    random = numpy.random.default_rng(seed)
    truth = random.random((images, classes)) < 0.3
    truth[:, 1] = False
    logits = (random.normal(size=(images, classes)) + 2 * truth - 1).round(1).astype(numpy.float32)
    scores = 1 / (1 + numpy.exp(-logits.astype(float)))
    answer = scores >= 0.5
    used = numpy.flatnonzero((truth | answer).any(axis=0))
    values = averages(truth[:, used], answer[:, used])
    found = metrics.precision_recall_fscore_support(truth[:, used], answer[:, used], average=None, zero_division=0)
    for name, of_class in zip(("precision", "recall", "f1"), found):
        values |= {f"{name}:{label}": float(value) for label, value in zip(used, of_class)}
    shown = numpy.flatnonzero(truth.any(axis=0))
    values["map"] = float(metrics.average_precision_score(truth[:, shown], scores[:, shown], average="macro"))
    for label in shown:
        values[f"ap:{label}"] = float(metrics.average_precision_score(truth[:, label], scores[:, label]))
    values["exact-match"] = float(metrics.accuracy_score(truth, answer))
    return {
        "scores": "sigmoid",
        "truth": [numpy.flatnonzero(row).tolist() for row in truth],
        "outputs": logits.tolist(),
        "metrics": values,
    }


cases = [single(5, 60, 1, 1), single(12, 150, 2, 1), single(2, 80, 3, 1), single(2, 40, 4, 0), multi(6, 70, 5), multi(3, 25, 6)]
print("[" + ",\n".join(json.dumps(case) for case in cases) + "]")
