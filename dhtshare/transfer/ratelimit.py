"""Rate caps and rate meters. Pure: the caller owns the clock and does the waiting.

A bucket may be charged into debt (by traffic that cannot wait, such as the DHT's datagrams); who can wait pays
that debt off, so the cap holds for both together.
"""

from __future__ import annotations

import math

BURST_SECONDS = 0.2
"""How much may be saved up: 2 % of 10 s, in which a cap has to hold within 5 %; a busy machine pauses for so long."""

MIN_BURST_BYTES = 4096
MAX_PIECE_BYTES = 256 << 10


class TokenBucket:
    """`rate` bytes a second, 0 = unlimited. Invariant: never more than one burst above the cap in any interval."""

    def __init__(self, rate: int = 0) -> None:
        self._rate = rate
        self._tokens = float(self._burst)
        self._at = -math.inf

    @property
    def rate(self) -> int:
        """Bytes a second; 0 = unlimited."""
        return self._rate

    @property
    def _burst(self) -> int:
        return max(MIN_BURST_BYTES, int(self._rate * BURST_SECONDS))

    def set_rate(self, rate: int, now: float) -> None:
        """A new cap from now on. A debt is kept, savings beyond the new burst are not."""
        self._refill(now)
        self._rate = rate
        self._tokens = min(self._tokens, self._burst)

    @property
    def piece(self) -> int:
        """How many bytes to move at once so that a cap is felt as a rate, not as stop and go."""
        if not self._rate:
            return 1 << 62
        return min(MAX_PIECE_BYTES, max(MIN_BURST_BYTES, self._rate // 20))

    def charge(self, count: int, now: float) -> None:
        """`count` bytes moved already; may leave a debt."""
        if self._rate:
            self._refill(now)
            self._tokens -= count

    def delay(self, now: float) -> float:
        """Seconds until something may move again; 0 = now."""
        if not self._rate:
            return 0.0
        self._refill(now)
        return 0.0 if self._tokens > 0 else (1 - self._tokens) / self._rate

    def _refill(self, now: float) -> None:
        if now > self._at:
            if self._at > -math.inf:
                self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now


class Limits:
    """The two caps of a node, shared by all its connections and its DHT."""

    def __init__(self, upload: int = 0, download: int = 0) -> None:
        self.upload = TokenBucket(upload)
        self.download = TokenBucket(download)


class Meter:
    """Bytes a second, averaged over the last few seconds with older ones fading."""

    SPAN = 3.0

    def __init__(self) -> None:
        self.total = 0
        self._level = 0.0
        self._at = -math.inf
        self._since = math.inf

    def add(self, count: int, now: float) -> None:
        """`count` bytes moved."""
        self._fade(now)
        if self._since == math.inf:
            self._since = now
        self._level += count
        self.total += count

    def rate(self, now: float) -> float:
        """The rate; honest from the first moment on, because it divides by the time that was measured."""
        self._fade(now)
        measured = self.SPAN * (1 - math.exp(-(max(now - self._since, 0.05)) / self.SPAN)) if self.total else 1.0
        return self._level / measured

    def _fade(self, now: float) -> None:
        if now > self._at:
            if self._at > -math.inf:
                self._level *= math.exp(-(now - self._at) / self.SPAN)
            self._at = now
