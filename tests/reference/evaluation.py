"""Recomputes a JSON report of `classify evaluate` from the models' outputs, with ONNX Runtime and numpy.

Usage: evaluation.py REPORT IMAGES TRUTH KIND...

IMAGES is a directory of PPM files of one color each, TRUTH a JSON file with a map from file name to class ids for each run,
and each KIND the scores of a run: softmax, independent, sigmoid, logit, probability or ids. Prints how many numbers were compared.
"""

import json
import math
import pathlib
import sys

import numpy
import onnxruntime

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from intervals import mcnemar, wilson

BINS = 15


def outputs(facts, images):
    """The output for each image, which is brought to the model's size without any resampling: it has one color."""
    session = onnxruntime.InferenceSession(facts["model"], providers=["CPUExecutionProvider"])
    [argument] = session.get_inputs()
    given = dict(facts["input"])
    assert given["color"] == "rgb" and given["layout"] == "NCHW", given
    mean, scale = (numpy.array([float(v) for v in given[key].split(",")], numpy.float32) for key in ("mean", "scale"))
    for image in images:
        color = numpy.frombuffer(image.read_bytes()[-3:], numpy.uint8).astype(numpy.float32)
        values = ((color - mean) / scale).reshape(1, 3, 1, 1)
        tensor = numpy.broadcast_to(values, argument.shape).astype(numpy.float32)
        [output] = session.run(None, {argument.name: numpy.ascontiguousarray(tensor)})
        yield output.reshape(-1)


def scores(kind, output):
    """Scores in float64 by class id."""
    x = output.astype(numpy.float64)
    match kind:
        case "softmax":
            powers = numpy.exp(x - x.max())
            return powers / powers.sum()
        case "independent":
            return x
        case "sigmoid":
            return 1 / (1 + numpy.exp(-x))
        case "logit":
            positive = 1 / (1 + math.exp(-x[0]))
            return numpy.array([1 - positive, positive])
        case "probability":
            return numpy.array([1 - x[0], x[0]])


compared = 0


def check(found, right, what):
    global compared
    compared += 1
    same = found == right if isinstance(right, (int, str, list)) else math.isclose(found, right, rel_tol=1e-6, abs_tol=1e-9)
    if not same:
        sys.exit(f"{what}: the report says {found}, {right} is right")


def check_rate(rate, count, of, what):
    check([rate["count"], rate["of"]], [count, of], what)
    for key, value in zip(["share", "low", "high"], [count / of, *wilson(count, of)]):
        check(rate[key], value, f"{key} of {what}")


def share(a, b):
    return a / b if b else 0.0


def one_hot(classes, count):
    return numpy.arange(count)[None, :] == numpy.array(classes)[:, None]


def qualities(given, right):
    """Precision, recall and F1 of each class that has a case, with the number of its images."""
    found = {}
    for class_id in numpy.flatnonzero((given | right).any(axis=0)):
        hits = (given & right)[:, class_id].sum()
        p, r = share(hits, given[:, class_id].sum()), share(hits, right[:, class_id].sum())
        found[int(class_id)] = ([p, r, share(2 * p * r, p + r)], right[:, class_id].sum())
    return found


def average_precision(right, values):
    """Precision at the threshold of each right image, averaged; images with the same score share it."""
    return numpy.mean([right[values >= value].mean() for value in values[right]])


def metrics(run, given, right, values, truths, answers):
    by_class = qualities(given, right)
    all_classes, weights = zip(*by_class.values())
    hits = (given & right).sum()
    p, r = share(hits, given.sum()), share(hits, right.sum())
    averages = {
        "micro": [p, r, share(2 * p * r, p + r)],
        "macro": numpy.mean(all_classes, axis=0),
        "weighted": numpy.average(all_classes, axis=0, weights=weights),
    }
    found = run["metrics"]
    for name, value in found.items():
        part, _, average = name.rpartition("-")
        if average in averages:
            expected = averages[average][["precision", "recall", "f1"].index(part)]
        elif name.startswith("top"):
            ranks = [set(ranking[: int(name[3:])]) & set(truth) for (ranking, _), truth in zip(answers, truths)]
            expected = numpy.mean([bool(rank) for rank in ranks])
        elif name == "mcc":
            # The correlation of the matrices.
            x, y = (matrix - matrix.mean(axis=0) for matrix in (given, right))
            expected = share((x * y).sum(), math.sqrt((x * x).sum() * (y * y).sum()))
        elif name == "roc-auc":
            one, zero = values[right[:, 1], 1], values[right[:, 0], 1]
            expected = numpy.mean((one[:, None] > zero) + (one[:, None] == zero) / 2)
        elif name == "map":
            shown = numpy.flatnonzero(right.any(axis=0))
            expected = numpy.mean([average_precision(right[:, c], values[:, c]) for c in shown])
        else:
            expected = {
                "mean-per-class": lambda: run["mean_per_class"],
                "ece": lambda: run["expected_calibration_error"],
                "exact-match": lambda: (given == right).all(axis=1).mean(),
            }[name]()
        check(value, float(expected), name)
    return by_class


