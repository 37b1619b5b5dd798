"""Runs a command and prints the most memory that it had, in KiB.

usage: peak.py COMMAND...
"""

import resource
import subprocess
import sys

ran = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
assert ran.returncode == 0, ran
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak // 1024 if sys.platform == "darwin" else peak)
