"""Is there room? Asked before the first byte is written, so that a disk is never filled in vain."""

from __future__ import annotations

import os

from dhtshare.errors import DiskError

#: Left free for whatever else lives on the disk.
RESERVE_BYTES = 100_000_000


def check_space(folder: int, needed: int, name: str) -> None:
    """Raises DiskError, naming both figures, when `needed` more bytes would not leave the reserve free.

    `folder` is a descriptor of any folder on the disk in question.
    """
    status = os.fstatvfs(folder)
    free = status.f_bavail * status.f_frsize
    if needed > max(0, free - RESERVE_BYTES):
        raise DiskError(
            f"Too little space for {name}: {_mebibytes(needed)} more are needed and {_mebibytes(free)} are free, "
            f"of which {_mebibytes(RESERVE_BYTES)} stay untouched. Free some space, or name another folder with -o."
        )


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"
