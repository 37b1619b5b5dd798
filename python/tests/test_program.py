"""The program of the package, and other packages that replace it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from classify_cli import ProgramError, _binary, find_program


def test_the_module_starts_the_program() -> None:
    by_module = subprocess.run([sys.executable, "-m", "classify_cli", "--version"], capture_output=True, check=True)
    by_path = subprocess.run([find_program(), "--version"], capture_output=True, check=True)
    assert by_module.stdout == by_path.stdout and by_module.stdout.startswith(b"classify ")
    wrong = subprocess.run([sys.executable, "-m", "classify_cli", "--no such flag"], capture_output=True, check=False)
    assert wrong.returncode == 2 and b"no such flag" in wrong.stderr


def test_a_stranger_is_not_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger = tmp_path / "classify"
    stranger.write_text("#!/bin/sh\necho caught\n")
    monkeypatch.setattr(_binary, "_candidates", lambda: iter([tmp_path / "none", stranger]))
    with pytest.raises(ProgramError, match="script of another Python package") as error:
        find_program()
    assert error.value.hint and "--force-reinstall" in error.value.hint
    monkeypatch.setattr(_binary, "_candidates", lambda: iter([tmp_path / "none"]))
    with pytest.raises(ProgramError, match="is missing"):
        find_program()
