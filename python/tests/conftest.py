"""The package as it is installed, with the model and the photos of its demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import classify_cli
import pytest

DEMO = Path(classify_cli.__file__).parent / "demo"


@pytest.fixture
def model() -> Path:
    return DEMO / "squeezenet1.1.onnx"


@pytest.fixture
def photos() -> list[Path]:
    return [DEMO / name for name in ("chelsea.png", "coffee.png", "camera.png")]


@pytest.fixture
def classifier(model: Path) -> Iterator[classify_cli.Classifier]:
    with classify_cli.Classifier(model, backend="rten") as classifier:
        yield classifier


@pytest.fixture(scope="session")
def engines() -> None:
    """Skips a test if an engine is not installed."""
    devices = subprocess.run([classify_cli.find_program(), "devices", "--format", "json"], capture_output=True, check=True)
    missing = [engine["backend"] for engine in json.loads(devices.stdout)["engines"] if "error" in engine]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture
def fragile(tmp_path: Path) -> Path:
    """A program that passes lines on to the real one, and is killed by those that have the word `deadly`."""
    script = tmp_path / "fragile"
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, signal, subprocess, sys\n"
        f"child = subprocess.Popen([{str(classify_cli.find_program())!r}, *sys.argv[1:]], stdin=subprocess.PIPE)\n"
        "for line in sys.stdin.buffer:\n"
        "    if b'deadly' in line:\n"
        "        child.stdin.close()\n"
        "        child.wait()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    child.stdin.write(line)\n"
        "    child.stdin.flush()\n"
        "child.stdin.close()\n"
        "sys.exit(child.wait())\n"
    )
    script.chmod(0o755)
    return script
