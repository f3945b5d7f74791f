"""How much one address may ask of us. Pure.

The generic cell rate algorithm keeps one number per key, the time at which the key's bucket is empty
again; once that time is past, the entry means the same as no entry, so forgetting is exact. Excess
without a token is dropped one by one and leaves nothing behind: whoever forges a source must not
silence its owner. Only excess that carries a token, and so is no forgery, has its ip:port ignored.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable

from dhtshare.network import Address

PROVED_PER_SECOND = 50.0
PROVED_BURST = 200
UNPROVED_PER_SECOND = 10.0
UNPROVED_BURST = 50
IGNORE_SECONDS = 60.0
RECORDS_PER_SECOND = 2000 / 60
RECORDS_BURST = 2000
MAX_KEYS = 16_384  # counts still running at once; of requests each one runs a tenth of a second
_FEW_KEYS = 8  # of so many none is worth being forgotten


class RateMeter:
    """A token bucket for each of many keys: `rate` a second, `burst` at once, at most `limit` keys known."""

    __slots__ = ("_crowded", "_empty_at", "_interval", "_limit", "_tolerance")

    def __init__(self, rate: float, burst: int, limit: int = MAX_KEYS) -> None:
        self._interval = 1.0 / rate
        self._tolerance = (burst - 1) * self._interval
        self._limit = limit
        self._crowded = min(limit, _FEW_KEYS)  # so many keys are looked through for those that are past
        self._empty_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._empty_at)

    def take(self, key: Hashable, now: float, cost: int = 1) -> float:
        """Take `cost` units. 0.0 if they were there, else the seconds until they are; then nothing is taken."""
        empty_at = self._empty_at.get(key)
        if empty_at is None or empty_at < now:
            if empty_at is None and len(self._empty_at) >= self._crowded and not self._purge(now):
                return self._interval
            empty_at = now
        wait = empty_at + (cost - 1) * self._interval - now - self._tolerance
        if wait > 1e-9:  # rounding of the sums must not refuse the last unit of a burst
            return wait
        self._empty_at[key] = empty_at + cost * self._interval
        return 0.0

    def _purge(self, now: float) -> bool:
        self._empty_at = {key: at for key, at in self._empty_at.items() if at > now}
        self._crowded = min(self._limit, max(_FEW_KEYS, 2 * len(self._empty_at)))
        return len(self._empty_at) < self._limit


class Verdict(enum.Enum):
    """What to do with a request."""

    SERVE = enum.auto()
    DROP = enum.auto()


class RequestRates:
    """The rates of the global scopes for requests, with and without token."""

    __slots__ = ("_proved", "_unproved", "ignored")

    def __init__(self) -> None:
        self._proved = RateMeter(PROVED_PER_SECOND, PROVED_BURST)
        self._unproved = RateMeter(UNPROVED_PER_SECOND, UNPROVED_BURST)
        self.ignored: dict[Address, float] = {}  # until when; empty on a good day

    def ignores(self, sender: Address, now: float) -> bool:
        """Whether that ip:port lost its hearing for a while."""
        until = self.ignored.get(sender)
        if until is None:
            return False
        if until > now:
            return True
        del self.ignored[sender]
        return False

    def judge(self, sender: Address, proved: bool, now: float) -> Verdict:
        """Count one request of that sender."""
        if not proved:
            return Verdict.DROP if self._unproved.take(sender.host, now) else Verdict.SERVE
        if not self._proved.take(sender, now):
            return Verdict.SERVE
        if len(self.ignored) >= MAX_KEYS:
            self.ignored = {address: until for address, until in self.ignored.items() if until > now}
        if len(self.ignored) < MAX_KEYS:
            self.ignored[sender] = now + IGNORE_SECONDS
        return Verdict.DROP


def record_meter() -> RateMeter:
    """Stores: 2,000 records a minute for each proved address; the wait goes into the BUSY answer."""
    return RateMeter(RECORDS_PER_SECOND, RECORDS_BURST)
