"""Usage: external_data.py FOLDER — writes models/*.onnx below FOLDER whose weights lie in other files: beside the model, and in every
place where they must not be. Works with the set-up's Python."""

import os
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

folder = Path(sys.argv[1])
models = folder / "models"
models.mkdir()
weights = np.linspace(-1, 1, 36, dtype=np.float32).tobytes()
for path in (models / "beside.bin", folder / "secret.bin"):
    path.write_bytes(weights)
os.symlink(folder / "secret.bin", models / "link.bin")

for name, location in {
    "beside": "beside.bin",
    "above": "../secret.bin",
    "absolute": str(folder / "secret.bin"),
    "link": "link.bin",
    "missing": "none.bin",
}.items():
    kernel = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[12, 3, 1, 1], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(weights)))):
        kernel.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Conv", ["mean", "weights"], ["logits"]),
        helper.make_node("Flatten", ["logits"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 12])],
        [kernel],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (models / f"{name}.onnx").write_bytes(model.SerializeToString())
