"""The rate below which a peer that is due to send is a trickle. Pure."""

from __future__ import annotations

FLOOR_RATE = 4096
FLOOR_SECONDS = 20.0
"""Fewer bytes a second over so long (threats.md, starting constants)."""


class Floor:
    """One peer's, from `begin` on, in windows of FLOOR_SECONDS."""

    def __init__(self) -> None:
        self._at = 0.0
        self._total = 0

    def begin(self, total: int, now: float) -> None:
        """From now on bytes are due. `total`: all that came until now."""
        self._at, self._total = now, total

    def is_missed(self, total: int, now: float) -> bool:
        """Whether the window that ends now brought too little. Ask it now and then: whoever asks ends the window."""
        elapsed = now - self._at
        if elapsed < FLOOR_SECONDS:
            return False
        came = total - self._total
        self.begin(total, now)
        return came < FLOOR_RATE * elapsed
