"""Usage: half_weights.py MODEL IR — writes the model as an IR with its weights in f16. Works with the set-up's Python."""

import sys

import openvino

openvino.save_model(openvino.Core().read_model(sys.argv[1]), sys.argv[2], compress_to_fp16=True)
