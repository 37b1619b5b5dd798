"""Usage: data_twice.py FOLDER — writes a.onnx and b.onnx, which differ in a bias, and the weights of both, weights.bin, which the models
name in two ways: `weights.bin` and `./weights.bin`."""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

folder = Path(sys.argv[1])
weights = np.linspace(-1, 1, 36, dtype=np.float32)
(folder / "weights.bin").write_bytes(weights.tobytes())


def external(name, dims, location):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", str(weights.nbytes))):
        tensor.external_data.add(key=key, value=value)
    return tensor


for name, bias in (("a", 0.0), ("b", 5.0)):
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Conv", ["mean", "one"], ["first"]),
        helper.make_node("Add", ["first", "bias"], ["sum"]),
        helper.make_node("Conv", ["sum", "two"], ["second"]),
        helper.make_node("Flatten", ["second"], ["output"]),
    ]
    initializers = [
        external("one", [12, 3, 1, 1], "weights.bin"),
        external("two", [3, 12, 1, 1], "./weights.bin"),
        numpy_helper.from_array(np.linspace(0, bias, 12, dtype=np.float32).reshape(1, 12, 1, 1), "bias"),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
