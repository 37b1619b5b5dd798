"""Finds the program ``classify`` that this package installed."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from ._errors import ProgramError

NAME = "classify.exe" if os.name == "nt" else "classify"
REINSTALL = "install the wheel of classify-cli again: `pip install --force-reinstall --no-deps WHEEL`"


def _candidates() -> Iterator[Path]:
    # The list of the package's own files is right wherever pip keeps it up to date.
    try:
        files = metadata.distribution("classify-cli").files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == NAME:
            yield Path(str(file.locate()))
    module = Path(__file__).resolve().parent
    # `pip install --target DIR` puts programs into DIR/bin.
    yield module.parent / ("Scripts" if os.name == "nt" else "bin") / NAME
    for scheme in (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")):
        yield Path(sysconfig.get_path("scripts", scheme)) / NAME
    yield Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin") / NAME


def find_program() -> Path:
    """Returns the path of the program.

    Raises :class:`ProgramError` if it is missing, or if another package has replaced it: the package ``classify``, which is not
    this one, installs a script of the same name.
    """
    looked_in = []
    replaced = None
    for path in dict.fromkeys(_candidates()):
        if not path.is_file():
            looked_in.append(str(path))
            continue
        with path.open("rb") as file:
            if file.read(2) != b"#!":
                # Links are kept: the engines are found by the environment that the link is in.
                return Path(os.path.abspath(path))
        replaced = replaced or path
    if replaced:
        raise ProgramError(
            f"{replaced} is a script of another Python package, such as `classify`",
            f"uninstall that package, then {REINSTALL}",
        )
    raise ProgramError(f"the program `{NAME}` is missing; looked for {', '.join(looked_in)}", REINSTALL)
