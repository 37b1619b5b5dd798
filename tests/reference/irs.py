"""Converts models to OpenVINO IRs of the same names, as OpenVINO's `ovc` does.

    irs.py OUT MODEL...

Needs: openvino.
"""

import pathlib
import sys

import openvino

out = pathlib.Path(sys.argv[1])
for model in map(pathlib.Path, sys.argv[2:]):
    openvino.save_model(openvino.convert_model(model), out / f"{model.stem}.xml")
