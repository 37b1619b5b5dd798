"""The statistics of `classify evaluate` and `compare`, computed independently: by other formulas and in exact arithmetic.

Usage: intervals.py cases       prints tests/data/statistics.json, which the unit tests of the command line read
       intervals.py report FILE recomputes the numbers of a JSON report of `classify evaluate`; fails where one differs
       intervals.py check       compares the functions here with scipy and statsmodels, which must be installed

Only the standard library is used, but for `check`. The functions are for other scripts too.
"""

import json
import math
import random
import struct
import sys
from decimal import Decimal, getcontext
from fractions import Fraction
from statistics import NormalDist

getcontext().prec = 40
Z2 = Decimal(NormalDist().inv_cdf(0.975)) ** 2
BINS = 15


def decimal(fraction):
    return Decimal(fraction.numerator) / Decimal(fraction.denominator)


def wilson_of(share, n):
    """The shares p at which (share - p)^2 = z^2 p (1 - p) / n, by bisection; `share` and `n` are fractions."""
    share, n = decimal(Fraction(share)), decimal(Fraction(n))

    def is_outside(p):
        return n * (share - p) ** 2 > Z2 * p * (1 - p)

    ends = []
    for outside in (Decimal(0), Decimal(1)):
        inside = share
        for _ in range(100):
            middle = (outside + inside) / 2
            if is_outside(middle):
                outside = middle
            else:
                inside = middle
        ends.append(outside)
    return [float(end) for end in ends]


def wilson(count, of):
    """Wilson's interval (1927) of `count` of `of`."""
    if of == 0:
        return [0.0, 1.0]
    low, high = wilson_of(Fraction(count, of), of)
    return [0.0 if count == 0 else low, 1.0 if count == of else high]


def mean_of_shares(strata):
    """The mean of the shares `count / of`, and its interval: Wilson's with the effective number of images."""
    shares = [Fraction(count, of) for count, of in strata]
    sizes = [of for _, of in strata]
    mean = sum(shares) / len(shares)
    weights = sum(Fraction(1, of * of) for of in sizes)
    few = sum(share / (of * of) for share, of in zip(shares, sizes)) / weights
    variance = sum(share * (1 - share) / of for share, of in zip(shares, sizes))
    variance = (variance + max(mean * (1 - mean), few * (1 - few)) * weights) / len(shares) ** 2
    if variance:
        n = mean * (1 - mean) / variance
    else:
        n = len(shares) ** 2 / sum(Fraction(1, of) for of in sizes)
    low, high = wilson_of(mean, n)
    return float(mean), [0.0 if mean == 0 else low, 1.0 if mean == 1 else high]


def mcnemar(only_first, only_second):
    """McNemar's exact test: 2 P(X <= the smaller number) for a fair coin, at most 1."""
    n, k = only_first + only_second, min(only_first, only_second)
    # 40 digits, of which a million products lose six: math.comb would take seconds.
    term = Decimal(1)
    for factor in range(1, k + 1):
        term = term * (n - k + factor) / factor
    total = term
    for smaller in range(k, 0, -1):
        term = term * smaller / (n - smaller + 1)
        total += term
        if term < total * Decimal("1e-38"):
            break
    return float(min(Decimal(1), 2 * total * Decimal(2) ** -n))


def drop_interval(only_first, only_second, of):
    """Tango's interval (1998) of the drop from one run to another on the same images.

    By its definition: the drops that a score test does not reject. Under a drop the most likely share of images on
    which the second run alone is right maximizes the likelihood, found by a search.
    """
    b, c, n = only_first, only_second, of
    if not n:
        return [-1.0, 1.0]

    def likelihood(q, drop):
        shares = [(b, q + drop), (c, q), (n - b - c, 1 - 2 * q - drop)]
        if any(count and share <= 0 for count, share in shares):
            return -math.inf
        return math.fsum(count * math.log(share) for count, share in shares if count)

    def is_rejected(drop):
        low, high = max(0.0, -drop), (1 - drop) / 2
        for _ in range(200):
            one, other = low + (high - low) / 3, high - (high - low) / 3
            if likelihood(one, drop) < likelihood(other, drop):
                low = one
            else:
                high = other
        q = (low + high) / 2
        variance = (2 * q + drop - drop * drop) / n
        return (drop - (b - c) / n) ** 2 > float(Z2) * variance

    ends = []
    for outside in (-1.0, 1.0):
        inside = (b - c) / n
        for _ in range(60):
            middle = (inside + outside) / 2
            if is_rejected(middle):
                outside = middle
            else:
                inside = middle
        ends.append(inside)
    return ends


def percentile(values, percent):
    """Nearest rank: the smallest value that at least `percent` in a hundred do not exceed."""
    return min(v for v in values if 100 * sum(w <= v for w in values) >= percent * len(values))


def bin_of(confidence):
    return min(math.floor(Fraction(confidence) * BINS), BINS - 1)


