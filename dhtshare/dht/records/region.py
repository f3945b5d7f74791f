"""A region of the key space: all keys that begin with the same bits. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
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

    def parts(self, bits: int) -> list[Region]:
        """The regions of so many more bits that make it up, in order."""
        deeper = min(self.bits + bits, ID_BITS)
        first, step = int.from_bytes(self.first, "big"), 1 << (ID_BITS - deeper)
        count = 1 << (deeper - self.bits)
        return [Region((first + number * step).to_bytes(ID_BYTES, "big"), deeper) for number in range(count)]

    def slice_of(self, ordered: Sequence[bytes]) -> slice:
        """Which of these keys, in ascending order, lie in the region."""
        return slice(bisect_left(ordered, self.first), bisect_right(ordered, self.last))


def around(own_id: bytes, contacts: Iterable[Contact], wanted: int) -> Region:
    """The region in which we may be one of the `wanted` closest, judged by the contacts that we know.

    A key that shares exactly so many bits with our id is closer to every node that shares more with the
    key than we do: to all contacts with just as many bits in common with us. Where those are `wanted` or
    more, none of these keys is ours.
    """
    sharing = Counter(ID_BITS - contact.distance_to(own_id).bit_length() for contact in contacts)
    bits = next(bits for bits in range(ID_BITS + 1) if sharing[bits] < wanted)
    return Region(own_id, bits)


def known_around(target: bytes, closest: Iterable[Contact], k: int) -> Region:
    """The largest region around a lookup's target in which the lookup surely found every node.

    The k closest are all nodes up to the distance of the farthest of them, so every subtree that lies
    within that distance is known whole. With fewer than k found there are no others anywhere.
    """
    distances = sorted(contact.distance_to(target) for contact in closest)
    if len(distances) < k:
        return Region(target, 0)
    return Region(target, ID_BITS - (distances[k - 1] + 1).bit_length() + 1)
