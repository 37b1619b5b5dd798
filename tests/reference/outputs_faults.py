"""Usage: outputs_faults.py OUTPUTS.npz DIRECTORY — writes archives that differ from OUTPUTS by one fault each, called NAME.npz, and
damaged copies in the directory `damaged`."""

import io
import random
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

source, directory = Path(sys.argv[1]), Path(sys.argv[2])
with np.load(source, allow_pickle=False) as archive:
    good = dict(archive)
logits, images, hashes = good["logits"], good["images"], good["hashes"]
missing = object()


def write(name, **changes):
    arrays = {key: value for key, value in {**good, **changes}.items() if value is not missing}
    np.savez(directory / f"{name}.npz", **arrays)


def with_value(value):
    changed = logits.copy()
    changed[1, 3] = value
    return changed


other = hashes.copy()
other[1] = "0" * 64
short = hashes.copy()
short[0] = "abc"
write("other-hash", hashes=other)
write("no-hash", hashes=short)
write("no-hashes", hashes=missing, preprocessing=missing)
write("hashes-alone", preprocessing=missing)
write("fewer-hashes", hashes=hashes[:1])
write("fewer-rows", logits=logits[:1])
write("one-dimension", logits=logits.reshape(-1))
write("three-dimensions", logits=logits[:, :, None])
write("fewer-classes", logits=logits[:, :-1])
write("no-classes", logits=logits[:, :0])
write("nan", logits=with_value(np.nan))
write("infinite", logits=with_value(np.inf))
write("integers", logits=logits.astype(np.int64))
write("text", logits=logits.astype(str))
write("objects", images=np.array(images.tolist(), dtype=object))
write("bytes", images=images.astype("S"))
write("fortran", logits=np.asfortranarray(logits))
write("big-endian", logits=logits.astype(">f4"))
write("doubles", logits=logits.astype(np.float64))
write("halves", logits=logits.astype(np.float16))
write("other-images", images=np.array(["x.jpg", "y.jpg"]), hashes=missing, preprocessing=missing)
write("other-names", images=np.array(["x.jpg", "y.jpg"]))
write("twice", images=np.array([images[0]] * 2))
write("no-images", images=missing)
write("no-outputs", logits=missing)
write("both-outputs", probabilities=logits)
write("not-probabilities", logits=missing, probabilities=logits * 100)
write("unknown", softmax=logits)
write("tensors", tensors=logits)
np.savez(directory / "unnamed.npz", logits)
write("one-image", logits=logits[:1], images=images[:1], hashes=hashes[:1])
more = {"logits": logits[[0, 1, 1]], "images": np.append(images, "c.ppm"), "hashes": np.append(hashes, "1" * 64)}
write("more-images", **more)
write("empty", logits=logits[:0], images=images[:0], hashes=hashes[:0])
write("preprocessing", preprocessing=np.array("{}"))
settings = str(good["preprocessing"])
assert '"mean":"0,0,0"' in settings, settings
write("other-mean", preprocessing=np.array(settings.replace('"mean":"0,0,0"', '"mean":"127.5,127.5,127.5"')))
np.savez_compressed(directory / "compressed.npz", **good)
(directory / "text.npz").write_text("these are no arrays")
np.save(directory / "single.npy", logits)
(directory / "arrays").mkdir()
for name, array in good.items():
    np.save(directory / "arrays" / f"{name}.npy", array)


def header(descr, shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def archive(name, replaced, method=zipfile.ZIP_DEFLATED):
    """The good archive with other bytes for some arrays."""
    with zipfile.ZipFile(directory / f"{name}.npz", "w", method) as target, zipfile.ZipFile(source) as whole:
        for file in whole.namelist():
            target.writestr(file, replaced.get(file, whole.read(file)))


# A shape without its bytes; 400 MB that are 400 kB; names as long as a disk.
archive("huge-shape", {"logits.npy": header("<f4", (2, 1_000_000))})
archive("too-large", {"logits.npy": header("<f4", (10_000_000, 1_000_000)), "images.npy": header("<U1", (10_000_000,))})
archive("bomb", {"logits.npy": header("<f4", (2, 12_500_000)) + bytes(100_000_000)})
names = "".join(chr(ord("0") + place) for place in range(70)).encode("utf-32-le")
archive(
    "bomb-of-classes",
    {
        "logits.npy": header("<f4", (70, 1_000_000)) + bytes(280_000_000),
        "images.npy": header("<U1", (70,)) + names,
    },
)
archive("long-names", {"images.npy": header("<U1000000000", (2,))})
archive("many-names", {"images.npy": header("<U1", (1 << 60,))})
archive("long-header", {"images.npy": b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31)})
archive("deep-header", {"images.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b"(" * 60_000})
archive("structured", {"logits.npy": header([("a", "<f4")], (2,)) + bytes(8)})
archive("surrogate", {"images.npy": header("<U1", (2,)) + struct.pack("<II", 0xD800, 0x41)})
archive("longer", {"logits.npy": header("<f4", logits.shape) + logits.tobytes() + b"more"})

damaged = directory / "damaged"
damaged.mkdir()
random = random.Random(20)
for original in (source, directory / "compressed.npz"):
    whole = original.read_bytes()
    for number in range(60):
        changed = bytearray(whole)
        for _ in range(random.choice([1, 1, 2, 8])):
            changed[random.randrange(len(changed))] = random.randrange(256)
        if number % 3 == 0:
            del changed[random.randrange(len(changed)) :]
        (damaged / f"{original.stem}-{number}.npz").write_bytes(changed)