def calibration_error(answers):
    """The expected calibration error of pairs (right, confidence) over 15 bins of equal width."""
    gaps = [Fraction(0)] * BINS
    for right, confidence in answers:
        gaps[bin_of(confidence)] += int(right) - Fraction(confidence)
    return float(sum(map(abs, gaps)) / len(answers))


def calibrated_error(confidences, rounds=4000, seed=1):
    """Mean (exact, by the distribution of each bin's count) and 95th percentile (simulated) of the error of a calibrated model."""
    bins = [[c for c in confidences if bin_of(c) == index] for index in range(BINS)]
    mean = 0.0
    for members in bins:
        counts = [1.0]
        for c in members:
            counts = [a * (1 - c) + b * c for a, b in zip(counts + [0.0], [0.0] + counts)]
        mean += math.fsum(p * abs(count - math.fsum(members)) for count, p in enumerate(counts))
    draw = random.Random(seed).random
    sums = [(members, math.fsum(members)) for members in bins]
    errors = sorted(
        math.fsum(abs(sum(draw() < c for c in members) - expected) for members, expected in sums)
        for _ in range(rounds)
    )
    return mean / len(confidences), errors[math.ceil(0.95 * rounds) - 1] / len(confidences)


def f32(value):
    """The closest 32-bit number, as scores are."""
    return struct.unpack("f", struct.pack("f", value))[0]


