"""Lines for the worker: a path, an encoded image, or pixels."""

from __future__ import annotations

import importlib
import json
import os
import sys
from base64 import b64encode
from typing import Any, TypeAlias

from ._errors import ClassifyError

# A path, the bytes of an image file, a PIL.Image.Image, or a numpy array of RGB (or grey) bytes.
ImageLike: TypeAlias = "str | os.PathLike[str] | os.PathLike[bytes] | bytes | bytearray | memoryview | Any"

_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_TAKEN = "pass a path, the bytes of an image file, a PIL.Image.Image, or a numpy array of uint8 with the shape [height, width, 3]"


def line(image: ImageLike) -> tuple[bytes, str | None]:
    """Returns the line for an image, without its end, and the path of the image, if it has one."""
    if isinstance(image, (str, os.PathLike)):
        return _path(image)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _object(image=_base64(image)), None
    pil = sys.modules.get("PIL.Image")
    if pil is not None and isinstance(image, pil.Image):
        return _pil(image), None
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(image, numpy.ndarray):
        return _array(image, numpy), None
    raise TypeError(f"an image is {type(image).__module__}.{type(image).__qualname__}; {_TAKEN}")


def _path(image: Any) -> tuple[bytes, str]:
    path = os.fsdecode(image)
    # The worker keeps the directory that it was started in; this process may have gone elsewhere.
    absolute = os.path.abspath(path)
    try:
        absolute.encode()
    except UnicodeEncodeError:
        raw = os.fsencode(absolute)
        if b"\n" in raw or b"\r" in raw:
            raise ClassifyError(f"the path {path!r} has a line break and is not UTF-8", "rename the file, or pass its bytes") from None
        return raw, path
    return _object(path=absolute), path


def _pil(image: Any) -> bytes:
    if image.mode not in _MODES:
        raise ClassifyError(
            f"an image has the mode {image.mode}; expected one of {', '.join(_MODES)}",
            "convert it to RGB with the range of values that you mean",
        )
    operations: Any = importlib.import_module("PIL.ImageOps")

    # As files are turned. An image that was turned already has no orientation any more.
    turned = operations.exif_transpose(image)
    rgb = turned.convert("RGB")
    return _pixels(rgb.tobytes(), rgb.width, rgb.height)


def _array(image: Any, numpy: Any) -> bytes:
    shape = "x".join(map(str, image.shape))
    if image.dtype != numpy.uint8:
        raise ClassifyError(
            f"an array has the type {image.dtype}, expected uint8",
            "scale the values to 0-255, round them, and convert them with `.astype(numpy.uint8)`",
        )
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        image = numpy.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ClassifyError(
            f"an array has the shape {shape}, expected [height, width, 3] with RGB or [height, width] with grey",
            "move the channels last, drop an alpha channel, and pass the images of a batch one by one",
        )
    return _pixels(image.tobytes(), image.shape[1], image.shape[0])


def _pixels(data: bytes, width: int, height: int) -> bytes:
    return _object(pixels=_base64(data), width=width, height=height)


def _base64(data: bytes | bytearray | memoryview) -> str:
    return b64encode(data).decode("ascii")


def _object(**fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
