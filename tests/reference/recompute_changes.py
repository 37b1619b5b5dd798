"""The check of the check: every changed value of a report has to be found."""

from recompute_report import Between, NOT_RECOMPUTED, NUMBER, Near, Text, differences


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
