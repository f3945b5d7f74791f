"""What outlives a power cut: small files written all or nothing, and the names that lead to them.

A file goes by temporary file, fsync, rename, fsync of the folder: after a crash at any instant the name holds either
the old bytes or the new ones, never a mixture; after a return the new ones are on the disk.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from dhtshare.faults import disk_error

PRIVATE = 0o600


def sync_folder(path: Path) -> None:
    """Makes renames and new names inside `path` durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folders(path: Path, mode: int | None = None) -> None:
    """Makes a folder and the parents that it lacks, durably: what is fsynced inside is lost with a name on its way.

    All that are made get exactly this mode, or without one what the umask leaves. Raises OSError; FileExistsError where
    something else stands there.
    """
    if path.is_dir():
        return
    make_folders(path.parent, mode)
    try:
        path.mkdir(0o777 if mode is None else mode)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        if mode is not None:
            path.chmod(mode)
    with contextlib.suppress(PermissionError):  # a parent that may be written and not read cannot be fsynced
        sync_folder(path.parent)


def write_all(fd: int, data: bytes | bytearray) -> None:
    """Writes all of `data` at the file's position; one write may take less. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_atomic(path: Path, data: bytes | bytearray, mode: int = PRIVATE) -> None:
    """Replaces `path` by `data`, with exactly this mode whatever the umask.

    Raises DiskError; then the old file stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            os.fchmod(fd, mode)
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise disk_error("write", path, error) from error
