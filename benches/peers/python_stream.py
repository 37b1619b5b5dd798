"""Classifies the images of a list through the Python package.

    python_stream.py PACKAGE MODEL LIST

PACKAGE is a directory with the package, LIST a file with a path in each line.
"""

import pathlib
import sys

sys.path.insert(0, sys.argv[1])

import classify_cli

paths = pathlib.Path(sys.argv[3]).read_text().splitlines()
with classify_cli.Classifier(sys.argv[2]) as classifier:
    results = list(classifier.stream(paths))
assert len(results) == len(paths) and all(result.error is None for result in results), "an image failed"
