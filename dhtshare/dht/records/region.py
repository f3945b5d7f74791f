"""A region of the key space: all keys that begin with the same bits. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dhtshare.dht.contact import ID_BITS, ID_BYTES, Contact, distance


class Region(NamedTuple):
    """The keys whose first `bits` are those of `start`; 0 bits are the whole space."""

    start: bytes
    bits: int

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and distance(self.start, key) >> (ID_BITS - self.bits) == 0

    @property
    def first(self) -> bytes:
        """The lowest key of the region."""
        free = ID_BITS - self.bits
        return (int.from_bytes(self.start, "big") >> free << free).to_bytes(ID_BYTES, "big")

    @property
    def last(self) -> bytes:
        """The highest key of the region."""
        free = ID_BITS - self.bits
        return (int.from_bytes(self.first, "big") | ((1 << free) - 1)).to_bytes(ID_BYTES, "big")

    def slice_of(self, ordered: Sequence[bytes]) -> slice:
        """Which of these keys, in ascending order, lie in the region."""
        return slice(bisect_left(ordered, self.first), bisect_right(ordered, self.last))


def around(own_id: bytes, nearest: Sequence[Contact], wanted: int) -> Region:
    """The region in which we may be one of the `wanted` closest, judged by our nearest contacts.

    With fewer contacts than wanted it is everything.
    """
    if len(nearest) < wanted:
        return Region(own_id, 0)
    farthest = max(contact.distance_to(own_id) for contact in nearest[:wanted])
    return Region(own_id, ID_BITS - farthest.bit_length())


def known_around(target: bytes, closest: Iterable[Contact], k: int) -> Region:
    """The largest region around a lookup's target in which the lookup surely found every node.

    The k closest are all nodes up to the distance of the farthest of them, so every subtree that lies
    within that distance is known whole. With fewer than k found there are no others anywhere.
    """
    distances = sorted(contact.distance_to(target) for contact in closest)
    if len(distances) < k:
        return Region(target, 0)
    return Region(target, ID_BITS - (distances[k - 1] + 1).bit_length() + 1)
