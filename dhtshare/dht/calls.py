"""One request under way: when it is late, when it is sent again, when it is given up. Pure.

A call has three outcomes and one warning. The warning, *late*, comes after the contact's usual delay, or with the next
part of an answer that drips in; a lookup then gives its slot to somebody else, while the same datagram is sent twice
more under the same id, as long apart, unless an answer began, and the call goes on waiting. An answer to any sending
counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Body, Reply
from dhtshare.dht.wire import ResponseMessage
from dhtshare.errors import NetworkError

SENDINGS = 3  # at 10 % loss one live node in 150 fails so, with two sendings one in 28
PARTS_GAP_SECONDS = 0.5  # how long the further datagrams of an answer may lag behind the last one
PARTS_SECONDS = 5.0  # and behind the first: who sends them drop by drop holds nobody up for ever


class Timer(Protocol):
    """What a loop gives for a call to come: asyncio's handle, or that of another loop."""

    def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told how a call fares. Exactly one of `replied` and `failed` is called, once, unless cancelled."""

    replied: Callable[[Reply], None]
    failed: Callable[[NetworkError], None]
    late: Callable[[], None]


class Call:
    """The state of one call. The driver owns the timer and the socket."""

    __slots__ = (
        "_first",
        "_late_at",
        "_parts",
        "_parts_until",
        "contact",
        "datagram",
        "identifier",
        "listener",
        "sendings",
        "sent_at",
        "timer",
        "wait",
    )

    def __init__(self, identifier: bytes, contact: Contact, datagram: bytes, listener: Listener, wait: float) -> None:
        self.identifier = identifier
        self.contact = contact
        self.datagram = datagram
        self.listener = listener
        self.wait = wait
        self.sendings = 0
        self.sent_at = 0.0
        self._late_at: float | None = None
        self.timer: Timer | None = None
        self._first: ResponseMessage | None = None
        self._parts: dict[int, Body] = {}
        self._parts_until: float | None = None

    def sent(self, now: float) -> None:
        """The datagram went out."""
        self.sendings += 1
        self.sent_at = now
        self._late_at = now + self.wait if self.sendings == 1 else None

    @property
    def started_answering(self) -> bool:
        return self._first is not None

    def take(self, message: ResponseMessage) -> bool:
        """Take one datagram of the answer. True once all parts are there."""
        if self._first is None:
            self._first = message
        if message.parts == self._first.parts and message.node_id == self._first.node_id:
            self._parts.setdefault(message.part, message.body)
            if message.part == 0:
                self._first = message
        return len(self._parts) == self._first.parts

    def rest(self, now: float) -> float:
        """A datagram came and was not the last. Seconds to wait on for the others."""
        if self._parts_until is None:
            self._parts_until = now + PARTS_SECONDS
        return min(PARTS_GAP_SECONDS, self._parts_until - now)

    def became_late(self, now: float) -> bool:
        """Whether its usual delay is over and the rest of its answer is not here. True once."""
        if self._late_at is None or now < self._late_at:
            return False
        self._late_at = None
        return True

    @property
    def answer(self) -> tuple[ResponseMessage, tuple[Body, ...], bool]:
        """The fields of the answer, its bodies in order, and whether all of them came."""
        if self._first is None:
            raise ValueError("nothing was answered yet")
        bodies = tuple(self._parts[number] for number in sorted(self._parts))
        return self._first, bodies, len(bodies) == self._first.parts
