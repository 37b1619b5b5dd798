"""Makes tests/data/lite-metadata.tflite and tests/data/lite-ultralytics.tflite from tests/data/lite.tflite.

The first gets TensorFlow Lite Metadata from tflite-support 0.4.4, the second a metadata.json as Ultralytics' exporter
appends it.
"""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

from tflite_support.metadata_writers import image_classifier, writer_utils

DATA = Path(__file__).resolve().parent.parent / "data"
MODEL = DATA / "lite.tflite"

with tempfile.TemporaryDirectory() as folder:
    labels = Path(folder) / "names.txt"
    labels.write_text("".join(f"class {index}\n" for index in range(12)))
    writer = image_classifier.MetadataWriter.create_for_inference(
        writer_utils.load_file(str(MODEL)), [127.5, 100.0, 90.0], [128.0, 64.0, 32.0], [str(labels)]
    )
    writer_utils.save_file(writer.populate(), str(DATA / "lite-metadata.tflite"))

theirs = DATA / "lite-ultralytics.tflite"
shutil.copy(MODEL, theirs)
metadata = {
    "author": "Ultralytics",
    "task": "classify",
    "imgsz": [8, 8],
    "names": {index: f"name {index}" for index in range(12)},
}
with zipfile.ZipFile(theirs, "a", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("metadata.json", json.dumps(metadata, indent=2))
