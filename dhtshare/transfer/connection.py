"""One TCP connection to one peer: frames in, frames out, who the peer is, and the requests we made of it.

Never decides anything about content: requests of the peer go to its handler, answers to whoever asked.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

from dhtshare.errors import DhtshareError, IntegrityError, NetworkError, RemoteProtocolError
from dhtshare.network import Address
from dhtshare.transfer.answers import Answer
from dhtshare.transfer.codec import Frame, FrameReader, Unknown
from dhtshare.transfer.messages import (
    MAX_REQUEST,
    MAX_REQUESTS_IN_FLIGHT,
    Ask,
    Cancel,
    Choke,
    Data,
    Descriptor,
    Get,
    GetDescriptor,
    GetMembers,
    Given,
    Has,
    Have,
    Hello,
    Members,
    Message,
    Reason,
    Refused,
    Request,
    Unchoke,
)
from dhtshare.transfer.messages import Answer as AnswerMessage
from dhtshare.transfer.outbox import Outbox
from dhtshare.transfer.ratelimit import Limits, Meter
from dhtshare.transfer.receive import Received, receive
from dhtshare.transfer.workers import Workers

MIN_READ_BYTES = 4096

LEND_BYTES = 128 << 10
LEND_RATE = 16e6
"""From so many bytes of a payload on, on a connection of at least this rate (bytes a second), a thread receives."""


STUCK_SECONDS = 20.0
FLOOR_RATE = 4096
"""An answer that its peer takes more slowly than this (bytes a second), for so long, is no running transfer
(threats.md, starting constants)."""


class EncryptionNeededError(NetworkError):
    """The listener answers over TLS only."""


class Expecting(Protocol):
    """Somebody who made a request."""

    def place(self, length: int) -> memoryview | None:
        """The answer's payload begins: where to put it; None to skip it. Raises RemoteProtocolError."""

    def answered(self, answer: AnswerMessage, payload: memoryview | None) -> None:
        """The answer is here, whole. Raises RemoteProtocolError."""

    def lost(self, error: Exception) -> None:
        """No answer will come: the connection ended."""


class Handler(Protocol):
    """What a connection asks of the one that owns it."""

    def greeted(self, connection: Connection, hello: Hello | None) -> None:
        """The transport is up (`hello` None), or the peer's HELLO came: say ours, or raise DhtshareError."""

    def requested(self, connection: Connection, request: Request) -> None:
        """The peer asks."""

    def cancelled(self, connection: Connection, request: int) -> None:
        """The peer no longer wants an answer."""

    def closed(self, connection: Connection) -> None:
        """The connection ended."""


class Follower(Protocol):
    """A swarm that uses a connection."""

    def has_more(self, connection: Connection, content: bytes, runs: tuple[int, ...]) -> None:
        """The peer verified more chunks: first, count, first, count, …"""

    def given(self, connection: Connection, content: bytes, runs: tuple[int, ...]) -> None:
        """The peer gives these chunks to others."""

    def choking(self, connection: Connection) -> None:
        """The peer choked or unchoked us: see `connection.choked`."""

    def closed(self, connection: Connection) -> None:
        """The connection ended."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of an exchange use together."""

    limits: Limits
    senders: Workers
    receivers: Workers
    keep: Callable[[asyncio.Task[None]], None]
    """Takes ownership of a task."""


