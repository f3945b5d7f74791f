"""The caps of one node over the stores of all its scopes, and who gives way when they are reached. Pure.

Invariants: records and bytes never pass the limits; each store has charged exactly what it holds, to the network that
stored it; `_ranked` has each network with any bytes once.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from dhtshare.dht.records.limits import StoreLimits
from dhtshare.dht.records.sorted_list import SortedList

Rank = tuple[int, bytes]
"""Bytes that a network holds, negative, and its tag: the heaviest network comes first."""


class Candidate(NamedTuple):
    """A record that could give way. `since`: about when it was stored, monotonic seconds; `reference`: its store's."""

    since: float
    reference: Any


class Evictable(Protocol):
    """A store that can let records go."""

    def oldest(self, tag: bytes) -> Candidate | None:
        """The oldest record that this network stored; None where there is none."""

    def evict(self, reference: Any) -> None:
        """Let a record go, and discharge it."""


class Budget:
    """Counts what all stores of a node hold. When it is full the oldest of the network with most bytes goes first."""

    def __init__(self, limits: StoreLimits | None = None) -> None:
        self.limits = limits or StoreLimits()
        self.records = 0
        self.bytes = 0
        self.evicted = 0
        self._stores: list[Evictable] = []
        self._ranks: dict[bytes, Rank] = {}
        self._ranked: SortedList[Rank] = SortedList()

    def join(self, store: Evictable) -> None:
        """A store that charges this budget from now on."""
        self._stores.append(store)

    def charge(self, tag: bytes, records: int, cost: int) -> None:
        """Something of this network was stored (positive) or let go (negative)."""
        self.records += records
        self.bytes += cost
        before = self._ranks.pop(tag, None)
        if before is not None:
            self._ranked.remove(before)
            cost -= before[0]
            tag = before[1]
        if cost:
            self._ranks[tag] = after = (-cost, tag)
            self._ranked.add(after)

    def shared(self, tag: bytes) -> bytes:
        """The same tag; one object for all records of that network, where it has some."""
        rank = self._ranks.get(tag)
        return tag if rank is None else rank[1]

    def has_room(self, records: int, cost: int) -> bool:
        """Whether so much more fits as things are."""
        return self.records + records <= self.limits.records and self.bytes + cost <= self.limits.bytes

    def make_room(self, records: int, cost: int) -> bool:
        """Let others go until so much more fits. False if it never can."""
        if records > self.limits.records or cost > self.limits.bytes:
            return False
        while not self.has_room(records, cost):
            self._evict_one()
        return True

    def _evict_one(self) -> None:
        """Let the oldest record of the heaviest network go."""
        _, tag = next(iter(self._ranked))
        found = ((store.oldest(tag), store) for store in self._stores)
        victim, store = min(((one, store) for one, store in found if one is not None), key=lambda pair: pair[0].since)
        before = self.records
        store.evict(victim.reference)
        assert self.records < before  # or room would be made for ever
        self.evicted += 1
