"""Reads weights out of pickles without trusting them.

A pickle is a program: `pickle.load` on a download runs whatever its author wrote. The readers here let a pickle name only the few
globals that the weights of this project use, and even those are replaced by inert records, so nothing of torch or numpy is called
with values that a file chose. Every size is checked before memory is taken for it.
"""

import io
import math
import pickle
import struct
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

# The legacy torch format begins with these two pickles.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

# The largest weights file of the project holds 3.5 million numbers; a hundred times that is a damaged or hostile header.
MAX_ELEMENTS = 350_000_000


class PickleRefused(Exception):
    """The pickle asks for something that weights do not need, or does not add up."""


class StorageType(NamedTuple):
    """Stands for a torch storage class: what its raw data looks like."""

    name: str
    dtype: np.dtype


class StorageRef(NamedTuple):
    """A storage that the state dict mentions; its data follows later in the file."""

    kind: StorageType
    key: str
    count: int


class TensorRef(NamedTuple):
    """A tensor that the state dict mentions: a view of a storage."""

    storage: StorageRef
    offset: int
    shape: tuple
    strides: tuple


def _count(value, what):
    """A size out of the file: a whole number that is neither negative nor absurd."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_ELEMENTS:
        raise PickleRefused(f"{what} is {value!r}, expected a whole number from 0 to {MAX_ELEMENTS}")
    return value


def _counts(values, what):
    if not isinstance(values, tuple):
        raise PickleRefused(f"{what} is {values!r}, expected a tuple of whole numbers")
    return tuple(_count(value, what) for value in values)


def _rebuild_tensor(storage, offset, shape, strides, requires_grad=False, hooks=None):
    """Takes the place of torch's `_rebuild_tensor_v2`: records the view instead of making it."""
    if not isinstance(storage, StorageRef):
        raise PickleRefused(f"a tensor's storage is {type(storage).__name__}, expected a reference to a storage")
    if hooks:
        raise PickleRefused("a tensor carries backward hooks, which weights do not need")
    shape, strides = _counts(shape, "a tensor's shape"), _counts(strides, "a tensor's strides")
    if len(shape) != len(strides):
        raise PickleRefused(f"a tensor has the shape {shape} but the strides {strides}")
    return TensorRef(storage, _count(offset, "a tensor's offset"), shape, strides)


class _Array:
    """Takes the place of a numpy array while the pickle is read: keeps the state, makes nothing of it."""

    def __init__(self, *_ignored):
        self.state = None

    def __setstate__(self, state):
        self.state = state


class _Dtype:
    """Takes the place of `numpy.dtype`."""

    def __init__(self, name, *_flags):
        self.name = name
        self.order = None

    def __setstate__(self, state):
        # The second item is the byte order; the rest describes structured types, which weights do not use.
        if not isinstance(state, tuple) or len(state) < 2:
            raise PickleRefused(f"an element type has the state {state!r}, expected a tuple that names a byte order")
        self.order = state[1]


TORCH_GLOBALS = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): StorageType("FloatStorage", np.dtype("<f4")),
    ("torch", "LongStorage"): StorageType("LongStorage", np.dtype("<i8")),
}

