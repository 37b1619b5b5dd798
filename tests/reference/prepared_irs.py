"""Usage: prepared_irs.py MODEL FOLDER — writes IRs of MODEL (ONNX) below FOLDER that prepare the pixels themselves, each in a folder of
its own with the files that lie beside MODEL. Works with the set-up's Python."""

import shutil
import sys
from pathlib import Path

import openvino
from openvino.preprocess import ColorFormat, PrePostProcessor

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
MEAN, SCALE = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def prepared(name, steps, arguments):
    model = openvino.Core().read_model(source)
    pipeline = PrePostProcessor(model)
    pipeline.input().model().set_layout(openvino.Layout("NCHW"))
    steps(pipeline.input())
    model = pipeline.build()
    # As the converters of releases up to 2024 wrote their arguments.
    for key, value in arguments.items():
        model.set_rt_info(value, ["conversion_parameters", key])
    target = folder / name
    target.mkdir()
    openvino.save_model(model, target / "model.xml", compress_to_fp16=False)
    for beside in ("config.json", "preprocessor_config.json"):
        shutil.copy(source.with_name(beside), target)


def normalized(port):
    port.preprocess().mean(MEAN).scale(SCALE)


def bgr(port):
    port.tensor().set_layout(openvino.Layout("NCHW")).set_color_format(ColorFormat.BGR)
    port.preprocess().convert_color(ColorFormat.RGB)
    normalized(port)


def bgr_bytes(port):
    port.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC")).set_color_format(ColorFormat.BGR)
    port.preprocess().convert_element_type(openvino.Type.f32).convert_color(ColorFormat.RGB)
    normalized(port)


def reversed_alone(port):
    port.preprocess().reverse_channels()


prepared("normalized", normalized, {})
prepared("bgr", bgr, {})
prepared("bgr-bytes", bgr_bytes, {})
both = {"mean_values": "[123.675,116.28,103.53]", "scale_values": "[58.395,57.12,57.375]"}
prepared("stated", normalized, both)
prepared("stated-bgr", bgr, {**both, "reverse_input_channels": "True"})
prepared("stated-order", reversed_alone, {"reverse_input_channels": "True"})
prepared("other-mean", normalized, {**both, "mean_values": "[127.5]"})
