"""A connection's bytes as a worker thread moves them: off the wire into buffers, and from files onto it.

The one module that knows how the platform sends a file. All sockets are non-blocking: what fits is moved, a moment is
waited for more, and then the thread goes on with another connection, so that a slow peer never holds one.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol, cast

LOW_WATER_BYTES = 128 << 10
"""A thread that waits for bytes is woken for no less, where the system knows how (SO_RCVLOWAT)."""

LINE = "dhtshare.line"
"""What a transport of our own answers for this to `get_extra_info`: a function that makes a line of it."""

CERTIFICATE = "dhtshare.certificate"
"""And for this: the peer's certificate (DER), where it showed one."""


class Patience:
    """How much longer a thread may wait for a peer to take more; used up by waiting, whoever it was for."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    def wait_for_room(self, fd: int) -> bool:
        """Whether there is room now. Waiting again and again ends: a peer that takes a little each time is slow."""
        if self._left <= 0:
            return False
        begun = time.monotonic()
        ready = _ready(fd, select.POLLOUT, self._left)
        self._left -= time.monotonic() - begun
        return ready


class Line(Protocol):
    """One connection, read by one thread at a time and written by one. Everything here may raise OSError."""

    def receive(self, buffers: Sequence[memoryview]) -> int:
        """Fill the buffers one after another with what is here; how many bytes, 0 at the end.

        Raises BlockingIOError when nothing is here.
        """

    def wait_for_bytes(self, seconds: float) -> bool:
        """Whether more came within this time."""

    def expect_much(self, much: bool) -> None:
        """Whether waiting ends only with LOW_WATER_BYTES, or with any byte."""

    def send(self, data: memoryview, patience: Patience, *, more: bool = False) -> int:
        """Send these bytes, of which `more` are to follow at once; how many went: fewer when the peer takes no more."""

    def send_file(self, source: int, position: int, count: int, patience: Patience) -> int:
        """Send `count` bytes of an open file; how many went: fewer when the peer takes no more.

        Raises EOFError when the file ends too early.
        """

    def flush(self, patience: Patience) -> bool:
        """Whether nothing waits here any more of what counts as sent. Asked before anybody else writes."""

    async def room(self) -> None:
        """On the event loop: until the peer takes more."""

    def close(self) -> None:
        """Let go of the socket; other lines of the connection stay."""


class SocketLine:
    """What all lines over a socket have in common. The socket is the line's own."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def wait_for_bytes(self, seconds: float) -> bool:
        return _ready(self._socket.fileno(), select.POLLIN, seconds)

    def expect_much(self, much: bool) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, LOW_WATER_BYTES if much else 1)

    async def room(self) -> None:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(self._socket, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._socket)

    def close(self) -> None:
        self._socket.close()


class PlainLine(SocketLine):
    """In the clear: a file goes from the kernel's cache to the wire and never passes through Python."""

    def receive(self, buffers: Sequence[memoryview]) -> int:
        if len(buffers) == 1:
            return self._socket.recv_into(buffers[0])
        return self._socket.recvmsg_into(buffers)[0]

    def send(self, data: memoryview, patience: Patience, *, more: bool = False) -> int:
        sent, flags = 0, _MORE if more else 0
        while sent < len(data):
            try:
                sent += self._socket.send(data[sent:], flags)
            except BlockingIOError:
                if not patience.wait_for_room(self._socket.fileno()):
                    break
        return sent

    def send_file(self, source: int, position: int, count: int, patience: Patience) -> int:
        sent, target = 0, self._socket.fileno()
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

    def flush(self, patience: Patience) -> bool:
        return True


def line_of(transport: asyncio.BaseTransport) -> Line:
    """A line of this transport's connection, which stays usable when the transport closes in the middle of a turn."""
    make = cast("Callable[[], Line] | None", transport.get_extra_info(LINE))
    return make() if make is not None else PlainLine(twin(transport.get_extra_info("socket")))


def twin(sock: socket.socket) -> socket.socket:
    """A socket of its own for the same connection: bytes never go to, or come from, whoever gets the number next."""
    other = socket.socket(fileno=os.dup(sock.fileno()))
    other.setblocking(False)
    return other


def _ready(fd: int, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(seconds * 1000))


_MORE = socket.MSG_MORE if sys.platform == "linux" else 0
