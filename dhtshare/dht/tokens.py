"""Address tokens: who returns one really receives at its address. Pure.

A token is 8 bytes of keyed BLAKE2s (RFC 7693: for so few bytes twice as quick as BLAKE3) over the packed IP and
port, bound to no key of the DHT; to all but its maker it is just bytes. The secret changes every 5 minutes and the
one before it is still accepted, so a token lives 5 to 10 minutes (the lifetimes of BEP 5). The network is part of the
hash, so one network's token is nothing in another.
"""

from __future__ import annotations

import hmac
import random
from hashlib import blake2s

from dhtshare.dht.wire import TOKEN_BYTES

ROTATION_SECONDS = 300.0
SAFE_AGE_SECONDS = ROTATION_SECONDS  # a token younger than this is accepted for sure
_SECRET_BYTES = 32


class TokenMint:
    """Makes and checks this node's tokens. `now` is monotonic seconds."""

    __slots__ = ("_current", "_network", "_previous", "_rng", "_rotates")

    def __init__(self, network: bytes, rng: random.Random, now: float) -> None:
        self._network = network
        self._rng = rng
        self._current = rng.randbytes(_SECRET_BYTES)
        self._previous = rng.randbytes(_SECRET_BYTES)
        self._rotates = now + ROTATION_SECONDS

    def make(self, packed_address: bytes, now: float) -> bytes:
        """The token of an address at this time."""
        if now >= self._rotates:
            self._rotate(now)
        return self._hash(self._current, packed_address)

    def check(self, token: bytes, packed_address: bytes, now: float, *, current: bytes | None = None) -> bool:
        """Whether this node gave `token` to that address within the last 5 to 10 minutes.

        `current` is what `make` returns, where it is known already. How long this takes tells nothing of the right one.
        """
        if len(token) != TOKEN_BYTES:
            return False
        if hmac.compare_digest(token, self.make(packed_address, now) if current is None else current):
            return True
        return hmac.compare_digest(token, self._hash(self._previous, packed_address))

    def _rotate(self, now: float) -> None:
        long_idle = now >= self._rotates + ROTATION_SECONDS
        self._previous = self._rng.randbytes(_SECRET_BYTES) if long_idle else self._current
        self._current = self._rng.randbytes(_SECRET_BYTES)
        self._rotates = now + ROTATION_SECONDS

    def _hash(self, secret: bytes, packed_address: bytes) -> bytes:
        return blake2s(self._network + packed_address, key=secret, digest_size=TOKEN_BYTES).digest()
