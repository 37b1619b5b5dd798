"""Usage: external_data.py FOLDER — writes models below FOLDER, under several names each, whose weights lie in other files: beside the
model, and in every place where they must not be. Works with the set-up's Python."""

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
for path in (models / "beside.data", folder / "secret.data"):
    path.write_bytes(weights)
(models / "unaligned.data").write_bytes(b"odd" + weights)
os.symlink(folder / "secret.data", models / "link.data")
os.mkfifo(models / "pipe.data")

WHOLE = {"offset": "0", "length": str(len(weights))}
CASES = {
    "beside": {"location": "beside.data", **WHOLE},
    # Where torch and other exporters put a value behind one of an odd length.
    "unaligned": {"location": "unaligned.data", "offset": "3", "length": WHOLE["length"]},
    "above": {"location": "../secret.data", **WHOLE},
    "absolute": {"location": str(folder / "secret.data"), **WHOLE},
    "link": {"location": "link.data", **WHOLE},
    # How engines mark an address in their own memory.
    "memory": {"location": "*/_ORT_MEM_ADDR_/*", "offset": "94096587472896", "length": WHOLE["length"]},
    "missing": {"location": "none.data", **WHOLE},
    "pipe": {"location": "pipe.data", **WHOLE},
    "beyond": {"location": "beside.data", "offset": "4", "length": WHOLE["length"]},
    "short": {"location": "beside.data", "offset": "0", "length": "4"},
    "overflow": {"location": "beside.data", "offset": "18446744073709551615", "length": WHOLE["length"]},
    "signed": {"location": "beside.data", "offset": "-144", "length": WHOLE["length"]},
}
for name, entries in CASES.items():
    kernel = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[12, 3, 1, 1], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        kernel.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Conv", ["mean", "weights"], ["logits"], kernel_shape=[1, 1]),
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
    for ending in (".onnx", ".ONNX", ".pb", ".bin", ".tflite", ""):
        (models / f"{name}{ending}").write_bytes(model.SerializeToString())
