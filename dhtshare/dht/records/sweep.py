"""Announcing many keys at once: one lookup tells the holders of a whole region. Pure.

A lookup's k closest are all nodes of the subtree around its target (Maymounkov and Mazières 2002, section
2.1), so every other key in that subtree has its holders among them. What a library costs grows with the
regions it touches, not with its keys. With few keys a region holds one, and this is plain lookups; with
many the lookups are made wider, since a region of twice as many nodes takes half as many of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest

from dhtshare.dht.contact import Contact, distance
from dhtshare.dht.records.region import Region, known_around

PLAIN_K = 20
SWEEP_K = 40
ENOUGH = 0.5  # of a key's target surely known in its region, in a wide lookup; the rest are the closest beside it
SPANS = 8  # lookups under way at once
_SPAN_NODES = 4 * SWEEP_K


def lookup_width(keys: int, nodes: int) -> int:
    """How many nodes a lookup should find: more where regions would hold several keys (about N / 20 regions)."""
    return SWEEP_K if keys * PLAIN_K > nodes else PLAIN_K


def spans(keys: Iterable[bytes], nodes: int) -> list[list[bytes]]:
    """The keys in order, cut into stretches of the key space that are walked side by side, at most SPANS.

    Each cut may cost a lookup, so a stretch is at least a few regions long where regions hold several keys.
    """
    ordered = sorted(set(keys))
    count = SPANS if lookup_width(len(ordered), nodes) == PLAIN_K else min(SPANS, max(1, nodes // _SPAN_NODES))
    size = -(-len(ordered) // count) or 1
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


class Sweep:
    """Walks a set of keys region by region: ask `next_target`, look it up, tell `covered`."""

    def __init__(self, keys: Iterable[bytes], targets: Mapping[bytes, int]) -> None:
        """`targets`: how many holders each key wants."""
        self._left = sorted(set(keys))
        self._targets = targets

    @property
    def left(self) -> Sequence[bytes]:
        """Keys without holders yet, in order."""
        return self._left

    def next_target(self) -> bytes | None:
        """The next key to look up; None when all have their holders."""
        return self._left[0] if self._left else None

    def covered(
        self, target: bytes, closest: Sequence[Contact], k: int, *, factor: int = 1
    ) -> dict[bytes, list[Contact]]:
        """The holders of each key for which this lookup of the k closest is enough, closest first.

        `factor` 2 stores twice as wide, where the region looks crowded by somebody.
        """
        region = known_around(target, closest, k)
        known = sum(contact.node_id in region for contact in closest)
        whole = region.bits == 0
        enough = ENOUGH if k > PLAIN_K else 1.0
        found: dict[bytes, list[Contact]] = {}
        for key in self._slice(region):
            wanted = self._targets[key]
            if whole or key == target or known >= enough * wanted:
                found[key] = _closest(key, closest, factor * wanted)
        self._left = [key for key in self._left if key not in found]
        return found

    def _slice(self, region: Region) -> list[bytes]:
        return self._left[bisect_left(self._left, region.first) : bisect_right(self._left, region.last)]


def _closest(key: bytes, contacts: Sequence[Contact], count: int) -> list[Contact]:
    if len(contacts) <= count:
        return list(contacts)
    return nsmallest(count, contacts, key=lambda contact: distance(contact.node_id, key))
