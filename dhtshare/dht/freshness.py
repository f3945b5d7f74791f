"""Which parts of the id space a node has not looked into lately (Maymounkov and Mazières 2002, section 2.3). Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from dhtshare.dht.contact import ID_BITS


class Freshness:
    """When a lookup of ours last went into each bucket. A stranger's question refreshes nothing."""

    __slots__ = ("_own", "_refreshed")

    def __init__(self, own: int) -> None:
        self._own = own
        self._refreshed: dict[int, float] = {}

    def refreshed(self, index: int, now: float) -> None:
        """A lookup of ours into that bucket is done; 0, our own id, is no bucket."""
        if index:
            self._refreshed[index] = now

    def stale(self, indexes: Iterable[int], now: float, age: float) -> list[int]:
        """Those of the buckets that no lookup went into for `age` seconds, or ever."""
        return [index for index in indexes if now - self._refreshed.get(index, now - age) >= age]

    def random_target(self, index: int, rng: random.Random) -> bytes:
        """A random id that falls into that bucket."""
        distance = 1 << (index - 1)
        return (self._own ^ (distance | rng.randrange(distance))).to_bytes(ID_BITS // 8, "big")


def farthest_first(lowest: int) -> range:
    """Bucket indexes from the farthest down to `lowest`; nearer ones are covered by the lookup of our own id."""
    return range(ID_BITS, lowest - 1, -1)


def unfilled(indexes: Iterable[int], sizes: Mapping[int, int], ksize: int) -> list[int]:
    """Those of the buckets that have room for more."""
    return [index for index in indexes if sizes.get(index, 0) < ksize]
