"""One request for chunks on its way: one chunk, in parts where the line is slow, or a run of several.

A chunk is asked whole of one peer, so a false one has one author. Owns the buffer that its bytes come into.
"""

from __future__ import annotations

import asyncio
import enum
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from dhtshare.errors import RemoteProtocolError
from dhtshare.transfer.buffers import Buffers
from dhtshare.transfer.messages import MAX_DATA_BYTES, Answer, Data, Get, Reason, Refused
from dhtshare.transfer.source import SwarmPeer


class Outcome(NamedTuple):
    """What became of a job's bytes: for each chunk whether it is right; or what broke while they were stored."""

    right: list[bool]
    error: BaseException | None


class Employer(Protocol):
    """Whoever made a job."""

    def arrived(self, job: Job) -> None:
        """All its bytes are in `job.view`, and the event loop received them: check it in a worker thread."""

    def check(self, job: Job) -> Outcome:
        """In a worker thread: verify the bytes in `job.view` and store what is right."""

    def checked(self, job: Job, outcome: Outcome) -> None:
        """The job was checked."""

    def moved(self, job: Job) -> None:
        """A part of it came, and more will."""

    def refused(self, job: Job, *, lacks: bool) -> None:
        """The peer will not send it: it lacks it, or chokes, or was told to cancel."""

    def lost(self, job: Job) -> None:
        """The connection ended."""


class _State(enum.Enum):
    """From `ASKED` a job goes to one of the others and stays there: whole, or given up."""

    ASKED = enum.auto()
    WHOLE = enum.auto()
    OVER = enum.auto()


class Job:
    """Asked of one peer. Ends in one of `checked`, `refused`, `lost`, or by `abandon`; and promised memory with it.

    Parts may be received in any thread: `place` and `landed` are called there, everything else on the loop.

    Invariants: a buffer is used again only when no thread can still write to it. A job that is whole cannot be
    given up, so its bytes are hashed and stored exactly once.
    """

    def __init__(self, employer: Employer, buffers: Buffers, peer: SwarmPeer, chunks: list[int], length: int) -> None:
        """`length` bytes are promised by `buffers` already."""
        self.peer = peer
        self.chunks = chunks
        self.length = length
        self.employer = employer
        self._buffers = buffers
        self._buffer: bytearray | None = None
        self._numbers: list[int] = []
        self._receiving = 0
        self._left = self._unsettled = length
        self._asked_at = self._began_at = 0.0
        self._lock = threading.Lock()
        self._state = _State.ASKED

    @property
    def view(self) -> memoryview:
        """Its bytes."""
        assert self._buffer is not None
        return memoryview(self._buffer)[: self.length]

    def ask(self, now: float) -> None:
        """Send the requests. Raises NetworkError where the connection has ended."""
        peer = self.peer
        self._asked_at = time.monotonic()
        peer.asked(self.length, now)
        most = peer.window.part if len(self.chunks) == 1 else MAX_DATA_BYTES  # a run is one answer
        for offset in range(0, self.length, most):
            length = min(most, self.length - offset)
            part = _Part(self, offset, length)
            self._numbers.append(peer.connection.ask(partial(self._get, offset, length), part))

    def abandon(self) -> bool:
        """No longer wanted: the peer is told, what comes all the same is skipped, its memory is free again.

        False where it is whole already, or was over.
        """
        if not self._give_up():
            return False
        for number in self._numbers:
            self.peer.connection.cancel(number)
        return True

    def end(self) -> None:
        """It was checked: give back its memory."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            self._buffers.recycle(buffer)
        self._buffers.give_back(self.length)

    def _give_up(self) -> bool:
        with self._lock:
            if self._state is not _State.ASKED:
                return False
            self._state = _State.OVER
            buffer, self._buffer = self._buffer, None
            if buffer is not None and not self._receiving:
                self._buffers.recycle(buffer)
        self.peer.settled(self._unsettled)
        self._buffers.give_back(self.length)
        return True

    def _get(self, offset: int, length: int, request: int) -> Get:
        return Get(request, self.peer.content, self.chunks[0] - self.peer.base, length, len(self.chunks), offset)

    # What its parts say.

    def place(self, offset: int, length: int) -> memoryview | None:
        """Where a part's bytes go."""
        with self._lock:
            if self._state is not _State.ASKED:
                return None
            if self._buffer is None:
                self._buffer = self._buffers.take(self.length)
                self._began_at = time.monotonic()
            self._receiving += 1
            return memoryview(self._buffer)[offset : offset + length]

    def landed(self, length: int) -> bool:
        """A part is here; whether the job is whole now, and to be checked by who is told so."""
        with self._lock:
            if self._state is not _State.ASKED:
                return False
            self._receiving -= 1
            self._left -= length
            if self._left:
                return False
            self._state = _State.WHOLE
            return True

    def part_came(self, length: int) -> None:
        """A part landed: what the loop notes of it."""
        if self._state is _State.OVER:
            return
        if self._began_at:
            self.peer.window.answered(self._began_at - self._asked_at)
            self._began_at = 0.0
        now = asyncio.get_running_loop().time()
        self.peer.moved(length, time.monotonic() - self._asked_at, now)
        self._unsettled -= length
        self.peer.settled(length)
        if self._unsettled:
            self.employer.moved(self)

    def part_refused(self, *, lacks: bool) -> None:
        """A part will not come: then none of them is of use."""
        if self.abandon():
            self.employer.refused(self, lacks=lacks)

    def part_lost(self) -> None:
        """The connection ended."""
        if self._give_up():
            self.employer.lost(self)


class _Part:
    """One GET of a job."""

    def __init__(self, job: Job, offset: int, length: int) -> None:
        self._job = job
        self._offset = offset
        self._length = length

    def place(self, length: int) -> memoryview | None:
        if length != self._length:
            raise RemoteProtocolError(f"The peer sends {length} bytes where {self._length} were asked for.")
        return self._job.place(self._offset, length)

    def answered(self, answer: Answer, payload: memoryview | None) -> None:
        job = self._job
        if isinstance(answer, Refused):
            job.part_refused(lacks=answer.reason in (Reason.NOT_FOUND, Reason.FAILED))
        elif not isinstance(answer, Data) or (payload is not None and len(payload) != self._length):
            raise RemoteProtocolError("The peer answers a GET with something else.")
        else:
            whole = job.landed(self._length)
            job.part_came(self._length)
            if whole:
                job.employer.arrived(job)

    def digest(self, data: Data, payload: memoryview | None) -> Callable[[], None]:
        job = self._job
        if payload is not None and len(payload) != self._length:  # DATA without any: it was never placed
            return partial(self.answered, data, payload)
        if not job.landed(self._length):
            return partial(job.part_came, self._length)
        return partial(self._digested, job.employer.check(job))

    def _digested(self, outcome: Outcome) -> None:
        job = self._job
        job.part_came(self._length)
        job.employer.checked(job, outcome)

    def lost(self, error: Exception) -> None:
        self._job.part_lost()
