"""Runs a model of another framework over tensors that ``classify tensors`` wrote."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

__all__ = ["reference"]

_COPIED = ("images", "hashes", "preprocessing")


def reference(
    model: Callable[[Any], Any],
    inputs: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str],
    batch_size: int = 32,
    kind: str = "logits",
    engine: str | None = None,
) -> Path:
    """Runs ``model`` over the tensors of ``inputs`` and writes its outputs for ``classify compare … --against OUTPUT``.

    ``model`` is a ``torch.nn.Module`` or any callable. A module gets tensors on the device of its parameters, without gradients
    and in evaluation mode; its own mode is restored afterwards. Any other callable gets arrays of numpy. Both get
    ``[batch, …]`` in the type and layout of the tensors and return ``[batch, classes]``.

    ``inputs`` and ``output`` are archives (``.npz``) or directories of ``.npy`` files; those of a directory are mapped into
    memory. ``kind`` names the outputs: ``logits``, or ``probabilities`` for a model that ends in a softmax. ``engine`` is the
    name of the program in reports; by default that of the framework, as far as it is known. A model with a fixed batch needs
    that as ``batch_size``, mostly 1.

    This checks the model alone, because it gets the tensors of ``classify``. The package's README says how to check other
    preprocessing.

    Returns ``output``. Raises what ``model`` raises, and ``ValueError`` for inputs that are not those of ``classify tensors``,
    for outputs of another shape, for values that are not finite, and for logits that are probabilities.
    """
    import numpy

    if kind not in ("logits", "probabilities"):
        raise ValueError(f"kind is {kind!r}, but outputs are logits or probabilities")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, but at least 1 is needed")
    arrays = _load(Path(inputs))
    missing = [name for name in ("tensors", "images", "hashes") if name not in arrays]
    if missing:
        raise ValueError(f"{os.fspath(inputs)} lacks {', '.join(missing)}; write it with `classify tensors`")
    tensors, images = arrays["tensors"], arrays["images"]
    if len(tensors) != len(images) or len(images) != len(arrays["hashes"]) or not len(images):
        raise ValueError(f"{os.fspath(inputs)} has {len(tensors)} tensors for {len(images)} images")
    call, name = _callable(model)
    rows = []
    for start in range(0, len(tensors), batch_size):
        batch = numpy.array(tensors[start : start + batch_size])
        try:
            values = numpy.asarray(call(batch))
        except Exception as error:
            # Python 3.10 has no notes.
            if len(batch) > 1 and sys.version_info >= (3, 11):
                error.add_note(f"hint: {_batch_hint(batch)}")
            raise
        if values.shape[:1] != (len(batch),) and len(batch) > 1:
            raise ValueError(f"the model gives {values.dtype} of shape {values.shape}; {_batch_hint(batch)}")
        if values.ndim < 2 or len(values) != len(batch) or not numpy.issubdtype(values.dtype, numpy.floating):
            raise ValueError(
                f"the model gives {values.dtype} of shape {values.shape} for a batch of {len(batch)}, "
                f"but [{len(batch)}, classes] of floating-point numbers is expected"
            )
        values = values.reshape(len(batch), -1)
        finite = numpy.isfinite(values).all(axis=1)
        if not finite.all():
            raise ValueError(f"the outputs for {images[start + int(finite.argmin())]} are not finite")
        rows.append(values)
    outputs = numpy.concatenate(rows)
    if kind == "logits" and outputs.min() >= 0 and numpy.allclose(outputs.sum(axis=1, dtype="f8"), 1, atol=0.01):
        raise ValueError('the outputs are probabilities, because each row adds up to 1; pass kind="probabilities"')
    found = {kind: outputs}
    found.update({name: numpy.asarray(arrays[name]) for name in _COPIED if name in arrays})
    if engine or name:
        found["engine"] = numpy.array(engine or name)
    return _save(Path(output), found)


def _batch_hint(batch: numpy.ndarray) -> str:
    return f"it was called with a batch of {len(batch)}; a model with a fixed batch of 1 needs batch_size=1"


def _load(path: Path) -> Mapping[str, numpy.ndarray]:
    import numpy

    if path.is_dir():
        files: Iterable[Path] = sorted(path.glob("*.npy"))
        return {file.stem: numpy.load(file, mmap_mode="r", allow_pickle=False) for file in files}
    with numpy.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _save(path: Path, arrays: Mapping[str, numpy.ndarray]) -> Path:
    """Writes the arrays under a temporary name first, so that an archive is complete or absent."""
    import numpy

    if path.suffix == ".npz":
        part = path.with_name(f".{path.name}.{os.getpid()}.tmp.npz")
        try:
            # The stubs of numpy take a name for a flag of savez.
            numpy.savez(part, **dict[str, Any](arrays))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return path
    path.mkdir(exist_ok=True)
    for name, array in arrays.items():
        numpy.save(path / f"{name}.npy", array)
    return path


def _callable(model: Callable[[Any], Any]) -> tuple[Callable[[numpy.ndarray], Any], str | None]:
    """Returns a function of arrays, and the name of the framework."""
    module = type(model).__module__.partition(".")[0]
    if hasattr(model, "parameters") and hasattr(model, "eval"):
        try:
            import torch
        except ImportError:
            pass
        else:
            if isinstance(model, torch.nn.Module):
                return _torch(model), f"PyTorch {torch.__version__}"
    version = None
    if module in ("keras", "tensorflow", "jax", "flax"):
        import importlib

        version = getattr(importlib.import_module(module), "__version__", None)
    if version:
        return lambda batch: _detached(model(batch)), f"{module} {version}"
    return lambda batch: _detached(model(batch)), None


def _torch(model: Any) -> Callable[[numpy.ndarray], Any]:
    import torch

    parameter = next(model.parameters(), None)
    device = "cpu" if parameter is None else parameter.device

    def call(batch: numpy.ndarray) -> Any:
        was_training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                return _detached(model(torch.from_numpy(batch).to(device)))
        finally:
            model.train(was_training)

    return call


def _detached(values: Any) -> Any:
    """Returns outputs without a gradient and on the CPU. A model with several outputs, or those of transformers, gives its logits."""
    values = getattr(values, "logits", values)
    if isinstance(values, (list, tuple)) and len(values) == 1:
        (values,) = values
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.float()
        return values.numpy()
    return values
