"""A few open files kept for the next chunk: opening anew for each would cost more than a small chunk itself.

Never hands out a descriptor that it may close: each caller gets a duplicate of its own, so that closing the
oldest file can never make another thread send from a reused number.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

#: Few, so that a node still works under `ulimit -n 64`.
OPEN_FILES = 8


class OpenFiles:
    """The least recently used of at most `limit` files is closed. Safe from several threads."""

    def __init__(self, limit: int = OPEN_FILES, refused: Callable[[BaseException], bool] = lambda _: False) -> None:
        """`refused` is told, in any thread, when no descriptor was left."""
        self._limit = limit
        self._refused = refused
        self._files: OrderedDict[Hashable, int] = OrderedDict()
        self._lock = threading.Lock()

    def borrow(self, key: Hashable, opener: Callable[[], int]) -> int:
        """A descriptor that the caller closes; `opener` is called when the file is not open. Raises its OSError.

        Where no descriptor is left, the files kept are closed: eight that others can use.
        """
        try:
            return self._borrow(key, opener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._refused(error)
            self.close()
            return self._borrow(key, opener)

    def _borrow(self, key: Hashable, opener: Callable[[], int]) -> int:
        with self._lock:
            fd = self._files.get(key)
            if fd is not None:
                self._files.move_to_end(key)
                return os.dup(fd)
        opened = opener()
        with self._lock:
            if key in self._files:  # another thread was quicker; its descriptor stays
                return opened
            lent = _duplicate_or_close(opened)
            self._files[key] = opened
            if len(self._files) > self._limit:
                os.close(self._files.popitem(last=False)[1])
        return lent

    def forget(self, key: Hashable) -> None:
        """Closes one file, if it is open."""
        with self._lock:
            fd = self._files.pop(key, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Closes all. Borrowed duplicates stay open until their callers close them."""
        with self._lock:
            while self._files:
                os.close(self._files.popitem()[1])

    def __len__(self) -> int:
        return len(self._files)


def _duplicate_or_close(fd: int) -> int:
    try:
        return os.dup(fd)
    except OSError:  # EMFILE: then not even the first may leak
        os.close(fd)
        raise
