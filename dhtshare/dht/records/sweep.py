"""Announcing many keys at once: one lookup tells the holders of a whole region. Pure.

A lookup's k closest are all nodes of the subtree around its target (Maymounkov and Mazières 2002, section
2.1), so every other key in that subtree has its holders among them. What a library costs grows with the
regions it touches, not with its keys; a single key is a region of one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from heapq import nsmallest

from dhtshare.dht.contact import Contact, distance
from dhtshare.dht.records.region import known_around


class Sweep:
    """Walks a set of keys region by region: ask `next_target`, look it up, tell `covered`."""

    def __init__(self, keys: Iterable[bytes], k: int) -> None:
        self._keys = sorted(set(keys))
        self._at = 0
        self._k = k

    def next_target(self) -> bytes | None:
        """The next key to look up; None when all have their holders."""
        return self._keys[self._at] if self._at < len(self._keys) else None

    def covered(
        self, target: bytes, closest: Sequence[Contact], targets: dict[bytes, int]
    ) -> dict[bytes, list[Contact]]:
        """The holders of each key for which this lookup is enough, closest first; `targets`: how many each wants."""
        region = known_around(target, closest, self._k)
        end = max(self._at + 1, bisect_right(self._keys, region.last))
        keys, self._at = self._keys[self._at : end], end
        return {key: _closest(key, closest, targets[key]) for key in keys}


def _closest(key: bytes, contacts: Sequence[Contact], count: int) -> list[Contact]:
    if len(contacts) <= count:
        return list(contacts)
    return nsmallest(count, contacts, key=lambda contact: distance(contact.node_id, key))
