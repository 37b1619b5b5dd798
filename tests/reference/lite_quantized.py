"""Quantized TensorFlow Lite models against the TensorFlow Lite interpreter.

    python lite_quantized.py make  ASSETS OUT         # real models of the set-up, quantized; expected answers
    python lite_quantized.py small DIRECTORY          # the small models of tests/data, with the interpreter's outputs
    python lite_quantized.py check ASSETS OUT CLASSIFY [OPENVINO_LIB]

Packages: tensorflow-cpu 2.21.0, ai-edge-litert 2.3.0, onnx 1.23.2, numpy 2.4.6, Pillow 13.0.0. `make` builds each network
of the set-up in TensorFlow from its ONNX file, with its weights, and quantizes it in full: input and output of int8 or
uint8, weights per channel or per tensor, ranges calibrated on the photos. `check` runs `classify` on every photo and
compares the best five classes with those of the interpreter's dequantized output.
"""

import json
import os
import pathlib
import subprocess
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import numpy as np
from PIL import Image

MODELS = {
    "mobilenet-v2": ("mobilenet-v2/model.onnx", [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
    "efficientnet-lite0": ("efficientnet-lite0.onnx", [127.0] * 3, [128.0] * 3),
}


def photos(assets):
    return sorted(p for p in (assets / "photos").iterdir() if p.suffix in (".png", ".jpg"))


def real_input(path, mean, scale, side=224):
    """Stretched with Pillow's bilinear, normalized."""
    pixels = Image.open(path).convert("RGB").resize((side, side), Image.BILINEAR)
    pixels = np.asarray(pixels, np.float32)
    return ((pixels - np.float32(mean)) / np.float32(scale))[None]


def network(path):
    """The network of an ONNX file as a TensorFlow function of NHWC images."""
    import onnx
    import tensorflow as tf
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}

    def run(images):
        values = {graph.input[0].name: images}

        def constant(name):
            return constants[name]

        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            x = values[node.input[0]]
            if node.op_type == "Conv":
                weights = constant(node.input[1])
                top, left, bottom, right = attributes.get("pads", [0] * 4)
                group = attributes.get("group", 1)
                strides = [1, *attributes.get("strides", [1, 1]), 1]
                x = tf.pad(x, [[0, 0], [top, bottom], [left, right], [0, 0]])
                if group == 1:
                    y = tf.nn.conv2d(x, weights.transpose(2, 3, 1, 0), strides, "VALID")
                else:
                    assert group == weights.shape[0] and weights.shape[1] == 1
                    y = tf.nn.depthwise_conv2d(x, weights.transpose(2, 3, 0, 1), strides, "VALID")
                if len(node.input) > 2:
                    y = tf.nn.bias_add(y, constant(node.input[2]))
            elif node.op_type == "Clip":
                assert constant(node.input[1]) == 0 and constant(node.input[2]) == 6
                y = tf.nn.relu6(x)
            elif node.op_type == "Add":
                y = x + values[node.input[1]]
            elif node.op_type == "GlobalAveragePool":
                y = tf.reduce_mean(x, [1, 2])
            elif node.op_type == "Flatten":
                y = x
            elif node.op_type == "Gemm":
                weights = constant(node.input[1])
                y = tf.matmul(x, weights.T if attributes.get("transB") else weights) + constant(node.input[2])
            else:
                raise SystemExit(f"{node.op_type} is not translated")
            values[node.output[0]] = y
        return values[graph.output[0].name]

    return run


def quantized(run, shape, samples, kind, per_channel):
    """The TensorFlow Lite model of a function, with integers of `kind` as its input and output."""
    import tensorflow as tf

    function = tf.function(run, input_signature=[tf.TensorSpec(shape, tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, kind)
    converter._experimental_disable_per_channel = not per_channel
    return converter.convert()


def interpret(model, real):
    """The interpreter's dequantized output, and what its input was quantized to."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    [before], [after] = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = before["quantization"]
    limits = np.iinfo(before["dtype"])
    values = np.clip(np.round(real.astype(np.float64) / scale) + zero, limits.min, limits.max)
    values = values.astype(before["dtype"])
    interpreter.set_tensor(before["index"], values)
    interpreter.invoke()
    scale, zero = after["quantization"]
    output = interpreter.get_tensor(after["index"])
    return (output.astype(np.float64) - zero) * scale, values, output


def make(assets, out):
    out.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, (path, mean, scale) in MODELS.items():
        run = network(assets / "models" / path)
        inputs = {p.name: real_input(p, mean, scale) for p in photos(assets)}
        for kind in ("int8", "uint8"):
            for per_channel in (True, False):
                model = quantized(run, [1, 224, 224, 3], list(inputs.values()), kind, per_channel)
                key = f"{name}-{kind}-{'channel' if per_channel else 'tensor'}"
                (out / f"{key}.tflite").write_bytes(model)
                answers = {}
                for photo, real in inputs.items():
                    output, _, raw = interpret(model, real)
                    answers[photo] = [float(value) for value in output.reshape(-1)]
                expected[key] = {"mean": mean, "scale": scale, "outputs": answers}
                print(key, len(model), flush=True)
    (out / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"make": make}[command](*map(pathlib.Path, paths))
