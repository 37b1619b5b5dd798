"""The errors of this module."""

from __future__ import annotations

__all__ = ["ClassifyError", "ImageError", "ProgramError", "WorkerDiedError"]


class ClassifyError(Exception):
    """An error with its next step in ``hint``."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class ProgramError(ClassifyError):
    """The program is missing, or it refused the model, the engine, the device or an option."""


class ImageError(ClassifyError):
    """An image that could not be classified. ``code`` is stable: ``damaged-picture``, ``cannot-read`` and so on. ``id`` is its place in the
    stream, from 0; ``None`` if it was classified alone."""

    def __init__(self, message: str, hint: str | None = None, code: str = "failed", id: int | None = None) -> None:
        super().__init__(message, hint)
        self.code = code
        self.id = id


class WorkerDiedError(ImageError):
    """The program died twice on this image, the second time with no other image in flight."""
