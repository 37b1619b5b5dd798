"""Tests of the unpicklers: what they must refuse, and that they read a file right which is made here by hand."""

import io
import os
import pickle
import struct
import tarfile
import unittest
from collections import OrderedDict

import numpy as np

from archives import ArchiveError, read_flat_tar
from restricted_pickle import LEGACY_MAGIC, LEGACY_PROTOCOL, PickleRefused, load_legacy_torch, load_numpy_layers


class Hostile:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("echo a hostile pickle was executed; exit 1",)


class Global:
    """Pickled as a bare reference to a global that need not exist here."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickled as a call of a global."""

    def __init__(self, function, arguments):
        self.function, self.arguments = function, arguments


class Storage:
    """Pickled as torch pickles a storage: by a persistent id."""

    def __init__(self, kind, key, count):
        self.pid = ("storage", kind, key, "cpu", count, None)


class Writer(pickle._Pickler):
    """Writes pickles that name globals of torch, without torch."""

    def persistent_id(self, value):
        return value.pid if isinstance(value, Storage) else None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Global):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.function)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def dump(value):
    buffer = io.BytesIO()
    Writer(buffer, 2).dump(value)
    return buffer.getvalue()


def tensor(storage, offset, shape, strides):
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, offset, shape, strides, False, OrderedDict()))


def legacy(state, keys, raw, magic=LEGACY_MAGIC, little_endian=True):
    facts = {"protocol_version": LEGACY_PROTOCOL, "little_endian": little_endian}
    return b"".join([dump(magic), dump(LEGACY_PROTOCOL), dump(facts), dump(state), dump(keys), raw])


FLOATS = Global("torch", "FloatStorage")
LONGS = Global("torch", "LongStorage")


def six_floats():
    return struct.pack("<q6f", 6, *range(6))


class LegacyTorch(unittest.TestCase):
    def refused(self, data, part):
        with self.assertRaises(PickleRefused) as caught:
            load_legacy_torch(data)
        self.assertIn(part, str(caught.exception))

    def test_a_minimal_file_is_read_right(self):
        state = OrderedDict(
            [
                ("plain", tensor(Storage(FLOATS, "7", 6), 0, (2, 3), (3, 1))),
                ("turned", tensor(Storage(FLOATS, "7", 6), 0, (3, 2), (1, 3))),
                ("part", tensor(Storage(FLOATS, "7", 6), 4, (2,), (1,))),
                ("steps", tensor(Storage(LONGS, "9", 1), 0, (), ())),
            ]
        )
        arrays = load_legacy_torch(legacy(state, ["9", "7"], struct.pack("<qq", 1, -5) + six_floats()))
        self.assertEqual(list(arrays), ["plain", "turned", "part", "steps"])
        np.testing.assert_array_equal(arrays["plain"], np.arange(6, dtype=np.float32).reshape(2, 3))
        np.testing.assert_array_equal(arrays["turned"], np.arange(6, dtype=np.float32).reshape(2, 3).T)
        np.testing.assert_array_equal(arrays["part"], np.array([4, 5], np.float32))
        self.assertEqual((arrays["steps"].shape, arrays["steps"].dtype, int(arrays["steps"])), ((), np.int64, -5))

    def test_a_hostile_global_is_refused_wherever_it_stands(self):
        for place in range(5):
            parts = [LEGACY_MAGIC, LEGACY_PROTOCOL, {"little_endian": True}, OrderedDict(), []]
            parts[place] = Hostile()
            self.refused(b"".join(pickle.dumps(part, 2) for part in parts), "which is refused")

    def test_globals_of_the_same_modules_are_refused_too(self):
        for module, name in [("torch", "load"), ("torch._utils", "_rebuild_parameter"), ("collections", "Counter"), ("builtins", "eval")]:
            self.refused(legacy(OrderedDict(x=Global(module, name)), [], b""), f"{module}.{name}, which is refused")

    def test_a_tensor_that_reaches_outside_its_storage_is_refused(self):
        for offset, shape, strides in [(1, (2, 3), (3, 1)), (0, (2, 3), (4, 1)), (0, (7,), (0,)), (6, (1,), (1,))]:
            state = OrderedDict(x=tensor(Storage(FLOATS, "7", 6), offset, shape, strides))
            self.refused(legacy(state, ["7"], six_floats()), "of a storage of 6")

    def test_sizes_that_do_not_add_up_are_refused(self):
        good = OrderedDict(x=tensor(Storage(FLOATS, "7", 6), 0, (6,), (1,)))
        self.refused(legacy(good, ["7"], six_floats()[:-1]), "cut off")
        self.refused(legacy(good, ["7"], six_floats() + b"x"), "goes on")
        self.refused(legacy(good, ["7"], struct.pack("<q5f", 5, *range(5))), "has 5 elements")
        self.refused(legacy(good, ["8"], six_floats()), "not those that the state dict mentions")
        self.refused(legacy(good, ["7", "7"], six_floats()), "different keys")
        self.refused(legacy(OrderedDict(x=tensor(Storage(FLOATS, "7", -1), 0, (6,), (1,))), ["7"], six_floats()), "storage's size is -1")
        self.refused(legacy(OrderedDict(x=tensor(Storage(FLOATS, "7", 10**12), 0, (6,), (1,))), ["7"], six_floats()), "1000000000000")
        self.refused(legacy(OrderedDict(x=tensor(Storage(FLOATS, "7", 6), 0, (6,), (1, 1))), ["7"], six_floats()), "strides")

    def test_another_format_is_refused(self):
        self.refused(b"", "cannot be read")
        self.refused(b"PK\x03\x04", "cannot be read")
        self.refused(legacy(OrderedDict(), [], b"", magic=1), "the magic number is 1")
        self.refused(legacy(OrderedDict(), [], b"", little_endian=False), "little-endian")


