"""By which clock a record for all scopes is signed. Pure but for the clocks that it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dhtshare.dht.records.clock import TOLERANCE
from dhtshare.dht.records.holding import Holding


class SigningClock:
    """The record clock of the scope where most holders were heard: a LAN of few has no opinion.

    `wall` gives our own Unix seconds, which count where nobody was heard; `now` monotonic ones.
    """

    def __init__(self, holdings: Sequence[Holding], wall: Callable[[], float], now: Callable[[], float]) -> None:
        self._holdings = holdings
        self._wall = wall
        self._now = now

    def time(self) -> float:
        """Unix seconds to sign by."""
        best = max(self._holdings, key=lambda holding: holding.clock.opinions, default=None)
        return self._wall() if best is None else best.record_wall()

    def wall_at_zero(self) -> float:
        """What this clock said when the monotonic one was 0: it changes only when one of them is corrected."""
        return self.time() - self._now()

    def corrected_since(self, wall_at_zero: float) -> bool:
        """Whether what was signed then has by now turned out to be signed by a wrong clock."""
        return abs(self.wall_at_zero() - wall_at_zero) > TOLERANCE
