"""Usage: cast_ends.py FOLDER — writes two models whose output has another type than the one in which they compute. Works with the
set-up's Python."""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

folder = Path(sys.argv[1])
for name, inner, outer in (("single-gives-half", np.float32, np.float16), ("half-gives-single", np.float16, np.float32)):
    element = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16}
    weights = np.linspace(-1, 1, 3 * 12).reshape(12, 3, 1, 1).astype(inner)
    nodes = [
        helper.make_node("Cast", ["x"], ["first"], to=element[inner]),
        helper.make_node("GlobalAveragePool", ["first"], ["mean"]),
        helper.make_node("Conv", ["mean", "w"], ["conv"], kernel_shape=[1, 1]),
        helper.make_node("Flatten", ["conv"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["y"], to=element[outer]),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", element[outer], [1, 12])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, folder / f"{name}.onnx")
