"""Lines for the worker: a path, an encoded image, or pixels."""

from __future__ import annotations

import importlib
import json
import os
import sys
from base64 import b64encode
from typing import Any, TypeAlias

from ._errors import ImageError

# A path, the bytes of an image file, a PIL.Image.Image, or a numpy array of RGB (or grey) bytes.
ImageLike: TypeAlias = "str | os.PathLike[str] | os.PathLike[bytes] | bytes | bytearray | memoryview | Any"

_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_SEVERAL = (
    "stream takes an iterable of images; for one image use classify(), "
    'for a directory stream(sorted(Path(directory).glob("*.jpg")))'
)
_TAKEN = "pass a path, the bytes of an image file, a PIL.Image.Image, or a numpy array of uint8 with the shape [height, width, 3]"


def line(image: ImageLike) -> bytes:
    """Returns the line for an image, without its end. Raises :class:`ImageError` for an image that cannot be used."""
    if isinstance(image, (str, os.PathLike)):
        return _path(os.fsdecode(image))
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _object(image=_base64(image))
    pil, numpy = sys.modules.get("PIL.Image"), sys.modules.get("numpy")
    if pil is not None and isinstance(image, pil.Image):
        return _pil(image)
    if numpy is not None and isinstance(image, numpy.ndarray):
        return _array(image, numpy)
    raise TypeError(f"an image is {type(image).__module__}.{type(image).__qualname__}; {_TAKEN}")


def check_several(images: Any) -> None:
    """Raises ``TypeError`` for a single image: its letters, bytes or rows would be taken for images."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(images, numpy.ndarray):
        # A batch has a dimension more.
        is_single = images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (1, 3, 4))
    else:
        is_single = isinstance(images, (str, os.PathLike, bytes, bytearray, memoryview))
    if is_single or not (hasattr(images, "__iter__") or hasattr(images, "__getitem__")):
        raise TypeError(_SEVERAL)


def _path(path: str) -> bytes:
    # The worker keeps the directory that it was started in; this process may have gone elsewhere.
    absolute = os.path.abspath(path)
    try:
        return _object(path=absolute)
    except UnicodeEncodeError:
        pass
    try:
        raw = os.fsencode(absolute)
    except UnicodeEncodeError:
        raise ImageError("the path is not text", "pass the bytes of the file", "bad-input") from None
    if b"\n" in raw or b"\r" in raw:
        raise ImageError("the path has a line break and is not UTF-8", "rename the file, or pass its bytes", "bad-input")
    return raw


def _pil(image: Any) -> bytes:
    if image.mode not in _MODES:
        raise ImageError(
            f"the image has the mode {image.mode}; expected one of {', '.join(_MODES)}",
            "convert it to RGB with the range of values that you mean",
            "unsupported-picture",
        )
    operations: Any = importlib.import_module("PIL.ImageOps")
    try:
        # As files are turned. An image that was turned already has no orientation any more.
        rgb = operations.exif_transpose(image).convert("RGB")
    except MemoryError:
        raise
    except Exception as error:
        # Pillow reads a file only now, and its decoders raise many types: OSError, SyntaxError, struct.error, …
        if (isinstance(error, ValueError) and "closed" in str(error)) or getattr(error, "errno", None):
            hint = "keep its file open until it is classified"
            raise ImageError(f"Pillow cannot read the image: {error}", hint, "cannot-read") from error
        hint = "copy or download the file again"
        raise ImageError(f"Pillow cannot decode the image: {error}", hint, "damaged-picture") from error
    return _pixels(rgb.tobytes(), rgb.width, rgb.height)


def _array(image: Any, numpy: Any) -> bytes:
    shape = "x".join(map(str, image.shape))
    if image.dtype != numpy.uint8:
        raise ImageError(
            f"the array has the type {image.dtype}, expected uint8",
            "scale the values to 0-255, round them, and convert them with `.astype(numpy.uint8)`",
            "bad-input",
        )
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        image = numpy.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(
            f"the array has the shape {shape}, expected [height, width, 3] with RGB or [height, width] with grey",
            "move the channels last, drop an alpha channel, and pass the images of a batch one by one",
            "bad-input",
        )
    return _pixels(image.tobytes(), image.shape[1], image.shape[0])


def _pixels(data: bytes, width: int, height: int) -> bytes:
    if not data:
        raise ImageError(f"the image has the size {width}x{height}", "pass an image with pixels", "bad-input")
    return _object(pixels=_base64(data), width=width, height=height)


def _base64(data: bytes | bytearray | memoryview) -> str:
    # A view need not be contiguous.
    return b64encode(data.tobytes() if isinstance(data, memoryview) else data).decode("ascii")


def _object(**fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
