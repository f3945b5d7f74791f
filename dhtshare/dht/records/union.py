"""Unites what many holders answer to one search: each publisher's latest word on a content. Pure.

Believes no holder: records come here verified. Invariant: of one publisher and content nothing comes through
after a higher sequence number has, and of equal ones a withdrawal wins over an entry, else the first.
"""

from __future__ import annotations

from dhtshare.dht.records.entry import Entry, SignedRecord, Withdrawal
from dhtshare.dht.records.query import Query

Placed = tuple[bytes, bytes]
"""Publisher and content hash."""


class Union:
    """The latest word of each publisher on each content so far, and what was taken back after it had come through."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._latest: dict[Placed, SignedRecord] = {}
        self.withdrawn: set[Placed] = set()

    def add(self, record: SignedRecord, wall: float) -> Entry | None:
        """The entry, if it matches, is not past, and is the latest; the same one again from every holder."""
        if record.expires <= wall:
            return None
        place = record.publisher, record.content_hash
        latest = self._latest.get(place)
        if latest is None or _seniority(record) > _seniority(latest):
            latest = self._latest[place] = record
            if isinstance(record, Withdrawal) or not self._query.matches(record):
                self.withdrawn.add(place)  # a newer entry that does not match has replaced one that did
            else:
                self.withdrawn.discard(place)
        if place in self.withdrawn or not isinstance(latest, Entry) or latest.raw != record.raw:
            return None
        return latest


def _seniority(record: SignedRecord) -> tuple[int, bool]:
    return record.sequence, isinstance(record, Withdrawal)
