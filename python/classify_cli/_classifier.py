"""A model that stays loaded."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from ._binary import find_program
from ._errors import ClassifyError, ImageError, WorkerDiedError
from ._images import ImageLike, check_several, line
from ._messages import Keywords, flags, texts
from ._results import Result, died, named, result_from
from ._worker import Died, Worker

# Images on their way to the worker take less, unless a single one is larger.
MOST_PENDING_BYTES = 64 << 20


# The program's engines.
BACKENDS = ("openvino", "onnx", "rten", "remote")


class _Pending:
    """An image that is not answered yet."""

    __slots__ = ("error", "line", "number", "path")

    def __init__(self, number: int | None, image: ImageLike) -> None:
        self.number = number
        self.path = os.fsdecode(image) if isinstance(image, (str, os.PathLike)) else None
        self.error: ImageError | None = None
        try:
            self.line = line(image)
        except ImageError as error:
            # A line without an image keeps the place of this one.
            self.line, self.error = b"{}", error

    def result(self, answer: Mapping[str, Any], keywords: Keywords) -> Result:
        """Returns the result in the answer to the line."""
        if self.error is not None:
            answer = {**answer, "error": {"code": self.error.code, "message": self.error.message, "hint": self.error.hint}}
        return result_from(answer, self.number, self.path, keywords)


class Classifier:
    """A model that stays loaded in a process of the program ``classify``.

    ``model`` is an ONNX or OpenVINO model. Preprocessing and labels are read from it and from the files next to it; ``labels``,
    ``recipe`` and ``preprocess`` override them. ``backend`` is ``"openvino"``, ``"onnx"``, ``"rten"`` or ``"remote"``. ``top`` is the
    number of best classes: 5 by default (10 in the program), ``"all"`` for all. ``options`` are further flags of the program, such as
    ``["--mean", "123.675,116.28,103.53"]``, and ``environment`` has further variables for it. ``window`` is the number of images that
    ``stream`` has in flight.

    If the process dies, it is started again, and the images that it held are sent one by one: the image on which it dies twice gets a
    :class:`WorkerDiedError`.

    A classifier may be used by several threads; a stream uses it alone until it ends. Use it as a context manager, or call ``close``.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        backend: str = "openvino",
        device: str = "CPU",
        precision: str = "f32",
        top: int | str = 5,
        threshold: float | None = None,
        scores: str = "auto",
        labels: str | os.PathLike[str] | None = None,
        recipe: str | None = None,
        preprocess: str | os.PathLike[str] | None = None,
        batch: int | None = None,
        threads: int | None = None,
        requests: int | None = None,
        jobs: int | None = None,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        program: str | os.PathLike[str] | None = None,
        window: int = 64,
    ) -> None:
        if window < 1:
            raise ValueError(f"window is {window}, expected at least 1")
        if backend not in BACKENDS:
            raise ValueError(f"backend is {backend!r}, expected one of {', '.join(map(repr, BACKENDS))}")
        values: dict[str, Any] = {
            # A remote engine's model is a name.
            "model": model if backend == "remote" else os.path.abspath(model),
            "backend": backend,
            "device": device,
            "precision": precision,
            "top": top,
            "threshold": threshold,
            "scores": scores,
            "labels": labels and os.path.abspath(labels),
            "recipe": recipe,
            "preprocess": preprocess and os.path.abspath(preprocess),
            "batch": batch,
            "threads": threads,
            "requests": requests,
            "jobs": jobs,
        }
        self._keywords = Keywords(values)
        self._command = [os.fspath(program or find_program()), "--stream", "--quiet", *flags(values), *texts("options", options)]
        self._environment = environment
        self._window = window
        self._restarts = 0
        self._lock = threading.Lock()
        # The thread that holds the lock.
        self._owner: int | None = None
        self._worker: Worker | None = self._start()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._worker is None:
            return "Classifier(closed)"
        hello = self._hello
        return f"Classifier({hello['model']!r}, {hello['backend']} {hello['engine_version']} on {hello['device']}, {hello['precision']})"

    @property
    def backend(self) -> str:
        """The engine: ``openvino``, ``onnx`` or ``rten``."""
        return str(self._hello["backend"])

    @property
    def engine_version(self) -> str:
        """The version of the engine."""
        return str(self._hello["engine_version"])

    @property
    def device(self) -> str:
        """The devices that execute."""
        return str(self._hello["device"])

    @property
    def precision(self) -> str:
        """The precision that executes."""
        return str(self._hello["precision"])

    @property
    def restarts(self) -> int:
        """The number of times that the process died and was started again."""
        return self._restarts

    @property
    def pid(self) -> int | None:
        """The id of the process, ``None`` after ``close``."""
        return None if self._worker is None else self._worker.pid

    def close(self) -> None:
        """Ends the process. A second call has no effect."""
        if self._owner == threading.get_ident():
            # A stream that is not exhausted ends with the process.
            self._close()
        else:
            with self._lock:
                self._close()

    def _close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def classify(self, image: ImageLike) -> Result:
        """Returns the result for an image, or raises its :class:`ImageError`.

        ``image`` is a path, the bytes of an image file, a ``PIL.Image.Image``, or a numpy array of ``uint8``: RGB of the shape
        ``[height, width, 3]``, or grey of the shape ``[height, width]``. Arrays of OpenCV are BGR: pass ``array[:, :, ::-1]``. The
        orientation in the EXIF data of a file or a PIL image is applied.
        """
        with self._exclusive():
            result = self._alone(_Pending(None, image))
        result.raise_for_error()
        return result

    def stream(self, images: Iterable[ImageLike]) -> Iterator[Result]:
        """Returns the results for images, in their order. An image that fails is a result with ``error``.

        At most ``window`` images are in flight, and ``images`` is consumed as results are taken. An object that is not an image, such as a
        number, raises ``TypeError`` and ends the stream; so does a single image in the place of ``images``. Nothing else can use the
        classifier until the stream is exhausted or closed.
        """
        check_several(images)
        return self._stream(images)

    def _stream(self, images: Iterable[ImageLike]) -> Iterator[Result]:
        with self._exclusive():
            pending: deque[_Pending] = deque()
            try:
                for number, image in enumerate(images):
                    item = _Pending(number, image)
                    while pending and (len(pending) >= self._window or self._bytes(pending) + len(item.line) > MOST_PENDING_BYTES):
                        yield from self._answered(pending)
                    pending.append(item)
                    try:
                        self._running().send(item.line)
                    except Died:
                        yield from self._one_by_one(pending)
                    while pending and self._running().has_answer():
                        yield from self._answered(pending)
                while pending:
                    yield from self._answered(pending)
            finally:
                # A stream that is left early has answers under way.
                self._discard(pending)

    @property
    def _hello(self) -> Mapping[str, Any]:
        return self._running().hello

    @staticmethod
    def _bytes(pending: Iterable[_Pending]) -> int:
        return sum(len(item.line) for item in pending)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if self._owner == threading.get_ident():
            # Waiting would never end.
            raise ClassifyError("a stream of this classifier is still open", "exhaust or close it, or make a second classifier")
        with self._lock:
            self._owner = threading.get_ident()
            try:
                yield
            finally:
                self._owner = None

    def _running(self) -> Worker:
        if self._worker is None:
            raise ClassifyError("the classifier is closed", "make a new one")
        return self._worker

    def _start(self) -> Worker:
        return Worker(self._command, self._environment, self._keywords)

    def _restart(self) -> Worker:
        self._running().close()
        self._worker = None
        self._worker = self._start()
        self._restarts += 1
        return self._worker

    def _answered(self, pending: deque[_Pending]) -> Iterator[Result]:
        """Yields the answer for the first pending image; for all of them, if the process died."""
        try:
            answer = self._running().receive()
        except Died:
            yield from self._one_by_one(pending)
            return
        item = pending.popleft()
        yield item.result(answer, self._keywords)

    def _one_by_one(self, pending: deque[_Pending]) -> Iterator[Result]:
        """Yields the results for the images that a dead process held. Its answers come first."""
        while pending:
            try:
                answer = self._running().receive()
            except Died:
                break
            item = pending.popleft()
            yield item.result(answer, self._keywords)
        self._restart()
        while pending:
            result = self._alone(pending[0], is_second=True)
            pending.popleft()
            yield result

    def _alone(self, item: _Pending, is_second: bool = False) -> Result:
        """Returns the result for an image while no other is in flight."""
        worker = self._running()
        try:
            worker.send(item.line)
            return item.result(worker.receive(), self._keywords)
        except Died as error:
            hello, reason = worker.hello, str(error)
        self._restart()
        if not is_second:
            # Something else may have ended it.
            return self._alone(item, is_second=True)
        message = named(f"the program died ({reason})", item.number, item.path)
        hint = "the other images are not affected; try another engine, and report the image"
        return died(hello, item.number, item.path, WorkerDiedError(message, hint, "worker-died", item.number))

    def _discard(self, pending: deque[_Pending]) -> None:
        try:
            while pending:
                self._running().receive()
                pending.popleft()
        except Died:
            self._restart()
        except ClassifyError:
            # It was closed.
            pass
