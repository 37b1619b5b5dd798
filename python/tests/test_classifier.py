"""`Classifier`: every kind of image, order, errors, and a process that dies."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas  # type: ignore[import-untyped]
import pytest
from classify_cli import Classifier, ClassifyError, ImageError, ImageLike, ProgramError, Result, WorkerDiedError, find_program, to_pandas
from classify_cli._classifier import BACKENDS
from PIL import Image

CLASSES = [285, 967, 872]  # Egyptian cat, espresso, tripod


def top(result: Result) -> list[tuple[int, float | None]]:
    return [(it.class_id, it.score) for it in result.top]


def test_a_path_gives_typed_classes(classifier: Classifier, photos: list[Path]) -> None:
    result = classifier.classify(photos[1])
    assert (result.best.class_id, result.best.label, len(result.top)) == (967, "espresso", 5)
    assert result.best.score is not None and 0.9 < result.best.score <= 1
    assert (result.backend, result.device, result.precision, result.scores) == ("rten", "CPU", "f32", "probability")
    assert result.path == str(photos[1])
    assert classifier.backend == "rten" and "rten" in repr(classifier)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.path = "other"  # type: ignore[misc]


def test_every_kind_of_image_gives_the_same_scores(classifier: Classifier, photos: list[Path]) -> None:
    for photo in photos:
        expected = top(classifier.classify(photo))
        image = Image.open(photo)
        rgb = numpy.asarray(image.convert("RGB"))
        for same in (str(photo), photo.read_bytes(), memoryview(photo.read_bytes()), image, image.convert("RGBA"), rgb):
            assert top(classifier.classify(same)) == expected
    # The last photo is grey.
    grey = numpy.asarray(Image.open(photos[2]).convert("L"))
    assert top(classifier.classify(grey)) == top(classifier.classify(grey[:, :, None])) == expected
    # Views need not be contiguous.
    assert top(classifier.classify(rgb[:, ::-1][:, ::-1])) == expected


def test_the_orientation_of_an_image_is_applied(classifier: Classifier, photos: list[Path], tmp_path: Path) -> None:
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photos[0]).convert("RGB").save(turned, exif=exif)
    as_file, as_image = classifier.classify(turned), classifier.classify(Image.open(turned))
    assert as_file.best.class_id == as_image.best.class_id
    pixels = numpy.asarray(Image.open(turned))
    assert top(as_image) == top(classifier.classify(numpy.rot90(pixels, -1)))
    assert top(as_image) != top(classifier.classify(pixels))


def test_a_stream_is_ordered_and_bounded(model: Path, photos: list[Path]) -> None:
    taken = 0

    def images() -> Iterator[Path]:
        nonlocal taken
        for number in range(30):
            taken += 1
            yield photos[number % 3]

    with Classifier(model, backend="rten", window=4) as classifier:
        classes: list[int] = []
        for result in classifier.stream(images()):
            assert taken <= len(classes) + 5
            assert result.id == len(classes)
            classes.append(result.best.class_id)
    assert classes == CLASSES * 10


def test_a_bad_image_is_a_result_of_a_stream(classifier: Classifier, photos: list[Path], tmp_path: Path) -> None:
    missing = tmp_path / "none.png"
    results = list(classifier.stream([photos[0], missing, b"no image", photos[1]]))
    assert [result.ok for result in results] == [True, False, False, True]
    assert [result.error and result.error.code for result in results] == [None, "cannot-read", "unknown-format", None]
    with pytest.raises(ImageError, match=r"none\.png") as error:
        classifier.classify(missing)
    assert error.value.hint and error.value.code == "cannot-read" and "hint: " in str(error.value)
    with pytest.raises(ImageError):
        _ = results[1].best


def test_unsupported_images_are_results_of_a_stream(classifier: Classifier, photos: list[Path], tmp_path: Path) -> None:
    closed = Image.open(photos[0])
    closed.close()
    bad: list[tuple[ImageLike, str, str]] = [
        (numpy.zeros((4, 4, 3), numpy.float32), "bad-input", "float32, expected uint8"),
        (Image.new("F", (4, 4)), "unsupported-picture", "mode F"),
        (Image.new("RGB", (0, 4)), "bad-input", "size 0x4"),
        (closed, "cannot-read", "closed image"),
        (b"", "empty-file", "empty"),
        ("\ud800.png", "bad-input", "not text"),
    ]
    for shape in [(3, 4, 4), (4, 4, 4), (1, 4, 4, 3), (0, 4, 3)]:
        bad.append((numpy.zeros(shape, numpy.uint8), "bad-input", "shape " + "x".join(map(str, shape))))
    for photo, file in ((photos[0], "short.png"), (photos[1], "short.jpg"), (photos[2], "short.tif")):
        Image.open(photo).save(tmp_path / file)
        (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:5000])
        # Pillow reads the pixels later.
        bad.append((Image.open(tmp_path / file), "damaged-picture", "Pillow cannot decode the image: "))
    if os.name != "nt":
        bad.append((os.fsdecode(b"\xff\n.png"), "bad-input", "line break"))
    images = [image for image, _, _ in bad]
    results = list(classifier.stream([photos[0], *images, photos[1]]))
    assert (results[0].best.class_id, results[-1].best.class_id, len(results)) == (285, 967, len(bad) + 2)
    for number, ((image, code, message), result) in enumerate(zip(bad, results[1:-1], strict=True), 1):
        assert result.error is not None and result.error.hint
        assert (result.error.code, result.error.id, result.id) == (code, number, number)
        assert message in result.error.message and result.raw["error"]["code"] == code
        with pytest.raises(ImageError, match=message) as alone:
            classifier.classify(image)
        assert (alone.value.code, alone.value.id) == (code, None)
    assert classifier.restarts == 0


def test_what_is_no_image_is_a_type_error(classifier: Classifier, photos: list[Path]) -> None:
    with pytest.raises(TypeError, match=r"an image is builtins\.int"):
        classifier.classify(7)
    with pytest.raises(TypeError, match=r"an image is builtins\.int"):
        list(classifier.stream([photos[0], 7]))
    assert classifier.classify(photos[1]).best.class_id == 967


def test_a_single_image_is_no_stream(classifier: Classifier, photos: list[Path]) -> None:
    pixels = numpy.asarray(Image.open(photos[0]))
    singles: list[Any] = ["photos/", photos[0], b"no", bytearray(b"no"), memoryview(b"no"), Image.open(photos[0]), 7]
    for single in (*singles, pixels, pixels[:, :, 0]):
        with pytest.raises(TypeError, match=r"an iterable of images; for one image use classify\(\), for a directory stream\("):
            classifier.stream(single)
    batch = numpy.stack([pixels, pixels])
    assert [result.best.class_id for result in classifier.stream(batch)] == [285, 285]


def test_numbers_are_those_of_the_stream(classifier: Classifier, photos: list[Path]) -> None:
    for _ in range(2):
        good, bad = classifier.stream([photos[0].read_bytes(), b"no image"])
        assert (good.id, bad.id) == (0, 1)
        assert bad.error is not None and bad.error.message.startswith("images[1]: not an image") and bad.error.id == 1
    assert classifier.classify(photos[0]).id is None
    with pytest.raises(ImageError, match=r"\Anot an image"):
        classifier.classify(b"no image")


def test_paths_of_every_kind_arrive(classifier: Classifier, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ['{"a"}.png', "line\nbreak.png", "π.png", " blank .png"]
    if os.name != "nt":
        names.append(os.fsdecode(b"\xff.png"))
    for name in names:
        Path(name).write_bytes(photos[1].read_bytes())
    for result, name in zip(classifier.stream(names), names, strict=True):
        assert (result.best.class_id, result.path) == (967, name)
    # A relative path is one of the current directory, not of the one in which the process was started.
    assert classifier.classify("π.png").best.class_id == 967


def test_a_stream_may_be_left(classifier: Classifier, photos: list[Path]) -> None:
    for result in classifier.stream(photos * 5):
        assert result.best.class_id == CLASSES[0]
        break
    assert classifier.classify(photos[1]).best.class_id == 967
    stream = classifier.stream(photos)
    next(stream)
    with pytest.raises(ClassifyError, match="still open"):
        classifier.classify(photos[0])
    stream.close()  # type: ignore[attr-defined]
    assert [result.best.class_id for result in classifier.stream(photos)] == CLASSES
    assert classifier.restarts == 0


def test_threads_take_turns(classifier: Classifier, photos: list[Path]) -> None:
    found: list[tuple[int, int]] = []

    def work(place: int) -> None:
        for _ in range(5):
            found.append((place, classifier.classify(photos[place]).best.class_id))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted((place, CLASSES[place]) for place in range(3) for _ in range(5))


def test_a_killed_process_is_started_again(model: Path, photos: list[Path]) -> None:
    # The window is smaller than the stream, so that the process cannot have answered all of it before it is killed.
    with Classifier(model, backend="rten", window=4) as classifier:
        assert classifier.pid is not None
        os.kill(classifier.pid, signal.SIGKILL)
        assert classifier.classify(photos[0]).best.class_id == 285
        assert classifier.restarts == 1
        classes = []
        for number, result in enumerate(classifier.stream(photos * 4)):
            classes.append(result.best.class_id)
            if number == 3:
                os.kill(classifier.pid, signal.SIGKILL)
        assert classes == CLASSES * 4
        assert classifier.restarts == 2


@pytest.mark.skipif(os.name == "nt", reason="the program is a script")
def test_the_image_that_kills_is_named(model: Path, photos: list[Path], fragile: Path, tmp_path: Path) -> None:
    deadly = tmp_path / "deadly.png"
    images = [photos[0], photos[1], deadly, photos[2], photos[0]]
    with Classifier(model, backend="rten", program=fragile) as classifier:
        results = list(classifier.stream(images))
        assert [result.ok for result in results] == [True, True, False, True, True]
        assert [result.id for result in results] == list(range(5))
        assert [result.best.class_id for result in results if result.ok] == [285, 967, 872, 285]
        error = results[2].error
        assert isinstance(error, WorkerDiedError) and "deadly.png" in error.message and "signal 9" in error.message
        assert (error.code, results[2].path) == ("worker-died", str(deadly))
        with pytest.raises(WorkerDiedError, match=r"deadly\.png"):
            classifier.classify(deadly)
        assert classifier.classify(photos[1]).best.class_id == 967


def test_the_wrong_backend_is_a_value_error(model: Path) -> None:
    expected = "backend is 'tensorflow', expected one of 'openvino', 'onnx', 'rten', 'remote'"
    with pytest.raises(ValueError, match=expected):
        Classifier(model, backend="tensorflow")
    # The list is that of the program.
    with pytest.raises(ProgramError, match="there is no server") as error:
        Classifier(model, backend="remote")
    assert error.value.hint and "--url" in error.value.hint
    program = subprocess.run([find_program(), "--backend=none"], capture_output=True, check=False)
    assert f"[possible values: {', '.join(BACKENDS)}]" in program.stderr.decode()


def test_errors_name_parameters(model: Path) -> None:
    wrong: list[tuple[dict[str, Any], str, str | None]] = [
        ({"precision": "f64"}, "invalid value 'f64' for `precision`", "possible values: auto, f32, bf16, f16"),
        ({"precision": "bf16"}, "precision bf16 is not available", 'use `precision="f32"`'),
        ({"device": "TPU"}, "device TPU is not available", 'use `device="CPU"`; other devices need `backend="openvino"`'),
        ({"top": 0}, "invalid value '0' for `top`: expected a whole number", None),
        ({"batch": 0}, "invalid value '0' for `batch`: expected a whole number", None),
        ({"batch": 3}, "RTen cannot make it", 'use `backend="openvino"`'),
        ({"threads": 0}, "invalid value '0' for `threads`: expected a whole number", None),
        ({"scores": "none"}, "invalid value 'none' for `scores`", "possible values: auto, probability"),
        ({"options": ["--mean=1,2"]}, "for '--mean <N,N,N>'", None),
    ]
    for values, message, hint in wrong:
        with pytest.raises(ProgramError) as error:
            Classifier(model, backend="rten", **values)
        assert message in error.value.message and "--help" not in str(error.value)
        assert (hint or "") in (error.value.hint or ""), error.value.hint
    with pytest.raises(TypeError, match="options is the text '--mean=1', expected a list of options"):
        Classifier(model, backend="rten", options="--mean=1")


def test_what_the_program_refuses_is_an_error_with_a_hint(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="TPU") as error:
        Classifier(model, backend="rten", device="TPU")
    assert error.value.hint
    with pytest.raises(ProgramError, match=r"none\.onnx"):
        Classifier(tmp_path / "none.onnx", backend="rten")
    with pytest.raises(ProgramError, match="no such flag"):
        Classifier(model, backend="rten", options=["--no such flag"])
    with pytest.raises(ProgramError, match="cannot start"):
        Classifier(model, backend="rten", program=tmp_path / "none")


def test_a_closed_classifier_says_so(classifier: Classifier, photos: list[Path]) -> None:
    stream = classifier.stream(photos)
    next(stream)
    pid = classifier.pid
    classifier.close()
    classifier.close()
    assert pid is not None and classifier.pid is None
    with pytest.raises(ClassifyError, match="closed"):
        next(stream)
    with pytest.raises(ClassifyError, match="closed"):
        classifier.classify(photos[0])
    assert repr(classifier) == "Classifier(closed)"


def test_options_reach_the_program(model: Path, photos: list[Path], tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"class {number}\n" for number in range(1000)))
    with Classifier(model, backend="rten", top=2, labels=labels, threshold=0.9, threads=1) as classifier:
        result = classifier.classify(photos[1])
        assert [it.label for it in result.top] == ["class 967"]
        with pytest.raises(ClassifyError, match="threshold"):
            _ = classifier.classify(photos[0]).best


def test_results_become_a_data_frame(classifier: Classifier, photos: list[Path]) -> None:
    frame = to_pandas(classifier.stream([*photos, b"no image"]))
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["id", "path", "rank", "class_id", "label", "score", "error"]
    assert len(frame) == 3 * 5 + 1
    assert list(frame[frame["rank"] == 1].class_id) == CLASSES
    assert frame["error"].notna().sum() == 1
