"""Opening files without ever following a symbolic link, on any component of the path.

A link planted on the way could make a published path serve another file, or a fetched one be written outside
its target. So each folder is opened relative to the one before it, and a link anywhere is an error.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

#: O_PATH needs only the right to pass through a folder, as an ordinary open of a file in it does.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # opening a planted pipe must not wait for its other end


@contextlib.contextmanager
def walk(root: int | None, folders: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
    """A descriptor of the folder reached from `root` (None: from '/') by these names, made where missing if `make`.

    Raises OSError: ENOTDIR or ELOOP where a link or a file stands in the way. The descriptor is fit for
    `dir_fd=` only, and closed on leaving.
    """
    current = os.open("/" if root is None else ".", _PASS, dir_fd=root)
    try:
        for name in folders:
            try:
                following = os.open(name, _PASS, dir_fd=current)
            except FileNotFoundError:
                if not make:
                    raise
                with contextlib.suppress(FileExistsError):  # another thread may make it at the same time
                    os.mkdir(name, dir_fd=current)  # pathlib knows no dir_fd
                following = os.open(name, _PASS, dir_fd=current)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


def open_beneath(root: int | None, relative: str, flags: int, mode: int = 0o666, *, make: bool = False) -> int:
    """Opens `relative` ('/' between parts) below `root`; `make` makes its folders. Raises OSError.

    Only regular files: a pipe or device that took the name is refused with EINVAL.
    """
    *folders, name = relative.split("/")
    with walk(root, tuple(folders), make=make) as folder:
        fd = os.open(name, flags | _FILE, mode, dir_fd=folder)
    if not _is_regular(fd):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", relative)
    return fd


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """Opens an absolute, real path (see `real_path`) without following any link. Raises OSError."""
    if not path.is_absolute():
        raise ValueError(f"{path} is not absolute")
    return open_beneath(None, str(path)[1:], flags)


def open_folder(root: int | None, folders: tuple[str, ...]) -> int:
    """A descriptor of a folder that can be fsynced; the caller closes it. Raises OSError."""
    with walk(root, folders) as folder:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)


def real_path(path: Path) -> Path:
    """The absolute path with every link on the way resolved once, by the user who named it."""
    return Path(os.path.realpath(path))


def _is_regular(fd: int) -> bool:
    return os.fstat(fd).st_mode & 0o170000 == 0o100000
