"""Waiting until a process is gone: `stop` returns when the home is free again."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable

_PAUSE = 0.02


def wait_for_exit(pid: int, timeout: float) -> bool:
    """Whether process `pid` ended within `timeout` seconds. It need not be a child of ours."""
    if hasattr(os, "pidfd_open"):
        return _wait_on_descriptor(pid, timeout)
    return wait_until(lambda: not _is_alive(pid), timeout)


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Whether `condition` held within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _wait_on_descriptor(pid: int, timeout: float) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        # Readable once the process has ended, even while its parent has not yet asked how (a zombie).
        return bool(select.select([descriptor], [], [], timeout)[0])
    finally:
        os.close(descriptor)


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
