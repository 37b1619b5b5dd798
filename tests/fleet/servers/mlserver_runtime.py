"""A runtime of MLServer that runs ONNX Runtime."""

import mlserver
import numpy
import onnxruntime
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class OnnxRuntime(mlserver.MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            self.settings.parameters.uri, options, providers=["CPUExecutionProvider"]
        )
        return True

    async def predict(self, payload):
        images = NumpyCodec.decode_input(payload.inputs[0])
        name = self.session.get_inputs()[0].name
        # The model has a fixed batch of one.
        outputs = [self.session.run(None, {name: image[numpy.newaxis]})[0] for image in images]
        output = NumpyCodec.encode_output(self.session.get_outputs()[0].name, numpy.concatenate(outputs))
        return InferenceResponse(model_name=self.name, outputs=[output])
