"""Reports of ``compare`` and ``evaluate``, as objects."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ._binary import find_program
from ._errors import ClassifyError, ProgramError
from ._messages import Keywords, flags, hints_of_runs, split_message, texts
from ._worker import run_command

__all__ = ["Comparison", "Evaluation", "Gate", "PairReport", "RunReport", "Share", "compare", "evaluate"]

PathLike: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True, slots=True)
class Share:
    """A count of images, its share, and the 95 % interval of the share."""

    count: int
    of: int
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition with its result."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run. ``error`` is the reason why it could not be opened. ``top`` has its accuracies by K, in an evaluation."""

    name: str
    is_reference: bool
    error: str | None
    engine: str | None
    engine_version: str | None
    device: str | None
    precision: str | None
    model_sha256: str | None
    top: Mapping[int, Share] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class PairReport:
    """Two runs. ``max_delta`` is the largest difference of a probability on any image."""

    reference: str
    run: str
    verdict: str
    top1_match: Share
    ordered_match_but_ties: Share
    max_delta: float | None
    gates: tuple[Gate, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The report of ``compare``. ``verdict`` is ``"agree"``, ``"disagree"`` or ``"could-not-compare"``, and ``bool`` is true if the
    runs agree. ``raw`` is the whole report, as docs/compare.md describes it."""

    verdict: str
    summary: str
    images: int
    compared: int
    runs: tuple[RunReport, ...]
    pairs: tuple[PairReport, ...]
    failures: tuple[Mapping[str, Any], ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def agrees(self) -> bool:
        """Whether all runs agree on all images."""
        return self.verdict == "agree"

    def __bool__(self) -> bool:
        return self.agrees


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The report of ``evaluate``. ``passed`` and ``bool`` are true if no gate failed and every image counted as requested."""

    verdict: str
    summary: str
    images: int
    counted: int
    runs: tuple[RunReport, ...]
    gates: tuple[Gate, ...]
    failures: tuple[Mapping[str, Any], ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return self.verdict == "agree"

    def __bool__(self) -> bool:
        return self.passed


def compare(
    runs: Sequence[str],
    *,
    model: PathLike | None = None,
    images: PathLike | Iterable[PathLike],
    against: PathLike | None = None,
    tolerance: str | None = None,
    top: int | None = None,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    program: PathLike | None = None,
) -> Comparison:
    """Gives the same tensors to several runs, and returns how far their answers agree.

    ``runs`` are spelled as on the command line: ``"openvino"``, ``"onnx:CPU@f32"``, ``"onnx=quantized.onnx"``; the first is the
    reference. ``images`` are paths of images or directories; reports have them as they are passed. ``options`` are further flags.
    ``against`` is a file of ``classify compare --record``, or the outputs of another program, such as those of :func:`reference`; they are
    then the reference, and one run is enough. ``top`` is the number of best classes that are compared (by default 10).

    Runs that disagree are a result. :class:`ProgramError` is raised if there is no report: a model, an engine or an image is missing.
    """
    values = {"against": against, "tolerance": tolerance, "top": top}
    report = _report("compare", runs, model, images, values, options, environment, program)
    return Comparison(
        verdict=report["verdict"],
        summary=report["summary"],
        images=report["pictures"],
        compared=report["compared"],
        runs=tuple(map(_run, report["runs"])),
        pairs=tuple(map(_pair, report["pairs"])),
        failures=tuple(report["failures"]),
        raw=report,
    )


def evaluate(
    runs: Sequence[str],
    *,
    model: PathLike | None = None,
    images: PathLike | Iterable[PathLike],
    truth: PathLike | Mapping[str, int | str] | None = None,
    truth_folders: bool = False,
    against: PathLike | None = None,
    min_top1: float | str | None = None,
    max_drop: float | str | None = None,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    program: PathLike | None = None,
) -> Evaluation:
    """Measures accuracy against ground truth, and returns it with the results of the gates.

    ``truth`` is a file of any format that ``classify evaluate`` reads, or a mapping from the name of each image to its class, by id or by
    name. With ``truth_folders`` the directory of an image is its class. ``against`` is a file of ``classify evaluate --record``; its first
    run is the reference. ``min_top1`` and ``max_drop`` are shares below 1, or texts in percent: ``"100%"``.

    Gates that fail are a result. :class:`ProgramError` is raised if there is no report.
    """
    if (truth is None) == (not truth_folders):
        raise ValueError("pass either truth or truth_folders=True")
    values: dict[str, Any] = {"against": against, "min_top1": min_top1, "max_drop": max_drop, "truth": truth}
    with tempfile.TemporaryDirectory(prefix="classify-") as directory:
        further = list(texts("options", options))
        if truth_folders:
            further.append("--truth-folders")
        elif isinstance(truth, Mapping):
            path = Path(directory) / "truth.tsv"
            path.write_text("".join(map(_truth_line, truth.items())), encoding="utf-8", newline="\n")
            values["truth"] = path
        report = _report("evaluate", runs, model, images, values, further, environment, program)
    return Evaluation(
        verdict=report["verdict"],
        summary=report["summary"],
        images=report["pictures"],
        counted=report["counted"],
        runs=tuple(map(_run, report["runs"])),
        gates=tuple(map(_gate, report["gates"])),
        failures=tuple(report["failures"]),
        raw=report,
    )


def _truth_line(item: tuple[str, int | str]) -> str:
    name, label = item
    text = f"{os.fspath(name)}\t{label}"
    if "\n" in text or "\r" in text or text.count("\t") > 1:
        raise ClassifyError(f"the ground truth of {name!r} has a tab or a line break", "pass a CSV file as `truth`")
    return text + "\n"


def _report(
    task: str,
    runs: Sequence[str],
    model: PathLike | None,
    images: PathLike | Iterable[PathLike],
    values: Mapping[str, Any],
    options: Sequence[str],
    environment: Mapping[str, str] | None,
    program: PathLike | None,
) -> dict[str, Any]:
    values = {"model": model, **values}
    keywords = Keywords(["runs", "images", "truth_folders", *values])
    command = [os.fspath(program or find_program()), task, *texts("runs", runs), "--quiet", *flags(values), *texts("options", options)]
    paths = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    if not paths:
        raise ClassifyError("images is empty", "pass at least one path")
    with tempfile.TemporaryDirectory(prefix="classify-") as directory:
        listed, report = Path(directory) / "images", Path(directory) / "report.json"
        # NUL ends each path: names may have line breaks. Paths stay as they are, because outputs of other programs have them as names.
        listed.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in paths))
        code, messages = run_command([*command, f"--input-list={listed}", f"--report={report}"], environment)
        if not report.is_file():
            message, hint = split_message(messages, f"exit code {code}", keywords)
            raise ProgramError(message, hint)
        parsed: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    if all(run.get("error") for run in parsed["runs"]):
        # Nothing was compared or evaluated, and nobody should have to look into the report for that.
        errors = "; ".join(f"{run['name']}: {run['error']}" for run in parsed["runs"])
        raise ProgramError(keywords.translate(errors), hints_of_runs(messages, keywords))
    return parsed


