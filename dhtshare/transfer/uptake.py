"""Whether a peer takes the answers that are under way to it, or holds place and slot for nothing. Pure."""

from __future__ import annotations

from dhtshare.transfer.floor import FLOOR_RATE, FLOOR_SECONDS
from dhtshare.transfer.ratelimit import Meter, TokenBucket

STUCK_SECONDS = FLOOR_SECONDS
"""An answer that its peer takes more slowly than the floor, for so long, is no running transfer."""


class Uptake:
    """One peer's. `sent` measures what goes to it, `cap` is what holds us back ourselves."""

    def __init__(self, sent: Meter, cap: TokenBucket, now: float) -> None:
        self._sent = sent
        self._cap = cap
        self._since = self._taken_at = now
        self._taken = 0

    def begins(self, now: float) -> None:
        """From now on answers are under way; none were before."""
        self._since = now

    def runs(self, now: float, moved_at: float) -> bool:
        """Answers are under way: whether that is a transfer. `moved_at`: when any byte came or went."""
        if now - self._since < STUCK_SECONDS:
            return True
        if self._cap.rate:  # the cap is our doing: any byte counts
            return now - moved_at < STUCK_SECONDS
        return self._sent.rate(now) >= FLOOR_RATE

    def lingers(self, now: float) -> bool:
        """Nothing is under way any more as far as we see: whether the peer may still read what went out last.

        Megabytes stand in the buffers of both systems; closing now would lose them.
        """
        return self._sent.rate(now) >= FLOOR_RATE

    def unread(self, seconds: float, taken: int, now: float) -> bool:
        """Data is under way, and `taken` bytes in all arrived: whether no more did for so long, though we may send.

        Ask it now and then, for it compares with what it was told the last time.
        """
        if taken != self._taken:
            self._taken, self._taken_at = taken, now
        return now - max(self._taken_at, self._since) > seconds and self._cap.delay(now) <= 0
