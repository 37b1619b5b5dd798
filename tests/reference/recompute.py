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
import hashlib
import json
import math
import re
import sys
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import intervals  # noqa: E402

# 64 bits of mantissa where the processor has them, so that this is more exact than what it checks.
LD = np.longdouble
F64_EPS = 2.0**-52
LEAST_NORMAL = 2.0**-126
INFORMATIVE = 1e-4
WORST = 10
DIGITS = 4

# name: |Δp|, relative error of outputs, ties, order, share of equal best classes.
TOLERANCES = {
    "f32": (1e-4, 1e-4, 1e-4, True, None),
    "f16": (0.05, 0.05, 0.05, False, Fraction(99, 100)),
    "bf16": (0.3, 0.4, 0.1, False, Fraction(98, 100)),
    "int8": (0.3, 0.5, 0.5, False, Fraction(95, 100)),
}
NAMES = list(TOLERANCES)
OF_SOFTMAX = {"softmax", "log-probability"}
OF_LOGITS = OF_SOFTMAX | {"sigmoid", "positive-logit"}
MULTI_LABEL = {"sigmoid", "independent"}
NO_PROBABILITIES = {"class-ids", "raw"}


# --- What is expected of a report: a tree of values, of which some are allowed to differ a little.


class Text:
    """A text, of which the numbers are known and how it begins."""

    def __init__(self, numbers=(), starts=""):
        self.numbers, self.starts = list(numbers), starts


class Near:
    """A number with a rounding error beyond the relative 1e-9 of all others."""

    def __init__(self, value, beyond, relative=1e-9):
        self.value, self.beyond, self.relative = float(value), float(beyond), relative


class Between:
    """A number that is known up to chance."""

    def __init__(self, low, high):
        self.low, self.high = low, high


class Subset:
    """An object that has these keys among others."""

    def __init__(self, values):
        self.values = values


NOT_RECOMPUTED = object()
NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:\.\d+)?(?:e-?\d+)?")


def numbers_differ(text, expected):
    found = NUMBER.findall(text)
    if len(found) != len(expected):
        return f"{text!r} has not the numbers {expected}"
    for shown, right in zip(found, expected):
        mantissa, _, exponent = shown.partition("e")
        last = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        # As many digits as are shown.
        allowed = 0 if isinstance(right, int) else 0.501 * last
        if abs(float(shown) - right) > allowed:
            return f"{text!r}: {shown} should be {right}"
    return None


def differences(expected, found, name=""):
    """What differs, each with the name of the value."""
    if expected is NOT_RECOMPUTED:
        return
    if isinstance(expected, Subset):
        if not isinstance(found, dict):
            yield f"{name} is {found!r}"
            return
        for key, value in expected.values.items():
            yield from differences(value, found.get(key), f"{name}.{key}")
    elif isinstance(expected, dict):
        if not isinstance(found, dict):
            yield f"{name} is {found!r}"
            return
        for key in expected.keys() | found.keys():
            if key not in found:
                yield f"{name}.{key} is missing"
            elif key not in expected:
                yield f"{name}.{key} is recomputed by nobody: {str(found[key])[:80]}"
            else:
                yield from differences(expected[key], found[key], f"{name}.{key}")
    elif isinstance(expected, (list, tuple)):
        if not isinstance(found, list) or len(found) != len(expected):
            yield f"{name} has not {len(expected)} entries: {str(found)[:80]}"
            return
        for place, (right, value) in enumerate(zip(expected, found)):
            yield from differences(right, value, f"{name}[{place}]")
    elif isinstance(expected, Text):
        if not isinstance(found, str) or not found.startswith(expected.starts):
            yield f"{name} is {found!r} and does not begin with {expected.starts!r}"
        elif wrong := numbers_differ(found, expected.numbers):
            yield f"{name}: {wrong}"
    elif isinstance(expected, Between):
        if not isinstance(found, float) or not expected.low <= found <= expected.high:
            yield f"{name} is {found}, but {expected.low} to {expected.high} is expected"
    elif isinstance(expected, (float, np.floating, Near)):
        near = expected if isinstance(expected, Near) else Near(expected, 0)
        if not math.isfinite(near.value):
            # JSON has no infinity.
            if found is not None:
                yield f"{name} is {found} and not null"
        elif isinstance(found, bool) or not isinstance(found, (int, float)):
            yield f"{name} is {found!r} and not {near.value}"
        elif not abs(found - near.value) <= near.relative * abs(near.value) + near.beyond:
            yield f"{name} is {found!r}, {near.value!r} is right"
    elif type(expected) is not type(found) or expected != found:
        yield f"{name} is {found!r}, {expected!r} is right"


