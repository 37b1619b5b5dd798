"""Usage: read_npz.py JSON NPZ — reads the same results as JSON Lines and as npz with Python's own parsers, checks that they say the
same, and prints how much that was."""

import json
import sys

import numpy as np

json_file, npz_file = sys.argv[1:]
done, failed = [], []
with open(json_file, encoding="utf-8") as file:
    for line in file:
        result = json.loads(line)
        (failed if "error" in result else done).append(result)

with np.load(npz_file, allow_pickle=False) as npz:
    arrays = dict(npz)
assert arrays.pop("image_paths").tolist() == [result["path"] for result in done]
assert arrays.pop("failed_paths").tolist() == [result["path"] for result in failed]
assert arrays.pop("best_class").tolist() == [result["top"][0]["class_id"] for result in done]
scores = np.array([result["top"][0]["score"] for result in done], np.float32)
best = arrays.pop("best_score")
assert best.dtype == np.float32 and best.tolist() == scores.tolist(), (best, scores)
assert set(arrays) == set(done[0]["outputs"]), set(arrays)
for name, array in arrays.items():
    outputs = [result["outputs"][name] for result in done]
    assert array.dtype == {"f32": np.float32, "i64": np.int64}[outputs[0]["type"]], array.dtype
    # The batch of an image is the row of the array.
    expected = np.stack([np.array(each["values"], array.dtype).reshape(each["shape"])[0] for each in outputs])
    assert array.shape == expected.shape and (array == expected).all(), name
    assert array.flags.c_contiguous and array.dtype.isnative, name
print(f"{len(done)} images, {len(failed)} error, {', '.join(sorted(arrays))}")
