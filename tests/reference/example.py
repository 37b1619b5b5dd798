"""Runs an example of the package `classify-tests` as a process that answers line by line."""

import json
import os
import pathlib
import subprocess

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent


class Example:
    """An example that is built and runs."""

    def __init__(self, name):
        command = ["cargo", "build", "--quiet", "--package", "classify-tests", "--example", name]
        subprocess.run(command, cwd=CHECKOUT, check=True)
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))
        program = target / "debug" / "examples" / (f"{name}.exe" if os.name == "nt" else name)
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line):
        """The JSON object that answers a line of bytes."""
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def read(self, count):
        """The bytes that follow the answer."""
        return self.process.stdout.read(count)