def cases():
    draw = random.Random(1927)
    sizes = [1, 2, 3, 5, 10, 28, 100, 189, 1000, 50000, 10**6]
    pairs = {(count, of) for of in sizes for count in (0, 1, of // 2, of - 1, of)}
    for _ in range(200):
        of = round(10 ** draw.uniform(0, 6))
        pairs.add((draw.randint(0, of), of))
    strata = [[[3, 3]] * 10, [[0, 1]] * 10, [[1, 1], [0, 1]], [[1, 1], [50, 100]], [[0, 50], [50, 50]]]
    for _ in range(60):
        most = draw.choice([1, 3, 10, 50])
        chosen = []
        for _ in range(draw.randint(1, 40)):
            of = draw.randint(1, most)
            p = draw.choice([0.5, 0.8, 0.95, 1.0])
            chosen.append([sum(draw.random() < p for _ in range(of)), of])
        strata.append(chosen)
    discordant = [(0, 0), (0, 1), (1, 9), (9, 1), (5, 5), (5, 6), (0, 60), (0, 1100), (400, 9600)]
    discordant += [(4800, 5200), (49000, 51000), (49800, 50200), (499000, 501000), (500000, 500001)]
    for _ in range(100):
        n = round(10 ** draw.uniform(0, 5))
        discordant.append((k := sum(draw.random() < 0.49 for _ in range(n)), n - k))
    drops = [(0, 0, 24), (1, 0, 24), (0, 1, 24), (3, 1, 100), (5, 9, 60), (30, 2, 40), (0, 7, 1000), (12, 12, 50)]
    drops += [(10, 0, 100), (24, 0, 24), (0, 5, 5), (2, 3, 5), (120, 85, 5000), (40, 60, 50000)]
    lists = [[draw.choice([round(draw.random(), 3), draw.randint(0, 9) / 10]) for _ in range(draw.randint(1, 210))] for _ in range(40)]
    sets = []
    for size in (1, 2, 10, 60, 300):
        confidences = [f32(1 - 0.9 * draw.random() * draw.random()) for _ in range(size)]
        answers = [[draw.random() < c, c] for c in confidences]
        mean, p95 = calibrated_error(confidences)
        sets.append({"answers": answers, "error": calibration_error(answers), "mean": mean, "p95": p95})
    return {
        "wilson": [[count, of, *wilson(count, of)] for count, of in sorted(pairs)],
        "mean_of_shares": [{"strata": s, "interval": mean_of_shares(s)[1]} for s in strata],
        "mcnemar": [[a, b, mcnemar(a, b)] for a, b in discordant],
        "drop_interval": [[b, c, n, *(round(end, 9) for end in drop_interval(b, c, n))] for b, c, n in drops],
        "percentiles": [{"values": v, "percentiles": [percentile(v, p) for p in (50, 90, 99)]} for v in lists],
        "calibration": sets,
    }


def text(compared):
    """JSON with a case a line."""
    lists = []
    for name, entries in compared.items():
        lines = [json.dumps(entry, separators=(",", ":")) for entry in entries]
        lists.append(f'"{name}": [\n' + ",\n".join(lines) + "\n]")
    return "{" + ",\n".join(lists) + "}"


def near(found, right, what):
    if found is None or not math.isclose(found, right, rel_tol=1e-9, abs_tol=1e-12):
        sys.exit(f"{what}: the report says {found}, {right} is right")


def report(path):
    with open(path, encoding="utf-8") as file:
        runs = json.load(file)["runs"]
    numbers = 0
    for run in runs:
        rights = sum(c["top1"] for c in run["classes"])
        if [run["top"]["1"]["count"], run["top"]["1"]["of"]] != [rights, sum(c["pictures"] for c in run["classes"])]:
            sys.exit(f"{run['name']}: the classes do not add up to top-1")
        if rights + len(run["wrong"]) != run["pictures"]:
            sys.exit(f"{run['name']}: right and wrong images do not add up")
        for k, rate in run["top"].items():
            low, high = wilson(rate["count"], rate["of"])
            near(rate["share"], rate["count"] / rate["of"], f"{run['name']}: share of top-{k}")
            near(rate["low"], low, f"{run['name']}: lower end of top-{k}")
            near(rate["high"], high, f"{run['name']}: upper end of top-{k}")
        mean, interval = mean_of_shares([(c["top1"], c["pictures"]) for c in run["classes"]])
        near(run["mean_per_class"], mean, f"{run['name']}: mean per class")
        for end, found in zip(interval, run["intervals"]["mean_per_class"], strict=True):
            near(found, end, f"{run['name']}: interval of the mean per class")
        gaps = [abs(b["right"] - b["pictures"] * (b["confidence"] or 0)) for b in run["calibration"]]
        near(run["expected_calibration_error"], math.fsum(gaps) / run["pictures"], f"{run['name']}: calibration error")
        numbers += 3 * len(run["top"]) + 4
        if against := run.get("against_reference"):
            p = mcnemar(against["right_alone"], against["reference_right_alone"])
            near(against["mcnemar_p"], p, f"{run['name']}: McNemar's test")
            counts = against["reference_right_alone"], against["right_alone"], against["pictures"]
            low, high = drop_interval(*counts)
            drop = against["drop"]
            near(drop["share"], (counts[0] - counts[1]) / counts[2], f"{run['name']}: drop")
            # A search for a maximum of the likelihood finds half of the digits.
            for found, right in ((drop["low"], low), (drop["high"], high)):
                if abs(found - right) > 1e-7:
                    sys.exit(f"{run['name']}: an end of the drop is {found}, {right} is right")
            numbers += 4
    print(numbers)


def check():
    import numpy
    from scipy.stats import binomtest
    from scipy.optimize import brentq, minimize_scalar
    from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_table
    from statsmodels.stats.proportion import proportion_confint

    compared = cases()
    largest = 0.0
    for count, of, low, high in compared["wilson"]:
        other = proportion_confint(count, of, method="wilson")
        largest = max(largest, abs(low - other[0]), abs(high - other[1]))
    print(f"Wilson: {len(compared['wilson'])} intervals, largest difference from statsmodels {largest:.1e}")
    largest = 0.0
    for a, b, p in compared["mcnemar"]:
        other = binomtest(a, a + b).pvalue if a + b else 1.0
        largest = max(largest, abs(p - other) / p if p else abs(other))
    print(f"McNemar: {len(compared['mcnemar'])} tests, largest relative difference from scipy {largest:.1e}")
    largest, tests = 0.0, 0
    for b, c, n, low, high in compared["drop_interval"]:

        def score(drop):
            """The square of the score statistic at `drop`, less its limit, by scipy's search for the maximum."""

            def unlikelihood(q):
                shares = [(b, q + drop), (c, q), (n - b - c, 1 - 2 * q - drop)]
                return -sum(count * math.log(max(share, 1e-300)) for count, share in shares if count)

            ends = max(0.0, -drop), (1 - drop) / 2
            q = minimize_scalar(unlikelihood, bounds=ends, method="bounded", options={"xatol": 1e-13}).x
            return n * (drop - (b - c) / n) ** 2 - float(Z2) * (2 * q + drop - drop * drop)

        # The ends -1 and 1 of the range have no score.
        for end, outer in ((low, -1 + 1e-9), (high, 1 - 1e-9)):
            if abs(end) < 1 - 1e-6 and score((b - c) / n) < 0 < score(outer):
                largest = max(largest, abs(end - brentq(score, (b - c) / n, outer, xtol=1e-13)))
                tests += 1
        # At no drop the score test is McNemar's without the correction.
        if b + c:
            p = mcnemar_of_table([[0, b], [c, n - b - c]], exact=False, correction=False).pvalue
            assert (p < 0.05) == (not low <= 0 <= high), (b, c, n, p)
    print(f"drops: {tests} ends, largest difference from scipy {largest:.1e}; McNemar's of statsmodels agrees on 0")
    for case in compared["percentiles"]:
        other = numpy.percentile(case["values"], [50, 90, 99], method="inverted_cdf")
        assert list(other) == case["percentiles"], case
    print(f"percentiles: {len(compared['percentiles'])} lists, as numpy's inverted_cdf")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["cases"]:
            print(text(cases()))
        case ["report", path]:
            report(path)
        case ["check"]:
            check()
        case _:
            sys.exit(__doc__)