# --- Scores.


class Answer:
    """An output, read as its model says. `x` is what classes rank by, `p` the scores."""

    def __init__(self, raw, interpretation, top):
        self.scoring = interpretation["scoring"]
        values = np.array([np.nan if value is None else value for value in raw], dtype=np.float64).astype(np.float32)
        if quantization := interpretation["quantization"]:
            scale, zero = float(np.float32(quantization["scale"])), quantization["zero_point"]
            values = (scale * (values.astype(np.float64) - zero)).astype(np.float32)
        self.not_finite = int(np.count_nonzero(~np.isfinite(values)))
        self.finite = self.not_finite == 0
        self.top, self.scores_of_top, self.of = [], [], 0
        if not self.finite:
            return
        one = np.float32(1)
        if self.scoring == "positive-logit":
            values = np.array([-values[0], values[0]], dtype=np.float32)
        elif self.scoring == "positive-probability":
            values = np.array([one - values[0], values[0]], dtype=np.float32)
        self.x = values
        exact = values.astype(LD)
        if self.scoring in ("softmax", "log-probability"):
            powers = np.exp(exact - exact.max())
            self.p = powers / powers.sum()
        elif self.scoring in ("sigmoid", "positive-logit"):
            self.p = 1 / (1 + np.exp(-exact))
        elif self.scoring == "positive-probability":
            self.p = np.array([1 - exact[1], exact[1]])
        else:
            self.p = exact
        if self.scoring == "class-ids":
            self.top = [int(value) for value in values[:top]]
            self.scores_of_top = [1.0] * len(self.top)
        else:
            # Descending, then by class id.
            self.top = [int(c) for c in np.lexsort((np.arange(len(values)), -values.astype(np.float64)))[:top]]
            self.scores_of_top = [float(np.float32(self.p[c])) for c in self.top]

    def informative(self):
        low, high = float(self.x.min()), float(self.x.max())
        return len(self.x) == 1 or high - low > INFORMATIVE * max(abs(low), abs(high))

    def printed(self):
        return [f"{score:.{DIGITS}f}" for score in self.scores_of_top]

    def best(self):
        # Shown as the 32-bit number.
        return {"class_id": self.top[0], "score": Near(self.scores_of_top[0], 0, relative=1.2e-7)}


def is_distribution(scoring):
    return scoring not in NO_PROBABILITIES and scoring not in MULTI_LABEL


def basis_of(one, other):
    if "class-ids" in (one, other):
        return "class-ids"
    if "raw" in (one, other):
        return "outputs"
    same = one == other or {one, other} <= OF_SOFTMAX
    return "logits" if same and one in OF_LOGITS else "probabilities"


# --- One image, two answers.


def decimal_divergence(x, y):
    """The divergence of the softmax of two outputs, with 40 digits."""
    def distribution(values):
        powers = [Decimal(float(value)).exp() for value in values]
        return [power / sum(powers) for power in powers]

    terms = ((p, max(q, Decimal(LEAST_NORMAL))) for p, q in zip(distribution(x), distribution(y)))
    return float(sum(p * (p / q).ln() - p + q for p, q in terms))


def kl_divergence(p, q):
    q = np.maximum(q, LD(LEAST_NORMAL))
    d = (p - q) / q
    with np.errstate(divide="ignore", invalid="ignore"):
        near = q * ((1 + d) * np.log1p(d) - d)
        far = np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / q) - p + q, q)
    return float(np.maximum(np.where(np.abs(d) < 0.5, near, far).sum(), 0))


