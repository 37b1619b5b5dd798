"""Classify images on OpenVINO, ONNX Runtime or RTen, and check whether these engines agree.

    from classify_cli import Classifier

    with Classifier("model.onnx", backend="rten") as classifier:
        print(classifier.classify("cat.jpg").best)

The work is done by the program ``classify``, which is in this package. The module has no dependencies; engines are installed with
``pip install 'WHEEL[openvino]'``, ``[onnx]`` or ``[all]``, with the package's wheel; RTen is built in.
"""

from ._binary import find_program
from ._classifier import Classifier
from ._errors import ClassifyError, ImageError, ProgramError, WorkerDiedError
from ._images import ImageLike
from ._reference import reference
from ._report import Comparison, Evaluation, Gate, PairReport, RunReport, Share, compare, evaluate
from ._results import Result, ScoredClass, to_pandas

__all__ = [
    "Classifier",
    "ClassifyError",
    "Comparison",
    "Evaluation",
    "Gate",
    "ImageError",
    "ImageLike",
    "PairReport",
    "ProgramError",
    "Result",
    "RunReport",
    "ScoredClass",
    "Share",
    "WorkerDiedError",
    "compare",
    "evaluate",
    "find_program",
    "reference",
    "to_pandas",
]
