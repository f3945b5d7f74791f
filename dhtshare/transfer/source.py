"""One peer of a fetch: what it holds, what it was asked for, how fast it is, whether it stalls.

Never decides what to ask: the pipeline does, with the picker.
"""

from __future__ import annotations

import math

from dhtshare.network import Address
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.floor import Floor
from dhtshare.transfer.window import Window

LEAST_STALL_SECONDS = 1.0
STALL_FACTOR = 4.0
"""× the usual time of a chunk from this peer (design.md, section 7)."""

DEAD_SECONDS = 10.0
"""Without a byte, though asked: dropped (threats.md, stalling seed)."""

CHATTER_BYTES = 64 << 10
"""What a peer may say between two pieces of its answers while our own cap holds it back: news of many chunks."""

UNKNOWN_SECONDS = 2.0
"""When a request to a peer of unknown rate is expected to be answered."""


class SwarmPeer:
    """A connected peer. Its chunk 0, counted under its own `content`, is our chunk `base`."""

    def __init__(
        self,
        connection: Connection,
        content: bytes,
        base: int,
        window: Window,
        origin: str,
        listens: Address | None = None,
    ) -> None:
        """`listens`: where it can be dialled, though the connection came from elsewhere."""
        self.connection = connection
        self.address = listens or connection.address
        """What it is called, as long as it is here."""
        self.incoming = connection.incoming and listens is None
        """It dialled us, and where it listens is unknown: nobody can dial its address."""
        self.content = content
        self.base = base
        self.window = window
        self.origin = origin
        self.in_flight = 0
        self.snubbed = False
        self.retired = False
        """Not to be asked for more: another connection leads to the same peer."""
        self.learning = False
        self.useful_at = connection.opened_at
        """When it last gave a verified chunk, or came."""
        self._moved_at = 0.0
        self._floor = Floor()
        self._usual = 0.0
        self._payload = self._besides = 0

    def asked(self, length: int, now: float) -> None:
        """`length` more bytes were asked of it."""
        if not self.in_flight:
            self._moved_at = now
            self._floor.begin(self.connection.payload_bytes, now)
        self.in_flight += length

    def settled(self, length: int) -> None:
        """`length` bytes asked of it came, or will not."""
        self.in_flight -= length
        if not self.in_flight:
            self.window.idle()

    def moved(self, count: int, took: float, now: float) -> None:
        """`count` bytes of an answer came, `took` seconds after they were asked for."""
        self.window.received(count, now)
        self._moved_at = now
        self._usual = 0.7 * self._usual + 0.3 * took if self._usual else took
        self.snubbed = False

    def expected(self, more: int = 0) -> float:
        """Seconds until all that it was asked for and `more` bytes would have come."""
        return self.window.expected(self.in_flight + more)

    def stalls(self, now: float) -> bool:
        """Whether nothing came for so long that others should be asked. Once, until it moves again."""
        if not self.in_flight or self.snubbed:
            return False
        limit = min(DEAD_SECONDS, max(LEAST_STALL_SECONDS, STALL_FACTOR * self._usual))
        return now - self._last_byte() > limit

    def is_dead(self, now: float) -> bool:
        """Whether it gave nothing, or a trickle, for so long that it should go. Not what our own cap did."""
        if not self.in_flight:
            return False
        if self._is_held_back():
            self._moved_at = now
            self._floor.begin(self.connection.payload_bytes, now)
        return now - self._last_byte() > DEAD_SECONDS or self._floor.is_missed(self.connection.payload_bytes, now)

    def _is_held_back(self) -> bool:
        """Whether our own cap is why no more of its answers is here. Not where what we read lately was something else:
        with chatter it could keep us from reading for ever."""
        connection = self.connection
        if connection.payload_bytes > self._payload:
            self._payload, self._besides = connection.payload_bytes, connection.received.total
        return connection.held_back and connection.received.total - self._besides <= CHATTER_BYTES

    @property
    def heard_at(self) -> float:
        """When bytes came last, while it is to send what it was asked for; minus infinity when nothing is asked of it.

        A chunk may take minutes to come whole, of a slow peer or under our own cap.
        """
        return self.connection.payload_at if self.in_flight else -math.inf

    def _last_byte(self) -> float:
        return max(self._moved_at, self.connection.payload_at)
