"""Tests of ``reference``: values, refusals, and torch if it is there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

# The module alone: the package drives the binary, which these tests do not need.
_FILE = Path(__file__).parents[1] / "classify_cli" / "_reference.py"
_SPEC = importlib.util.spec_from_file_location("_classify_reference", _FILE)
assert _SPEC and _SPEC.loader
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
reference = _MODULE.reference


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    tensors = numpy.arange(5 * 3 * 2 * 2, dtype=numpy.float32).reshape(5, 3, 2, 2)
    names = numpy.array([f"{name}.jpg" for name in "abcde"])
    arrays: dict[str, Any] = {
        "tensors": tensors,
        "images": names,
        "hashes": numpy.array(["0" * 64] * 5),
        "preprocessing": numpy.array("{}"),
    }
    numpy.savez(tmp_path / "inputs.npz", **arrays)
    (tmp_path / "inputs").mkdir()
    for name, array in arrays.items():
        numpy.save(tmp_path / "inputs" / f"{name}.npy", array)
    return tmp_path / "inputs.npz"


def means(batch: numpy.ndarray) -> numpy.ndarray:
    assert isinstance(batch, numpy.ndarray) and batch.dtype == numpy.float32
    return numpy.asarray(batch.mean(axis=(2, 3)))


@pytest.mark.parametrize("batch_size", [1, 2, 5, 32])
def test_outputs_are_those_of_the_model_in_any_batch(inputs: Path, batch_size: int) -> None:
    output = reference(means, inputs, output=inputs.with_name("outputs.npz"), batch_size=batch_size)
    with numpy.load(output, allow_pickle=False) as found, numpy.load(inputs) as given:
        assert sorted(found) == ["hashes", "images", "logits", "preprocessing"]
        assert (found["logits"] == means(given["tensors"])).all()
        assert found["logits"].shape == (5, 3)
        for name in ("images", "hashes", "preprocessing"):
            assert found[name].tolist() == given[name].tolist()


def test_a_directory_has_the_arrays_of_an_archive(inputs: Path) -> None:
    archive = reference(means, inputs, output=inputs.with_name("outputs.npz"), engine="means 1")
    directory = reference(means, inputs.with_suffix(""), output=inputs.with_name("outputs"), engine="means 1")
    with numpy.load(archive) as found:
        assert sorted(found) == sorted(file.stem for file in directory.iterdir())
        for name in found:
            assert (numpy.load(directory / f"{name}.npy") == found[name]).all()
        assert found["engine"].tolist() == "means 1"


def test_probabilities_are_called_so(inputs: Path) -> None:
    output = reference(means, inputs, output=inputs.with_name("outputs.npz"), kind="probabilities")
    with numpy.load(output) as found:
        assert "probabilities" in found and "logits" not in found


@pytest.mark.parametrize(
    ("model", "error"),
    [
        (lambda batch: batch.mean(axis=(1, 2, 3)), "shape"),
        (lambda batch: means(batch)[:1], "shape"),
        (lambda batch: means(batch)[:1], "needs batch_size=1"),
        (lambda batch: means(batch).astype(int), "floating-point"),
        (lambda batch: means(batch) / means(batch).sum(axis=1, keepdims=True), 'pass kind="probabilities"'),
        (lambda batch: means(batch) / (batch[:, 0, :1, 0] != 12), "b.jpg"),
    ],
)
def test_outputs_that_are_none_are_rejected(inputs: Path, model: object, error: str) -> None:
    output = inputs.with_name("outputs.npz")
    with numpy.errstate(divide="ignore"), pytest.raises(ValueError, match=error):
        reference(model, inputs, output=output)
    assert not output.exists()
    assert [file.name for file in inputs.parent.glob(".*")] == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
def test_a_model_with_a_fixed_batch_is_told_so(inputs: Path) -> None:
    def fixed(batch: numpy.ndarray) -> numpy.ndarray:
        if len(batch) != 1:
            raise RuntimeError(f"Got: {len(batch)} Expected: 1")
        return means(batch)

    output = inputs.with_name("outputs.npz")
    with pytest.raises(RuntimeError, match="Got: 5 Expected: 1") as error:
        reference(fixed, inputs, output=output)
    assert "".join(error.value.__notes__).endswith("needs batch_size=1")
    assert reference(fixed, inputs, output=output, batch_size=1).exists()

    def broken(batch: numpy.ndarray) -> numpy.ndarray:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken") as error:
        reference(broken, inputs, output=output, batch_size=1)
    assert not hasattr(error.value, "__notes__")


def test_other_inputs_are_rejected(inputs: Path) -> None:
    other = inputs.with_name("other.npz")
    numpy.savez(other, images=numpy.array(["a"]))
    with pytest.raises(ValueError, match="tensors, hashes"):
        reference(means, other, output=inputs.with_name("outputs.npz"))
    for options in ({"kind": "scores"}, {"batch_size": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            reference(means, inputs, output=inputs.with_name("outputs.npz"), **options)


def test_a_callable_needs_no_torch(inputs: Path) -> None:
    before = "torch" in sys.modules
    reference(means, inputs, output=inputs.with_name("outputs.npz"))
    assert ("torch" in sys.modules) == before


def test_a_torch_module_runs_in_evaluation_mode(inputs: Path) -> None:
    torch = pytest.importorskip("torch")

    class Means(torch.nn.Module):  # type: ignore[name-defined, misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.dropout = torch.nn.Dropout(0.99)
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, batch):  # type: ignore[no-untyped-def]
            return self.dropout(batch.mean(dim=(2, 3))) * self.scale

    model = Means().train()
    output = reference(model, inputs, output=inputs.with_name("outputs.npz"))
    with numpy.load(output) as found, numpy.load(inputs) as given:
        assert numpy.allclose(found["logits"], means(given["tensors"]))
        assert found["engine"].tolist() == f"PyTorch {torch.__version__}"
    assert model.training
