"""Whether a frame that a peer began goes on, or holds its place and memory for nothing. Pure."""

from __future__ import annotations

from dhtshare.transfer.floor import Floor

STANDSTILL_SECONDS = 9.0
"""Looked at once a second, so that whoever says half a frame and no more is gone after 10 s (threats.md)."""


class HalfFrame:
    """What came last of one connection. It never stands still between two frames: there silence is allowed."""

    def __init__(self) -> None:
        self._begun = False
        self._moved_at = 0.0
        self._bytes = 0
        self._floor = Floor()

    def came(self, count: int, now: float, *, begun: bool, anew: bool) -> None:
        """`count` bytes came. Whether a frame is `begun` now, and whether that is `anew`: another than before, or we
        did not watch it."""
        self._bytes += count
        self._moved_at = now
        if anew or not self._begun:
            self._floor.begin(self._bytes, now)
        self._begun = begun

    def resumed(self, now: float) -> None:
        """We read again, after a pause of our own."""
        self._moved_at = now

    def stands_still(self, now: float, *, capped: bool) -> bool:
        """Whether a frame is begun of which nothing comes any more, or a trickle. `capped`: we hold the peer back
        ourselves, so that a trickle is no fault of its."""
        if not self._begun:
            return False
        if capped:
            self._floor.begin(self._bytes, now)
        return now - self._moved_at > STANDSTILL_SECONDS or self._floor.is_missed(self._bytes, now)
