"""Writes models of one operator each, with an input and the output that ONNX's reference evaluator computes.

    operators.py FOLDER

Each line of FOLDER/manifest.jsonl is a case: the operator, the opset, the variant, the file of the model, the input and
the right output (as the bits of f32 numbers), and the tolerance, relative to the largest right value.

The models take one f32 input and give one f32 output, so that every engine loads them. Where the reference evaluator is
known to be wrong or ignores what an old opset says, the case brings its own computation (`expect`).
"""

import json
import pathlib
import sys
import warnings
import zlib

# The folder of this script is not on the path of an isolated Python, and it stays as it is.
sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.dont_write_bytecode = True
warnings.simplefilter("ignore")

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

# The newest opset that ONNX Runtime 1.31 supports officially.
NEWEST = 26
# The oldest that it promises to support. Opset 6 is looked at where 7 brought another meaning.
OLDEST = 7

DEFINITIONS = {}
for schema in onnx.defs.get_all_schemas_with_history():
    if schema.domain == "":
        DEFINITIONS.setdefault(schema.name, set()).add(schema.since_version)

CASES = []


def opsets(operator, since=OLDEST, until=NEWEST, at="ends"):
    """The opsets to try: one for each definition of the operator between `since` and `until`."""
    every = sorted({max(version, OLDEST) for version in DEFINITIONS[operator]} | {since})
    first = max(min(DEFINITIONS[operator]), since)
    every = [opset for opset in every if first <= opset <= until]
    if at == "all":
        return every
    return sorted({every[0], every[-1]}) if at == "ends" else every[-1:]


class Graph:
    """A graph under construction. Its input is called `x`."""

    def __init__(self, opset, random, x):
        self.opset, self.random, self.shape = opset, random, x.shape
        self.nodes, self.initializers, self.functions, self.domains = [], [], [], []
        self.count = 0
        self.x = "x"

    def name(self, stem):
        self.count += 1
        return f"{stem}{self.count}"

    def const(self, value, dtype=np.float32):
        array = np.asarray(value) if dtype is None else np.asarray(value, dtype=dtype)
        name = self.name("c")
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, *values):
        return self.const(values, np.int64)

    def weights(self, *shape):
        return self.const(self.random.standard_normal(shape))

    def op(self, operator, *inputs, outputs=1, keep=0, domain="", **attributes):
        """Adds a node. Numbers and arrays among the inputs become constants of f32."""
        names = []
        for value in inputs:
            names.append(value if isinstance(value, str) else self.const(value))
        results = [self.name("v") for _ in range(outputs)]
        attributes = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(operator, names, results, name=self.name("n"), domain=domain, **attributes))
        return results[keep]

    def cast(self, value, to):
        return self.op("Cast", value, to=to)

    def body(self, inputs, outputs, build):
        """A graph for If, Loop and Scan: `build` gets a graph and returns the names of the outputs."""
        inner = Graph(self.opset, self.random, np.zeros(self.shape))
        inner.count = self.count + 1000
        names = build(inner)
        self.count = inner.count
        declared = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in zip(names, outputs)]
        given = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
        return helper.make_graph(inner.nodes, self.name("body"), given, declared, inner.initializers)


def case(operator, variant, build, *, x=(1, 3, 6, 7), expect=None, reference=0, tolerance=None, **when):
    """Registers a case. `x` is the shape of the input, or a function of a random generator. The right output is what
    `expect` computes, or the reference evaluator with the model of this opset, or of `reference` if that is newer."""
    for opset in opsets(operator, **when):
        CASES.append((operator, opset, variant, build, x, expect, max(opset, reference), tolerance))


def values(*numbers):
    """An input with these numbers."""
    return lambda _: np.array(numbers, dtype=np.float32).reshape(1, -1)


def model(graph, nodes, output, x, type_and_shape):
    made = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_value_info(output, type_and_shape)],
        graph.initializers,
    )
    imports = [helper.make_opsetid("", graph.opset)] + [helper.make_opsetid(domain, 1) for domain in graph.domains]
    return helper.make_model(made, opset_imports=imports, functions=graph.functions, ir_version=8)


def built(operator, opset, variant, build, x):
    random = np.random.default_rng(zlib.crc32(f"{operator} {variant}".encode()))
    x = x(random) if callable(x) else random.standard_normal(x) * 2
    x = np.asarray(x, dtype=np.float32)
    graph = Graph(opset, random, x)
    return x, graph, build(graph)


def run(operator, opset, variant, build, x, expect, reference, tolerance):
    given = x
    x, graph, output = built(operator, opset, variant, build, given)
    if expect:
        right = np.asarray(expect(x, graph))
    else:
        _, other, name = built(operator, reference, variant, build, given)
        probe = model(other, other.nodes, name, x, onnx.TypeProto())
        with np.errstate(all="ignore"):
            right = np.asarray(ReferenceEvaluator(probe).run(None, {"x": x})[0])
    if tolerance is None:
        tolerance = 0.0 if right.dtype.kind in "iub" else 4e-3 if right.dtype == np.float16 else 1e-4
    # Engines give f32: whole numbers are brought to it by the model itself.
    last = ("Identity", {}) if right.dtype == np.float32 else ("Cast", {"to": TensorProto.FLOAT})
    nodes = [*graph.nodes, helper.make_node(last[0], [output], ["y"], name="last", **last[1])]
    final = model(graph, nodes, "y", x, helper.make_tensor_type_proto(TensorProto.FLOAT, right.shape))
    onnx.checker.check_model(final)
    return final, x, right.astype(np.float32), tolerance


def main(folder):
    # They register the cases.
    import operator_cases  # noqa: F401
    import operator_cases_shapes  # noqa: F401
    import operator_cases_graphs  # noqa: F401
    import operator_cases_convolutions  # noqa: F401
    import operator_cases_resizing  # noqa: F401
    import operator_cases_matrices  # noqa: F401

    folder = pathlib.Path(folder)
    failed = []
    with open(folder / "manifest.jsonl", "w") as manifest:
        for index, (operator, opset, variant, *rest) in enumerate(CASES):
            try:
                made, x, right, tolerance = run(operator, opset, variant, *rest)
            except Exception as error:
                failed.append(f"{operator} {opset} {variant}: {type(error).__name__}: {str(error)[:300]}")
                continue
            name = f"{index}.onnx"
            (folder / name).write_bytes(made.SerializeToString())
            bits = lambda array: np.ascontiguousarray(array, dtype=np.float32).view(np.uint32).ravel().tolist()
            line = {"operator": operator, "opset": opset, "variant": variant, "model": name, "tolerance": tolerance}
            line |= {"input_shape": x.shape, "input": bits(x), "output_shape": right.shape, "output": bits(right)}
            manifest.write(json.dumps(line) + "\n")
    if failed:
        sys.exit("\n".join(failed))
    print(f"{len(CASES)} models of {len({case[0] for case in CASES})} operators")


if __name__ == "__main__":
    # The cases import this file as a module; there must be one list of them.
    sys.modules["operators"] = sys.modules["__main__"]
    main(sys.argv[1])
