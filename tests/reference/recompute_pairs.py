"""The comparison of two answers, image by image, and of two runs."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np

import intervals
from recompute_report import NOT_RECOMPUTED, Near, Text
from recompute_scores import INFORMATIVE, LD, NO_PROBABILITIES, OF_LOGITS, OF_SOFTMAX, basis_of, is_distribution

F64_EPS = 2.0**-52
LEAST_NORMAL = 2.0**-126
WORST = 10


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
        gates.append(gate("finite", not not_finite, [not_finite, count] if not_finite else [count]))
    if finite:
        if basis in ("logits", "probabilities"):
            beyond = sum(row["too_far"] for row in rows)
            largest = max(value(v["max_delta"]) for v in finite)
            gates.append(gate("max-delta", not beyond, [largest, max_delta, beyond, count]))
        if basis in ("logits", "outputs"):
            beyond = sum(row["other_outputs"] for row in rows)
            largest = max(value(v["relative_error"]) for v in finite)
            gates.append(gate("logits", not beyond, [largest, max_error, beyond, count]))
        if basis == "class-ids" and tolerance["min_top1"] is None:
            others = len(finite) - number("top1_match")
            gates.append(gate("class", not others, [others, count]))
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
            passed = Fraction(shared, best) >= least
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