class Connection(asyncio.BufferedProtocol):
    """Both halves of a connection. `address` is the peer's; `expected_id` (32 bytes) must be proved by it."""

    def __init__(
        self,
        handler: Handler,
        shared: Shared,
        address: Address,
        *,
        incoming: bool,
        encrypted: bool,
        expected_id: bytes | None = None,
    ) -> None:
        self.address = address
        self.incoming = incoming
        self.encrypted = encrypted
        self.expected_id = expected_id
        self.peer_id: bytes | None = None
        self.agent = ""
        self.nonce = b""
        self.choked = False
        """The peer gives us no data now."""
        self.choking = False
        """We give it none."""
        self.greeted = False
        self.greeting = asyncio.Event()
        """Set when the peer's HELLO came, or the connection ended before."""
        self.error: Exception | None = None
        self.received = Meter()
        self.sent = Meter()
        self.followers: list[Follower] = []
        self._handler = handler
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self.opened_at = self.moved_at = self.asked_at = self.received_at = self._loop.time()
        self._serving_since = self.opened_at
        self._reader = FrameReader(self._place)
        self._pending: dict[int, Expecting] = {}
        self._next_request = 1
        self._transport: asyncio.Transport | None = None
        self._outbox: Outbox | None = None
        self._sending: asyncio.Task[None] | None = None
        self._resuming: asyncio.TimerHandle | None = None
        self._receiving_socket: socket.socket | None = None
        self._lent = False
        self.closed = self._loop.create_future()

    # What its users do.

    @property
    def is_open(self) -> bool:
        """Whether requests can be made."""
        return self._outbox is not None

    @property
    def requests_in_flight(self) -> int:
        """Requests of ours that have no answer yet."""
        return len(self._pending)

    @property
    def outbox(self) -> Outbox:
        """The sending half. Raises NetworkError after the end."""
        if self._outbox is None:
            raise NetworkError(f"The connection to {self.address} is closed.")
        return self._outbox

    def ask(self, make: Callable[[int], Request], expecting: Expecting) -> int:
        """Send a request, made with the number that it gets; returns the number. Raises NetworkError."""
        outbox = self.outbox
        if len(self._pending) >= MAX_REQUESTS_IN_FLIGHT:
            raise NetworkError(f"{self.address} leaves too many requests unanswered.")
        number = self._next_request
        self._next_request = number % MAX_REQUEST + 1
        self._pending[number] = expecting
        self.asked_at = self._loop.time()
        outbox.send(make(number))
        return number

    def cancel(self, number: int) -> None:
        """The answer to this request is not wanted any more; it comes all the same, or a refusal."""
        if number in self._pending and self._outbox is not None:
            self._outbox.send(Cancel(number))

    def send(self, message: Message) -> None:
        """Send a message that is no request; nothing after the end."""
        if self._outbox is not None:
            self._outbox.send(message)

    def answer(self, answer: Answer) -> None:
        """Queue an answer to the peer. More than a peer may ask for is its fault: RemoteProtocolError."""
        outbox = self.outbox
        if outbox.queued >= MAX_REQUESTS_IN_FLIGHT:
            raise RemoteProtocolError(f"{self.address} asks for more than it may at once.")
        if not outbox.queued:
            self._serving_since = self._loop.time()
        outbox.answer(answer)

    @property
    def busy(self) -> bool:
        """Whether a transfer runs in either direction. Answers that the peer leaves unread are none."""
        if self._pending:
            return True
        if self._outbox is None or not self._outbox.queued:
            return False
        now = self._loop.time()
        if now - self._serving_since < STUCK_SECONDS:
            return True
        if self._shared.limits.upload.rate:  # the cap is our doing: any byte counts
            return now - self.moved_at < STUCK_SECONDS
        return self.sent.rate(now) >= FLOOR_RATE

    def close(self, error: Exception | None = None, *, politely: bool = False) -> None:
        """End it now; `politely` lets what was written go out first."""
        if self._transport is None:
            return
        if self.error is None:
            self.error = error
        if politely:
            if self._outbox is not None:
                self._outbox.flush()
            self._transport.close()
        else:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Until the connection and its sending half have ended."""
        await asyncio.wait([self.closed])
        if self._sending is not None:
            await asyncio.wait([self._sending])

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's and TLS's are none by class, all are by method
        self._transport = transport
        file_socket = None
        if not self.encrypted:
            file_socket = _duplicate(transport)
            self._receiving_socket = _duplicate(transport)
        self._outbox = Outbox(transport, file_socket, self._shared.limits.upload, self._shared.senders, self._on_sent)
        self._sending = self._loop.create_task(self._send(self._outbox), name=f"send to {self.address}")
        self._shared.keep(self._sending)
        self._guarded(lambda: self._handler.greeted(self, None))

    def certificate(self) -> bytes | None:
        """The peer's certificate (DER) on an encrypted connection that we dialled."""
        assert self._transport is not None
        ssl_object = self._transport.get_extra_info("ssl_object")
        return None if ssl_object is None else ssl_object.getpeercert(binary_form=True)

    def get_buffer(self, sizehint: int) -> memoryview:
        buffer = self._reader.get_buffer()
        cap = self._shared.limits.download
        return buffer[: max(MIN_READ_BYTES, cap.piece)] if cap.rate else buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._received(nbytes)
        self._guarded(lambda: self._take(nbytes))
        if (delay := self._shared.limits.download.delay(self.received_at)) > 0 and self._resuming is None:
            self._pause_reading(delay)
        else:
            self._lend()

    def pause_writing(self) -> None:
        if self._outbox is not None:
            self._outbox.pause()

    def resume_writing(self) -> None:
        if self._outbox is not None:
            self._outbox.resume()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        error = self.error or NetworkError(f"{self.address} closed the connection.")
        self.error = error
        self._outbox = None
        self._transport = None
        if self._sending is not None:
            self._sending.cancel()
        if self._resuming is not None:
            self._resuming.cancel()
        if not self._lent:
            self._close_receiving_socket()
        pending, self._pending = list(self._pending.values()), {}
        for expecting in pending:
            expecting.lost(error)
        for follower in list(self.followers):
            follower.closed(self)
        self._handler.closed(self)
        self.greeting.set()
        self.closed.set_result(None)

    # Inside.

    def _guarded(self, step: Callable[[], None]) -> None:
        """A peer's fault or the end of the line closes this connection, and nothing else."""
        try:
            step()
        except (RemoteProtocolError, IntegrityError, NetworkError) as error:
            self.close(error, politely=isinstance(error, EncryptionNeededError))

    async def _send(self, outbox: Outbox) -> None:
        try:
            await outbox.run()
        except asyncio.CancelledError:
            raise
        except (OSError, DhtshareError) as error:
            self.close(NetworkError(f"Sending to {self.address} failed: {error}."))

    def _on_sent(self, count: int) -> None:
        now = self._loop.time()
        self.sent.add(count, now)
        self.moved_at = now

    def _received(self, count: int) -> None:
        now = self._loop.time()
        self.received.add(count, now)
        self.moved_at = self.received_at = now
        self._shared.limits.download.charge(count, now)

    def _lend(self) -> bool:
        """Let a thread receive the rest of a long payload; whether one does."""
        if self._receiving_socket is None or self._transport is None or self._transport.is_closing():
            return False
        if self._shared.limits.download.rate or self.received.rate(self.received_at) < LEND_RATE:
            return False
        rest = self._reader.rest_of_payload()
        if rest is None or len(rest[0]) < LEND_BYTES:
            return False
        if not self._lent:
            self._lent = True
            self._transport.pause_reading()
        self._shared.receivers.submit(partial(receive, self._receiving_socket, *rest), self._taken_back)
        return True

    def _taken_back(self, result: object, error: BaseException | None) -> None:
        """A thread received; until now nothing else read from the connection."""
        if self._transport is None or self._transport.is_closing():
            self._lent = False
            self._close_receiving_socket()
            return
        assert isinstance(result, Received), error
        self._received(result.payload + result.following)
        self._guarded(lambda: self._take(result.payload, result.following))
        if self._transport is None or self._transport.is_closing():
            self._lent = False
            self._close_receiving_socket()
        elif not result.following or not self._lend():
            self._lent = False
            self._transport.resume_reading()

    def _close_receiving_socket(self) -> None:
        if self._receiving_socket is not None:
            self._receiving_socket.close()
            self._receiving_socket = None

    def _pause_reading(self, delay: float) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.pause_reading()
        self._resuming = self._loop.call_later(delay, self._resume_reading)

    def _resume_reading(self) -> None:
        self._resuming = None
        delay = self._shared.limits.download.delay(self._loop.time())
        if delay > 0:
            self._resuming = self._loop.call_later(delay, self._resume_reading)
        elif self._transport is not None and not self._transport.is_closing() and not self._lent:
            self._transport.resume_reading()

    def _place(self, message: Message, length: int) -> memoryview | None:
        expecting = self._pending.get(getattr(message, "request", 0))
        if expecting is None:
            raise RemoteProtocolError(f"{self.address} answers a request that was never made.")
        return expecting.place(length)

    def _take(self, *counts: int) -> None:
        for count in filter(None, counts):
            for frame in self._reader.advance(count):
                if self._transport is None or self._transport.is_closing():
                    return
                self._dispatch(frame)

    def _dispatch(self, frame: Frame) -> None:
        message = frame.message
        if not self.greeted:
            self._first(message)
            return
        match message:
            case Data() | Has() | Descriptor() | Members() | Refused():
                expecting = self._pending.pop(message.request, None)
                if expecting is None:
                    raise RemoteProtocolError(f"{self.address} answers a request that was never made.")
                expecting.answered(message, frame.payload)
            case Get() | Ask() | GetDescriptor() | GetMembers():
                self.asked_at = self._loop.time()
                self._handler.requested(self, message)
            case Have():
                for follower in list(self.followers):
                    follower.has_more(self, message.content, message.runs)
            case Given():
                for follower in list(self.followers):
                    follower.given(self, message.content, message.runs)
            case Choke() | Unchoke():
                self.choked = isinstance(message, Choke)
                for follower in list(self.followers):
                    follower.choking(self)
            case Cancel():
                self._handler.cancelled(self, message.request)
            case Unknown(request=number) if number is not None:
                self.send(Refused(number, Reason.UNSUPPORTED))
            case Hello():
                raise RemoteProtocolError(f"{self.address} says HELLO twice.")
            case _:
                pass  # PING, and messages of later versions that expect no answer

    def _first(self, message: Message | Unknown) -> None:
        if isinstance(message, Refused) and message.reason == Reason.ENCRYPT and not self.incoming:
            raise EncryptionNeededError(f"{self.address} wants encryption.")
        if not isinstance(message, Hello):
            raise RemoteProtocolError(f"{self.address} does not say HELLO first.")
        self.agent = message.agent
        self._handler.greeted(self, message)
        self.greeted = True
        self.greeting.set()


def _duplicate(transport: asyncio.Transport) -> socket.socket:
    """A socket of its own for a transport's: it stays ours when the transport closes while a thread uses it, so
    bytes never go to, or come from, whoever gets the number next."""
    twin = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    twin.setblocking(False)
    return twin
