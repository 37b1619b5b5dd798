"""KServe's model server with ONNX Runtime: python kserve_server.py MODEL NAME HTTP_PORT GRPC_PORT raw|typed

The last word is the form of replies. It listens on all interfaces, so it runs in a network of its own alone.
"""

import sys

import kserve
import numpy
import onnxruntime


class OnnxRuntime(kserve.Model):
    def __init__(self, name, path, is_raw):
        super().__init__(name)
        self.is_raw = is_raw
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.ready = True

    def tensors(self, tensors):
        """Describes tensors; the first axis takes any number of images."""
        return [{"name": each.name, "datatype": "FP32", "shape": [-1, *each.shape[1:]]} for each in tensors]

    async def get_input_types(self):
        return self.tensors(self.session.get_inputs())

    async def get_output_types(self):
        return self.tensors(self.session.get_outputs())

    def predict(self, payload, headers=None, response_headers=None):
        images = payload.inputs[0].as_numpy()
        name = self.session.get_inputs()[0].name
        # The model has a fixed batch of one.
        outputs = [self.session.run(None, {name: image[numpy.newaxis]})[0] for image in images]
        scores = numpy.concatenate(outputs)
        output = kserve.InferOutput(self.session.get_outputs()[0].name, list(scores.shape), "FP32")
        output.set_data_from_numpy(scores, binary_data=self.is_raw)
        return kserve.InferResponse(payload.id, self.name, [output])


if __name__ == "__main__":
    path, name, http, grpc, form = sys.argv[1:6]
    server = kserve.ModelServer(http_port=int(http), grpc_port=int(grpc), workers=1)
    server.start([OnnxRuntime(name, path, form == "raw")])
