"""Bytes from a file to a socket without passing through Python. The one module that knows how the platform does it.

Called in worker threads, on non-blocking sockets: sends what fits, waits a moment for more room, and otherwise
returns, so that a slow peer never holds a thread.
"""

from __future__ import annotations

import os
import select
import socket
import sys

POLL_MILLISECONDS = 5


def send_head(sock: socket.socket, head: memoryview) -> memoryview:
    """Send the bytes before a file's, told to the kernel as a beginning; what did not fit. Raises OSError."""
    try:
        return head[sock.send(head, _MORE) :]
    except BlockingIOError:
        return head if not _wait_for_room(sock.fileno()) else send_head(sock, head)


def send_file(sock: socket.socket, source: int, position: int, count: int) -> int:
    """Send up to `count` bytes of the file; how many went: fewer when the peer takes no more.

    Raises OSError, and EOFError when the file ends too early.
    """
    sent = 0
    target = sock.fileno()
    while sent < count:
        try:
            moved = os.sendfile(target, source, position + sent, count - sent)
        except BlockingIOError:
            if not _wait_for_room(target):
                break
            continue
        if moved == 0:
            raise EOFError
        sent += moved
    return sent


def _wait_for_room(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(POLL_MILLISECONDS))


_MORE = socket.MSG_MORE if sys.platform == "linux" else 0
