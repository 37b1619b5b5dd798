"""Tells set-up what the interpreter that runs this is and can do, as `key=value` lines.

Written so that Python 2.7 and the oldest 3.x can run it too: they have to say that they are too old, not stop at a syntax error.
"""

import platform
import struct
import sys


def has(module):
    try:
        __import__(module)
        return True
    except Exception:  # A broken installation raises more than ImportError.
        return False


def pip_version():
    try:
        import pip

        return pip.__version__
    except Exception:
        return ""


print("version={}.{}.{}".format(*sys.version_info[:3]))
print("implementation={}".format(platform.python_implementation()))
print("platform={}-{}-{}bit".format(sys.platform, platform.machine(), 8 * struct.calcsize("P")))
print("threading={}".format("free" if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled() else "gil"))
print("venv={}".format("yes" if has("venv") else "no"))
print("ensurepip={}".format("yes" if has("ensurepip") else "no"))
print("pip={}".format(pip_version()))
