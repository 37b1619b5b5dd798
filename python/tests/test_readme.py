"""The examples of the package's README work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy
import pytest
from classify_cli import find_program
from PIL import Image

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.usefixtures("engines")
def test_examples_work(
    model: Path, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "model.onnx")
    shutil.copy(model.with_suffix(".labels"), "model.labels")
    Path("photos").mkdir()
    for photo in photos:
        Image.open(photo).convert("RGB").save(Path("photos") / f"{photo.stem}.jpg")
    shutil.copy("photos/chelsea.jpg", "cat.jpg")

    def transform(path: Path) -> Any:
        # Those of `classify`: another transform would disagree.
        with numpy.load("inputs.npz") as inputs:
            return inputs["tensors"][inputs["images"].tolist().index(str(path))]

    names: dict[str, Any] = {"transform": transform}
    examples = re.findall(r"^```(sh|python)\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [language for language, _ in examples].count("python") == 4
    for language, text in examples:
        if language == "python":
            exec(compile(text, "README.md", "exec"), names)
        elif "pip install" not in text:
            paths = os.pathsep.join([str(find_program().parent), os.environ["PATH"]])
            subprocess.run(text, shell=True, check=True, env={**os.environ, "PATH": paths})
    printed = iter(capsys.readouterr().out.splitlines())
    assert next(printed).startswith("Egyptian cat 0.")
    for answer in ("camera.jpg tripod", "chelsea.jpg Egyptian cat", "coffee.jpg espresso"):
        assert next(printed) == os.path.join("photos", answer)
    assert [line.partition(" (")[0] for line in printed] == [
        "AGREE: onnx, openvino with outputs.npz on 3 images",
        "AGREE: onnx with own.npz on 3 images",
    ]
