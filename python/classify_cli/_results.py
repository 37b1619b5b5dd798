"""Results of the worker, as objects."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._errors import ClassifyError, ImageError, WorkerDiedError
from ._messages import Keywords

__all__ = ["Result", "ScoredClass", "to_pandas"]


@dataclass(frozen=True, slots=True)
class ScoredClass:
    """A class of an image.

    ``score`` is ``None`` for a model that gives class ids alone, ``label`` is ``None`` without labels.
    """

    class_id: int
    label: str | None
    score: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """The answer for one image: its best classes, or its error.

    ``id`` is the place of the image in the stream, from 0; ``None`` for ``classify``. ``path`` is the path as it was given. ``scores`` is
    ``"probability"`` or ``"score"``; ``scoring`` names the rule. Engine, device and precision are those that executed. ``raw`` is the
    whole answer, as docs/output.md describes it.
    """

    id: int | None
    path: str | None
    top: tuple[ScoredClass, ...]
    backend: str
    engine_version: str
    device: str
    precision: str
    model: str
    scores: str | None = None
    scoring: str | None = None
    prepare_ms: float | None = None
    infer_ms: float | None = None
    note: str | None = None
    error: ImageError | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the image was classified."""
        return self.error is None

    @property
    def best(self) -> ScoredClass:
        """The best class. Raises the error of an image that failed."""
        self.raise_for_error()
        if not self.top:
            raise ClassifyError("no class reaches the threshold", "lower `threshold`")
        return self.top[0]

    def raise_for_error(self) -> None:
        """Raises the error of an image that failed."""
        if self.error is not None:
            raise self.error


def named(message: str, number: int | None, path: str | None) -> str:
    """Returns an error's message with the name of its image, if it has one."""
    name = path if path is not None or number is None else f"images[{number}]"
    return message if name is None else f"{name}: {message}"


def result_from(answer: Mapping[str, Any], number: int | None, path: str | None, keywords: Keywords) -> Result:
    """Returns the result in a line of the worker."""
    timing = answer.get("timing_ms") or {}
    problem = answer.get("error")
    error = None
    if problem is not None:
        message = named(keywords.translate(problem["message"]), number, path)
        error = ImageError(message, keywords.translate(problem.get("hint") or "") or None, problem["code"], number)
    return Result(
        id=number,
        path=path,
        top=tuple(ScoredClass(it["class_id"], it.get("label"), it.get("score")) for it in answer.get("top", ())),
        backend=answer["backend"],
        engine_version=answer["engine_version"],
        device=answer["device"],
        precision=answer["precision"],
        model=answer["model"],
        scores=answer.get("scores"),
        scoring=answer.get("scoring"),
        prepare_ms=timing.get("prepare"),
        infer_ms=timing.get("infer"),
        note=keywords.translate(answer.get("note") or "") or None,
        error=error,
        raw=answer,
    )


def died(hello: Mapping[str, Any], number: int | None, path: str | None, error: WorkerDiedError) -> Result:
    """Returns the result of an image on which the worker died."""
    return Result(
        id=number,
        path=path,
        top=(),
        backend=hello["backend"],
        engine_version=hello["engine_version"],
        device=hello["device"],
        precision=hello["precision"],
        model=hello["model"],
        error=error,
    )


def to_pandas(results: Iterable[Result]) -> Any:
    """Returns a pandas DataFrame with a row for each class of each image, and one for an image that failed.

    The columns are ``id``, ``path``, ``rank`` (from 1), ``class_id``, ``label``, ``score`` and ``error``.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise ClassifyError("pandas is not installed", "pip install pandas") from error
    rows: list[tuple[Any, ...]] = []
    for result in results:
        if result.error is not None:
            rows.append((result.id, result.path, None, None, None, None, result.error.message))
        for rank, it in enumerate(result.top, 1):
            rows.append((result.id, result.path, rank, it.class_id, it.label, it.score, None))
    frame = pandas.DataFrame(rows, columns=["id", "path", "rank", "class_id", "label", "score", "error"])
    return frame.astype({"id": "Int64", "rank": "Int64", "class_id": "Int64"})
