"""Quantized TensorFlow Lite models against the TensorFlow Lite interpreter.

    python lite_quantized.py make ASSETS OUT    # real models of the set-up, quantized, 200 photos, and expected answers
    python lite_quantized.py check OUT CLASSIFY # `classify` on every photo against these answers, as a table
    python lite_quantized.py small DATA         # the small models of tests/data, and expected answers

Packages: tensorflow-cpu 2.21.0, ai-edge-litert 2.3.0, onnx 1.23.2, onnxruntime 1.31.1, numpy 2.4.6, Pillow 13.0.0. `make`
builds networks of the set-up in TensorFlow from their ONNX files, with their weights, and quantizes them in full: input and
output of int8 or uint8, weights per channel or per tensor, ranges calibrated on the set-up's photos. The 200 photos are those
of `quantized_photos.py`. The answers are the outputs of the interpreter with each of its three sets of kernels: XNNPACK, which
is the default, the optimized ones and the reference. They differ in the best five of many photos, because each rounds every
layer's sums in another way. So the difference of `classify`, whose OpenVINO has kernels of its own, is judged by theirs, and
by the outputs of the model before it was quantized.
"""

import itertools
import json
import os
import pathlib
import subprocess
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import numpy as np
import quantized_photos
from PIL import Image

# The kernels of the interpreter, by the names of its resolvers.
KERNELS = {"XNNPACK": "AUTO", "optimized": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}
PHOTOS = 200
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


