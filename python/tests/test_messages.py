"""Errors and hints in what the program writes to stderr."""

from __future__ import annotations

import pytest
from classify_cli._messages import Keywords, hints_of_runs, split_message

KEYWORDS = Keywords(["model", "device", "precision", "batch", "truth_folders", "runs"])
GPU = "device GPU is not available: no OpenCL (available: CPU): general error: Exception from src/core.cpp:268: | error: x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"error: {GPU}\nhint: install it\n", (GPU, "install it")),
        ("plugin: error: none\nerror: first\nerror: the last\nhint: one\n  two\n", ("the last", "one\n  two")),
        ("error: not found; looked in:\n  /a\n  /b\nhint: set it\n", ("not found; looked in:\n  /a\n  /b", "set it")),
        ("terminated: error: inside\n", ("terminated: error: inside", None)),
        ("", ("exit code 2", None)),
        (
            "error: invalid value 'x' for '--precision <PRECISION>'\n  [possible values: f32, f16]\n\n"
            "  tip: a similar value exists: 'f32'\n\nFor more information, try '--help'.\n",
            ("invalid value 'x' for `precision`", "possible values: f32, f16; a similar value exists: 'f32'"),
        ),
        (
            "error: unexpected argument '--meen' found\n\n  tip: use '--mean'\n\n"
            "Usage: classify [OPTIONS]\n\nFor more information, try '--help'.\n",
            ("unexpected argument '--meen' found", "use '--mean'"),
        ),
    ],
)
def test_the_last_error_is_whole(text: str, expected: tuple[str, str | None]) -> None:
    assert split_message(text, "exit code 2", KEYWORDS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("use `--precision f32`, or `-d CPU`", 'use `precision="f32"`, or `device="CPU"`'),
        ("pass `--batch 1`, --batch, or `--truth-folders`", "pass `batch=1`, `batch`, or `truth_folders`"),
        ("name the model with -m", "name the model with `model`"),
        ("for '<RUN>...': x", "for `runs`: x"),
        # Other flags, whole commands, paths and values stay.
        ("`--url grpc://host`, --mean, `classify inspect -m FILE`", "`--url grpc://host`, --mean, `classify inspect -m FILE`"),
        ("/a/--batch/b--batch x-d '--batch'", "/a/--batch/b--batch x-d '--batch'"),
    ],
)
def test_flags_become_parameters(text: str, expected: str) -> None:
    assert KEYWORDS.translate(text) == expected


def test_hints_of_runs_are_kept_once() -> None:
    text = (
        "error: a: x (hint: use `--precision f32`)\nwarning: w\nerror: b: (y) (hint: fetch it (twice)\n  now)\n"
        "error: c: z (hint: use `--precision f32`)\nerror: no run is left\nhint: fix the errors above\n"
    )
    assert hints_of_runs(text, KEYWORDS) == 'use `precision="f32"`; fetch it (twice)\n  now'
    assert hints_of_runs("error: a: x\n", KEYWORDS) is None
