"""What we remember of the addresses we talked to: the token they gave us and how quick they are. Pure.

Bounded: the address used least recently is forgotten first. Forgetting costs a padded request, no more.
"""

from __future__ import annotations

from dhtshare.dht.rtt import RttEstimate
from dhtshare.dht.tokens import SAFE_AGE_SECONDS
from dhtshare.network import Address

MAX_ADDRESSES = 1024


class _Note(RttEstimate):
    __slots__ = ("token", "token_time")

    def __init__(self) -> None:
        super().__init__()
        self.token = b""
        self.token_time = 0.0


class PeerBook:
    """Tokens and round-trip times by address, and the round-trip time of the scope as a whole."""

    def __init__(self, limit: int = MAX_ADDRESSES) -> None:
        self._limit = limit
        self._notes: dict[Address, _Note] = {}  # in order of use, oldest first
        self.scope_rtt = RttEstimate()

    def __len__(self) -> int:
        return len(self._notes)

    def knows(self, address: Address) -> bool:
        """Whether that address answered us lately."""
        return address in self._notes

    def token(self, address: Address, now: float) -> bytes:
        """The token for that address, empty if none is known that it still accepts for sure."""
        note = self._notes.get(address)
        return note.token if note is not None and now - note.token_time < SAFE_AGE_SECONDS else b""

    def forget_token(self, address: Address) -> None:
        """The address does not accept its token any more (it restarted)."""
        note = self._notes.get(address)
        if note is not None:
            note.token = b""

    def answered(self, address: Address, token: bytes, rtt: float | None, now: float) -> None:
        """An answer came from that address. `rtt` is None after a retransmission: nobody knows whose answer it is."""
        note = self._notes.pop(address, None) or _Note()
        self._notes[address] = note
        if len(self._notes) > self._limit:
            del self._notes[next(iter(self._notes))]
        if token:
            note.token, note.token_time = token, now
        if rtt is not None:
            note.add(rtt)
            self.scope_rtt.add(rtt)

    def rtt(self, address: Address) -> float:
        """Smoothed seconds, 0 if unknown."""
        note = self._notes.get(address)
        return note.smoothed if note is not None else 0.0

    def timeout(self, address: Address) -> float:
        """Seconds after which an answer from that address is late."""
        note = self._notes.get(address)
        return (note if note is not None and note.known else self.scope_rtt).timeout()