class Interpreted:
    """A model in the interpreter."""

    def __init__(self, model, kernels="XNNPACK"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = getattr(OpResolverType, KERNELS[kernels])
        self.interpreter = Interpreter(model_content=model, experimental_op_resolver_type=resolver)
        self.interpreter.allocate_tensors()
        [self.input], [self.output] = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.step = self.output["quantization"][0]

    def quantized(self, real):
        """As TensorFlow Lite's QUANTIZE does it: halves away from zero, saturated."""
        scale, zero = self.input["quantization"]
        limits = np.iinfo(self.input["dtype"])
        values = real / np.float32(scale)
        values = np.trunc(values + np.copysign(np.float32(0.5), values)) + zero
        return np.clip(values, limits.min, limits.max).astype(self.input["dtype"])

    def steps(self, quantized):
        """The output in steps, from the one that means 0."""
        self.interpreter.set_tensor(self.input["index"], quantized)
        self.interpreter.invoke()
        output = self.interpreter.get_tensor(self.output["index"])
        return output.astype(np.int64).reshape(-1) - self.output["quantization"][1]

    def __call__(self, quantized):
        """The dequantized output."""
        return self.steps(quantized) * np.float64(self.step)


def make(assets, out):
    photographed = out / "photos"
    photographed.mkdir(parents=True, exist_ok=True)
    paths = quantized_photos.photos(assets, photographed, PHOTOS)
    for name, (path, mean, scale) in MODELS.items():
        run = network(assets / "models" / path)
        samples = [real_input(path, mean, scale) for path in photos(assets)]
        inputs = [real_input(path, mean, scale) for path in paths]
        for kind, per_channel in itertools.product(("int8", "uint8"), (True, False)):
            model = quantized(run, [1, 224, 224, 3], samples, kind, per_channel)
            key = f"{name}-{kind}-{'channel' if per_channel else 'tensor'}"
            (out / f"{key}.tflite").write_bytes(model)
            answers = {}
            for kernels in KERNELS:
                interpreted = Interpreted(model, kernels)
                answers[kernels] = [interpreted.steps(interpreted.quantized(real)) for real in inputs]
            answers["float"] = [run(real).numpy().reshape(-1) / interpreted.step for real in inputs]
            np.savez(out / f"{key}.npz", mean=mean, scale=scale, step=interpreted.step, **answers)
            print(key, len(model), flush=True)


def best(values, count=5):
    """The best classes, ties by their numbers."""
    return np.argsort(-np.asarray(values), kind="stable")[:count].tolist()


def may_be_equal(a, b, apart, count=5):
    """Whether two outputs can have the same best classes in the same order, if values of one output that are at most
    `apart` steps apart are ties."""
    a, b = a.copy(), b.copy()
    for _ in range(count):
        # Whichever of the possible classes comes first, the others stay possible.
        possible = np.flatnonzero((a >= a.max() - apart) & (b >= b.max() - apart))
        if not possible.size:
            return False
        a[possible[0]] = b[possible[0]] = np.iinfo(a.dtype).min
    return True


def compared(ours, theirs):
    """The row of a table about two lists of outputs in steps."""
    pairs = list(zip(ours, theirs, strict=True))
    apart = [next(apart for apart in range(256) if may_be_equal(a, b, apart)) for a, b in pairs]
    numbers = [
        sum(best(a, 1) == best(b, 1) for a, b in pairs),
        sum(best(a) == best(b) for a, b in pairs),
        sum(set(best(a)) == set(best(b)) for a, b in pairs),
        *(sum(each <= limit for each in apart) for limit in range(4)),
        max(apart),
    ]
    difference = np.abs(np.subtract(ours, theirs))
    return f"{' | '.join(map(str, numbers))} | {difference.mean():.2f} | {difference.max()}"


def check(out, classify):
    heads = ["best class", "best five", "the same five", *(f"{apart} apart" for apart in range(4)), "most apart", "mean", "largest"]
    print(f"| model | answers | {' | '.join(heads)} |")
    print("|---" * (2 + len(heads)) + "|")
    of_float = []
    for path in sorted(out.glob("*.npz")):
        stored = np.load(path)
        answers = {kernels: stored[kernels] for kernels in KERNELS}
        answers["classify"] = classified(path.with_suffix(".tflite"), stored, out / "photos", classify)
        for one, other in itertools.combinations(answers, 2):
            print(f"| {path.stem} | {one}, {other} | {compared(answers[one], answers[other])} |", flush=True)
        for name, values in answers.items():
            first = sum(best(a, 1) == best(b, 1) for a, b in zip(values, stored["float"], strict=True))
            of_float.append(f"| {path.stem} | {name} | {first} | {np.abs(values - stored['float']).mean():.2f} |")
    print("\n| model | answers | best class of the model of floats | mean difference from it |\n|---|---|---|---|")
    print("\n".join(of_float))


def classified(model, stored, photographed, classify):
    """The outputs of `classify` in steps."""
    flags = [f"--{name}={','.join(map(str, stored[name]))}" for name in ("mean", "scale")]
    flags += ["--resize", "stretch", "--interpolation", "bilinear", "--scores", "raw", "--top", "all"]
    command = [classify, "-m", model, "--backend", "openvino", "--format", "json", *flags, "-i", photographed]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    outputs = {}
    for line in map(json.loads, lines):
        values = {entry["class_id"]: entry["score"] for entry in line["top"]}
        outputs[pathlib.Path(line["path"]).name] = [values[index] for index in range(len(values))]
    real = np.array([outputs[name] for name in sorted(outputs)]) / stored["step"]
    steps = real.round().astype(np.int64)
    assert np.abs(real - steps).max() < 0.01, "the output is not quantized"
    return steps


def small(data):
    """Networks so small that no rounding adds up: every engine has to give the interpreter's answer."""
    import tensorflow as tf

    draw = np.random.default_rng(18)
    kernel = draw.normal(size=(3, 3, 3, 8)).astype(np.float32) * np.float32([1, 2, 4, 8, 0.5, 1, 1, 1])
    matrix = draw.normal(size=(8, 12)).astype(np.float32)

    def run(images):
        x = tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "VALID"))
        return tf.matmul(tf.reduce_mean(x, [1, 2]), matrix)

    mean, scale = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])
    pixels = []
    for number in range(6):
        base, slope = draw.integers(0, 200, 3), draw.integers(0, 8, 3)
        ramp = base + np.arange(64).reshape(8, 8, 1) % (5 + number) * slope
        pixels.append(np.clip(ramp, 0, 255).astype(np.uint8))
    samples = [((image - mean) / scale)[None] for image in (*pixels, np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8))]
    # Others than those of the calibration: some values saturate.
    mean, scale = np.float32([140, 100, 60]), np.float32([90, 45, 60])
    reals = [((image - mean) / scale)[None] for image in pixels]
    expected = {"mean": mean.tolist(), "scale": scale.tolist(), "models": {}}
    for name, kind, per_channel in [
        ("lite-i8", "int8", True), ("lite-i8-tensor", "int8", False),
        ("lite-u8", "uint8", True), ("lite-u8-tensor", "uint8", False),
    ]:  # fmt: skip
        model = quantized(run, [1, 8, 8, 3], samples, kind, per_channel)
        (data / f"{name}.tflite").write_bytes(model)
        interpreted = Interpreted(model)
        offset = 128 if kind == "int8" else 0
        expected["models"][name] = {
            "step": interpreted.step,
            "normalized": [interpreted(interpreted.quantized(real)).round(4).tolist() for real in reals],
            "as_they_are": [
                interpreted((image.astype(int) - offset).astype(interpreted.input["dtype"])[None]).round(4).tolist()
                for image in pixels
            ],
        }
        print(name, len(model), interpreted.input["quantization"], interpreted.output["quantization"])
    expected["images"] = [image.reshape(-1).tolist() for image in pixels]
    (data / "lite-quantized.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"make": make, "check": check, "small": small}[command](*map(pathlib.Path, paths))
