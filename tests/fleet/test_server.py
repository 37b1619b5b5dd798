"""`classify` against a server from PyPI: namespace.sh PYTHON test_server.py CLASSIFY ASSETS KIND

KIND is mlserver, kserve, kserve-typed, ray or ray-typed: those with -typed answer with typed contents, the others with raw
ones. PYTHON has the server's package and ONNX Runtime. deploy/README.md has the commands.
"""

import json
import math
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


def script(name, form):
    """Returns the function of a server that answers in this form."""
    return lambda _, http, grpc: [sys.executable, SERVERS / name, MODEL, "squeezenet", http, grpc, form]


COMMANDS = {
    "mlserver": mlserver,
    "kserve": script("kserve_server.py", "raw"),
    "kserve-typed": script("kserve_server.py", "typed"),
    "ray": script("ray_serve.py", "raw"),
    "ray-typed": script("ray_serve.py", "typed"),
}


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
        end = time.monotonic() + 180
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

    def test_the_form_of_replies_is_the_expected_one(self):
        """Asks as `classify` does, with the messages of the server's own package."""
        if KIND == "mlserver":
            from mlserver.grpc import dataplane_pb2 as messages, dataplane_pb2_grpc as services
        elif KIND.startswith("kserve"):
            from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages, grpc_predict_v2_pb2_grpc as services
        else:
            sys.path.insert(0, str(SERVERS))
            import ray_serve

            sys.path.insert(0, ray_serve.protocol())
            import open_inference_pb2 as messages, open_inference_pb2_grpc as services
        import grpc

        shape = [1, *INPUT.shape[1:]]
        request = messages.ModelInferRequest(
            model_name="squeezenet",
            inputs=[{"name": INPUT.name, "datatype": "FP32", "shape": shape}],
            raw_input_contents=[bytes(4 * math.prod(shape))],
        )
        with grpc.insecure_channel(self.url.removeprefix("grpc://")) as channel:
            reply = services.GRPCInferenceServiceStub(channel).ModelInfer(request)
        numbers = len(reply.raw_output_contents), len(reply.outputs[0].contents.fp32_contents)
        self.assertEqual(numbers, (0, 1000) if KIND.endswith("-typed") else (1, 0))

    def test_requests_of_several_images_give_the_same(self):
        one, several = (self.remote("-i", *PHOTOS, "--format", "json", "--batch", batch) for batch in "16")
        self.assertEqual(several.returncode, 0, several.stderr)
        self.assertEqual(*map(self.classes, (one, several)))

    def classes(self, run):
        rows = [json.loads(line) for line in run.stdout.splitlines()]
        self.assertEqual(len(rows), len(PHOTOS))
        self.assertFalse([row for row in rows if "error" in row])
        return [(row["path"], [best["class_id"] for best in row["top"]]) for row in rows]

    @unittest.skipIf(KIND.startswith("ray"), "Ray Serve has no such limit")
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
