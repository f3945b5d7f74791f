"""Bytes from a file to a socket without passing through Python. The one module that knows how the platform does it.

Called in worker threads, on non-blocking sockets: sends what fits, waits a moment for more room, and otherwise
returns, so that a slow peer never holds a thread.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time


class Patience:
    """How much longer a thread may wait for a peer to take more; used up by waiting, whoever it was for."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    def wait_for_room(self, fd: int) -> bool:
        """Whether there is room now. Waiting again and again ends: a peer that takes a little each time is slow."""
        if self._left <= 0:
            return False
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        begun = time.monotonic()
        ready = bool(poll.poll(self._left * 1000))
        self._left -= time.monotonic() - begun
        return ready


def send_head(sock: socket.socket, head: memoryview, patience: Patience) -> memoryview:
    """Send the bytes before a file's, told to the kernel as a beginning; what did not fit. Raises OSError."""
    try:
        return head[sock.send(head, _MORE) :]
    except BlockingIOError:
        return head if not patience.wait_for_room(sock.fileno()) else send_head(sock, head, patience)


def send_file(sock: socket.socket, source: int, position: int, count: int, patience: Patience) -> int:
    """Send up to `count` bytes of the file; how many went: fewer when the peer takes no more.

    Raises OSError, and EOFError when the file ends too early.
    """
    sent = 0
    target = sock.fileno()
    while sent < count:
        try:
            moved = os.sendfile(target, source, position + sent, count - sent)
        except BlockingIOError:
            if not patience.wait_for_room(target):
                break
            continue
        if moved == 0:
            raise EOFError
        sent += moved
    return sent


_MORE = socket.MSG_MORE if sys.platform == "linux" else 0
