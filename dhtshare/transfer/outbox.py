"""The sending half of a connection: small frames at once, answers with a payload one after another.

Never interleaves inside a frame. On a plain connection a chunk goes from the file to the socket in a thread; the
transport is idle meanwhile, and small frames wait for the frame's end.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from functools import partial

from dhtshare.errors import DhtshareError, NetworkError
from dhtshare.transfer.answers import Answer
from dhtshare.transfer.codec import encode
from dhtshare.transfer.messages import Message, Reason, Refused
from dhtshare.transfer.ratelimit import TokenBucket
from dhtshare.transfer.workers import Workers

PIECE_BYTES = 256 << 10
"""What is read and encrypted at once: a quarter of a millisecond of the loop."""

MAX_SMALL_BYTES = 256 << 10
"""Small frames that a peer may leave unread before it is dropped; 200 guests keep 50 MiB of them at most."""

FRAME_OVERHEAD = 64
"""What a small frame costs beside its bytes while it waits: an object of its own, and its place in the list."""


class Outbox:
    """Sends on one transport. `run` is a task of the connection's owner and ends when cancelled.

    `file_socket` is a duplicate of the transport's socket when files may go straight to it, else None.
    """

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        file_socket: socket.socket | None,
        cap: TokenBucket,
        workers: Workers,
        on_sent: Callable[[int], None],
    ) -> None:
        self._transport = transport
        self._file_socket = file_socket
        self._cap = cap
        self._workers = workers
        self._on_sent = on_sent
        self._loop = asyncio.get_running_loop()
        self._small: list[bytes] = []
        self._small_bytes = 0
        self._answers: deque[Answer] = deque()
        self._current: Answer | None = None
        self._wake = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        transport.set_write_buffer_limits(high=1, low=0)  # TLS takes high=0 for 'always full'

    @property
    def queued(self) -> int:
        """Answers that wait or are being sent."""
        return len(self._answers) + (self._current is not None)

    @property
    def queued_data(self) -> int:
        """Of these, how many are DATA."""
        return sum(answer.is_data for answer in self._answers) + (self._current is not None and self._current.is_data)

    def send(self, message: Message) -> None:
        """Send a frame without a payload, now or behind the frame that is under way. Raises NetworkError
        when the peer left MAX_SMALL_BYTES of them unread."""
        frame = encode(message)
        self._cap.charge(len(frame), self._loop.time())
        if self._current is None and self._writable.is_set() and not self._small:
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
        if self._current is None and self._writable.is_set() and self._small:
            data, self._small, self._small_bytes = b"".join(self._small), [], 0
            self._transport.write(data)
            self._on_sent(len(data))

    def answer(self, answer: Answer) -> None:
        """Send this when its turn comes."""
        self._answers.append(answer)
        self._wake.set()

    def drop(self, chosen: Callable[[Answer], bool], reason: Reason) -> int:
        """Refuse the answers that are chosen and not under way; how many."""
        dropped = [answer for answer in self._answers if chosen(answer)]
        for answer in dropped:
            self._answers.remove(answer)
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
                    self._current = self._answers.popleft()
                    try:
                        await self._send(self._current)
                    finally:
                        done, self._current = self._current, None
                        if not done.closed:
                            await self._workers.finish(done.close)
                elif not self._small:
                    self._wake.clear()
                    await self._wake.wait()
        finally:
            if self._file_socket is not None:
                self._file_socket.close()

    async def _send_small(self) -> None:
        await self._writable.wait()
        if self._small:
            data, self._small, self._small_bytes = b"".join(self._small), [], 0
            self._transport.write(data)
            self._on_sent(len(data))
            await self._writable.wait()

    async def _send(self, answer: Answer) -> None:
        file_socket = self._file_socket
        most = await self._allowance()
        try:
            # One trip to a thread for most chunks: open, and send all that fits.
            sent = await self._workers.finish(partial(_begin, answer, file_socket, most))
        except _NotPreparedError:
            self._small.append(encode(Refused(answer.request, Reason.NOT_FOUND)))
            return
        if sent is None:
            await self._send_read(answer)
            return
        assert file_socket is not None
        self._account(sent)
        while answer.left:
            if not self._cap.rate:
                await _until_writable(self._loop, file_socket)
            most = await self._allowance()
            more = await self._workers.finish(partial(_send_to, answer, file_socket, most))
            assert more is not None
            self._account(more)
            if not more and self._cap.rate:
                await _until_writable(self._loop, file_socket)

    async def _send_read(self, answer: Answer) -> None:
        while answer.left:
            most = min(PIECE_BYTES, await self._allowance())
            part = await self._workers.finish(partial(_read, answer, most))
            self._transport.write(part)
            self._account(len(part))
            await self._writable.wait()

    async def _allowance(self) -> int:
        while (delay := self._cap.delay(self._loop.time())) > 0:  # noqa: ASYNC110 - others draw from the cap meanwhile
            await asyncio.sleep(delay)
        return self._cap.piece

    def _account(self, count: int) -> None:
        self._cap.charge(count, self._loop.time())
        self._on_sent(count)


class _NotPreparedError(Exception):
    """Wraps what `prepare` raised, to tell it from an error in the middle of a frame."""


def _begin(answer: Answer, file_socket: socket.socket | None, most: int) -> int | None:
    try:
        answer.prepare()
    except (OSError, DhtshareError) as error:
        raise _NotPreparedError from error
    return None if file_socket is None else _send_to(answer, file_socket, most)


def _send_to(answer: Answer, file_socket: socket.socket, most: int) -> int | None:
    sent = answer.send_to(file_socket, most)
    if sent is not None and not answer.left:
        answer.close()  # here, to save a trip
    return sent


def _read(answer: Answer, most: int) -> bytes | bytearray | memoryview:
    part = answer.read(most)
    if not answer.left:
        answer.close()
    return part


async def _until_writable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready = asyncio.Event()
    loop.add_writer(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(sock)
