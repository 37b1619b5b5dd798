"""The numbers of a report of `classify evaluate`."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np

import intervals
from recompute_comparison import duplicates, read_answers, read_recording
from recompute_pairs import gate, percent, rate, share_gate
from recompute_report import Between, NOT_RECOMPUTED, Near, Text
from recompute_scores import is_distribution


def calibrated(confidences):
    """What a calibrated model's error would be: the exact mean and the percentiles, with the error of 1000 draws."""
    c = np.array(confidences)
    bins = np.array([intervals.bin_of(confidence) for confidence in confidences])
    random = np.random.default_rng(1)
    rounds = 20000
    errors = np.zeros(rounds)
    for index in np.unique(bins):
        members = c[bins == index]
        right = (random.random((rounds, len(members))) < members).sum(axis=1)
        errors += np.abs(right - members.sum())
    errors /= len(c)
    mean = intervals.calibrated_error(confidences, rounds=1)[0]
    # Five standard errors of 200 to 1000 draws.
    draws = min(max(100_000_000 // len(c), 200), 1000)
    around = 5 * errors.std() / math.sqrt(draws) + 1e-12
    share = 100 * 5 * math.sqrt(0.95 * 0.05 / draws)
    low, high = np.percentile(errors, [95 - share, min(95 + share, 100)], method="inverted_cdf")
    return {"mean": Between(mean - around, mean + around), "p95": Between(low - 1e-9, high + 1e-9)}


def read_truth(path):
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n").split("\t") for line in file if line.strip()]
    return {name: int(class_id) for name, class_id in lines}


def class_qualities(classes, confusions):
    """Precision, recall and F1 of each class that is shown or answered, with its hits, answers and images."""
    found = {}
    for class_id in sorted(set(classes) | {answer for _, answer in confusions}):
        of, hits = classes.get(class_id, [0, 0])
        given = hits + sum(count for (_, answer), count in confusions.items() if answer == class_id)
        quality = {
            "precision": hits / given if given else 0.0,
            "recall": hits / of if of else 0.0,
            "f1": 2 * hits / (of + given),
        }
        found[class_id] = quality, hits, given, of
    return found


def metrics(classes, qualities, mean, top):
    """The values that --metric-min and --metric-max name."""
    images = sum(of for of, _ in classes.values())
    hits = sum(hits for _, hits, _, _ in qualities.values())
    found = {f"top{k}": Near(found["share"], 1e-15) for k, found in top.items()}
    for name in ("precision", "recall", "f1"):
        values = [(quality[name], of) for quality, _, _, of in qualities.values()]
        found[f"{name}-micro"] = Near(hits / images, 1e-15)
        found[f"{name}-macro"] = Near(sum(value for value, _ in values) / len(values), 1e-12)
        found[f"{name}-weighted"] = Near(sum(value * of for value, of in values) / images, 1e-12)
    shown = images**2 - sum(of**2 for _, _, _, of in qualities.values())
    given = images**2 - sum(given**2 for _, _, given, _ in qualities.values())
    both = hits * images - sum(given * of for _, _, given, of in qualities.values())
    found["mcc"] = Near(both / math.sqrt(shown * given) if shown * given else 0.0, 1e-12)
    found["mean-per-class"] = mean
    return found


def evaluate_run(run, place, truth, paths, answers, tops, most):
    """The expected report of a run, and for each image whether it is right (None without truth)."""
    counted = [(path, truth[Path(path).name], answer) for path, answer in zip(paths, answers) if Path(path).name in truth]
    ranks = [answer.top.index(right) + 1 if right in answer.top else None for _, right, answer in counted]
    classes, confusions, wrong, confidences = {}, {}, [], []
    for (path, right, answer), rank in zip(counted, ranks):
        of = classes.setdefault(right, [0, 0])
        of[0] += 1
        of[1] += rank == 1
        if rank != 1:
            key = right, answer.top[0]
            confusions[key] = confusions.get(key, 0) + 1
            wrong.append({"path": path, "class_id": right, "answer": answer.top[0]})
        confidences.append(min(max(float(answer.p[answer.top[0]]), 0.0), 1.0))
    top = {str(k): rate(sum(bool(rank and rank <= k) for rank in ranks), len(counted)) for k in tops}
    mean, interval = intervals.mean_of_shares([(right, of) for of, right in classes.values()])
    qualities = class_qualities(classes, confusions)
    found = {
        "metrics": metrics(classes, qualities, mean, top),
        "name": run["name"],
        "reference": place == 0,
        "facts": run,
        "labels": NOT_RECOMPUTED,
        "pictures": len(counted),
        "top": top,
        "mean_per_class": mean,
        "intervals": {"mean_per_class": [Near(end, 1e-15) for end in interval]},
        "classes": [
            {"class_id": class_id, "label": NOT_RECOMPUTED, "pictures": of, "top1": right, **qualities[class_id][0]}
            for class_id, (of, right) in sorted(classes.items())
        ],
        "confusions": [
            {"class_id": right, "taken_for": answer, "count": count}
            for (right, answer), count in sorted(confusions.items(), key=lambda item: (-item[1], item[0]))
        ],
        "wrong": wrong,
    }
    if is_distribution(run["interpretation"]["scoring"]):
        bins = [[] for _ in range(intervals.BINS)]
        for confidence, rank in zip(confidences, ranks):
            bins[intervals.bin_of(confidence)].append((rank == 1, confidence))
        rights = [rank == 1 for rank in ranks]
        # As for |Δp|.
        rounding = 1e-14
        found["metrics"]["ece"] = Near(intervals.calibration_error(list(zip(rights, confidences))), rounding)
        found |= {
            "expected_calibration_error": Near(intervals.calibration_error(list(zip(rights, confidences))), rounding),
            "calibrated_expected_calibration_error": calibrated(confidences),
            "calibration": [
                {
                    "pictures": len(members),
                    "right": sum(right for right, _ in members),
                    "confidence": math.fsum(c for _, c in members) / len(members) if members else None,
                }
                for members in bins
            ],
        }
    return found, [rank == 1 for rank in ranks]


def drop_remark(right, of_reference, most):
    """The remark on a drop that may be larger, or is above the limit by chance."""
    reference_alone = sum(other and not own for own, other in zip(right, of_reference))
    alone = sum(own and not other for own, other in zip(right, of_reference))
    low, largest = intervals.drop_interval(reference_alone, alone, len(right))
    if Fraction(reference_alone - alone, len(right)) > most:
        return Text([len(right), 95, 100 * low], "the drop is above the limit, but within the noise") if low <= most else None
    if largest <= most:
        return None
    numbers = [percent(most), 95, 100 * largest]
    # With the same shares of images on which one of the two alone is right.
    shares = [Fraction(count, len(right)) for count in (reference_alone, alone)]
    ends = lambda images: intervals.drop_interval(*(float(share * images) for share in shares), images)[1]
    if ends(2**40) <= most:
        too_few, enough = 0, 2**40
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            too_few, enough = (too_few, middle) if ends(middle) <= most else (middle, enough)
        numbers.append(enough)
    return Text(numbers, "too few images to establish a drop")


def drop_of(right, of_reference):
    """The interval of the drop."""
    reference_alone = sum(other and not own for own, other in zip(right, of_reference))
    alone = sum(own and not other for own, other in zip(right, of_reference))
    return intervals.drop_interval(reference_alone, alone, len(right))


def against_reference(right, of_reference, counted, of_run):
    """The comparison of a run with the reference. `counted` has path, class and the reference's answer of each image."""
    alone = sum(own and not other for own, other in zip(right, of_reference))
    reference_alone = sum(other and not own for own, other in zip(right, of_reference))
    low, high = drop_of(right, of_reference)
    lists, classes = {True: [], False: []}, {}
    for own, other, (path, class_id, reference), answer in zip(right, of_reference, counted, of_run):
        if own == other:
            continue
        scores = [float(a.p[class_id]) for a in (reference, answer)]
        entry = {
            "path": path,
            "class_id": class_id,
            "answer": answer.top[0],
            "reference_answer": reference.top[0],
            "score": Near(scores[1], 1e-15),
            "reference_score": Near(scores[0], 1e-15),
        }
        # The loss of a new error, the gain of a corrected answer.
        lists[other].append((scores[not other] - scores[other], entry))
        classes.setdefault(class_id, [0, 0])[own] += 1
    return {
        # No model of the tests is a multi-label one.
        "judged_by": "top1",
        "right_alone": alone,
        "reference_right_alone": reference_alone,
        "mcnemar_p": intervals.mcnemar(alone, reference_alone),
        "pictures": len(right),
        # The reference searches for a maximum of the likelihood, which has half of the digits.
        "drop": {"share": (reference_alone - alone) / len(right), "low": Near(low, 1e-7), "high": Near(high, 1e-7)},
        "new_errors": [entry for _, entry in sorted(lists[True], key=lambda item: -item[0])],
        "corrected": [entry for _, entry in sorted(lists[False], key=lambda item: -item[0])],
        "classes": [
            {"class_id": class_id, "label": NOT_RECOMPUTED, "lost": lost, "gained": gained}
            for class_id, (lost, gained) in sorted(classes.items(), key=lambda item: (item[1][1] - item[1][0], -item[1][0], item[0]))
        ],
    }


def evaluate(options, report):
    runs, images = read_recording(options.recording)
    tops = sorted(set(options.top or [1, 5]))
    answers = read_answers(runs, images, max(tops))
    paths = [image["path"] for image in images]
    truth = read_truth(options.truth)
    found = [
        evaluate_run(run, place, truth, paths, [of_image[place] for of_image in answers], tops, max(tops))
        for place, run in enumerate(runs)
    ]
    expected = []
    all_passed = True
    for place, (run, right) in enumerate(found):
        reference, of_reference = found[0]
        count, of = sum(right), len(right)
        gates = []
        if options.min_top1 is not None:
            gates.append(share_gate("min-top1", count, of, options.min_top1))
        if options.max_drop is not None and place:
            before = sum(of_reference)
            drop = Fraction(before, of) - Fraction(count, of)
            most = options.max_drop
            low, high = drop_of(right, of_reference)
            ends = [100 * float(drop), 95, 100 * low, 100 * high]
            shown = [count, of, 100 * count / of, before, of, 100 * before / of, *ends, percent(most)]
            passed = {"shown": drop <= most or low <= most, "observed": drop <= most, "possible": drop <= most and high <= most}
            gates.append(gate("max-drop", passed[options.drop_rule], shown, drop_remark(right, of_reference, most)))
        run["gates"] = gates
        all_passed &= all(g["passed"] for g in gates)
        if place:
            counted = [
                (path, truth[Path(path).name], of_image) for path, of_image in zip(paths, answers) if Path(path).name in truth
            ]
            pairs = [(path, class_id, of_image[0]) for path, class_id, of_image in counted]
            own = [of_image[place] for *_, of_image in counted]
            run["against_reference"] = against_reference(right, of_reference, pairs, own)
        expected.append(run)
    names = {Path(path).name for path in paths}
    with_truth = sum(Path(path).name in truth for path in paths)
    lacks_truth = options.min_truth is None and with_truth < len(paths)
    lacks_truth &= options.min_top1 is not None or options.max_drop is not None
    least = Fraction(1) if lacks_truth else options.min_truth
    of_truth = []
    if least is not None:
        is_share = least <= 1
        passed = with_truth >= (least * len(paths) if is_share else least)
        shown = [with_truth, len(paths), 100 * with_truth / len(paths), percent(least) if is_share else int(least)]
        of_truth.append(gate("min-truth", passed, shown, None))
        all_passed &= passed
    return {
        "schema_version": 1,
        "kind": "evaluate",
        "verdict": "could-not-compare" if lacks_truth else "agree" if all_passed else "disagree",
        "summary": NOT_RECOMPUTED,
        "ground_truth": NOT_RECOMPUTED,
        "machine": runs[0]["machine"],
        "pictures": len(images),
        # No image failed.
        "counted": with_truth,
        "with_truth": with_truth,
        "duplicates": duplicates(images),
        "gates": of_truth,
        # The ids are right, and no run is better than the reference.
        "remarks": [],
        "without_truth": [path for path in paths if Path(path).name not in truth],
        "without_picture": sorted(name for name in truth if name not in names),
        "runs": expected,
        "failures": [],
    }
