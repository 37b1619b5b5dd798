"""Usage: awkward_outputs.py FOLDER — writes models of 12 classes into FOLDER whose second output has an awkward name. Works
with the set-up's Python."""

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

weights = numpy_helper.from_array(np.linspace(-1, 1, 36, dtype=np.float32).reshape(12, 3, 1, 1), "weights")
for file, name in [("own", "best_class"), ("all", "all"), ("comma", "a,b")]:
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Conv", ["mean", "weights"], ["scores"], kernel_shape=[1, 1]),
        helper.make_node("Flatten", ["scores"], ["logits"]),
        helper.make_node("Relu", ["logits"], [name]),
    ]
    graph = helper.make_graph(
        nodes,
        file,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 12]), helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 12])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (Path(sys.argv[1]) / f"{file}.onnx").write_bytes(model.SerializeToString())