def _run(run: Mapping[str, Any]) -> RunReport:
    info = run.get("facts") or {}
    top = run.get("top") or {}
    return RunReport(
        name=run["name"],
        is_reference=run["reference"],
        error=run.get("error"),
        engine=info.get("engine"),
        engine_version=info.get("engine_version"),
        device=info.get("device"),
        precision=info.get("precision"),
        model_sha256=info.get("model_sha256"),
        top={int(k): _share(share) for k, share in top.items()},
        gates=tuple(map(_gate, run.get("gates", ()))),
        raw=run,
    )


def _pair(pair: Mapping[str, Any]) -> PairReport:
    distributions = pair.get("distributions") or {}
    return PairReport(
        reference=pair["reference"],
        run=pair["run"],
        verdict=pair["verdict"],
        top1_match=_share(pair["top1_match"]),
        ordered_match_but_ties=_share(pair["ordered_match_but_ties"]),
        max_delta=(distributions.get("max_delta") or {}).get("max"),
        gates=tuple(map(_gate, pair["gates"])),
        raw=pair,
    )


def _share(share: Mapping[str, Any]) -> Share:
    return Share(share["count"], share["of"], share.get("share"), share.get("low"), share.get("high"))


def _gate(gate: Mapping[str, Any]) -> Gate:
    return Gate(gate["name"], gate["passed"], gate.get("found", ""))
