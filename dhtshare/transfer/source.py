"""One peer of a fetch: what it has, what it was asked for, how fast it is, what came of it.

Never decides what to ask: the swarm does, with the picker.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dhtshare.network import Address
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.window import Window

LEAST_STALL_SECONDS = 1.0
STALL_FACTOR = 4.0  # × the usual time of a chunk (design.md, section 7)
DEAD_SECONDS = 10.0  # no byte for so long: dropped (threats.md, stalling seed)
FLOOR_RATE = 4096  # bytes a second …
FLOOR_SECONDS = 20.0  # … over so long, else dropped as a trickle


@dataclass(frozen=True, slots=True)
class Source:
    """What one peer gave, for the summary."""

    address: str
    chunks: int
    bytes: int
    bad_chunks: int


@dataclass(eq=False, slots=True)
class SwarmPeer:
    """A connected peer. `base`: its chunk 0 is ours of that number, under its own `content`."""

    connection: Connection
    content: bytes
    base: int
    window: Window
    origin: str
    in_flight: int = 0
    jobs: dict[int, float] = field(default_factory=dict)
    """Request number → when it was sent."""
    chunks: int = 0
    bytes: int = 0
    bad_chunks: int = 0
    moved_at: float = 0.0
    floor_at: float = 0.0
    floor_bytes: int = 0
    snubbed: bool = False

    @property
    def address(self) -> Address:
        return self.connection.address

    def received(self, count: int, now: float) -> None:
        """`count` bytes of a request came."""
        self.window.received(count, now)
        self.moved_at = now
        self.snubbed = False

    def stalled(self, now: float, usual: float) -> bool:
        """Whether nothing came for so long that others should be asked; only once until it moves again."""
        if not self.jobs or self.snubbed:
            return False
        limit = max(LEAST_STALL_SECONDS, STALL_FACTOR * usual)
        return now - max(self.moved_at, self.connection.received_at) > limit

    def dead(self, now: float) -> bool:
        """Whether it gave nothing, or a trickle, for so long that it should go."""
        if not self.jobs:
            self.floor_at, self.floor_bytes = now, self.connection.received.total
            return False
        moved = max(self.moved_at, self.connection.received_at)
        if now - moved > DEAD_SECONDS:
            return True
        if now - self.floor_at >= FLOOR_SECONDS:
            came = self.connection.received.total - self.floor_bytes
            slow = came < FLOOR_RATE * (now - self.floor_at)
            self.floor_at, self.floor_bytes = now, self.connection.received.total
            return slow
        return False

    def source(self) -> Source:
        """Its line in the summary."""
        return Source(str(self.address), self.chunks, self.bytes, self.bad_chunks)
