"""One request for chunks on its way: one chunk, in parts of a payload each, or a run of small ones.

Owns the buffer that its bytes come into, until the swarm recycles it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from dhtshare.errors import RemoteProtocolError
from dhtshare.transfer.buffers import Buffers
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.messages import MAX_PAYLOAD_BYTES, Answer, Data, Reason, Refused
from dhtshare.transfer.source import SwarmPeer

if TYPE_CHECKING:
    from dhtshare.transfer.swarm import Swarm


class Job:
    """Asked of one peer. Ends in exactly one of: arrived, refused, or the end of the connection."""

    def __init__(self, swarm: Swarm, peer: SwarmPeer, chunks: list[int], length: int) -> None:
        self.peer = peer
        self.chunks = chunks
        self.length = length
        self.asked_at = 0.0
        self._swarm = swarm
        self._buffer: bytearray | None = None
        self._numbers: set[int] = set()
        self._left = length
        self._over = False
        self._began = False
        self._ahead = 0

    @property
    def view(self) -> memoryview:
        """Its bytes."""
        if self._buffer is None:
            self._buffer = self._swarm.buffers.take(self.length)
        return memoryview(self._buffer)[: self.length]

    def ask(self, connection: Connection, now: float) -> None:
        """Send the requests. Raises NetworkError where the connection has ended."""
        self.asked_at = now
        self._ahead = self.peer.in_flight - self.length
        for offset in range(0, self.length, MAX_PAYLOAD_BYTES):
            length = min(MAX_PAYLOAD_BYTES, self.length - offset)
            part = _Part(self, offset, length)
            make = partial(self._swarm.make_get, self.peer, self, offset, length)
            part.number = connection.ask(make, part)
            self._numbers.add(part.number)

    def cancel(self) -> None:
        """No longer wanted; the peer is told, and what comes all the same is thrown away."""
        for number in self._numbers:
            self.peer.connection.cancel(number)

    def recycle(self, buffers: Buffers) -> None:
        """Its bytes are not needed any more."""
        self._over = True
        if self._buffer is not None:
            buffer, self._buffer = self._buffer, None
            buffers.recycle(buffer)

    # What its parts say.

    def place(self, offset: int, length: int) -> memoryview | None:
        if not self._began:
            self._began = True
            self._swarm.began(self, asyncio.get_running_loop().time() - self.asked_at, self._ahead)
        return None if self._over else self.view[offset : offset + length]

    def part_came(self, number: int, length: int) -> None:
        self._numbers.discard(number)
        if self._over:
            return
        self._swarm.came(self, length)
        self._left -= length
        if not self._left:
            self._swarm.arrived(self)

    def part_refused(self, number: int, *, lacks: bool) -> None:
        self._numbers.discard(number)
        if not self._over:
            self._over = True
            self.cancel()
            self._swarm.refused(self, lacks=lacks)

    def part_lost(self, number: int) -> None:
        self._numbers.discard(number)
        if not self._over:
            self._over = True
            self._swarm.lost(self)


class _Part:
    """One GET of a job."""

    def __init__(self, job: Job, offset: int, length: int) -> None:
        self.number = 0
        self._job = job
        self._offset = offset
        self._length = length

    def place(self, length: int) -> memoryview | None:
        if length != self._length:
            raise RemoteProtocolError(f"The peer sends {length} bytes where {self._length} were asked for.")
        return self._job.place(self._offset, length)

    def answered(self, answer: Answer, payload: memoryview | None) -> None:
        if isinstance(answer, Refused):
            self._job.part_refused(self.number, lacks=answer.reason in (Reason.NOT_FOUND, Reason.FAILED))
        elif isinstance(answer, Data) and (payload is None or len(payload) == self._length):
            self._job.part_came(self.number, self._length)
        else:
            raise RemoteProtocolError("The peer answers a GET with something else.")

    def lost(self, error: Exception) -> None:
        self._job.part_lost(self.number)
