"""The rest of a payload, received in a worker thread straight into its place.

On a fast plain connection the event loop would spend itself on copying; it lends the socket for the length of one
payload instead. Two threads then receive, hash and write in turn, and the loop only reads headers.
"""

from __future__ import annotations

import select
import socket
from typing import NamedTuple

POLL_MILLISECONDS = 5
"""A peer that sends nothing for so long is not fast: the loop takes the socket back."""


class Received(NamedTuple):
    """How many bytes of the payload came, and, when it is whole, how many of what follows."""

    payload: int
    following: int


def receive(sock: socket.socket, payload: memoryview, following: memoryview) -> Received:
    """Fill `payload`, then take what is there of the next frame, without waiting for it.

    `sock` is non-blocking. Stops early when nothing comes; an end or an error of the connection is left for the
    loop to find.
    """
    got = 0
    try:
        while got < len(payload):
            try:
                count = sock.recv_into(payload[got:])
            except BlockingIOError:
                if not _wait_for_bytes(sock.fileno()):
                    break
                continue
            if not count:
                break
            got += count
        return Received(got, sock.recv_into(following) if got == len(payload) else 0)
    except OSError:  # also: nothing of the next frame is there yet
        return Received(got, 0)


def _wait_for_bytes(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(POLL_MILLISECONDS))
