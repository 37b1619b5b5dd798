"""`classify` against real Triton servers: python test_triton.py CLASSIFY ASSETS

It runs in a network of its own, see `cargo verify-fleet`, and starts the servers itself.
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

import server

CLASSIFY, ASSETS = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
UNPACKED = ASSETS / "fleet"
MODEL = ASSETS / "models" / "squeezenet1.1.onnx"
PHOTOS = sorted((ASSETS / "photos").glob("*.[jp]*g"))
ENVIRONMENT = {**os.environ, "CLASSIFY_HOME": str(ASSETS)}


def classify(*arguments, **options):
    return subprocess.run(
        [CLASSIFY, *map(str, arguments)], capture_output=True, text=True, env=ENVIRONMENT, timeout=300, **options
    )


class TritonTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        root = pathlib.Path(cls.directory.name)
        cls.models = server.repository(root / "models", {"squeezenet": MODEL})
        cls.backends = server.backends(root / "backends", UNPACKED)
        cls.first = cls.start("first").wait()
        cls.url = f"grpc://127.0.0.1:{cls.first.port}"

    @classmethod
    def start(cls, name):
        triton = server.Triton(UNPACKED, cls.models, cls.backends, pathlib.Path(cls.directory.name) / f"{name}.log")
        cls.addClassCleanup(triton.kill)
        return triton

    def remote(self, url, *arguments):
        return ["--backend", "remote", "--url", url, "-m", "squeezenet", "--preprocess", MODEL, *arguments]

    def test_the_fleet_gives_the_same_top_10_as_this_machine(self):
        report = pathlib.Path(self.directory.name) / "report.json"
        run = classify(
            "compare", "onnx", f"remote={self.url}/squeezenet", "-m", MODEL, "-i", *PHOTOS, "--top", "10", "--report", report
        )
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        report = json.loads(report.read_text())
        self.assertEqual(report["verdict"], "agree")
        self.assertEqual(report["pictures"], len(PHOTOS))
        (pair,) = report["pairs"]
        self.assertEqual(pair["ordered_match"]["count"], len(PHOTOS))
        local = classify("--backend", "onnx", "-m", MODEL, "-i", *PHOTOS, "-q")
        remote = classify(*self.remote(self.url, "-i", *PHOTOS, "-q"))
        blocks = lambda run: [line for line in run.stdout.splitlines() if " on " not in line]
        self.assertEqual(blocks(local), blocks(remote), local.stderr + remote.stderr)

    def test_requests_of_several_images_give_the_same(self):
        one = classify(*self.remote(self.url, "-i", *PHOTOS, "--format", "json"))
        several = classify(*self.remote(self.url, "-i", *PHOTOS, "--format", "json", "--batch", "6"))
        self.assertEqual(several.returncode, 0, several.stderr)
        self.assertEqual(self.classes(one), self.classes(several))

    def classes(self, run):
        rows = [json.loads(line) for line in run.stdout.splitlines()]
        self.assertFalse([row for row in rows if "error" in row])
        return [(row["path"], [(best["class_id"], best["label"]) for best in row["top"]]) for row in rows]

    def test_a_model_that_the_server_lacks_is_named(self):
        run = classify("--backend", "remote", "--url", self.url, "-m", "resnet", "--preprocess", MODEL, "-i", PHOTOS[0])
        self.assertEqual(run.returncode, 2, run.stdout)
        self.assertIn("resnet", run.stderr)
        self.assertIn("hint:", run.stderr)

    def test_a_killed_server_costs_no_image(self):
        second = self.start("second").wait()
        url = f"{self.url},127.0.0.1:{second.port}"
        images = PHOTOS * 12
        command = [CLASSIFY, *map(str, self.remote(url, "-i", "-", "--format", "json"))]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        errors = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
        reader.start()
        feeder = threading.Thread(target=lambda: self.feed(process.stdin, images))
        feeder.start()
        rows = []
        for line in process.stdout:
            rows.append(json.loads(line))
            if len(rows) == len(images) // 3:
                second.kill()
        feeder.join()
        reader.join()
        process.stdout.close()
        process.stderr.close()
        self.assertEqual(process.wait(), 0, errors)
        self.assertEqual([row["path"] for row in rows], [str(image) for image in images])
        self.assertFalse([row for row in rows if "error" in row])
        local = classify("--backend", "onnx", "-m", MODEL, "-i", *PHOTOS, "--format", "json")
        best = {path: classes for path, classes in self.classes(local)}
        for row in rows:
            self.assertEqual([(top["class_id"], top["label"]) for top in row["top"]], best[row["path"]])

    def feed(self, stdin, images):
        for image in images:
            stdin.write(f"{image}\n")
        stdin.close()

    def test_throughput_is_measured(self):
        """Prints the ratios of remote to local; nothing is asserted of them."""
        images = PHOTOS * 8
        seconds = {}
        for round in range(2):
            for name, command in {
                "local": ["--backend", "onnx", "-m", MODEL],
                "remote, requests of 1": self.remote(self.url),
                "remote, requests of 6": self.remote(self.url, "--batch", "6"),
            }.items():
                start = time.monotonic()
                run = classify(*command, "-i", *images, "--format", "json", "-q")
                self.assertEqual(run.returncode, 0, run.stderr)
                seconds.setdefault(name, []).append(time.monotonic() - start)
        for name, values in seconds.items():
            best = min(values)
            print(f"{name}: {len(images) / best:.1f} images/s, {min(seconds['local']) / best:.2f} of local")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
