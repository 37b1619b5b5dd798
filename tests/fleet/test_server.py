"""`classify` against MLServer or KServe's model server: namespace.sh PYTHON test_server.py CLASSIFY ASSETS mlserver|kserve

PYTHON has the server's package and ONNX Runtime. deploy/README.md has the commands.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import onnxruntime

CLASSIFY, ASSETS = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
KIND = sys.argv[3]
SERVERS = pathlib.Path(__file__).resolve().parent / "servers"
MODEL = ASSETS / "models" / "squeezenet1.1.onnx"
INPUT = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"]).get_inputs()[0]
PHOTOS = sorted((ASSETS / "photos").glob("*.[jp]*g"))


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def mlserver(directory, http, grpc):
    """Writes the settings. Returns the command."""
    settings = {
        "host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_endpoint": None, "parallel_workers": 0,
    }
    model = {
        "name": "squeezenet",
        "implementation": "mlserver_runtime.OnnxRuntime",
        "parameters": {"uri": str(MODEL)},
        "inputs": [{"name": INPUT.name, "datatype": "FP32", "shape": [-1, *INPUT.shape[1:]]}],
    }
    (directory / "settings.json").write_text(json.dumps(settings))
    (directory / "model-settings.json").write_text(json.dumps(model))
    return [pathlib.Path(sys.executable).with_name("mlserver"), "start", directory]


def kserve(_, http, grpc):
    """Returns the command."""
    return [sys.executable, SERVERS / "kserve_server.py", MODEL, "squeezenet", http, grpc]


COMMANDS = {"mlserver": mlserver, "kserve": kserve}


def classify(*arguments):
    environment = {**os.environ, "CLASSIFY_HOME": str(ASSETS)}
    return subprocess.run(
        [CLASSIFY, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=300
    )


class ServerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.directory = pathlib.Path(temporary.name)
        http, grpc = free_port(), free_port()
        cls.log = cls.directory / "log"
        with cls.log.open("w") as log:
            cls.server = subprocess.Popen(
                list(map(str, COMMANDS[KIND](cls.directory, http, grpc))),
                stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(SERVERS)},
            )
        cls.addClassCleanup(cls.server.wait)
        cls.addClassCleanup(cls.server.kill)
        cls.url = f"grpc://127.0.0.1:{grpc}"
        end = time.monotonic() + 90
        while cls.server.poll() is None and time.monotonic() < end:
            run = cls.remote("-i", PHOTOS[0])
            if run.returncode == 0:
                return
            time.sleep(0.3)
        raise AssertionError(f"the server did not become ready: {run.stderr}\n{cls.log.read_text()[-8000:]}")

    @classmethod
    def remote(cls, *arguments):
        return classify("--backend", "remote", "--url", cls.url, "-m", "squeezenet", "--preprocess", MODEL, *arguments)

    def test_the_server_gives_the_same_top_10_as_this_machine(self):
        report = self.directory / "report.json"
        run = classify(
            "compare", "onnx", f"remote={self.url}/squeezenet", "-m", MODEL, "-i", *PHOTOS, "--top", "10", "--report", report
        )
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        report = json.loads(report.read_text())
        (pair,) = report["pairs"]
        self.assertEqual([pair["ordered_match"]["count"], report["compared"]], [len(PHOTOS)] * 2)
        print(report["runs"][1]["facts"]["engine"], report["verdict"], file=sys.stderr)

    def test_requests_of_several_images_give_the_same(self):
        one, several = (self.remote("-i", *PHOTOS, "--format", "json", "--batch", batch) for batch in "16")
        self.assertEqual(several.returncode, 0, several.stderr)
        self.assertEqual(*map(self.classes, (one, several)))

    def classes(self, run):
        rows = [json.loads(line) for line in run.stdout.splitlines()]
        self.assertEqual(len(rows), len(PHOTOS))
        self.assertFalse([row for row in rows if "error" in row])
        return [(row["path"], [best["class_id"] for best in row["top"]]) for row in rows]

    def test_a_request_above_the_server_s_limit_names_the_limit(self):
        """14 images have 8.7 MB: both servers refuse that."""
        run = self.remote("-i", *PHOTOS, "--batch", "14", "--max-message", "64MB")
        self.assertNotEqual(run.returncode, 0, run.stdout)
        self.assertIn("--max-message", run.stderr)

    def test_a_model_that_the_server_lacks_is_named(self):
        run = classify("--backend", "remote", "--url", self.url, "-m", "resnet", "--preprocess", MODEL, "-i", PHOTOS[0])
        self.assertEqual(run.returncode, 2, run.stdout)
        self.assertIn("resnet", run.stderr)
        self.assertIn("hint:", run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