class NumpyLayers(unittest.TestCase):
    def array(self, values, shape=(2, 2), raw=None, kind="f4", order="<"):
        """An array as old numpy pickles it, spelled out, so that the names of its modules do not depend on the numpy at hand."""

        class Built:
            pass

        empty = Call(Global("numpy.core.multiarray", "_reconstruct"), (Global("numpy", "ndarray"), (0,), b"b"))
        element = Call(Global("numpy", "dtype"), (kind, 0, 1))
        raw = np.asarray(values, "<f4").tobytes() if raw is None else raw
        return empty, (1, shape, (element, (3, order, None, None, None, -1, -1, 0)), False, raw)

    def pickled(self, *arrays):
        """A dict of one layer whose arrays get their state by BUILD, as numpy's do."""

        class BuildWriter(Writer):
            def save(self, value, save_persistent_id=True):
                if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Call):
                    self.save(value[0])
                    self.save(value[1])
                    self.write(pickle.BUILD)
                else:
                    super().save(value, save_persistent_id)

        buffer = io.BytesIO()
        BuildWriter(buffer, 3).dump({"layer": list(arrays)})
        return buffer.getvalue()

    def test_arrays_are_read_right(self):
        layers = load_numpy_layers(self.pickled(self.array([1, 2, 3, 4])))
        np.testing.assert_array_equal(layers["layer"][0], np.array([[1, 2], [3, 4]], np.float32))

    def test_hostile_and_wrong_arrays_are_refused(self):
        cases = [
            (pickle.dumps({"layer": [Hostile()]}, 3), "which is refused"),
            (pickle.dumps([1], 3), "expected a dict"),
            (pickle.dumps({"layer": [1]}, 3), "is not an array"),
            (self.pickled(self.array([1, 2, 3])), "needs 16"),
            (self.pickled(self.array([1, 2, 3, 4], kind="O8", order="|")), "32-bit floats"),
            (self.pickled(self.array([1, 2, 3, 4], order=">")), "little-endian"),
            (self.pickled(self.array([1], shape=(10**6, 10**6))), "needs 4000000000000"),
            (self.pickled(self.array([1, 2, 3, 4])) + b"x", "goes on"),
        ]
        for data, part in cases:
            with self.assertRaises(PickleRefused) as caught:
                load_numpy_layers(data)
            self.assertIn(part, str(caught.exception))


class FlatTar(unittest.TestCase):
    def archive(self, *members):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as package:
            for name, kind in members:
                info = tarfile.TarInfo(name)
                info.type, info.size = kind, 3 if kind == tarfile.REGTYPE else 0
                info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
                package.addfile(info, io.BytesIO(b"abc"))
        return buffer.getvalue()

    def test_plain_files_are_read(self):
        self.assertEqual(read_flat_tar(self.archive(("a.jpg", tarfile.REGTYPE)), "x.tar.gz"), {"a.jpg": b"abc"})

    def test_paths_links_and_folders_are_refused(self):
        members = [("../a", tarfile.REGTYPE), ("/a", tarfile.REGTYPE), ("a/b", tarfile.REGTYPE), ("a\\b", tarfile.REGTYPE)]
        members += [("c:a", tarfile.REGTYPE), ("a", tarfile.SYMTYPE), ("a", tarfile.LNKTYPE), ("a", tarfile.DIRTYPE), ("a", tarfile.FIFOTYPE)]
        for member in members:
            with self.assertRaises(ArchiveError, msg=member):
                read_flat_tar(self.archive(member), "x.tar.gz")


if __name__ == "__main__":
    unittest.main()
