"""A program with the behaviour of OpenVINO's Image Classification Async sample for Python, written
from its documentation: same flags, same preprocessing in the graph, same text, results in the order
in which they finish.
"""

import argparse

import cv2
import numpy as np
import openvino as ov

parser = argparse.ArgumentParser()
parser.add_argument("-m", "--model", required=True)
parser.add_argument("-i", "--input", nargs="+", required=True)
parser.add_argument("-d", "--device", default="CPU")
parser.add_argument("--precision", help="not the sample's: INFERENCE_PRECISION_HINT")
args = parser.parse_args()


def info(text):
    print(f"[ INFO ] {text}")


info("Creating OpenVINO Runtime Core")
core = ov.Core()
info(f"Reading the model: {args.model}")
model = core.read_model(args.model)
_, _, height, width = model.input().shape
tensors = [cv2.resize(cv2.imread(path), (width, height))[None] for path in args.input]

steps = ov.preprocess.PrePostProcessor(model)
steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
steps.input().model().set_layout(ov.Layout("NCHW"))
steps.output().tensor().set_element_type(ov.Type.f32)
info("Loading the model to the plugin")
config = {"INFERENCE_PRECISION_HINT": args.precision} if args.precision else {}
compiled = core.compile_model(steps.build(), args.device, config)


def finished(request, path):
    probabilities = request.get_output_tensor().data.reshape(-1)
    lines = [f"Image path: {path}", "Top 10 results: ", "class_id probability", "-" * 20]
    for class_id in np.argsort(probabilities)[-10:][::-1]:
        lines.append(f"{class_id:<9}{probabilities[class_id]:.7f}")
    # One write: two requests that finish together must not mix their lines.
    info("\n[ INFO ] ".join([*lines, ""]))


info("Starting inference in asynchronous mode")
queue = ov.AsyncInferQueue(compiled)
queue.set_callback(finished)
for path, tensor in zip(args.input, tensors):
    queue.start_async({0: tensor}, path)
queue.wait_all()