def image(one, other, tie, with_limits):
    """The values of a pair of answers for one image."""
    if not one.finite or not other.finite:
        return {"not_finite": {"reference": one.not_finite, "run": other.not_finite}}
    of = min(len(one.top), len(other.top))
    ordered = one.top[:of] == other.top[:of]
    shared = len(set(one.top[:of]) & set(other.top[:of]))
    best = one.top[0]
    values = {
        "reference": one.best(),
        "run": other.best(),
        "top1_match": other.top[0] == best,
        "ordered_match": ordered,
        "shared": shared,
        "of": of,
        "overlap": shared / of,
    }
    if "class-ids" in (one.scoring, other.scoring):
        rank = other.top.index(best) + 1 if best in other.top else len(other.top) + 1
        nothing = ["max_delta", "max_logit_delta", "mean_logit_delta", "relative_error", "cosine", "cosine_distance", "kl_divergence"]
        return values | dict.fromkeys(nothing) | {
            "top1_match_but_ties": other.top[0] == best, "ordered_match_but_ties": ordered, "informative": True, "telling": True, "rank": rank,
        }  # fmt: skip
    own = other.x[best]
    ids = np.arange(len(other.x))
    rank = 1 + int(np.count_nonzero((other.x > own) | ((other.x == own) & (ids < best))))
    if one.scoring not in NO_PROBABILITIES and one.scoring not in OF_LOGITS:
        def ties(a, b):
            return abs(one.p[a] - one.p[b]) <= 10 * tie * max(one.p[a], one.p[b], LEAST_NORMAL)
    else:
        offset = float(one.x.astype(LD).mean()) if one.scoring in OF_SOFTMAX else 0.0
        largest = float(np.abs(one.x.astype(np.float64) - offset).max())
        def ties(a, b):
            return abs(float(one.x[a]) - float(one.x[b])) <= tie * largest
    def may_both_be_best(answer, a, b):
        gap = abs(answer.p[a] - answer.p[b])
        close = answer.scoring in NO_PROBABILITIES or gap <= with_limits["best_tie"]
        if answer.scoring not in NO_PROBABILITIES and answer.scoring not in OF_LOGITS:
            return close and gap <= 10 * with_limits["best_tie"] * max(answer.p[a], answer.p[b])
        offset = float(answer.x.astype(LD).mean()) if answer.scoring in OF_SOFTMAX else 0.0
        largest = float(np.abs(answer.x.astype(np.float64) - offset).max())
        return close and abs(float(answer.x[a]) - float(answer.x[b])) <= with_limits["best_tie"] * largest

    other_best = other.top[0]
    of_softmax = {one.scoring, other.scoring} <= OF_SOFTMAX
    same = one.scoring == other.scoring or of_softmax
    x, y = (one.x.astype(LD), other.x.astype(LD)) if same else (one.p, other.p)
    if of_softmax:
        x, y = x - x.mean(), y - y.mean()
    norms = [np.sqrt((v * v).sum()) for v in (x, y)]
    delta = np.abs(x - y)
    distance = np.sqrt((delta * delta).sum())
    error = float(distance / norms[0]) if distance else 0.0
    if not distance:
        cosine_distance = 0.0
    elif not norms[0] or not norms[1]:
        cosine_distance = 1.0
    else:
        # |x / ‖x‖ − y / ‖y‖|² / 2.
        apart = x / norms[0] - y / norms[1]
        cosine_distance = float((apart * apart).sum() / 2)
    of_p = np.abs(one.p - other.p)
    # In double precision p and q are rounded, above all in the sum of the exponentials, one addition for each class.
    rounded = 0 if one.scoring in NO_PROBABILITIES else (4 + math.sqrt(len(x))) * F64_EPS
    logits = same and one.scoring in OF_LOGITS
    divergence = None
    if is_distribution(one.scoring) and is_distribution(other.scoring):
        q = np.maximum(other.p, LD(LEAST_NORMAL))
        # What these errors change: the derivative of the divergence is ln(p / q) by p and 1 − p / q by q.
        divergence = Near(kl_divergence(one.p, other.p), 8 * F64_EPS * float(np.abs(one.p - q).sum()))
    values |= {
        "top1_match_but_ties": other_best == best or all(bool(may_both_be_best(each, best, other_best)) for each in (one, other)),
        "ordered_match_but_ties": all(a == b or bool(ties(a, b)) for a, b in zip(one.top, other.top)),
        "informative": one.informative(),
        "telling": one.informative(),
        "rank": rank,
        "max_delta": Near(of_p.max(), rounded),
        "max_logit_delta": float(delta.max()) if logits else None,
        "mean_logit_delta": float(delta.sum() / len(x)) if logits else None,
        "relative_error": Near(error, 0 if same else rounded / float(norms[0] or 1)),
        "cosine": 1 - cosine_distance,
        "cosine_distance": Near(cosine_distance, 1e-13 * error**2 + (0 if same else rounded * error)),
        "kl_divergence": divergence,
    }
    return values


