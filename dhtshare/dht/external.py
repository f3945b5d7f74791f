"""Which IP address the world sees us at, by the word of those we asked ourselves. Pure.

Each reply says which address its sender saw. One /16 (IPv6: /32) has one voice, so that a neighbourhood
cannot outvote the rest. Fewer than three voices must all agree, then three; to replace an address that
was believed, five (so that a few liars do not make a node change its id).
"""

from __future__ import annotations

from collections import Counter

from dhtshare.network import Address, parse_ip

VOICES_TO_BELIEVE = 3
VOICES_TO_REPLACE = 5
MAX_VOICES = 64


class ExternalAddress:
    """Our address in one global scope. A configured one is never replaced."""

    def __init__(self, configured: str | None = None, believed: str | None = None) -> None:
        self.host = configured or believed
        self._fixed = configured is not None
        self._voices: dict[bytes, str] = {}  # by the reporter's network, oldest first

    def seen(self, reporter: Address, host: str) -> bool:
        """The reporter, answering us, saw us at `host`. True if our address changed by that."""
        if self._fixed:
            return False
        voice = _wide_network(reporter.host)
        self._voices.pop(voice, None)
        self._voices[voice] = host
        if len(self._voices) > MAX_VOICES:
            del self._voices[next(iter(self._voices))]
        if host == self.host or not self._convinced(host):
            return False
        self.host = host
        return True

    def _convinced(self, host: str) -> bool:
        counts = Counter(self._voices.values())
        agreeing = counts[host]
        if self.host is not None:
            return agreeing >= VOICES_TO_REPLACE and agreeing > counts[self.host]
        if len(self._voices) < VOICES_TO_BELIEVE:
            return agreeing == len(self._voices)
        return agreeing >= VOICES_TO_BELIEVE and agreeing > len(self._voices) // 2


def _wide_network(host: str) -> bytes:
    ip = parse_ip(host)
    if ip is None:
        raise ValueError(f"'{host}' is not an IP literal")
    return ip.packed[:2] if ip.version == 4 else ip.packed[:4]


def same_wide_network(one: str, other: str) -> bool:
    """Whether two hosts share a /16 (IPv6: /32)."""
    return _wide_network(one) == _wide_network(other)
