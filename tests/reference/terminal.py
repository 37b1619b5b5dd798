"""Usage: terminal.py [NAME=VALUE] PROGRAM ARGUMENT... — runs the program with a terminal for stderr and prints what it wrote there."""

import os
import pty
import subprocess
import sys

arguments = sys.argv[1:]
environment = {**os.environ, "TERM": "xterm-256color"}
for name in ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"):
    environment.pop(name, None)
if "=" in arguments[0]:
    name, value = arguments.pop(0).split("=", 1)
    environment[name] = value
ours, theirs = pty.openpty()
process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
os.close(theirs)
seen = b""
while True:
    try:
        part = os.read(ours, 65536)
    except OSError:
        # The other end is closed.
        break
    if not part:
        break
    seen += part
process.wait()
sys.stdout.write(seen.decode(errors="replace"))
