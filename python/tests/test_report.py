"""`compare` and `evaluate`."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from classify_cli import Classifier, ClassifyError, ProgramError, compare, evaluate


def test_runs_that_agree_are_true(model: Path, photos: list[Path]) -> None:
    report = compare(["rten", "rten"], model=model, images=photos)
    assert report and report.agrees and report.verdict == "agree"
    assert (report.images, report.compared, len(report.runs), len(report.pairs)) == (3, 3, 2, 1)
    assert report.pairs[0].max_delta == 0 and report.pairs[0].top1_match.share == 1
    assert report.runs[0].is_reference and report.runs[0].engine == "RTen" and report.runs[0].error is None
    assert all(gate.passed for gate in report.pairs[0].gates)
    assert report.raw["kind"] == "compare"


def test_runs_that_disagree_are_a_report(model: Path, photos: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    data = model.read_bytes()
    # Each mean that the graph takes off is a float: 104 becomes 204.
    assert data.count(b"\x00\x00\xd0\x42") == 1
    other.write_bytes(data.replace(b"\x00\x00\xd0\x42", b"\x00\x00\x4c\x43"))
    report = compare(["rten", f"rten={other}"], model=model, images=photos)
    assert not report and report.verdict == "disagree" and report.summary.startswith("DISAGREE")
    assert report.pairs[0].max_delta is not None and report.pairs[0].max_delta > 0.001
    assert not all(gate.passed for gate in report.pairs[0].gates)


def test_an_unreadable_image_cannot_be_compared(model: Path, photos: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    report = compare(["rten", "rten"], model=model, images=[*photos, bad])
    assert not report and report.verdict != "agree"
    assert len(report.failures) == 1


def test_a_missing_model_is_an_error(photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"none\.onnx") as error:
        compare(["rten", "rten"], model=tmp_path / "none.onnx", images=photos)
    assert error.value.hint == "check the path of the model"
    # With a run that works there is a report.
    report = compare(["rten", f"rten={tmp_path / 'none.onnx'}"], model=photos[0].parent / "squeezenet1.1.onnx", images=photos)
    assert report.verdict == "could-not-compare" and report.runs[1].error
    with pytest.raises(ClassifyError, match="images is empty"):
        compare(["rten"], images=[])
    with pytest.raises(TypeError, match="list of runs"):
        compare("rten", images=photos)


def test_a_recording_or_outputs_may_be_the_reference(
    model: Path, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos[0].parent)
    names = [photo.name for photo in photos]
    compare(["rten", "rten"], model=model, images=names, options=[f"--record={tmp_path / 'recorded'}"])
    report = compare(["rten"], model=model, images=names, against=tmp_path / "recorded")
    assert report and report.pairs[0].max_delta == 0
    # Without hashes, images are found by their names, as they are passed.
    with Classifier(model, backend="rten", top="all") as classifier:
        results = list(classifier.stream(names))
    outputs = [[it.score for it in sorted(result.top, key=lambda it: it.class_id)] for result in results]
    numpy.savez(tmp_path / "own.npz", probabilities=numpy.array(outputs, numpy.float32), images=names)
    report = compare(["rten"], model=model, images=names, against=tmp_path / "own.npz")
    assert report and report.runs[0].name == "own.npz"
    with pytest.raises(ProgramError, match="cannot compare against"):
        compare(["rten"], model=model, images=names, against=tmp_path / "none")

    truth: dict[str, int | str] = {"chelsea.png": 285, "coffee.png": 967, "camera.png": 872}
    evaluate(["rten"], model=model, images=names, truth=truth, options=[f"--record={tmp_path / 'evaluated'}"])
    evaluation = evaluate(["rten"], model=model, images=names, truth=truth, against=tmp_path / "evaluated", max_drop=0.01)
    assert evaluation and [run.is_reference for run in evaluation.runs] == [True, False]


def test_errors_name_parameters(model: Path, photos: list[Path]) -> None:
    with pytest.raises(ProgramError, match="invalid value 'foo' for `runs`: unknown backend `foo`"):
        compare(["foo"], model=model, images=photos)
    with pytest.raises(ProgramError, match="invalid value 'x' for `tolerance`") as error:
        compare(["rten", "rten"], model=model, images=photos, tolerance="x")
    assert error.value.hint == "possible values: f32, f16, bf16, int8"
    with pytest.raises(ProgramError, match="invalid value '7' for `min_top1`"):
        evaluate(["rten"], model=model, images=photos, truth_folders=True, min_top1=7)
    with pytest.raises(ProgramError, match="one run") as error:
        compare(["rten"], model=model, images=photos)
    assert error.value.hint and error.value.hint.endswith("or `against` a recording")
    # Each run that fails keeps its hint.
    with pytest.raises(ProgramError, match="device TPU .* device NPX") as error:
        compare(["rten:TPU", f"rten={photos[0]}", "rten:NPX"], model=model, images=photos)
    assert error.value.hint and error.value.hint.count("use `BACKEND:CPU`") == 1


def test_accuracy_and_gates(model: Path, photos: list[Path]) -> None:
    truth: dict[str, int | str] = {"chelsea.png": 285, "coffee.png": "espresso", "camera.png": 1}
    report = evaluate(["rten"], model=model, images=photos, truth=truth)
    assert (report.images, report.counted) == (3, 3)
    assert report.runs[0].top[1].count == 2 and report.runs[0].top[1].of == 3
    gate = evaluate(["rten"], model=model, images=photos, truth=truth, min_top1=0.9)
    assert not gate and not gate.passed
    assert evaluate(["rten"], model=model, images=photos, truth=truth, min_top1=0.5)
    with pytest.raises(ValueError, match="either truth or truth_folders"):
        evaluate(["rten"], model=model, images=photos)
    with pytest.raises(ClassifyError, match="line break"):
        evaluate(["rten"], model=model, images=photos, truth={"a\nb": 1})


def test_directories_may_be_the_truth(model: Path, photos: list[Path], tmp_path: Path) -> None:
    for photo, name in zip(photos, ("285", "967", "872"), strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / photo.name).write_bytes(photo.read_bytes())
    report = evaluate(["rten"], model=model, images=tmp_path, truth_folders=True, options=["--recursive"])
    assert report and report.runs[0].top[1].share == 1
