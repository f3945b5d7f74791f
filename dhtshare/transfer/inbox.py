"""The receiving half of a connection: bytes to frames, on the event loop or, where the line is fast, in threads.

Never knows what a frame means. At any time either the loop or one thread reads from the socket; who reads owns the
frame reader too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from dhtshare.errors import NetworkError, RemoteProtocolError
from dhtshare.transfer.codec import Frame, FrameReader, Place
from dhtshare.transfer.half_frame import HalfFrame
from dhtshare.transfer.lines import Line
from dhtshare.transfer.messages import Data
from dhtshare.transfer.ratelimit import TokenBucket
from dhtshare.transfer.receive import Taken, receive
from dhtshare.transfer.workers import Workers

MIN_READ_BYTES = 4096

LEND_RATE = 16e6
"""From this rate on (bytes a second) threads receive."""

Digest = Callable[[], Callable[[], None]]
"""What is to be done with the data of a whole frame: called in a worker thread, returns what the loop does then."""


class Owner(Protocol):
    """The connection."""

    @property
    def expects_data(self) -> bool:
        """Whether answers are on their way; looked at in any thread."""

    @property
    def receiving_rate(self) -> float:
        """Bytes a second."""

    def bytes_came(self, count: int) -> None:
        """So many bytes came in."""

    def payload_came(self, count: int) -> None:
        """Most of them were of answers that we asked for."""

    def frames_came(self, frames: list[Frame]) -> None:
        """Whole frames, in their order. What is wrong with them ends the connection."""

    def claim(self, data: Data, payload: memoryview | None) -> Digest:
        """Data came, whole. Called in a worker thread; raises RemoteProtocolError when nobody asked for it."""

    def failed(self, error: RemoteProtocolError | NetworkError) -> None:
        """The peer breaks the rules, or there is no memory for what it sends."""


class Inbox:
    """Reads one transport. `line` is what threads read; it is the inbox's own.

    `place` names where payloads go; it is called by whoever reads.
    """

    def __init__(
        self,
        owner: Owner,
        transport: asyncio.ReadTransport,
        line: Line,
        place: Place,
        cap: TokenBucket,
        workers: Workers,
    ) -> None:
        self._owner = owner
        self._transport = transport
        self._line = line
        self._cap = cap
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(place)
        self._half = HalfFrame()
        self._resuming: asyncio.TimerHandle | None = None
        self._lent = self._turning = False
        self._closed = False

    # On the loop.

    def get_buffer(self) -> memoryview:
        """Where the transport puts the next bytes."""
        buffer = self._reader.get_buffer()
        return buffer[: max(MIN_READ_BYTES, self._cap.piece)] if self._cap.rate else buffer

    def updated(self, count: int) -> None:
        """The transport put so many bytes there."""
        self._owner.bytes_came(count)
        try:
            frames = self._reader.advance(count)
        except RemoteProtocolError as error:
            self._owner.failed(error)
            return
        if self._reader.in_payload or any(frame.answers for frame in frames):
            self._owner.payload_came(count)
        self._half.came(count, self._loop.time(), begun=self._reader.begun, anew=bool(frames))
        self._owner.frames_came(frames)
        if self._closed:
            return
        if (delay := self._cap.delay(self._loop.time())) > 0 and self._resuming is None:
            self._transport.pause_reading()
            self._resuming = self._loop.call_later(delay, self._resume)
        elif self._may_lend():
            self._lent = self._turning = True
            self._transport.pause_reading()
            self._line.expect_much(True)
            self._workers.hand_on(self._turn)

    def stands_still(self, now: float) -> bool:
        """Whether the peer began a frame and does not go on with it, though we read. Ask it now and then."""
        reading = not self._lent and self._resuming is None
        return reading and self._half.stands_still(now, capped=self.capped)

    @property
    def capped(self) -> bool:
        """Whether our own cap decides how much comes."""
        return self._cap.rate > 0

    @property
    def held_back(self) -> bool:
        """Whether that cap keeps us from reading just now."""
        return self._resuming is not None

    def close(self) -> None:
        """The connection ends: nothing is read any more."""
        self._closed = True
        if self._resuming is not None:
            self._resuming.cancel()
        if not self._lent:
            self._release()

    def _may_lend(self) -> bool:
        return (
            self._resuming is None
            and not self._cap.rate
            and self._owner.expects_data
            and self._owner.receiving_rate >= LEND_RATE
        )

    def _taken_back(self, taken: Taken, others: list[Frame]) -> None:
        """No thread reads any more."""
        self._lent = False
        if self._closed:
            self._release()
            return
        self._received(taken.count)
        self._line.expect_much(False)
        if taken.error is not None:
            self._owner.failed(taken.error)
            return
        self._half.came(taken.count, self._loop.time(), begun=self._reader.begun, anew=True)
        self._owner.frames_came(others)
        if not self._closed:
            self._transport.resume_reading()

    def _received(self, count: int) -> None:
        """A thread received so many bytes: it does so only where payloads come."""
        self._owner.bytes_came(count)
        self._owner.payload_came(count)

    def _resume(self) -> None:
        self._resuming = None
        now = self._loop.time()
        delay = self._cap.delay(now)
        if self._closed or self._lent:
            return
        if delay > 0:
            self._resuming = self._loop.call_later(delay, self._resume)
        else:
            self._half.resumed(now)
            self._transport.resume_reading()

    def _release(self) -> None:
        """Buffers and socket are given back now, not when the collector finds the connection."""
        self._reader.release()
        self._line.close()

    # In a worker thread.

    def _turn(self) -> None:
        """Receive up to a whole frame or some, give the socket on, and only then work on what came."""
        taken = receive(self._line, self._reader, self._is_closed, self._workers.busy)
        digests: list[Digest] = []
        others: list[Frame] = []
        try:
            for frame in taken.frames:
                if isinstance(frame.message, Data):
                    digests.append(self._owner.claim(frame.message, frame.payload))
                else:
                    others.append(frame)
        except RemoteProtocolError as error:
            taken.error = error
        if taken.flows and taken.error is None and not others and not self._closed and self._owner.expects_data:
            self._workers.hand_on(self._turn)
            self._workers.post(partial(self._received, taken.count), soon=self._goes_on)
        else:
            self._turning = False
            self._workers.post(partial(self._taken_back, taken, others))
        for digest in digests:
            self._workers.post(digest(), soon=self._goes_on)

    def _goes_on(self) -> bool:
        """Whether another turn comes, and with it another post: the last one wakes the loop."""
        return self._turning

    def _is_closed(self) -> bool:
        return self._closed
