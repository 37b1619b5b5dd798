"""A model of Triton's Python backend that runs ONNX Runtime: the server from the registry has no other backend."""

import json
import os
import sys

# The stub runs an interpreter that knows no virtual environment.
sys.path.extend(os.environ["FLEET_PACKAGES"].split(os.pathsep))

import numpy
import onnxruntime
import triton_python_backend_utils


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            parameters["model"]["string_value"], options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0]
        self.output = self.session.get_outputs()[0].name

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        images = triton_python_backend_utils.get_input_tensor_by_name(request, self.input.name).as_numpy()
        # A model with a fixed batch of one takes the images of a request one by one.
        parts = [images] if isinstance(self.input.shape[0], str) else numpy.split(images, len(images))
        outputs = [self.session.run([self.output], {self.input.name: part})[0] for part in parts]
        tensor = triton_python_backend_utils.Tensor(self.output, numpy.concatenate(outputs))
        return triton_python_backend_utils.InferenceResponse([tensor])
