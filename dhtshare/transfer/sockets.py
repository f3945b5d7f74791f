"""Options of TCP sockets, in one place."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

NOTSENT_BYTES = 256 << 10
LOOPBACK_NOTSENT_BYTES = 1 << 20
"""What may wait in the kernel unsent: enough to keep a line full while a thread wakes up (2 ms of 1 Gbit/s), little
enough that news, a CANCEL or a CHOKE do not stand behind megabytes."""


def tune(sock: socket.socket, *, loopback: bool) -> None:
    """Prepare a connected, non-blocking socket.

    Over loopback a pacing congestion control (bbr) costs two thirds of the rate for no use, so a window-based one
    is taken there; everywhere else the system's choice stands.
    """
    sock.setblocking(False)
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with suppress(OSError):
            unsent = LOOPBACK_NOTSENT_BYTES if loopback else NOTSENT_BYTES
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent)
    if loopback and hasattr(socket, "TCP_CONGESTION"):
        for name in (b"cubic", b"reno"):
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
                break


def acknowledged(sock: socket.socket) -> int | None:
    """Bytes that the peer has acknowledged since the connection began; None where the system does not tell.

    What the kernel took from us says little of a slow peer: its buffer may hold seconds of the line.
    """
    if sys.platform != "linux":
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
    except OSError:
        return None
    return int.from_bytes(info[_BYTES_ACKED:], sys.byteorder) if len(info) == _BYTES_ACKED + 8 else None


_BYTES_ACKED = 120  # of struct tcp_info in linux/tcp.h: 8 bytes, 24 numbers of 4, two of 8
