"""Chunk bytes from a file to a socket without passing through Python. The one module that knows the platform.

A file job runs in a worker thread on a non-blocking socket: it sends what fits, waits a moment for more room,
and otherwise returns, so that a slow peer never holds a thread.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable

from dhtshare.content.open_chunk import OpenChunk
from dhtshare.errors import DiskError

POLL_MILLISECONDS = 5
AVAILABLE = hasattr(os, "sendfile")


class FileJob:
    """One frame whose payload lies in a file: `header`, then `length` bytes from `skip` inside the opened chunk."""

    def __init__(
        self,
        header: bytes,
        opener: Callable[[], OpenChunk],
        closer: Callable[[OpenChunk], None],
        skip: int,
        length: int,
    ) -> None:
        self._header = memoryview(header)
        self._opener = opener
        self._closer = closer
        self._opened: OpenChunk | None = None
        self._skip = skip
        self.left = length
        self.started = False

    def open(self) -> None:
        """Open the chunk. Raises OSError or DiskError; nothing was sent then, so a refusal can still be."""
        if self._opened is None:
            opened = self._opener()
            self._opened = opened
            if self._skip + self.left > opened.length:
                raise DiskError("A chunk on the disk is shorter than it was.")

    def step(self, sock: socket.socket, most: int) -> int:
        """Send up to `most` bytes of the payload; how many went. Raises OSError (the connection) or DiskError."""
        self.open()
        assert self._opened is not None
        sent = 0
        self.started = True
        while self._header:
            try:
                self._header = self._header[sock.send(self._header, _MORE) :]
            except BlockingIOError:
                return 0
        target, source, position = sock.fileno(), self._opened.fd, self._opened.offset + self._skip
        while self.left and sent < most:
            try:
                count = os.sendfile(target, source, position, min(self.left, most - sent))
            except BlockingIOError:
                if not _wait_for_room(target):
                    break
                continue
            if count == 0:
                raise DiskError("A file became shorter while it was sent.")
            position += count
            sent += count
            self._skip += count
            self.left -= count
        return sent

    def close(self) -> None:
        """Give the file back; also after an error, also twice."""
        if self._opened is not None:
            opened, self._opened = self._opened, None
            self._closer(opened)


def _wait_for_room(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(POLL_MILLISECONDS))


_MORE = socket.MSG_MORE if sys.platform == "linux" else 0
