"""One TCP connection to one peer: frames in, frames out, who the peer is, and the requests we made of it.

Never decides anything about content: requests of the peer go to its handler, answers to whoever asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import cast

from dhtshare.errors import DhtshareError, IntegrityError, NetworkError, RemoteProtocolError
from dhtshare.network import Address
from dhtshare.transfer.answers import Answer
from dhtshare.transfer.codec import Frame, Unknown
from dhtshare.transfer.inbox import Digest, Inbox
from dhtshare.transfer.lines import CERTIFICATE, line_of
from dhtshare.transfer.messages import (
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
from dhtshare.transfer.outbox import Outbox
from dhtshare.transfer.parties import EncryptionNeededError, Expecting, Follower, Handler, Shared
from dhtshare.transfer.ratelimit import Meter
from dhtshare.transfer.requests import Requests
from dhtshare.transfer.sockets import acknowledged
from dhtshare.transfer.uptake import Uptake


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
        self.opened_at = self.moved_at = self.asked_at = self.received_at = self.payload_at = self._loop.time()
        self.payload_bytes = 0
        """Those of answers that we asked for, as they come in, and when the last of them came."""
        self._uptake = Uptake(self.sent, shared.limits.upload, self.opened_at)
        self._requests = Requests(address)
        self._transport: asyncio.Transport | None = None
        self._inbox: Inbox | None = None
        self._outbox: Outbox | None = None
        self._sending: asyncio.Task[None] | None = None
        self.closed = self._loop.create_future()

    # What its users do.

    @property
    def is_open(self) -> bool:
        """Whether requests can be made: not once it is ending."""
        return self._outbox is not None and self._transport is not None and not self._transport.is_closing()

    @property
    def requests_in_flight(self) -> int:
        """Requests of ours that have no answer yet."""
        return len(self._requests)

    @property
    def outbox(self) -> Outbox:
        """The sending half. Raises NetworkError after the end."""
        if self._outbox is None:
            raise NetworkError(f"The connection to {self.address} is closed.")
        return self._outbox

    def ask(self, make: Callable[[int], Request], expecting: Expecting) -> int:
        """Send a request, made with the number that it gets; returns the number. Raises NetworkError."""
        number = self._requests.add(expecting)
        self.asked_at = self._loop.time()
        if not self._say(make(number)):
            self._requests.unmade(number)
            raise NetworkError(f"The connection to {self.address} is closed.")
        return number

    def cancel(self, number: int) -> None:
        """The answer to this request is not wanted any more; it comes all the same, or a refusal, or it came."""
        if number in self._requests:
            self._say(Cancel(number))

    def send(self, message: Message) -> None:
        """Send a message that is no request; nothing after the end."""
        self._say(message)

    def answer(self, answer: Answer) -> None:
        """Queue an answer to the peer. More than a peer may ask for is its fault: RemoteProtocolError."""
        outbox = self.outbox
        if outbox.queued >= MAX_REQUESTS_IN_FLIGHT:
            raise RemoteProtocolError(f"{self.address} asks for more than it may at once.")
        if not outbox.queued:
            self._uptake.begins(self._loop.time())
        outbox.answer(answer)

    @property
    def busy(self) -> bool:
        """Whether a transfer runs in either direction. Answers that the peer leaves unread are none."""
        if self._requests:
            return True
        if self._outbox is None or not self._outbox.queued:
            return False
        return self._uptake.runs(self._loop.time(), self.moved_at)

    @property
    def lingers(self) -> bool:
        """Whether the peer may still read what went out last, though nothing is under way any more."""
        return self._uptake.lingers(self._loop.time())

    def stands_still(self, now: float) -> bool:
        """Whether the peer began a frame and does not go on with it. Ask it now and then."""
        return self._inbox is not None and self._inbox.stands_still(now)

    @property
    def held_back(self) -> bool:
        """Whether our own download cap keeps us from reading just now."""
        return self._inbox is not None and self._inbox.held_back

    def leaves_unread(self, seconds: float) -> bool:
        """Whether data for it is under way and the peer has taken none for so long, though we may send.

        Ask it now and then, for it looks at what the peer has taken since it was asked last.
        """
        if self._outbox is None or self._transport is None or not self._outbox.queued_data:
            return False
        sock = self._transport.get_extra_info("socket")  # None at the end
        taken = acknowledged(sock) if sock is not None else None
        return self._uptake.unread(seconds, self.sent.total if taken is None else taken, self._loop.time())

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
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        shared = self._shared
        self._inbox = Inbox(self, transport, line_of(transport), self._place, shared.limits.download, shared.receivers)
        self._outbox = Outbox(transport, line_of(transport), shared.limits.upload, shared.senders, self._on_sent)
        self._sending = self._loop.create_task(self._send(self._outbox), name=f"send to {self.address}")
        self._sending.add_done_callback(self._sent_last)
        self._shared.keep(self._sending)
        self._guarded(lambda: self._handler.greeted(self, None))

    def certificate(self) -> bytes | None:
        """The peer's certificate (DER) on an encrypted connection that we dialled."""
        assert self._transport is not None
        return cast("bytes | None", self._transport.get_extra_info(CERTIFICATE))

    def get_buffer(self, sizehint: int) -> memoryview:
        assert self._inbox is not None
        return self._inbox.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        assert self._inbox is not None
        self._inbox.updated(nbytes)

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
        if self._inbox is not None:
            self._inbox.close()
            self._inbox = None
        self._requests.lose(error)
        for follower in list(self.followers):
            follower.closed(self)
        self._handler.closed(self)
        self.greeting.set()
        self.closed.set_result(None)

    # What the inbox says.

    @property
    def expects_data(self) -> bool:
        return len(self._requests) > 0

    @property
    def receiving_rate(self) -> float:
        return self.received.rate(self.received_at)

    def bytes_came(self, count: int) -> None:
        now = self._loop.time()
        self.received.add(count, now)
        self.moved_at = self.received_at = now
        self._shared.limits.download.charge(count, now)

    def payload_came(self, count: int) -> None:
        self.payload_bytes += count
        self.payload_at = self.received_at

    def frames_came(self, frames: list[Frame]) -> None:
        for frame in frames:
            if self._transport is None or self._transport.is_closing():
                return
            self._guarded(partial(self._dispatch, frame))

    def claim(self, data: Data, payload: memoryview | None) -> Digest:
        landed = self._requests.take_data(data.request)
        return lambda: partial(self._guarded, landed.digest(data, payload))

    def failed(self, error: RemoteProtocolError | NetworkError) -> None:
        self._shared.refused(error)
        self.close(error)

    # Inside.

    def _guarded(self, step: Callable[[], None]) -> None:
        """A peer's fault or the end of the line closes this connection, and nothing else."""
        try:
            step()
        except (RemoteProtocolError, IntegrityError, NetworkError) as error:
            self.close(error, politely=isinstance(error, EncryptionNeededError))

    def _say(self, message: Message) -> bool:
        """Whether it goes. A peer that leaves too much unread ends its connection, not whoever has something to say
        to it."""
        if self._outbox is None or not self.is_open:
            return False
        try:
            self._outbox.send(message)
        except NetworkError as error:
            self.close(error)
            return False
        return True

    async def _send(self, outbox: Outbox) -> None:
        try:
            await outbox.run()
        except asyncio.CancelledError:
            raise
        except (OSError, DhtshareError, MemoryError, RuntimeError) as error:
            if not self._shared.refused(error) and isinstance(error, RuntimeError):
                raise
            self.close(NetworkError(f"Sending to {self.address} failed: {error}."))

    def _sent_last(self, _task: asyncio.Task[None]) -> None:
        """A task that was cancelled keeps the frames that it was cancelled in, and so the outbox and us."""
        self._sending = None

    def _on_sent(self, count: int) -> None:
        now = self._loop.time()
        self.sent.add(count, now)
        self.moved_at = now

    def _place(self, message: Message, length: int) -> memoryview | None:
        return self._requests.of(getattr(message, "request", 0)).place(length)

    def _dispatch(self, frame: Frame) -> None:
        message = frame.message
        if not self.greeted:
            self._first(message)
            return
        match message:
            case Data():
                self._requests.take_data(message.request).received(message, frame.payload)
            case Has() | Descriptor() | Members() | Refused():
                self._requests.take(message.request).answered(message, frame.payload)
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
