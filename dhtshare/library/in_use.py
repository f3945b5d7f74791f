"""Closing something that other threads may be using at this moment: the last to leave closes it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dhtshare.errors import DiskError


class InUse:
    """Invariant: `release` is called once, after `close`, when nobody is inside any more.

    Otherwise a descriptor number could be closed and given to another file while a thread still writes to it.
    """

    def __init__(self, name: str, release: Callable[[], None]) -> None:
        self._name = name
        self._release = release
        self._lock = threading.Lock()
        self._users = 1  # the owner
        self._closed = False

    def __enter__(self) -> None:
        """While inside, nothing is released. Raises DiskError once closed."""
        with self._lock:
            if self._closed:
                raise DiskError(f"The fetch of {self._name} has ended.")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        self.leave()

    def close(self) -> bool:
        """Lets nobody in any more; False when that was so already. The owner calls `leave` when it has cleaned up."""
        with self._lock:
            first, self._closed = not self._closed, True
        return first

    def leave(self) -> None:
        """One user less."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self._release()
