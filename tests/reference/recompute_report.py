"""Expected values of a report: a tree of values, of which some are allowed to differ a little."""

import math
import re

import numpy as np


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
