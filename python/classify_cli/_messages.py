"""Errors and hints in what the program writes to stderr, with the names of parameters for those of flags."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence

# The program's own errors begin a line. An engine's text, which they quote, may have the same words within.
_ERROR = re.compile(r"^error: ", re.MULTILINE)
# The last paragraphs of an error in the arguments, which are about the command line.
_ABOUT_USAGE = re.compile(r"\n\n(?:Usage: |For more information, try ).*", re.DOTALL)
# Errors of single runs have their hints on the same line.
_LINE = re.compile(r"^(?:error|warning|note): ", re.MULTILINE)
_INLINE_HINT = re.compile(r" \(hint: (.*)\)\Z", re.DOTALL)
# Code in backticks, an option as `'--precision <PRECISION>'` or `'<RUN>...'`, or a flag alone.
_FLAG = re.compile(r"`([^`]+)`|'(--[\w-]+(?= <)|<RUN>)[^']*'|(?<![\w/.'-])(--?[a-z][\w-]*)")
_SHORT = {"model": "-m", "device": "-d", "images": "-i", "runs": "<RUN>"}


class Keywords:
    """The parameters of a call that are passed on as flags."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {flag: name for name in names for flag in (_flag(name), _SHORT.get(name)) if flag}

    def translate(self, text: str) -> str:
        """Replaces flags: `--precision f32` becomes `precision="f32"`. Other flags and whole commands stay."""
        return _FLAG.sub(self._replacement, text)

    def _replacement(self, found: re.Match[str]) -> str:
        flag, *values = re.split("[ =]", next(filter(None, found.groups())))
        name = self._names.get(flag)
        if name is None or len(values) > 1:
            return found[0]
        if not values:
            return f"`{name}`"
        value = values[0]
        return f"`{name}={value}`" if re.fullmatch(r"-?[\d.]+", value) else f'`{name}="{value}"`'


NO_KEYWORDS = Keywords(())


def _flag(name: str) -> str:
    return "--input" if name == "images" else f"--{name.replace('_', '-')}"


def flags(values: Mapping[str, object]) -> list[str]:
    """Returns the flags for parameters with a value."""
    given = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in values.items()}
    return [f"{_flag(name)}={value}" for name, value in given.items() if value is not None]


def texts(name: str, values: Sequence[str]) -> Sequence[str]:
    """Returns the values of a parameter that is a list. A single text would be taken letter by letter."""
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{name} is the text {values!r}, expected a list of {name}")
    return values


def split_message(text: str, fallback: str, keywords: Keywords = NO_KEYWORDS) -> tuple[str, str | None]:
    """Returns the last error and its hint."""
    found = _ERROR.split(text)
    if len(found) == 1:
        return text.strip() or fallback, None
    # An error in the arguments has its hints in further lines.
    argument, is_usage = _ABOUT_USAGE.subn("", found[-1])
    if is_usage:
        message, _, more = argument.strip().partition("\n")
        hint = "; ".join(line.strip(" []").removeprefix("tip: ") for line in more.splitlines() if line.strip())
    else:
        message, _, hint = argument.strip().partition("\nhint: ")
    return keywords.translate(message), keywords.translate(hint.strip()) or None


def hints_of_runs(text: str, keywords: Keywords) -> str | None:
    """Returns the hints of the errors of single runs, each once."""
    matches = (_INLINE_HINT.search(error.strip()) for error in _LINE.split(text))
    hints = dict.fromkeys(keywords.translate(found[1]) for found in matches if found)
    return "; ".join(hints) or None
