"""A disk that is small enough to be filled: a tmpfs of its own, for homes and targets that must run out of space."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

SIZE_MIB = 160  # a home or some chunks fit beside what is always left free


class SmallDisk:
    """Mounted at `folder` from entering to leaving. Raises PermissionError where mounting is not allowed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def __enter__(self) -> Self:
        self.folder.mkdir()
        if sys.platform != "linux" or os.geteuid() != 0:
            raise PermissionError("a small disk needs Linux and the right to mount one")
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "none", str(self.folder)]
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            raise PermissionError(f"mounting is not allowed here: {mounted.stderr.strip()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    @property
    def left(self) -> int:
        """Bytes that still fit."""
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Take all that is free but `leave` bytes."""
        with self._filler.open("wb") as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(1, self.left - leave))
        if not leave:
            with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))

    def free(self) -> None:
        """Give back what was taken."""
        self._filler.unlink(missing_ok=True)

    def remount(self, options: str) -> None:
        """As `mount -o remount`."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], check=True)
