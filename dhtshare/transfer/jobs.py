"""One request for chunks on its way: one chunk, in as many parts as payloads allow, or a run of small ones.

A chunk is asked whole of one peer, so a false one has one author. Owns the buffer that its bytes come into.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from dhtshare.errors import RemoteProtocolError
from dhtshare.transfer.buffers import Buffers
from dhtshare.transfer.messages import MAX_PAYLOAD_BYTES, Answer, Data, Get, Reason, Refused
from dhtshare.transfer.source import SwarmPeer


class Employer(Protocol):
    """Whoever made a job."""

    def arrived(self, job: Job) -> None:
        """All its bytes are in `job.view`."""

    def moved(self, job: Job) -> None:
        """A part of it came, and more will."""

    def refused(self, job: Job, *, lacks: bool) -> None:
        """The peer will not send it: it lacks it, or chokes, or was told to cancel."""

    def lost(self, job: Job) -> None:
        """The connection ended."""


class Job:
    """Asked of one peer. Ends in one of `arrived`, `refused`, `lost`, or by `abandon`; and promised memory with it.

    Invariant: a buffer is used again only when no connection can still write to it.
    """

    def __init__(self, employer: Employer, buffers: Buffers, peer: SwarmPeer, chunks: list[int], length: int) -> None:
        """`length` bytes are promised by `buffers` already."""
        self.peer = peer
        self.chunks = chunks
        self.length = length
        self.asked_at = 0.0
        self._employer = employer
        self._buffers = buffers
        self._buffer: bytearray | None = None
        self._numbers: set[int] = set()
        self._receiving = 0
        self._left = length
        self._over = False
        self._began = False

    @property
    def view(self) -> memoryview:
        """Its bytes."""
        if self._buffer is None:
            self._buffer = self._buffers.take(self.length)
        return memoryview(self._buffer)[: self.length]

    def ask(self, now: float) -> None:
        """Send the requests. Raises NetworkError where the connection has ended."""
        peer = self.peer
        self.asked_at = now
        peer.asked(self.length, now)
        # A run is one answer: its chunks lie in files of their own.
        most = peer.window.part if len(self.chunks) == 1 else MAX_PAYLOAD_BYTES
        for offset in range(0, self.length, most):
            length = min(most, self.length - offset)
            part = _Part(self, offset, length)
            part.number = peer.connection.ask(partial(self._get, offset, length), part)
            self._numbers.add(part.number)

    def abandon(self) -> None:
        """No longer wanted: the peer is told, what comes all the same is skipped, its memory is free again."""
        if not self._over:
            self.peer.settled(self._left)
            self.end()
        for number in self._numbers:
            self.peer.connection.cancel(number)

    def end(self) -> None:
        """Give back its memory."""
        self._over = True
        buffer, self._buffer = self._buffer, None
        if buffer is not None and not self._receiving:
            self._buffers.recycle(buffer)
        self._buffers.give_back(self.length)

    def _get(self, offset: int, length: int, request: int) -> Get:
        return Get(request, self.peer.content, self.chunks[0] - self.peer.base, length, len(self.chunks), offset)

    # What its parts say.

    def place(self, offset: int, length: int) -> memoryview | None:
        """Where a part's bytes go."""
        if self._over:
            return None
        if not self._began:
            self._began = True
            self.peer.window.answered(asyncio.get_running_loop().time() - self.asked_at)
        self._receiving += 1
        return self.view[offset : offset + length]

    def part_came(self, number: int, length: int, *, skipped: bool) -> None:
        """A part is here."""
        self._numbers.discard(number)
        self._receiving -= not skipped
        if self._over:
            return
        now = asyncio.get_running_loop().time()
        self.peer.moved(length, now - self.asked_at, now)
        self._left -= length
        self.peer.settled(length)
        if self._left:
            self._employer.moved(self)
        else:
            self._employer.arrived(self)

    def part_refused(self, number: int, *, lacks: bool) -> None:
        """A part will not come: then none of them is of use."""
        self._numbers.discard(number)
        if not self._over:
            self.abandon()
            self._employer.refused(self, lacks=lacks)

    def part_lost(self, number: int) -> None:
        """The connection ended."""
        self._numbers.discard(number)
        if not self._over:
            self.peer.settled(self._left)
            self.end()
            self._employer.lost(self)


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
            self._job.part_came(self.number, self._length, skipped=payload is None)
        else:
            raise RemoteProtocolError("The peer answers a GET with something else.")

    def lost(self, error: Exception) -> None:
        self._job.part_lost(self.number)
