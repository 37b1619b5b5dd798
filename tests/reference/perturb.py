"""Copies an ONNX model with a fault in the middle: one weight of its middle convolution is changed.

Prints the index and the name of the node that has the fault.

usage: perturb.py MODEL COPY
"""

import sys

import numpy as np
import onnx
from onnx import numpy_helper

source, copy = sys.argv[1:]
model = onnx.load(source)
convolutions = [(i, node) for i, node in enumerate(model.graph.node) if node.op_type == "Conv"]
index, node = convolutions[len(convolutions) // 2]
weight = next(w for w in model.graph.initializer if w.name == node.input[1])
values = numpy_helper.to_array(weight).copy()
values.flat[0] += 3 * np.abs(values).max()
weight.CopyFrom(numpy_helper.from_array(values, weight.name))
onnx.save(model, copy)
print(f"{index}\t{node.name}")
