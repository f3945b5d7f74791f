"""The sending half of a connection: small frames at once, answers with a payload one after another.

Never interleaves inside an answer. Answers go out in a thread, one after another as long as the peer takes them; the
transport is idle meanwhile, and small frames wait for the end of an answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from dhtshare.errors import DhtshareError, NetworkError
from dhtshare.transfer.answers import Answer
from dhtshare.transfer.codec import encode
from dhtshare.transfer.lines import Line, Patience
from dhtshare.transfer.messages import Message, Reason, Refused
from dhtshare.transfer.ratelimit import TokenBucket
from dhtshare.transfer.workers import Workers

TURN_BYTES = 8 << 20
"""A thread serves another connection after so much, if one waits."""

TURN_WAIT_SECONDS = 0.005
"""A thread waits no longer in one turn for a peer to take more; the loop waits for slower ones."""

MAX_SMALL_BYTES = 256 << 10
"""Small frames that a peer may leave unread before it is dropped; 200 guests keep 50 MiB of them at most."""

FRAME_OVERHEAD = 64
"""What a small frame costs beside its bytes while it waits: an object of its own, and its place in the list."""


class Outbox:
    """Sends on one transport. `run` is a task of the connection's owner and ends when cancelled.

    `line` is what threads write to; it is the outbox's own.
    """

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        line: Line,
        cap: TokenBucket,
        workers: Workers,
        on_sent: Callable[[int], None],
    ) -> None:
        self._transport = transport
        self._line = line
        self._cap = cap
        self._workers = workers
        self._on_sent = on_sent
        self._loop = asyncio.get_running_loop()
        self._small: list[bytes] = []
        self._small_bytes = 0
        self._answers: deque[Answer] = deque()
        self._answers_lock = threading.Lock()
        self._current: Answer | None = None
        self._serving = False
        """An answer may be under way: whoever sends small frames has to wait."""
        self._wake = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        transport.set_write_buffer_limits(high=0)

    @property
    def queued(self) -> int:
        """Answers that wait or are being sent."""
        return len(self._answers) + (self._current is not None)

    @property
    def queued_data(self) -> int:
        """Of these, how many are DATA."""
        return sum(answer.is_data for answer in self._answers) + (self._current is not None and self._current.is_data)

    def send(self, message: Message) -> None:
        """Send a frame without a payload, now or behind the answer that is under way. Raises NetworkError
        when the peer left MAX_SMALL_BYTES of them unread."""
        frame = encode(message)
        self._cap.charge(len(frame), self._loop.time())
        if not self._serving and self._writable.is_set() and not self._small:
            self._loop.call_soon(self.flush)
            self._small.append(frame)
            return
        self._small.append(frame)
        self._small_bytes += len(frame) + FRAME_OVERHEAD
        if self._small_bytes > MAX_SMALL_BYTES:
            raise NetworkError("The peer does not read what it asked for.")
        self._wake.set()

    def flush(self) -> None:
        """Send small frames now, unless an answer is under way."""
        if not self._serving and self._writable.is_set() and self._small:
            self._write_small()

    def answer(self, answer: Answer) -> None:
        """Send this when its turn comes."""
        self._answers.append(answer)
        self._wake.set()

    def drop(self, chosen: Callable[[Answer], bool], reason: Reason) -> int:
        """Refuse the answers that are chosen and not under way; how many."""
        with self._answers_lock:
            dropped = [answer for answer in self._answers if chosen(answer)]
            for answer in dropped:
                self._answers.remove(answer)
        for answer in dropped:
            self.send(Refused(answer.request, reason))
        return len(dropped)

    def pause(self) -> None:
        """The transport holds bytes that the peer did not take yet."""
        self._writable.clear()

    def resume(self) -> None:
        """The transport is empty."""
        self._writable.set()

    async def run(self) -> None:
        """Send until cancelled. Raises OSError or DhtshareError when a frame could not be finished."""
        try:
            while True:
                await self._send_small()
                if self._answers:
                    self._serving = True
                    try:
                        await self._serve()
                    finally:
                        if self._current is not None:  # cancelled, or torn
                            await self._workers.finish(self._current.close)
                            self._current = None
                        self._serving = False
                elif not self._small:
                    self._wake.clear()
                    await self._wake.wait()
        finally:
            self._line.close()

    async def _send_small(self) -> None:
        await self._writable.wait()
        if self._small:
            self._write_small()
            await self._writable.wait()

    def _write_small(self) -> None:
        data, self._small, self._small_bytes = b"".join(self._small), [], 0
        self._transport.write(data)
        self._on_sent(len(data))

    async def _serve(self) -> None:
        """Send answers until none is left or small frames wait."""
        turn = _Turn(self, self._line)
        while not turn.over:
            most = await self._allowance()
            await self._workers.finish(partial(turn.run, min(most, TURN_BYTES)))
            self._account(turn.take_sent())
            for request in turn.take_refused():
                self._small.append(encode(Refused(request, Reason.NOT_FOUND)))
            if turn.full:
                await self._line.room()

    # Called by a turn, in its thread.

    def next_answer(self) -> Answer | None:
        """The answer that is under way, or the next; None when there is none, or small frames go first."""
        if self._current is None and not self._small:
            with self._answers_lock:
                self._current = self._answers.popleft() if self._answers else None
        return self._current

    def answered(self) -> None:
        """The answer that was under way is over."""
        self._current = None

    async def _allowance(self) -> int:
        while (delay := self._cap.delay(self._loop.time())) > 0:  # noqa: ASYNC110 - others draw from the cap meanwhile
            await asyncio.sleep(delay)
        return self._cap.piece

    def _account(self, count: int) -> None:
        self._cap.charge(count, self._loop.time())
        self._on_sent(count)


class _Turn:
    """A thread's turn at one connection, and how it ended. `run` is called again while it is not over."""

    def __init__(self, outbox: Outbox, line: Line) -> None:
        self.over = self.full = False
        self._outbox = outbox
        self._line = line
        self._prepared: Answer | None = None
        self._sent = 0
        self._refused: list[int] = []

    def take_sent(self) -> int:
        """Bytes sent since it was asked last."""
        sent, self._sent = self._sent, 0
        return sent

    def take_refused(self) -> list[int]:
        """Requests whose answers could not be made, since it was asked last."""
        refused, self._refused = self._refused, []
        return refused

    def run(self, most: int) -> None:
        """Send about `most` bytes. Raises OSError or DhtshareError when a frame is torn."""
        self.full = False
        patience = Patience(TURN_WAIT_SECONDS)
        while self._sent < most:
            answer = self._outbox.next_answer()
            if answer is None:
                self.over = self._line.flush(patience)  # the transport writes next
                self.full = not self.over
                return
            if self._prepare(answer):
                self._sent += answer.send_to(self._line, most - self._sent, patience)
                if answer.left:
                    self.full = self._sent < most
                    return
                answer.close()
            self._outbox.answered()

    def _prepare(self, answer: Answer) -> bool:
        if self._prepared is answer:
            return True
        try:
            answer.prepare()
        except (OSError, DhtshareError):
            answer.close()
            self._refused.append(answer.request)
            return False
        self._prepared = answer
        return True
