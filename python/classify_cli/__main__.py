"""``python -m classify_cli``: the program ``classify``."""

from __future__ import annotations

import os
import subprocess
import sys

from ._binary import find_program
from ._errors import ProgramError


def main() -> int:
    """Starts the program with this process's arguments."""
    try:
        program = str(find_program())
    except ProgramError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if os.name != "nt":
        sys.stdout.flush()
        os.execv(program, [program, *sys.argv[1:]])
    return subprocess.call([program, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
