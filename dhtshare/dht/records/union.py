"""Unites what many holders answer to one search: each publisher's latest word on a content. Pure.

Believes no holder: records come here verified. Invariant: of one publisher and content only a higher
sequence number than all before it comes through, and of equal ones a withdrawal wins over an entry.
"""

from __future__ import annotations

from dhtshare.dht.records.entry import Entry, SignedRecord, Withdrawal
from dhtshare.dht.records.query import Query

Placed = tuple[bytes, bytes]
"""Publisher and content hash."""


class Union:
    """What came through so far, and what was taken back after it had."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._latest: dict[Placed, tuple[int, bool]] = {}
        self.withdrawn: set[Placed] = set()

    def add(self, record: SignedRecord, wall: float) -> Entry | None:
        """The entry, if it matches, is not past, and is news; None otherwise."""
        if record.expires <= wall:
            return None
        place = record.publisher, record.content_hash
        is_withdrawal = isinstance(record, Withdrawal)
        seniority = record.sequence, is_withdrawal
        if seniority <= self._latest.get(place, (-1, False)):
            return None
        self._latest[place] = seniority
        if isinstance(record, Withdrawal) or not self._query.matches(record):
            self.withdrawn.add(place)  # a newer entry that does not match has replaced one that did
            return None
        self.withdrawn.discard(place)
        return record
