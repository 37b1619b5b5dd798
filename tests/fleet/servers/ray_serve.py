"""Ray Serve with ONNX Runtime behind its gRPC proxy: python ray_serve.py MODEL NAME HTTP_PORT GRPC_PORT raw|typed

The last word is the form of replies. The proxy listens on all interfaces, so it runs in a network of its own alone. It needs
the protocol as a module, which grpcio-tools makes of this repository's definition.
"""

import pathlib
import sys
import tempfile

import grpc
import grpc_tools.protoc
import numpy
import onnxruntime
import ray
from ray import serve

PROTO = pathlib.Path(__file__).resolve().parents[3] / "backend-remote" / "proto"


def protocol():
    """Returns the directory of the generated modules."""
    directory = tempfile.mkdtemp()
    words = ["protoc", f"-I{PROTO}", f"--python_out={directory}", f"--grpc_python_out={directory}", "open_inference.proto"]
    if grpc_tools.protoc.main(words):
        sys.exit("the definition of the protocol cannot be translated")
    return directory


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0.1})
class OnnxRuntime:
    def __init__(self, path, name, is_raw):
        import open_inference_pb2

        self.messages = open_inference_pb2
        self.name = name
        self.is_raw = is_raw
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def ModelMetadata(self, request, grpc_context):
        if request.name != self.name:
            grpc_context.set_code(grpc.StatusCode.NOT_FOUND)
            raise KeyError(request.name)

        def tensors(tensors):
            return [{"name": each.name, "datatype": "FP32", "shape": [-1, *each.shape[1:]]} for each in tensors]

        return self.messages.ModelMetadataResponse(
            name=request.name, inputs=tensors(self.session.get_inputs()), outputs=tensors(self.session.get_outputs())
        )

    def ModelInfer(self, request):
        images = numpy.frombuffer(request.raw_input_contents[0], "<f4").reshape(request.inputs[0].shape)
        # The model has a fixed batch of one.
        outputs = [self.session.run(None, {request.inputs[0].name: image[numpy.newaxis]})[0] for image in images]
        scores = numpy.concatenate(outputs)
        output = {"name": self.session.get_outputs()[0].name, "datatype": "FP32", "shape": scores.shape}
        if self.is_raw:
            raw = [scores.tobytes()]
        else:
            raw, output["contents"] = [], {"fp32_contents": scores.ravel()}
        return self.messages.ModelInferResponse(
            id=request.id, model_name=request.model_name, outputs=[output], raw_output_contents=raw
        )


if __name__ == "__main__":
    path, name, http, grpc_port, form = sys.argv[1:6]
    modules = protocol()
    sys.path.insert(0, modules)
    ray.init(num_cpus=2, runtime_env={"env_vars": {"PYTHONPATH": modules}}, include_dashboard=False)
    functions = ["open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server"]
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(http)},
        grpc_options={"port": int(grpc_port), "grpc_servicer_functions": functions},
    )
    serve.run(OnnxRuntime.bind(path, name, form == "raw"), name=name, blocking=True)
