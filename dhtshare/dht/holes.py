"""Whom a NAT in front of us may let in because we wrote there lately. Pure.

A NAT or firewall lets answers in for a while: at least 2 minutes, 5 are recommended (RFC 4787, REQ-5). So
a datagram from a host that we wrote to within that time proves nothing about the others.
"""

from __future__ import annotations

HOLE_SECONDS = 300.0
MAX_HOSTS = 4096


class Holes:
    """Hosts written to within the last 5 minutes. `now` is monotonic seconds."""

    def __init__(self, limit: int = MAX_HOSTS) -> None:
        self._limit = limit
        self._written: dict[str, float] = {}  # the one longest ago first
        self._forgotten = float("-inf")  # the latest time among the hosts that were forgotten for room

    def wrote(self, host: str, now: float) -> None:
        """A request of ours went there."""
        self._written.pop(host, None)
        self._written[host] = now
        if len(self._written) > self._limit:
            oldest = next(iter(self._written))
            self._forgotten = self._written.pop(oldest)

    def may_let_in(self, host: str, now: float) -> bool:
        """Whether a datagram from there might come in only because we wrote there."""
        return now - self._written.get(host, self._forgotten) < HOLE_SECONDS
