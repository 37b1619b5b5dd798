"""The Ray examples on two nodes, one of which is killed: namespace.sh PYTHON test_ray.py CLASSIFY ASSETS

PYTHON has the package ray. Both nodes are on this machine.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "deploy"))
CLASSIFY, ASSETS = (str(pathlib.Path(word).resolve()) for word in sys.argv[1:3])
os.environ["CLASSIFY_HOME"] = ASSETS
# Workers import the module of the example.
os.environ["PYTHONPATH"] = sys.path[0]
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"

import ray
import ray_shards
import ray_stream
from ray.cluster_utils import Cluster

MODEL = f"{ASSETS}/models/squeezenet1.1.onnx"
PHOTOS = sorted(map(str, pathlib.Path(ASSETS, "photos").glob("*.[jp]*g")))


def rows(text):
    """Returns the paths and classes of rows."""
    rows = [json.loads(line) for line in text.splitlines()]
    return [(row["path"], [best["class_id"] for best in row["top"]]) for row in rows]


class RayTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = temporary.name
        self.images = f"{self.directory}/list.txt"
        pathlib.Path(self.images).write_text("".join(f"{photo}\n" for photo in PHOTOS * 8))
        command = [CLASSIFY, "-m", MODEL, "--input-list", self.images, "--format", "json", "--quiet"]
        self.whole = rows(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        self.addCleanup(self.cluster.shutdown)
        self.addCleanup(ray.shutdown)
        self.second = self.cluster.add_node(num_cpus=1)
        self.cluster.wait_for_nodes()

    def test_a_killed_node_costs_no_row(self):
        ray.init(address=self.cluster.address)
        parts = pathlib.Path(self.directory) / "parts"

        def kill():
            while len(list(parts.glob("part-*.manifest.json"))) < 3:
                time.sleep(0.05)
            self.cluster.remove_node(self.second, allow_graceful=False)

        killer = threading.Thread(target=kill)
        killer.start()
        nodes = ray_shards.main(CLASSIFY, MODEL, self.images, str(parts), 12)
        killer.join()
        end = time.monotonic() + 60
        while len([node for node in ray.nodes() if node["Alive"]]) > 1 and time.monotonic() < end:
            time.sleep(0.2)
        self.assertEqual(len([node for node in ray.nodes() if node["Alive"]]), 1)
        print("tasks per node:", [nodes.count(node) for node in set(nodes)], file=sys.stderr)
        merged = subprocess.run([CLASSIFY, "merge", parts], check=True, capture_output=True, text=True).stdout
        self.assertEqual(rows(merged), self.whole)

    def test_workers_of_the_stream_give_the_rows_of_one_process(self):
        os.environ["RAY_ADDRESS"] = self.cluster.address
        self.addCleanup(os.environ.pop, "RAY_ADDRESS")
        output = pathlib.Path(self.directory) / "rows.jsonl"
        ray_stream.main(CLASSIFY, MODEL, self.images, output, block=20)
        self.assertEqual(rows(output.read_text()), self.whole)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