def single(run, names, answers, truths, kind):
    pairs = [(truth[0], ranking[0]) for truth, (ranking, _) in zip(truths, answers)]
    wrong = [{"answer": a, "class_id": t, "path": n} for n, (t, a) in zip(names, pairs) if t != a]
    check([{**w, "path": pathlib.Path(w["path"]).name} for w in run["wrong"]], wrong, "wrong")
    classes = sorted({truth for truth, _ in pairs})
    shares = []
    for entry, class_id in zip(run["classes"], classes, strict=True):
        of_class = [truth == answer for truth, answer in pairs if truth == class_id]
        check([entry["class_id"], entry["pictures"], entry["top1"]], [class_id, len(of_class), sum(of_class)], "class")
        shares.append(numpy.mean(of_class))
    check(run["mean_per_class"], float(numpy.mean(shares)), "mean per class")
    confusions = sorted({(t, a) for t, a in pairs if t != a}, key=lambda pair: (-pairs.count(pair), pair))
    found = [[c["class_id"], c["taken_for"], c["count"]] for c in run["confusions"]]
    check(found, [[*pair, pairs.count(pair)] for pair in confusions], "confusions")
    count = 1 + max(max(pair) for pair in pairs)
    given, right = (one_hot([pair[place] for pair in pairs], max(count, 2)) for place in (1, 0))
    values = None if kind == "ids" else numpy.array([values for _, values in answers])
    by_class = metrics(run, given, right, values, truths, answers)
    for entry in run["classes"]:
        for key, value in zip(["precision", "recall", "f1"], by_class[entry["class_id"]][0]):
            check(entry[key], float(value), f"{key} of class {entry['class_id']}")
    if kind == "ids":
        assert "calibration" not in run and "5" not in run["top"], run
        return
    gaps = numpy.zeros(BINS)
    for (truth, answer), (_, values) in zip(pairs, answers):
        gaps[min(int(values[answer] * BINS), BINS - 1)] += (truth == answer) - values[answer]
    check(run["expected_calibration_error"], float(numpy.abs(gaps).sum() / len(pairs)), "calibration error")


def multi(run, names, answers, truths):
    """Precision, recall and F1 as scikit-learn defines them, with zero_division=0 and the labels that have a case."""
    found = run["multi_label"]
    assert "calibration" not in run, run
    given = numpy.array([values >= found["threshold"] for _, values in answers])
    right = numpy.zeros_like(given)
    for image, truth in enumerate(truths):
        right[image, truth] = True
    metrics(run, given, right, numpy.array([values for _, values in answers]), truths, answers)
    exact = (given == right).all(axis=1)
    check_rate(found["exact_match"], int(exact.sum()), len(names), "exact match")
    wrong = [
        {"answers": numpy.flatnonzero(given[i]).tolist(), "class_ids": sorted(truths[i]), "path": names[i]}
        for i in numpy.flatnonzero(~exact)
    ]
    check([{**w, "path": pathlib.Path(w["path"]).name} for w in run["wrong"]], wrong, "wrong")
    tp, fp, fn = (given & right).sum(axis=0), (given & ~right).sum(axis=0), (~given & right).sum(axis=0)
    cases = numpy.flatnonzero(tp + fp + fn)
    by_class = []
    for entry, class_id in zip(run["classes"], cases, strict=True):
        counts = [int(class_id), int((tp + fn)[class_id]), int(tp[class_id]), int(fp[class_id]), int(fn[class_id])]
        keys = ["class_id", "pictures", "true_positives", "false_positives", "false_negatives"]
        check([entry[key] for key in keys], counts, "class")
        quality = [share(counts[2], counts[2] + counts[3]), share(counts[2], counts[1])]
        quality.append(share(2 * quality[0] * quality[1], sum(quality)))
        for key, value in zip(["precision", "recall", "f1"], quality):
            check(entry[key], float(value), f"{key} of class {class_id}")
        by_class.append(quality)
    p, r = share(tp.sum(), (tp + fp).sum()), share(tp.sum(), (tp + fn).sum())
    for average, values in [("micro", [p, r, share(2 * p * r, p + r)]), ("macro", numpy.mean(by_class, axis=0))]:
        for key, value in zip(["precision", "recall", "f1"], values):
            check(found[average][key], float(value), f"{average} {key}")


MULTI_LABEL = ("independent", "sigmoid")


def given(values, threshold):
    return numpy.flatnonzero(values >= threshold).tolist()


def margin(values, classes, threshold):
    """The smallest distance of a score from the threshold, on its right side."""
    above = values - threshold
    is_right = numpy.isin(numpy.arange(len(values)), classes)
    return float(numpy.where(is_right, above, -above).min())


def rights(answers, truths, threshold):
    """Whether each answer is right: with a threshold if exactly the right classes reach it."""
    if threshold is None:
        return [ranking[0] in classes for (ranking, _), classes in zip(answers, truths)]
    return [given(values, threshold) == sorted(classes) for (_, values), classes in zip(answers, truths)]


