"""Reads the sets of a key's holders to the end, but equal sets not by every holder. Driver of one key in one scope.

Each holder's first answer tells the digest of its set. A digest is settled when the records that came add
up to it, or, where filters hide some of them or a set is larger than wanted, when three holders that claim it
showed the same; one holder's word is never enough. Holders of a settled digest have nothing else to tell; the
others are paged, a few side by side, the closest first. No holder is read further than to the point where it
has told enough, nor much beyond by records that are of no use, so none can keep a searcher from the others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Reply
from dhtshare.dht.records.finds import FindEntries, FoundEntries
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.paging import START, digest_of_raw
from dhtshare.dht.records.query import Query
from dhtshare.dht.wire import MAX_PARTS
from dhtshare.errors import MalformedError, NetworkError

PAGED_AT_ONCE = 3
BELIEVED_AFTER = 3  # holders that showed the same, where their digest could not be recomputed
MAX_HOLDERS = 20  # read on at one key: as many as keep a record where somebody crowds its region
MAX_PAGES = 300  # of one holder: more than the 5,000 records of a full key need
USELESS = 1000  # records that are no hits, read of one holder: as many as one publisher may have withdrawn from a word
TRIES = 4  # for one page, where datagrams of it are lost

Take = Callable[[Contact, Sequence[bytes]], bool]
"""Gets the records that a holder sent; True when it has told enough."""


@dataclass(frozen=True, slots=True)
class Start:
    """A holder's first answer, where it was not the whole: from which cursor to read on."""

    contact: Contact
    digest: bytes
    cursor: bytes
    raws: tuple[bytes, ...]

    @classmethod
    def of(cls, contact: Contact, answer: FoundEntries, reply: Reply) -> Start:
        """An answer that lost datagrams on its way is read again from the beginning."""
        if reply.complete:
            return cls(contact, answer.digest, answer.cursor, answer.raws)
        return cls(contact, answer.digest, START, ())


class Pager:
    """Pages of one key. `take` gets every record that comes, whatever it is.

    `enough`: how many hits a holder may tell, by which those that began alike are told as well.
    """

    def __init__(self, holding: Holding, key: bytes, query: Query, take: Take, enough: int) -> None:
        self._holding = holding
        self._key = key
        self._query = query
        self._take = take
        self._enough = enough
        self._settled: set[bytes] = set()
        self._shown: Counter[tuple[bytes, bytes]] = Counter()  # digest claimed, digest of what was shown first

    async def read(self, starts: Sequence[Start]) -> None:
        """Read on at the first of these where their first answers were not the end, in this order."""
        for start in starts:
            if not start.cursor:
                self._ended(start.digest, start.raws)
        waiting = iter(starts[:MAX_HOLDERS])

        async def worker() -> None:
            for start in waiting:
                if start.cursor and start.digest not in self._settled:
                    await self._read_one(start)

        async with asyncio.TaskGroup() as group:
            for _ in range(PAGED_AT_ONCE):
                group.create_task(worker())

    def _ended(self, digest: bytes, raws: Sequence[bytes]) -> None:
        shown = digest, digest_of_raw(raws[: self._enough])  # pages end where datagrams were full, not alike
        self._shown[shown] += 1
        if self._shown[shown] >= BELIEVED_AFTER or digest == digest_of_raw(raws):
            self._settled.add(digest)

    async def _read_one(self, start: Start) -> None:
        cursor, tries, raws = start.cursor, 0, list(start.raws)
        for _ in range(MAX_PAGES):
            body = FindEntries(self._key, self._query, cursor, MAX_PARTS).body()
            try:
                reply = await self._holding.dht.rpc.call(start.contact, RecordMethod.FIND_ENTRIES, body, prove=True)
                answer = FoundEntries.read(reply.parts)
            except (NetworkError, MalformedError):
                return
            enough = self._take(start.contact, answer.raws)
            if not reply.complete:
                tries += 1
                if tries >= TRIES:
                    return
                continue
            raws += answer.raws
            if enough or not answer.cursor or len(raws) >= self._enough + USELESS:
                self._ended(start.digest, raws)
                return
            if answer.cursor <= cursor:
                return  # a holder that turns in circles
            cursor, tries = answer.cursor, 0