NUMPY_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy", "dtype"): _Dtype,
}


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that knows `allowed` and refuses every other global."""

    def __init__(self, file, allowed):
        super().__init__(file)
        self._allowed = allowed

    def find_class(self, module, name):
        try:
            return self._allowed[module, name]
        except KeyError:
            known = ", ".join(sorted(".".join(key) for key in self._allowed)) or "none"
            raise PickleRefused(f"the pickle asks for {module}.{name}, which is refused; allowed: {known}") from None

    def persistent_load(self, pid):
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and isinstance(pid[1], StorageType)):
            raise PickleRefused(f"the pickle refers to {pid!r}, expected a storage")
        return StorageRef(pid[1], str(pid[2]), _count(pid[4], "a storage's size"))


def _load(file, allowed, what):
    try:
        return RestrictedUnpickler(file, allowed).load()
    except PickleRefused:
        raise
    except Exception as error:  # A damaged pickle raises nearly anything: UnpicklingError, EOFError, TypeError, KeyError ...
        raise PickleRefused(f"{what} cannot be read: {type(error).__name__}: {error}") from error


def _read_exactly(file, size, what):
    data = file.read(size)
    if len(data) != size:
        raise PickleRefused(f"{what} is cut off: {len(data)} bytes, expected {size}")
    return data


def load_legacy_torch(data):
    """Reads a `.pth` of the legacy format: the magic number, the protocol, system facts, the state dict, the keys of the storages,
    then for each key a count and its raw little-endian data. Returns a dict of numpy arrays."""
    file = io.BytesIO(data)
    magic = _load(file, {}, "the magic number")
    if magic != LEGACY_MAGIC:
        raise PickleRefused(f"the magic number is {magic!r}, expected {LEGACY_MAGIC:#x}: not a torch file of the legacy format")
    protocol = _load(file, {}, "the protocol number")
    if protocol != LEGACY_PROTOCOL:
        raise PickleRefused(f"the protocol is {protocol!r}, expected {LEGACY_PROTOCOL}")
    facts = _load(file, {}, "the system facts")
    if not isinstance(facts, dict) or facts.get("little_endian") is not True:
        raise PickleRefused(f"the system facts are {facts!r}, expected little-endian data")
    state = _load(file, TORCH_GLOBALS, "the state dict")
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, TensorRef) for k, v in state.items()):
        raise PickleRefused("the state dict is not a dict of names and tensors")
    keys = _load(file, {}, "the list of storages")
    if not isinstance(keys, list) or len(set(map(str, keys))) != len(keys):
        raise PickleRefused("the list of storages is not a list of different keys")

    wanted = {}
    for tensor in state.values():
        known = wanted.setdefault(tensor.storage.key, tensor.storage)
        if known != tensor.storage:
            raise PickleRefused(f"storage {tensor.storage.key} is described in two ways: {known} and {tensor.storage}")
    if set(map(str, keys)) != set(wanted):
        raise PickleRefused("the storages in the file are not those that the state dict mentions")

    storages = {}
    for key in map(str, keys):
        ref = wanted[key]
        (count,) = struct.unpack("<q", _read_exactly(file, 8, f"the count of storage {key}"))
        if count != ref.count:
            raise PickleRefused(f"storage {key} has {count} elements, its description says {ref.count}")
        raw = _read_exactly(file, count * ref.kind.dtype.itemsize, f"storage {key}")
        storages[key] = np.frombuffer(raw, dtype=ref.kind.dtype)
    if file.read(1):
        raise PickleRefused("the file goes on after its last storage")

    arrays = {}
    for name, tensor in state.items():
        storage = storages[tensor.storage.key]
        # Weights that came from TensorFlow are transposed views, so strides may be any; the farthest element must exist, though,
        # because `as_strided` itself checks nothing.
        empty = 0 in tensor.shape
        reach = 0 if empty else tensor.offset + 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides))
        elements = math.prod(tensor.shape)
        if reach > storage.size or elements > storage.size:
            raise PickleRefused(f"{name} has {elements} elements and reaches number {reach} of a storage of {storage.size}")
        view = np.lib.stride_tricks.as_strided(
            storage[tensor.offset :], tensor.shape, [step * storage.itemsize for step in tensor.strides], writeable=False
        )
        arrays[name] = np.ascontiguousarray(view).reshape(tensor.shape)
    return arrays


def _finish_array(value, name):
    """Makes an array of the state that `_Array` kept: version, shape, element type, Fortran order, raw data."""
    if not isinstance(value, _Array) or not isinstance(value.state, tuple) or len(value.state) != 5:
        raise PickleRefused(f"{name} is not an array")
    _version, shape, dtype, fortran, raw = value.state
    shape = _counts(shape, f"the shape of {name}")
    if not isinstance(dtype, _Dtype) or dtype.name != "f4" or dtype.order != "<":
        raise PickleRefused(f"{name} does not hold little-endian 32-bit floats")
    if not isinstance(fortran, bool) or not isinstance(raw, bytes):
        raise PickleRefused(f"{name} does not hold raw bytes")
    if math.prod(shape) * 4 != len(raw):
        raise PickleRefused(f"{name} has {len(raw)} bytes, its shape {shape} needs {math.prod(shape) * 4}")
    return np.frombuffer(raw, dtype="<f4").reshape(shape, order="F" if fortran else "C")


def load_numpy_layers(data):
    """Reads a pickled dict of layer names to lists of numpy arrays. Returns the same with the arrays made."""
    file = io.BytesIO(data)
    layers = _load(file, NUMPY_GLOBALS, "the weights")
    if file.read(1):
        raise PickleRefused("the file goes on after the weights")
    if not isinstance(layers, dict):
        raise PickleRefused(f"the weights are a {type(layers).__name__}, expected a dict of layers")
    result = {}
    for name, arrays in layers.items():
        if not isinstance(name, str) or not isinstance(arrays, list):
            raise PickleRefused(f"layer {name!r} is not a list of arrays")
        result[name] = [_finish_array(array, f"{name}[{index}]") for index, array in enumerate(arrays)]
    return result
