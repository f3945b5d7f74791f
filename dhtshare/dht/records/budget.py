"""The caps of one node over the stores of all its scopes, and who gives way when they are reached. Pure.

Invariant: records and bytes never pass the limits; each store has charged exactly what it holds.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple, Protocol

from dhtshare.dht.records.limits import StoreLimits

#: Room is made for one in twenty at once: looking for victims walks everything held, a quarter of a second when full.
_SHARE_FREED = 20


class Candidate(NamedTuple):
    """A record that could give way. `since`: about when it was stored, monotonic seconds."""

    tag: bytes
    since: float
    cost: int
    reference: Hashable


class Evictable(Protocol):
    """A store that can let records go."""

    def candidates(self) -> Iterator[Candidate]:
        """All that it holds, each once."""

    def evict(self, references: Iterable[Hashable]) -> None:
        """Let these go, and discharge them."""


class Budget:
    """Counts what all stores of a node hold. When it is full the oldest of the network with most bytes goes first."""

    def __init__(self, limits: StoreLimits | None = None) -> None:
        self.limits = limits or StoreLimits()
        self.records = 0
        self.bytes = 0
        self.evicted = 0
        self._stores: list[Evictable] = []

    def join(self, store: Evictable) -> None:
        """A store that charges this budget from now on."""
        self._stores.append(store)

    def charge(self, records: int, cost: int) -> None:
        """Something was stored (positive) or let go (negative)."""
        self.records += records
        self.bytes += cost

    def has_room(self, records: int, cost: int) -> bool:
        """Whether so much more fits as things are."""
        return self.records + records <= self.limits.records and self.bytes + cost <= self.limits.bytes

    def make_room(self, records: int, cost: int) -> bool:
        """Let others go until so much more fits. False if it never can."""
        limits = self.limits
        if records > limits.records or cost > limits.bytes:
            return False
        records_over = self.records + records - limits.records
        bytes_over = self.bytes + cost - limits.bytes
        if records_over > 0 or bytes_over > 0:
            self._evict(
                max(records_over, limits.records // _SHARE_FREED) if records_over > 0 else 0,
                max(bytes_over, limits.bytes // _SHARE_FREED) if bytes_over > 0 else 0,
            )
        return True

    def _evict(self, records: int, cost: int) -> None:
        """Let so many records and bytes go."""
        references: list[Hashable] = []
        ends: list[int] = []  # how many candidates there are up to the end of each store

        def candidates() -> Iterator[Candidate]:
            for store in self._stores:
                for one in store.candidates():
                    references.append(one.reference)
                    yield one
                ends.append(len(references))

        chosen = sorted(fairest_victims(candidates(), records, cost))
        begin = 0
        for store, end in zip(self._stores, (bisect_left(chosen, end) for end in ends), strict=True):
            store.evict(references[number] for number in chosen[begin:end])
            begin = end
        self.evicted += len(chosen)


def fairest_victims(candidates: Iterable[Candidate], records: int, cost: int) -> list[int]:
    """Numbers of the candidates to let go for so many records and bytes: always the oldest of the heaviest network.

    Keeps no candidate: a hundred thousand tuples alive at once cost the garbage collector more than all the rest.
    """
    by_tag: defaultdict[bytes, list[int]] = defaultdict(list)
    weights: defaultdict[bytes, int] = defaultdict(int)
    since, costs = array("d"), array("q")
    for number, candidate in enumerate(candidates):
        by_tag[candidate.tag].append(number)
        weights[candidate.tag] += candidate.cost
        since.append(candidate.since)
        costs.append(candidate.cost)
    for numbers in by_tag.values():
        numbers.sort(key=since.__getitem__, reverse=True)
    heap = [(-weight, tag) for tag, weight in weights.items()]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and (records > 0 or cost > 0):
        weight, tag = heapq.heappop(heap)
        victim = by_tag[tag].pop()
        chosen.append(victim)
        records -= 1
        cost -= costs[victim]
        if by_tag[tag]:
            heapq.heappush(heap, (weight + costs[victim], tag))
    return chosen
