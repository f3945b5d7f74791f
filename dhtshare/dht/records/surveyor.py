"""Answers what a holder has in a region, so that a new neighbour can fetch what it lacks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dhtshare.dht.records.copies import (
    MAX_PAIRS,
    START_BYTES,
    Pairs,
    Pull,
    Survey,
    Surveyed,
    Want,
    digest_of_pairs,
)
from dhtshare.dht.records.held import Held, HeldSet
from dhtshare.dht.records.paging import digest
from dhtshare.dht.records.region import Region
from dhtshare.dht.records.rooms import fill
from dhtshare.dht.records.signed import place_of
from dhtshare.dht.records.store import RecordStore

_ITEM_OVERHEAD = 8  # list, number, headers of two byte strings

MAX_DIGESTED = 2000  # sets whose digest one request may make us compute: some 5 ms

PulledItem = tuple[int, bytes, bytes]


def live(members: HeldSet, now: float) -> list[Held]:
    """The records of a set that are not past, by place."""
    return [held for held in members if held.deadline > now]


def mark_of(raw: bytes) -> bytes:
    """By which two holders tell each other that they have the same bytes."""
    return raw[:START_BYTES]


class Surveyor:
    """Keeps the keys in order for as long as no key comes or goes."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._ordered: list[bytes] = []
        self._version = -1

    def survey(self, asked: Survey, parts: int, now: float) -> Surveyed:
        """What stands in the region, as far as it fits into so many datagrams and differs."""
        pairs = self.pairs(asked.region, now)
        if pairs is None:
            return Surveyed(many=True)
        if digest_of_pairs(pairs) == asked.digest:
            return Surveyed(same=True)
        return Surveyed(pairs) if len(pairs) <= parts * MAX_PAIRS else Surveyed(many=True)

    def pairs(self, region: Region, now: float) -> Pairs | None:
        """Our own keys and starts of digests there; None where they are too many."""
        keys = self._keys()[region.slice_of(self._keys())]
        if len(keys) > MAX_DIGESTED:
            return None
        return tuple((key, start_of(live(self._store.set_of(key), now))) for key in keys)

    def pull(self, asked: Pull, rooms: Sequence[int], now: float) -> tuple[list[list[PulledItem]], bool]:
        """The records asked for, as many as fit, and whether that was not all."""
        items = (
            (number, held.raw, held.tag) for number, want in enumerate(asked.wants) for held in self._wanted(want, now)
        )
        parts, complete = fill(items, lambda item: len(item[1]) + len(item[2]) + _ITEM_OVERHEAD, rooms)
        return parts, not complete

    def _wanted(self, want: Want, now: float) -> Iterator[Held]:
        marks = {want.marks[start : start + START_BYTES] for start in range(0, len(want.marks), START_BYTES)}
        for held in live(self._store.set_of(want.key), now):
            place = place_of(held.raw)
            if place > want.after and (not want.until or place <= want.until) and mark_of(held.raw) not in marks:
                yield held

    def _keys(self) -> list[bytes]:
        entries = self._store.entries
        if self._version != entries.version:
            self._ordered = sorted(entries.keys())
            self._version = entries.version
        return self._ordered


def start_of(members: Sequence[Held]) -> bytes:
    """The start of a set's digest."""
    return digest(members)[:START_BYTES]
