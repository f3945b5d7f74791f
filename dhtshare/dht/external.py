"""Which IP address the world sees us at, by the word of those we asked ourselves. Pure.

Each reply says which address its sender saw. One /16 (IPv6: /32) has one voice, so that a neighbourhood
cannot outvote the rest, and keeps it for an hour. While no address rests on three voices, fewer than three
must all agree, then three that are the majority; an address of an earlier life is no more than a start. To
replace one that three confirmed takes five, or all there are, if at least three: a network of four has no
five voices, and a liar cannot make the rest fall silent. See docs/decisions/0010.
"""

from __future__ import annotations

from collections import Counter

from dhtshare.network import Address, parse_ip

VOICES_TO_BELIEVE = 3
VOICES_TO_REPLACE = 5
VOICE_SECONDS = 3600.0
MAX_VOICES = 64


class ExternalAddress:
    """Our address in one global scope. A configured one is never replaced. `now` is monotonic seconds.

    `believed` is where to start: what an earlier life believed, or what an interface of this machine says.
    """

    __slots__ = ("_fixed", "_rests_on", "_voices", "host")

    def __init__(self, configured: str | None = None, believed: str | None = None) -> None:
        self.host = configured or believed
        self._fixed = configured is not None
        self._rests_on = 0  # the most voices that ever said `host` at once
        self._voices: dict[bytes, tuple[str, float]] = {}  # what a network said last, and when; oldest first

    @property
    def confirmed(self) -> bool:
        """Whether the address was told to us, or enough voices said it."""
        return self._fixed or self._rests_on >= VOICES_TO_BELIEVE

    def seen(self, reporter: Address, host: str, now: float) -> bool:
        """The reporter, answering us, saw us at `host`. True if our address changed by that."""
        if self._fixed:
            return False
        self._note(_wide_network(reporter.host), host, now)
        counts = Counter(said for said, _ in self._voices.values())
        changed = host != self.host and self._convinced(counts[host], counts[self.host or ""], len(self._voices))
        if changed:
            self.host = host
            self._rests_on = 0
        if host == self.host:
            self._rests_on = max(self._rests_on, counts[host])
        return changed

    def suppose(self, host: str) -> None:
        """Start from this address, where none is known."""
        self.host = self.host or host

    def doubt(self) -> None:
        """We lost everybody, maybe because we are elsewhere now: hear all voices anew."""
        self._voices.clear()
        self._rests_on = 0

    def _note(self, voice: bytes, host: str, now: float) -> None:
        self._voices.pop(voice, None)
        self._voices[voice] = (host, now)
        while len(self._voices) > MAX_VOICES or now - next(iter(self._voices.values()))[1] > VOICE_SECONDS:
            del self._voices[next(iter(self._voices))]

    def _convinced(self, agreeing: int, for_the_known: int, voices: int) -> bool:
        if self._rests_on >= VOICES_TO_BELIEVE:
            return (
                agreeing >= VOICES_TO_REPLACE and agreeing > for_the_known
            ) or VOICES_TO_BELIEVE <= agreeing == voices
        if voices < VOICES_TO_BELIEVE:
            return self._rests_on <= agreeing == voices
        return agreeing >= VOICES_TO_BELIEVE and agreeing > voices // 2


def _wide_network(host: str) -> bytes:
    ip = parse_ip(host)
    if ip is None:
        raise ValueError(f"'{host}' is not an IP literal")
    return ip.packed[:2] if ip.version == 4 else ip.packed[:4]


def same_wide_network(one: str, other: str) -> bool:
    """Whether two hosts share a /16 (IPv6: /32)."""
    return _wide_network(one) == _wide_network(other)