def value(number):
    return number.value if isinstance(number, Near) else number


def rate(count, of):
    low, high = intervals.wilson(count, of)
    return {"count": count, "of": of, "share": count / of if of else 0.0, "low": Near(low, 1e-15), "high": high}


def shown_rate(count, of):
    low, high = intervals.wilson(count, of)
    return [count, of, 100 * count / of, 95, 100 * low, 100 * high]


def percent(share):
    """A limit in a text: exact."""
    shown = 100 * share
    return int(shown) if shown.denominator == 1 else float(shown)


def gate(name, passed, numbers, few=None):
    found = {"name": name, "passed": bool(passed), "found": Text(numbers)}
    return found | ({"remark": few} if few else {})


def share_gate(name, count, of, least):
    passed = Fraction(count, of) >= least if of else False
    low = intervals.wilson(count, of)[0]
    few = None
    if passed and low < least:
        numbers = [percent(least), 95, 100 * low]
        if least < 1:
            numbers.append(math.ceil(intervals.Z2 * least.numerator / (least.denominator - least.numerator)))
        few = Text(numbers, "too few images" if least < 1 else "no number of images establishes")
    return gate(name, passed, [*shown_rate(count, of), percent(least)], few)


def nearest_rank(values, share):
    return sorted(values)[-(-len(values) * share // 100) - 1]


def distribution(numbers):
    values = [value(number) for number in numbers]
    beyond = max(number.beyond if isinstance(number, Near) else 0 for number in numbers)
    found = {"mean": sum(map(LD, values)) / len(values), "max": max(values)}
    found |= {f"p{share}": nearest_rank(values, share) for share in (50, 90, 99)}
    return {key: Near(number, beyond) for key, number in found.items()}


COLUMNS = {
    "max_delta": "max_delta",
    "max_logit_delta": "max_logit_delta",
    "mean_logit_delta": "mean_logit_delta",
    "relative_error": "relative_error",
    "cosine": "cosine_distance",
    "kl_divergence": "kl_divergence",
    "rank": "rank",
}


def varies(answers):
    """Whether answers depend on the image, with the numbers that say so."""
    answers = [answer for answer in answers if answer and answer.finite]
    with_order = sum(answer.informative() for answer in answers)
    numbers = [with_order, len(answers)]
    spread = None
    if len(answers) > 1:
        all_x = np.array([answer.x for answer in answers], dtype=np.float64)
        low, high = all_x.min(axis=0), all_x.max(axis=0)
        size = np.maximum(np.abs(low), np.abs(high)).max()
        spread = float((high - low).max() / size) if size else 0.0
        numbers += [spread, INFORMATIVE]
    return with_order > 0 and spread is not None and spread > INFORMATIVE, numbers


def compare_pair(answers, paths, reference, run, tolerance, made_up):
    """The expected report of a pair, and whether its runs agree; `answers` has a list for each image."""
    scorings = [next((a[lane].scoring for a in answers if a[lane]), "raw") for lane in (reference, run)]
    basis = basis_of(*scorings)
    max_delta, max_error = tolerance["max_delta"], tolerance["max_relative_error"]
    rows = []
    for place, (path, of_image) in enumerate(zip(paths, answers)):
        one, other = of_image[reference], of_image[run]
        if not one or not other:
            continue
        values = image(one, other, tolerance["tie"], tolerance)
        finite = "not_finite" not in values
        too_far = finite and basis in ("logits", "probabilities") and value(values["max_delta"]) > max_delta
        other_outputs = finite and basis in ("logits", "outputs") and value(values["relative_error"]) > max_error
        other_order = tolerance["same_order"] and not (finite and values["ordered_match_but_ties"])
        within = finite and not too_far and not other_outputs and not other_order
        text = finite and values["ordered_match"] and (basis == "class-ids" or one.printed() == other.printed())
        best = values["of"] if finite else max(len(one.top), len(other.top))
        if finite:
            delta, error = (value(values[key]) or 0.0 for key in ("max_delta", "relative_error"))
            badness = (2 * (not within) + (not values["top1_match"]), delta, error)
        else:
            badness = (4, 0.0, 0.0)
        rows.append({
            "json": {"path": path, "within": bool(within)} | values,
            "place": place, "values": values if finite else None, "badness": badness, "best": best,
            "too_far": too_far, "other_outputs": other_outputs, "text": text,
        })  # fmt: skip
    count = len(rows)
    finite = [row["values"] for row in rows if row["values"]]
    if scorings == ["softmax", "softmax"] and finite:
        # The formula here is not rounding noise either.
        place = next(row["place"] for row in rows if row["values"])
        exact = decimal_divergence(answers[place][reference].x, answers[place][run].x)
        found = finite[0]["kl_divergence"]
        assert abs(found.value - exact) <= found.relative * exact + found.beyond, (found.value, exact)

    def number(key):
        return sum(values[key] for values in finite)

    not_finite = count - len(finite)
    shared, best = number("shared"), sum(row["best"] for row in rows)
    gates = []
    informative, said = varies([of_image[reference] for of_image in answers])
    if count:
        gates.append(gate("finite", not not_finite, [not_finite, count]))
        if basis in ("logits", "probabilities"):
            beyond = sum(row["too_far"] for row in rows)
            largest = max((value(v["max_delta"]) for v in finite), default=0.0)
            gates.append(gate("max-delta", not beyond, [largest, max_delta, beyond, count]))
        if basis in ("logits", "outputs"):
            beyond = sum(row["other_outputs"] for row in rows)
            largest = max((value(v["relative_error"]) for v in finite), default=0.0)
            gates.append(gate("logits", not beyond, [largest, max_error, beyond, count]))
        if basis == "class-ids" and tolerance["min_top1"] is None:
            others = len(finite) - number("top1_match")
            gates.append(gate("class", not others, [others, count]))
        if finite:
            if made_up is None:
                gates.append(gate("informative", informative, said))
            else:
                # The answer for the made-up image is not in the recording.
                informative = made_up
                gates.append({"name": "informative", "passed": made_up, "found": NOT_RECOMPUTED})
        if tolerance["same_order"] and basis != "class-ids":
            others = len(finite) - number("ordered_match_but_ties")
            gates.append(gate("order", not others, [others, count]))
        if tolerance["min_top1"] is not None:
            shared_best = share_gate("top1", number("top1_match_but_ties"), count, tolerance["min_top1"])
            shared_best["found"].numbers.append(number("top1_match"))
            gates.append(shared_best)
        if tolerance["min_overlap"] is not None:
            least = tolerance["min_overlap"]
            passed = best > 0 and Fraction(shared, best) >= least
            gates.append(gate("overlap", passed, [100 * shared / max(best, 1), shared, best, percent(least)]))
    failed = {found["name"] for found in gates if not found["passed"]}
    if not gates or failed == {"informative"}:
        verdict = "could-not-compare"
    else:
        verdict = "disagree" if failed else "agree"
    distributions = {}
    for key, column in COLUMNS.items():
        if values := [v[column] for v in finite if v[column] is not None]:
            distributions[key] = distribution(values)
    worst = sorted(rows, key=lambda row: row["badness"], reverse=True)[:WORST]
    shown = {key: float(tolerance[key]) if isinstance(tolerance[key], Fraction) else tolerance[key] for key in tolerance}
    return {
        "verdict": verdict,
        "tolerance": shown,
        "basis": basis,
        "gates": gates,
        "top1_match": rate(number("top1_match"), count),
        "top1_match_but_ties": rate(number("top1_match_but_ties"), count),
        "ordered_match": rate(number("ordered_match"), count),
        "ordered_match_but_ties": rate(number("ordered_match_but_ties"), count),
        "identical_text": rate(sum(row["text"] for row in rows), count),
        "overlap": shared / best if best else 0.0,
        "not_finite": not_finite,
        "distributions": distributions,
        "worst": [row["place"] for row in worst],
        "pictures": [row["json"] for row in rows],
    }


# --- A comparison.


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


# --- An evaluation.


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
    found = {
        "name": run["name"],
        "reference": place == 0,
        "facts": run,
        "labels": NOT_RECOMPUTED,
        "pictures": len(counted),
        "top": top,
        "mean_per_class": mean,
        "intervals": {"mean_per_class": [Near(end, 1e-15) for end in interval]},
        "classes": [
            {"class_id": class_id, "label": NOT_RECOMPUTED, "pictures": of, "top1": right}
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
        found |= {
            "expected_calibration_error": Near(intervals.calibration_error(list(zip(rights, confidences))), rounding),
            "calibrated_expected_calibration_error": calibrated(confidences),
            "calibration": [
                {
                    "pictures": len(members),
                    "right": sum(right for right, _ in members),
                    "confidence": math.fsum(c for _, c in members),
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
    if most:
        numbers.append(math.ceil(intervals.Z2 * (most.denominator - most.numerator) / most.numerator))
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
        "machine": runs[0]["machine"],
        "pictures": len(images),
        # No image failed.
        "counted": with_truth,
        "with_truth": with_truth,
        "duplicates": duplicates(images),
        "gates": of_truth,
        "without_truth": [path for path in paths if Path(path).name not in truth],
        "without_picture": sorted(name for name in truth if name not in names),
        "runs": expected,
        "failures": [],
    }


# --- The check of the check.


def leaves(found, expected, place=()):
    """The places of the values that are recomputed."""
    if expected is NOT_RECOMPUTED:
        return
    if isinstance(found, dict):
        for key, inner in found.items():
            known = expected.get(key, NOT_RECOMPUTED) if isinstance(expected, dict) else NOT_RECOMPUTED
            yield from leaves(inner, known, (*place, key))
    elif isinstance(found, list):
        for index, inner in enumerate(found):
            yield from leaves(inner, expected[index], (*place, index))
    else:
        yield place


def changed(found, right):
    """Other values, each close to `found` but further off than rounding explains."""
    match found:
        case bool():
            yield not found
        case None:
            yield 0.5
        case int():
            yield found + 1
            yield found - 1
        case float():
            step = max(1e-6 * abs(found), 3 * right.beyond if isinstance(right, Near) else 0) or 1e-6
            yield found + step
            yield found - step
        case str():
            if not isinstance(right, Text) or right.starts:
                yield "x" + found
            for number in NUMBER.finditer(found):
                last = number.end() - 1 if "e" not in number[0] else number.start() + number[0].index("e") - 1
                yield f"{found[:last]}{(int(found[last]) + 2) % 10}{found[last + 1 :]}"


def mutate(options, report, expected):
    """Changes each value of the report in turn. Returns how many, and the names of changes that were not found."""
    count, missed = 0, []
    for place in leaves(report, expected):
        holder = report
        for key in place[:-1]:
            holder = holder[key]
        original = holder[place[-1]]
        right = expected
        for key in place:
            right = right[key]
        for value in changed(original, right):
            if isinstance(right, Between):
                # Known up to chance.
                value = original + 0.3
            holder[place[-1]] = value
            count += 1
            if next(differences(expected, report), None) is None:
                missed.append(f"{place}: {original!r} changed to {value!r}")
        holder[place[-1]] = original
    # What is missing or new is found, too.
    for key in report:
        for other in ({k: v for k, v in report.items() if k != key}, report | {f"{key}_": 1}):
            count += 1
            if next(differences(expected, other), None) is None:
                missed.append(key)
    return count, missed


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
