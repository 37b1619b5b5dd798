"""Triton, as it comes from PyPI (nvidia-pytriton), on loopback addresses."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request

import onnxruntime

HERE = pathlib.Path(__file__).parent
# ONNX Runtime is here.
PACKAGES = pathlib.Path(sysconfig.get_paths()["purelib"])
CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 0
input {{ name: "{input}" data_type: TYPE_FP32 dims: [{input_dims}] }}
output {{ name: "{output}" data_type: TYPE_FP32 dims: [{output_dims}] }}
parameters {{ key: "model" value: {{ string_value: "{model}" }} }}
"""


def repository(directory, models):
    """Writes a repository of models: names and ONNX files. Returns the directory."""
    for name, model in models.items():
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        (source,), result = session.get_inputs(), session.get_outputs()[0]
        version = directory / name / "1"
        version.mkdir(parents=True)
        shutil.copy(HERE / "model.py", version)
        dims = [", ".join(["-1"] + [str(side) for side in each.shape[1:]]) for each in (source, result)]
        config = CONFIG.format(
            name=name, input=source.name, output=result.name, input_dims=dims[0], output_dims=dims[1], model=model,
        )
        (directory / name / "config.pbtxt").write_text(config)
    return directory


def backends(directory, unpacked):
    """Copies the Python backend with the stub of this interpreter. Returns the directory."""
    distribution = unpacked / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = distribution / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        sys.exit(f"Triton's Python backend has no stub for Python {version}")
    shutil.copytree(distribution / "backends" / "python", directory / "python")
    shutil.copy(stub, directory / "python")
    return directory


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Triton:
    """A running server. `unpacked` is the directory of the package."""

    def __init__(self, unpacked, models, backends, log):
        self.port, http = free_port(), free_port()
        self.log = log
        # The stub of the Python backend needs the libraries.
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(unpacked / "nvidia_pytriton.libs"),
            # The backend needs the older numpy that comes with it.
            "FLEET_PACKAGES": os.pathsep.join(map(str, (unpacked, PACKAGES))),
        }
        command = [
            unpacked / "pytriton" / "tritonserver" / "bin" / "tritonserver",
            f"--model-repository={models}",
            f"--backend-directory={backends}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={self.port}",
            "--http-address=127.0.0.1",
            f"--http-port={http}",
            "--allow-metrics=false",
        ]
        with log.open("w") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        self.ready = f"http://127.0.0.1:{http}/v2/health/ready"

    def wait(self):
        """Waits until the server has its models, for two minutes at most."""
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(self.ready, timeout=5) as reply:
                    if reply.status == 200:
                        return self
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(0.2)
        self.kill()
        sys.exit(f"the server did not become ready:\n{self.log.read_text()[-12000:]}")

    def kill(self):
        self.process.kill()
        self.process.wait()
