"""Announcing many keys at once: one lookup tells the holders of a whole region. Pure.

A lookup's k closest are all nodes of the subtree around its target (Maymounkov and Mazières 2002, section
2.1), so every other key in that subtree has its holders among them. What a library costs grows with the
regions it touches, not with its keys. With few keys a region holds one, and this is plain lookups; with
many each lookup is for everybody in a whole region, since one of twice as many nodes takes half as many of them.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest

from dhtshare.dht.contact import ID_BITS, Contact, distance
from dhtshare.dht.records.region import Region, known_around

PLAIN_K = 20
REGION_NODES = 56  # at most, as far as the size of the network is known: a lookup may ask 128 nodes, dead ones included
ENOUGH = 0.5  # of a key's target in a region that is known whole; the rest are the closest beside it
SPANS = 8  # lookups under way at once
_SPAN_NODES = 4 * REGION_NODES


def region_bits(keys: int, nodes: int) -> int:
    """Into regions of how many bits the key space is cut; all bits where a region would seldom hold a second key."""
    if keys * PLAIN_K <= nodes:
        return ID_BITS
    return max(0, math.ceil(math.log2(max(1, nodes) / REGION_NODES)))


def spans(keys: Iterable[bytes], nodes: int) -> list[list[bytes]]:
    """The keys in order, cut into stretches of the key space that are walked side by side, at most SPANS.

    Each cut may cost a lookup, so a stretch is at least a few regions long where regions hold several keys.
    """
    ordered = sorted(set(keys))
    count = SPANS if region_bits(len(ordered), nodes) == ID_BITS else min(SPANS, max(1, nodes // _SPAN_NODES))
    size = -(-len(ordered) // count) or 1
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


class Sweep:
    """Walks a set of keys region by region: ask `next_target`, look it up, tell `covered`."""

    def __init__(self, keys: Iterable[bytes], targets: Mapping[bytes, int], bits: int) -> None:
        """`targets`: how many holders each key wants. `bits` of a region whose nodes a lookup is to find all."""
        self._left = sorted(set(keys))
        self._targets = targets
        self._bits = bits

    @property
    def left(self) -> Sequence[bytes]:
        """Keys without holders yet, in order."""
        return self._left

    @property
    def around(self) -> int:
        """The distance up to which a lookup is to find everybody."""
        return (1 << ID_BITS - self._bits) - 1

    def next_target(self) -> bytes | None:
        """The next key to look up; None when all have their holders."""
        return self._left[0] if self._left else None

    def covered(
        self, target: bytes, closest: Sequence[Contact], *, complete: bool = True, factor: int = 1
    ) -> dict[bytes, list[Contact]]:
        """The holders of each key for which this lookup is enough, closest first.

        `closest`: the PLAIN_K closest, and everybody `around`. A lookup that was not `complete` is enough for its
        target alone. Later ones are for smaller regions then, and for larger ones where too few nodes were in this.
        `factor` 2 stores twice as wide, where the region looks crowded by somebody.
        """
        wide = self._bits < ID_BITS
        region = known_around(target, closest, PLAIN_K) if complete else Region(target, ID_BITS)
        if complete and self._bits < region.bits:
            region = Region(target, self._bits)
        known = sum(contact.node_id in region for contact in closest)
        enough = ENOUGH if wide else 1.0
        found: dict[bytes, list[Contact]] = {}
        keys = self._slice(region)
        for key in keys:
            wanted = self._targets[key]
            if region.bits == 0 or key == target or known >= enough * wanted:
                found[key] = _closest(key, closest, factor * wanted)
        self._left = [key for key in self._left if key not in found]
        if wide and not complete:
            self._bits += 1
        elif wide and len(found) < len(keys):
            self._bits = region.bits - 1
        return found

    def _slice(self, region: Region) -> list[bytes]:
        return self._left[bisect_left(self._left, region.first) : bisect_right(self._left, region.last)]


def _closest(key: bytes, contacts: Sequence[Contact], count: int) -> list[Contact]:
    if len(contacts) <= count:
        return list(contacts)
    return nsmallest(count, contacts, key=lambda contact: distance(contact.node_id, key))
