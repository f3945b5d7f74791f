"""What we remember of the addresses we talked to: the token they gave us and how quick they are. Pure.

Bounded: of too many addresses those with the oldest tokens are forgotten. Forgetting costs a padded request, no more.
"""

from __future__ import annotations

import struct

from dhtshare.dht.rtt import RttEstimate, timeout_of
from dhtshare.dht.tokens import SAFE_AGE_SECONDS
from dhtshare.dht.wire import TOKEN_BYTES
from dhtshare.network import Address

MAX_ADDRESSES = 1024
_FORGOTTEN_AT_ONCE = 8  # one in so many
_NEVER = float("-inf")
_NOTE = struct.Struct(f"={TOKEN_BYTES}sdff")  # token, when it came, smoothed round-trip time, its deviation


class PeerBook:
    """Tokens and round-trip times by address, and the round-trip time of the scope as a whole.

    The notes lie one after the other in one array of bytes: as objects they would be most of what a node remembers.
    """

    def __init__(self, limit: int = MAX_ADDRESSES) -> None:
        self._limit = limit
        self._numbers: dict[Address, int] = {}  # which of the notes is that of an address
        self._notes = bytearray()
        self.scope_rtt = RttEstimate()

    def __len__(self) -> int:
        return len(self._numbers)

    def knows(self, address: Address) -> bool:
        """Whether that address answered us lately."""
        return address in self._numbers

    def token(self, address: Address, now: float) -> bytes:
        """The token for that address, empty if none is known that it still accepts for sure."""
        number = self._numbers.get(address)
        if number is None:
            return b""
        token, came, _, _ = _NOTE.unpack_from(self._notes, number * _NOTE.size)
        return token if now - came < SAFE_AGE_SECONDS else b""

    def forget_token(self, address: Address) -> None:
        """The address does not accept its token any more (it restarted)."""
        number = self._numbers.get(address)
        if number is not None:
            _, _, smoothed, deviation = _NOTE.unpack_from(self._notes, number * _NOTE.size)
            _NOTE.pack_into(self._notes, number * _NOTE.size, b"", _NEVER, smoothed, deviation)

    def answered(self, address: Address, token: bytes, rtt: float | None, now: float) -> None:
        """An answer came from that address. `rtt` is None after a retransmission: nobody knows whose answer it is."""
        number = self._numbers.get(address)
        if number is None:
            number = self._add(address)
        known, came, smoothed, deviation = _NOTE.unpack_from(self._notes, number * _NOTE.size)
        if token:
            known, came = token, now
        if rtt is not None:
            estimate = RttEstimate(smoothed, deviation)
            estimate.add(rtt)
            smoothed, deviation = estimate.smoothed, estimate.deviation
            self.scope_rtt.add(rtt)
        _NOTE.pack_into(self._notes, number * _NOTE.size, known, came, smoothed, deviation)

    def rtt(self, address: Address) -> float:
        """Smoothed seconds, 0 if unknown."""
        number = self._numbers.get(address)
        smoothed: float = 0.0 if number is None else _NOTE.unpack_from(self._notes, number * _NOTE.size)[2]
        return smoothed

    def timeout(self, address: Address) -> float:
        """Seconds after which an answer from that address is late."""
        number = self._numbers.get(address)
        if number is not None:
            _, _, smoothed, deviation = _NOTE.unpack_from(self._notes, number * _NOTE.size)
            if smoothed:
                return timeout_of(smoothed, deviation)
        return self.scope_rtt.timeout()

    def _add(self, address: Address) -> int:
        if len(self._numbers) >= self._limit:
            self._forget_some()
        number = self._numbers[address] = len(self._numbers)
        self._notes += _NOTE.pack(b"", _NEVER, 0.0, 0.0)
        return number

    def _forget_some(self) -> None:
        notes = list(zip(self._numbers, _NOTE.iter_unpack(self._notes), strict=True))
        notes.sort(key=lambda note: note[1][1])
        del notes[: max(1, self._limit // _FORGOTTEN_AT_ONCE)]
        self._numbers = {address: number for number, (address, _) in enumerate(notes)}
        self._notes = bytearray().join(_NOTE.pack(*fields) for _, fields in notes)
