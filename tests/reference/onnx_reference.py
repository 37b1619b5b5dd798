"""Usage: onnx_reference.py MODULE MODEL INPUTS OUTPUTS KIND [SHIFT] — the recipe of docs/references.md for ONNX Runtime: runs MODEL over
the tensors of INPUTS with the function of MODULE, the file of `classify_cli.reference`. SHIFT is added to the tensors: a planted
wrong mean."""

import importlib.util
import sys

import onnxruntime

file, model, inputs, outputs, kind, *shift = sys.argv[1:]
spec = importlib.util.spec_from_file_location("reference", file)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
added = float(shift[0]) if shift else 0


def run(batch):
    return session.run(None, {name: batch + batch.dtype.type(added)})[0]


module.reference(
    run, inputs, output=outputs, batch_size=1, kind=kind, engine=f"ONNX Runtime {onnxruntime.__version__}"
)
