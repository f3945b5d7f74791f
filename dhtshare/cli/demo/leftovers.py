"""The folders of demos that were killed: each is marked as alive by a lock, and those whose lock is free are removed.

The lock is held by the demo and by its nodes, which outlive it for a moment: none of them ever loses its home.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "dhtshare-demo-"
LOCK = "lock"
YOUNG_SECONDS = 60.0  # a folder is left alone while its demo may not have come to lock it


@contextmanager
def marked_alive(folder: Path) -> Iterator[int]:
    """Within, `folder` is in use: the descriptor to hand to whoever lives in it, too."""
    fd = os.open(folder / LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def remove_dead(places: Iterable[Path]) -> int:
    """Removes what killed demos of this user left in these folders; how many there were."""
    removed = 0
    for place in places:
        for folder in place.glob(f"{PREFIX}*"):
            with suppress(OSError):  # somebody else's, or gone meanwhile
                removed += _remove_if_dead(folder)
    return removed


def _remove_if_dead(folder: Path) -> bool:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    fd = os.open(folder / LOCK, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if time.time() - os.fstat(fd).st_mtime < YOUNG_SECONDS:
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError where it lives
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(fd)
