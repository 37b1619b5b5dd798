"""Makes a package `classify` with a script of that name, for the test that another package replaces the program.

    stranger.py FOLDER
"""

import sys
import zipfile
from pathlib import Path

INFO = "classify-0.0.0.dist-info"
FILES = {
    "classify_stranger.py": "def main():\n    print('the stranger')\n",
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: classify\nVersion: 0.0.0\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/entry_points.txt": "[console_scripts]\nclassify = classify_stranger:main\n",
    f"{INFO}/RECORD": "".join(f"{name},,\n" for name in ("classify_stranger.py", f"{INFO}/METADATA", f"{INFO}/WHEEL", f"{INFO}/RECORD")),
}


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "classify-0.0.0-py3-none-any.whl", "w") as package:
        for name, text in FILES.items():
            package.writestr(name, text)


if __name__ == "__main__":
    main()
