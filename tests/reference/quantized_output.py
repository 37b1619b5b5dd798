"""Usage: quantized_output.py MODEL IMAGE — prints the probability of each class, from the integers that OpenVINO's own Python package
gives for the image (PPM, size of the model's input, (x - 127.5) / 127.5, RGB) and the model's scale and zero point as
output_kinds.py has written them. Works with the set-up's Python."""

import sys
from pathlib import Path

import numpy as np
import openvino
from PIL import Image

model = Path(sys.argv[1])
scale, zero = {"softmax-bytes": (1 / 256, 0), "logits-bytes": (0.125, 100), "bytes": (1 / 256, 0)}[model.stem]
pixels = (np.asarray(Image.open(sys.argv[2]), np.float32) - 127.5) / 127.5
compiled = openvino.Core().compile_model(openvino.Core().read_model(model), "CPU")
tensor = pixels[None] if compiled.input(0).shape[-1] == 3 else pixels.transpose(2, 0, 1)[None]
output = next(iter(compiled(tensor).values()))
assert output.dtype == np.uint8, output.dtype
values = scale * (output.ravel().astype(np.float64) - zero)
if model.stem == "logits-bytes":
    values = np.exp(values - values.max())
    values /= values.sum()
print(*values)
