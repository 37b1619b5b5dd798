"""The process that answers lines."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ._errors import ProgramError
from ._messages import Keywords, split_message

# The end of what the program writes to stderr.
MOST_MESSAGE_CHARACTERS = 16_384
# The exit code of usage and environment: starting again would not help.
USAGE = 2


class Died(Exception):
    """The process ended without an answer."""


class Worker:
    """A process of ``classify --stream``. One thread reads its answers, so that it never waits for this one."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None, keywords: Keywords) -> None:
        self._keywords = keywords
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=None if environment is None else {**os.environ, **environment},
                # Ctrl-C is for the program that holds this worker.
                start_new_session=os.name != "nt",
            )
        except OSError as error:
            raise ProgramError(f"cannot start {command[0]}: {error}") from error
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stderr = ""
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._read_answers, self._read_messages)]
        for thread in self._threads:
            thread.start()
        try:
            # A line without an image: its answer tells that the model is loaded.
            self.send(b"{}")
            self.hello = self.receive()
        except Died as error:
            self.close()
            message, hint = split_message(self._stderr, f"the program ended: {error}", keywords)
            raise ProgramError(message, hint) from None
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def send(self, line: bytes) -> None:
        """Writes a line."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Died(self._reason()) from error

    def receive(self) -> dict[str, Any]:
        """Returns the next answer. Raises :class:`Died` if there will be none."""
        answer = self._answers.get()
        if answer is None:
            # Whoever asks again gets the same.
            self._answers.put(None)
            raise Died(self._reason())
        parsed: dict[str, Any] = json.loads(answer)
        return parsed

    def has_answer(self) -> bool:
        """Whether an answer is there, or the end."""
        return not self._answers.empty()

    def close(self) -> None:
        """Ends the process, after the lines that it has taken."""
        process = self._process
        with suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith(b"\n"):
                self._answers.put(line)
        self._answers.put(None)

    def _read_messages(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode("utf-8", "replace")
            self._stderr = (self._stderr + text)[-MOST_MESSAGE_CHARACTERS:]

    def _reason(self) -> str:
        code = self._process.wait()
        self._threads[1].join()
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        if code == USAGE:
            message, hint = split_message(self._stderr, reason, self._keywords)
            raise ProgramError(message, hint)
        text = self._stderr.strip()
        return f"{reason}: {text}" if text else reason


def run_command(command: Sequence[str], environment: Mapping[str, str] | None) -> tuple[int, str]:
    """Runs a command. Returns its exit code, and what it wrote to stderr."""
    env = None if environment is None else {**os.environ, **environment}
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env, check=False)
    except OSError as error:
        raise ProgramError(f"cannot start {command[0]}: {error}") from error
    return done.returncode, done.stderr.decode("utf-8", "replace")
