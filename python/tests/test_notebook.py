"""The notebook in docs/ prints what is in it. `SNAPSHOTS=overwrite` writes its outputs anew."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "python.ipynb"


def run(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs a cell as Jupyter does: the value of its last line is shown, unless it is None."""
    tree = ast.parse(source)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
    out = io.StringIO()
    value = None
    with contextlib.redirect_stdout(out):
        exec(compile(tree, "cell", "exec"), names)
        if last is not None:
            value = eval(compile(last, "cell", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if out.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": out.getvalue().splitlines(keepends=True)})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        outputs.append({"data": data, "execution_count": None, "metadata": {}, "output_type": "execute_result"})
    return outputs


def rounded(outputs: list[Any]) -> str:
    """Returns the outputs with scores of four digits: the others depend on the processor."""
    return re.sub(r"\d\.\d{5,}", lambda number: f"{float(number[0]):.4f}", json.dumps(outputs, indent=1))


@pytest.mark.usefixtures("engines")
def test_the_notebook_prints_what_is_in_it() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 5
    printed = []
    for cell in cells:
        outputs = run("".join(cell["source"]), names)
        printed.append(outputs)
        if os.environ.get("SNAPSHOTS") == "overwrite":
            cell["outputs"] = outputs
    if os.environ.get("SNAPSHOTS") == "overwrite":
        NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    assert rounded(printed) == rounded([cell["outputs"] for cell in cells])
    assert any(printed)
