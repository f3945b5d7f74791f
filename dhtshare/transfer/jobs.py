"""Chunks on their way: a job is one chunk, or a few small ones that come together, and owns the memory they come into.

A chunk is asked whole of one peer, so a false one has one author. Where the line is slow it is asked in parts, where
the line is fast one request is for several jobs.
"""

from __future__ import annotations

import asyncio
import enum
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from dhtshare.transfer.buffers import Buffers
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
    """Asked of one peer, alone or with others. Ends in one of `checked`, `refused`, `lost`, or by `abandon`; and
    promised memory with it.

    Parts may be received in any thread: `place` and `landed` are called there, everything else on the loop.

    Invariants: a buffer is used again only when no thread can still write to it. A job that is whole cannot be
    given up, so its bytes are hashed and stored exactly once.
    """

    def __init__(self, employer: Employer, buffers: Buffers, peer: SwarmPeer, chunks: list[int], length: int) -> None:
        """`length` bytes are promised by `buffers` already."""
        self.peer = peer
        self.chunks = chunks
        self.length = length
        self._employer: Employer | None = employer
        self._buffers = buffers
        self._buffer: bytearray | None = None
        self._withdraw: list[Callable[[], None]] = []
        self._receiving = 0
        self._left = self._unsettled = length
        self._asked_at = self._began_at = 0.0
        self._lock = threading.Lock()
        self._state = _State.ASKED

    @property
    def employer(self) -> Employer:
        """Who made it. A job that is over has none: a peer that never answers keeps it, but not the whole fetch."""
        assert self._employer is not None
        return self._employer

    @property
    def view(self) -> memoryview:
        """Its bytes."""
        assert self._buffer is not None
        return memoryview(self._buffer)[: self.length]

    @property
    def wanted(self) -> bool:
        """Whether its bytes are still to come."""
        return self._state is _State.ASKED

    def begin(self, now: float) -> None:
        """It is about to be asked for; `now` is the loop's time."""
        self._asked_at = time.monotonic()
        self.peer.asked(self.length, now)

    def asked_by(self, withdraw: Callable[[], None]) -> None:
        """A request for some of it was sent; `withdraw` is called when it is given up."""
        self._withdraw.append(withdraw)

    def abandon(self) -> bool:
        """No longer wanted: the peer is told, what comes all the same is skipped, its memory is free again.

        False where it is whole already, or was over.
        """
        if not self._give_up():
            return False
        for withdraw in self._withdraw:
            withdraw()
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
        self._employer = None
        return True

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
        employer = self._employer
        if self.abandon() and employer is not None:
            employer.refused(self, lacks=lacks)

    def part_lost(self) -> None:
        """The connection ended."""
        employer = self._employer
        if self._give_up() and employer is not None:
            employer.lost(self)
