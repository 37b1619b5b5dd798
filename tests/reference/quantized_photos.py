"""Writes what an engineer has who quantized a model: EfficientNet-Lite0 as `good.onnx` (int8, QDQ), `bad.onnx` (the same
with the range of one layer clipped), `half.onnx` (weights and arithmetic in f16), and 200 photos with their ground
truth, `truth.tsv`. The photos are seeded crops, flips and changes of brightness of the 24 photos of the set-up whose
class is known.

    quantized_photos.py make SET_UP DIRECTORY [PHOTOS]
    classify evaluate onnx=FLOAT onnx=good.onnx onnx=bad.onnx onnx=half.onnx -i photos --truth truth.tsv --report r.json
    classify tensors -m FLOAT -i photos -o tensors.npz
    quantized_photos.py check r.json tensors.npz truth.tsv

`check` finds the new errors and the corrected answers of each run again, with ONNX Runtime and numpy, from the tensors.
Works with the set-up's Python.
"""

import json
import random
import sys
from pathlib import Path

import numpy
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image, ImageEnhance

# The first convolution of the ninth block: its range is clipped in `bad.onnx`.
CLIPPED = "_blocks.8._expand_conv"
# The part of the range that stays.
KEPT = 0.4


def photos(set_up, directory, count, seed=21):
    """Writes the photos and `truth.tsv`, always the same with the same version of Pillow."""
    lines = Path(set_up, "photos/ground-truth.tsv").read_text().splitlines()
    truth = [line.split("\t") for line in lines]
    draw = random.Random(seed)
    paths, rows = [], []
    for number in range(count):
        name, class_id = truth[number % len(truth)]
        image = Image.open(Path(set_up, "photos", name)).convert("RGB")
        side = draw.uniform(0.45, 1.0)
        width, height = round(image.width * side), round(image.height * side)
        left, top = draw.randint(0, image.width - width), draw.randint(0, image.height - height)
        image = image.crop((left, top, left + width, top + height))
        if draw.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image = ImageEnhance.Brightness(image).enhance(draw.uniform(0.6, 1.4))
        path = Path(directory, f"{number:03}_{Path(name).stem}.jpg")
        image.save(path, quality=90)
        paths.append(path)
        rows.append(f"{path.name}\t{class_id}\n")
    Path(directory, "..", "truth.tsv").write_text("".join(rows))
    return paths


class Photos(CalibrationDataReader):
    """The tensors that the ranges are measured on."""

    def __init__(self, paths):
        self.tensors = iter([{"input": tensor(path)} for path in paths])

    def get_next(self):
        return next(self.tensors, None)


def tensor(path):
    """Prepares a photo as the model's metadata says."""
    image = Image.open(path).convert("RGB")
    side = round(min(image.size) * 0.875)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.resize((224, 224), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    return ((numpy.asarray(image, numpy.float32) - 127) / 128).transpose(2, 0, 1)[None]


def clip(model):
    """Clips the range of one layer: a larger scale would round more, a smaller one cuts."""
    graph = model.graph
    behind = {name: node for node in graph.node for name in node.input}
    (layer,) = [node for node in graph.node if node.name == CLIPPED]
    node = layer
    while node.op_type != "QuantizeLinear":
        node = behind[node.output[0]]
    (scale,) = [weight for weight in graph.initializer if weight.name == node.input[1]]
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * numpy.float32(KEPT), scale.name))


def half(model):
    """Makes the weights and the arithmetic f16; input and output stay f32."""
    graph = model.graph
    for weight in graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(numpy.float16), weight.name))
    # The types of inner values are wrong now; engines find them out.
    del graph.value_info[:]
    first, last = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        node.input[:] = [f"{name}_half" if name == first else name for name in node.input]
        node.output[:] = [f"{name}_half" if name == last else name for name in node.output]
    cast = lambda name, to: onnx.helper.make_node("Cast", *name, to=to)
    graph.node.insert(0, cast(([first], [f"{first}_half"], "cast_input"), onnx.TensorProto.FLOAT16))
    graph.node.append(cast(([f"{last}_half"], [last], "cast_output"), onnx.TensorProto.FLOAT))


def make(set_up, directory, count="200"):
    images = Path(directory, "photos")
    images.mkdir(parents=True, exist_ok=True)
    paths = photos(set_up, images, int(count))
    source = Path(set_up, "models/efficientnet-lite0.onnx")
    good = Path(directory, "good.onnx")
    quantize_static(
        source,
        good,
        Photos(paths[:48]),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        # Processors without VNNI add pairs of products of 8 bits in 16 bits, which overflow.
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    # The quantizer drops the metadata.
    metadata = onnx.load(source).metadata_props
    for name, change in (("good", None), ("bad", clip)):
        model = onnx.load(good)
        if change:
            change(model)
        if not model.metadata_props:
            model.metadata_props.extend(metadata)
        onnx.save(model, Path(directory, f"{name}.onnx"))
    model = onnx.load(source)
    half(model)
    onnx.save(model, Path(directory, "half.onnx"))


def answers(model, tensors):
    """The best class of each tensor."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return numpy.array([session.run(None, {"input": tensor[None]})[0][0].argmax() for tensor in tensors])


def check(report, tensors, truth):
    report = json.loads(Path(report).read_text())
    with numpy.load(tensors) as archive:
        paths = [Path(str(path)).name for path in archive["images"]]
        tensors = archive["tensors"]
    right = dict(line.split("\t") for line in Path(truth).read_text().splitlines())
    right = numpy.array([int(right[path]) for path in paths])
    found = {run["name"]: answers(run["facts"]["model"], tensors) for run in report["runs"]}
    (reference,) = [run["name"] for run in report["runs"] if run["reference"]]
    for run in report["runs"]:
        if run["reference"]:
            continue
        own = found[run["name"]]
        lists = {
            "new_errors": (found[reference] == right) & (own != right),
            "corrected": (found[reference] != right) & (own == right),
        }
        for key, mask in lists.items():
            expected = {(paths[place], int(own[place]), int(found[reference][place])) for place in numpy.flatnonzero(mask)}
            rows = run["against_reference"][key]
            listed = [(Path(row["path"]).name, row["answer"], row["reference_answer"]) for row in rows]
            assert len(listed) == len(set(listed)) and set(listed) == expected, (run["name"], key, set(listed) ^ expected)
            print(f"{run['name']}: {key} {len(listed)}, all equal")
        lost = int((found[reference] == right).sum()) - int((own == right).sum())
        numpy.testing.assert_allclose(run["against_reference"]["drop"]["share"], lost / len(right), atol=1e-12)


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](*sys.argv[2:])