def changes(against, names, reference, run, threshold):
    """The images on which one of two runs is right; each run is a pair of its answers and right classes."""

    def judged(answers, truths, image):
        (ranking, values), classes = answers[image], truths[image]
        score = None if values is None else float(max((values[c] for c in classes), default=math.nan))
        return rights([answers[image]], [classes], threshold)[0], ranking[0], score

    check(against["judged_by"], "top1" if threshold is None else "exact-match", "the rule")
    lists, counts = {"new_errors": [], "corrected": []}, {}
    for image, name in enumerate(names):
        (one, answer_of_one, p), (other, answer, q) = (judged(*of_run, image) for of_run in (reference, run))
        if one == other:
            continue
        key = "new_errors" if one else "corrected"
        before, after = p, q
        if threshold is not None:
            before, after = (margin(answers[image][1], truths[image], threshold) for answers, truths in (reference, run))
            entries = [entry for entry in against[key] if pathlib.Path(entry["path"]).name == name]
            answers = [given(of_run[0][image][1], threshold) for of_run in (run, reference)]
            check([entries[0]["answers"], entries[0]["reference_answers"]], answers, "answers")
            check(entries[0]["margin"], after, "margin")
            check(entries[0]["reference_margin"], before, "margin of the reference")
        change = -math.inf if before is None or after is None else before - after if one else after - before
        lists[key].append((change, name, sorted(run[1][image]), answer, answer_of_one, q, p))
        for class_id in run[1][image]:
            counts.setdefault(class_id, [0, 0])[one is False] += 1
    for key, right in lists.items():
        right.sort(key=lambda it: -it[0])
        if threshold is not None:
            # Sigmoids near 0 and 1 differ in the last digit, and margins near half a unit tie: the order is that of the
            # report, as far as it falls.
            places = {pathlib.Path(entry["path"]).name: place for place, entry in enumerate(against[key])}
            right.sort(key=lambda it: places[it[1]])
            assert all(one[0] >= other[0] - 1e-9 for one, other in zip(right, right[1:])), key
        check(len(against[key]), len(right), key)
        for found, (_, name, classes, answer, answer_of_one, q, p) in zip(against[key], right, strict=True):
            truth = found["class_ids"] if "class_ids" in found else [found["class_id"]]
            which = [pathlib.Path(found["path"]).name, sorted(truth), found["answer"], found["reference_answer"]]
            check(which, [name, classes, answer, answer_of_one], key)
            for found_score, score in ((found["score"], q), (found["reference_score"], p)):
                if score is None or math.isnan(score):
                    # An image without classes has none.
                    check([found_score], [None], "score")
                else:
                    check(found_score, score, "score")
    order = sorted(counts.items(), key=lambda it: (it[1][1] - it[1][0], -it[1][0], it[0]))
    found = [[c["class_id"], c["lost"], c["gained"]] for c in against["classes"]]
    check(found, [[class_id, *both] for class_id, both in order], "classes by loss")


def main(report, images, truth, *kinds):
    runs = json.loads(pathlib.Path(report).read_text())["runs"]
    truth = json.loads(pathlib.Path(truth).read_text())
    images = sorted(pathlib.Path(images).glob("*.ppm"))
    names = [image.name for image in images]
    judged = []
    for run, of_run, kind in zip(runs, truth, kinds, strict=True):
        truths = [of_run[name] for name in names]
        answers = []
        for output in outputs(run["facts"], images):
            if kind == "ids":
                answers.append((output.tolist(), None))
            else:
                values = scores(kind, output)
                # Two scores of one value rank by it, not by a sum that rounds.
                answers.append((numpy.argsort(-values, kind="stable").tolist(), values))
        check(run["pictures"], len(names), "images")
        for k, rate in run["top"].items():
            hits = [bool(set(ranking[: int(k)]) & set(classes)) for (ranking, _), classes in zip(answers, truths)]
            check_rate(rate, sum(hits), len(hits), f"top-{k}")
        judged.append((answers, truths))
        if len(judged) > 1:
            is_exact = kind in MULTI_LABEL and kinds[0] in MULTI_LABEL
            threshold = run["multi_label"]["threshold"] if is_exact else None
            first, own = (rights(*of_run, threshold) for of_run in (judged[0], judged[-1]))
            alone = [sum(b and not a for a, b in zip(*pair)) for pair in ((first, own), (own, first))]
            against = run["against_reference"]
            check([against["right_alone"], against["reference_right_alone"]], alone, "right alone")
            check(against["mcnemar_p"], mcnemar(*alone), "McNemar's test")
            drop = [sum(first) - sum(own), len(names)]
            check(against["drop"]["share"], drop[0] / drop[1], "drop")
            changes(against, names, judged[0], (answers, truths), threshold)
        if kind in MULTI_LABEL:
            multi(run, names, answers, truths)
        else:
            single(run, names, answers, truths, kind)
    print(compared)


if __name__ == "__main__":
    main(*sys.argv[1:])
