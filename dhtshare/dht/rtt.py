"""How long to wait for an answer: Jacobson's estimator, as TCP has it (RFC 6298). Pure.

A contact without samples of its own is given the estimate of the whole scope, so that a dead contact
costs what the network's delays make likely, not a fixed number of seconds.
"""

from __future__ import annotations

START_SECONDS = 0.8
MIN_TIMEOUT_SECONDS = 0.15
MAX_TIMEOUT_SECONDS = 2.0
_GAIN = 1 / 8
_VARIANCE_GAIN = 1 / 4


class RttEstimate:
    """Smoothed round-trip time and its mean deviation, in seconds."""

    __slots__ = ("deviation", "smoothed")

    def __init__(self, smoothed: float = 0.0, deviation: float = 0.0) -> None:
        self.smoothed = smoothed
        self.deviation = deviation

    def add(self, sample: float) -> None:
        """Take the delay of an answer to a request that was sent once (Karn's rule)."""
        if not self.smoothed:
            self.smoothed = sample
            self.deviation = sample / 2
            return
        self.deviation += _VARIANCE_GAIN * (abs(sample - self.smoothed) - self.deviation)
        self.smoothed += _GAIN * (sample - self.smoothed)

    @property
    def known(self) -> bool:
        return self.smoothed > 0

    def timeout(self) -> float:
        """Seconds until an answer is late."""
        return timeout_of(self.smoothed, self.deviation)


def timeout_of(smoothed: float, deviation: float) -> float:
    """Seconds until an answer is late, by an estimate; without any samples (0) the start value."""
    if not smoothed:
        return START_SECONDS
    return min(MAX_TIMEOUT_SECONDS, max(MIN_TIMEOUT_SECONDS, smoothed + 4 * deviation))
