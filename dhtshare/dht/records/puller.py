"""Fetches the entries that we should hold and do not: the only way in which copies move. Driver of one scope.

A node that has become one of the closest to some keys asks its nearest neighbours what they hold there,
compares digests, and fetches what it lacks; it verifies everything and keeps the signed expiry. Nothing is
ever pushed, and who has equal sets sends a digest and no record. So an entry outlives its holders, whose
sessions last an hour, by its publisher's word alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

from dhtshare.content.keywords import keyword_key
from dhtshare.dht.contact import Contact, distance
from dhtshare.dht.messages import Body, Reply
from dhtshare.dht.records.copies import (
    MAX_MARKS_BYTES,
    MAX_PULLED_KEYS,
    START_BYTES,
    Pull,
    Pulled,
    Survey,
    Surveyed,
    Want,
    digest_of_pairs,
)
from dhtshare.dht.records.entry import Entry
from dhtshare.dht.records.held import Held
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import ENTRY_TARGET, Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.region import Region, around
from dhtshare.dht.records.signed import place_of
from dhtshare.dht.records.stores import BODY_BYTES
from dhtshare.dht.records.surveyor import Surveyor, live, mark_of, start_of
from dhtshare.errors import MalformedError, NetworkError

NEAREST = 8  # neighbours asked at each refresh; each of them has most of what we should have
FARTHEST = 4  # and some at the far side of our region
SETTLE_SECONDS = 3.0  # after joining, so that the table knows who is near
JITTER_SECONDS = 30.0
MAX_SURVEYS = 5000  # of one neighbour: more than all parts of a full node's region
MAX_PULLS_WITHOUT_NEWS = 3
_DEEPER = 4  # bits: a region with too many keys is asked for in 16 parts
_UNKNOWN = bytes(START_BYTES)  # agrees with nobody's digest
_RANGE = MAX_MARKS_BYTES // START_BYTES  # records of a set whose marks go into one request


class Puller:
    """Pulls after joining, after each refresh of our region, and after our id changed."""

    def __init__(self, holding: Holding, network: bytes) -> None:
        self._holding = holding
        self._network = network
        self._surveyor = Surveyor(holding.store)
        self._wake = asyncio.Event()
        self.pulled = 0  # records fetched since the start
        dht = holding.dht
        for occasion in (dht.on_joined, dht.on_refresh, dht.on_moved):
            occasion.append(self._wake.set)

    async def run(self) -> None:
        """For ever."""
        rng = self._holding.dht.rng
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(SETTLE_SECONDS + JITTER_SECONDS * rng.random() * bool(self.pulled))
            if not self._holding.dht.is_client:
                await self.pull()

    async def pull(self) -> int:
        """One round over our nearest neighbours. The number of records that were new."""
        dht = self._holding.dht
        region = around(dht.node_id, dht.table, ENTRY_TARGET)
        before = self.pulled
        answered = 0
        for neighbour in self._neighbours(region):
            answered += await self._pull_from(neighbour, region)
            if answered >= NEAREST + FARTHEST:
                break
        return self.pulled - before

    def _neighbours(self, region: Region) -> list[Contact]:
        """Whom to ask, best first: those nearest to us, and those at the far side, whose keys we have if they die."""
        dht = self._holding.dht
        inside = [contact for contact in dht.table if contact.node_id in region]
        inside.sort(key=lambda contact: contact.distance_to(dht.node_id))
        middle = max(NEAREST, len(inside) - FARTHEST)
        return [*inside[:NEAREST], *reversed(inside[middle:]), *inside[NEAREST:middle]]

    def _is_ours(self, key: bytes) -> bool:
        """Whether we know too few that are closer to the key than we are."""
        dht = self._holding.dht
        own = distance(dht.node_id, key)
        nearest = dht.table.nearest(key, ENTRY_TARGET)
        return len(nearest) < ENTRY_TARGET or own < nearest[-1].distance_to(key)

    async def _pull_from(self, neighbour: Contact, region: Region) -> bool:
        """False if it did not answer, or not in our language."""
        waiting = [region]
        for asked in range(MAX_SURVEYS):
            if not waiting:
                break
            part = waiting.pop()
            own = self._surveyor.pairs(part, self._holding.dht.rpc.now())
            digest = _UNKNOWN if own is None else digest_of_pairs(own)
            reply = await self._ask(neighbour, RecordMethod.SURVEY, Survey(part, digest).body())
            if reply is None:
                return asked > 0
            try:
                surveyed = Surveyed.read(reply.parts)
            except MalformedError:
                return False
            if surveyed.many:
                waiting += part.parts(_DEEPER)
            await self._fetch(neighbour, region, [pair for pair in surveyed.pairs if pair[0] in part])
        return True

    async def _fetch(self, neighbour: Contact, region: Region, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """The records of sets that differ from ours. What one pull brings may settle many other sets."""
        waiting = (
            want
            for key, start in pairs
            if self._differs(key, start) and self._is_ours(key)
            for want in self._cut(Want(key))
        )
        while wants := list(islice(waiting, MAX_PULLED_KEYS)):
            await self._fetch_all_of(neighbour, region, wants)

    async def _fetch_all_of(self, neighbour: Contact, region: Region, waiting: list[Want]) -> None:
        without_news = 0
        while waiting and without_news < MAX_PULLS_WITHOUT_NEWS:
            wants = _fitting(waiting)
            reply = await self._ask(neighbour, RecordMethod.PULL, Pull(wants).body())
            if reply is None:
                return
            try:
                pulled = Pulled.read(reply.parts)
            except MalformedError:
                return
            news = sum(self._keep(wants, region, item) for item in pulled.items if item[0] < len(wants))
            self.pulled += news
            reached = max((number for number, _, _ in pulled.items), default=0) if reply.complete else 0
            if not pulled.more and reply.complete:
                reached = len(wants)
            without_news = 0 if news or reached else without_news + 1
            # What came belongs to other sets, too: there is more to mark, and fewer ranges fit into the next request.
            waiting = [piece for want in waiting[reached:] for piece in self._cut(want)]

    def _keep(self, wants: Sequence[Want], region: Region, item: tuple[int, bytes, bytes]) -> bool:
        """Verify and keep one record, an entry under all its words that lie in our region."""
        holding = self._holding
        number, raw, tag = item
        key = wants[number].key
        try:
            record = holding.verifier.check(raw)
        except MalformedError:
            return False
        numbers: list[int] = []
        if isinstance(record, Entry):
            keys = [keyword_key(self._network, word) for word in record.words]
            if key not in keys:
                return False
            numbers = [at for at, word_key in enumerate(keys) if word_key in region and self._is_ours(word_key)]
        known = any(held.raw == raw for held in holding.store.set_of(key))
        now, wall = holding.dht.rpc.now(), holding.record_wall()
        verdict = holding.store.adopt(record, key, numbers, tag, now=now, wall=wall)
        return not known and verdict is Verdict.STORED

    def _differs(self, key: bytes, start: bytes) -> bool:
        return start_of(self._live(key)) != start

    def _cut(self, want: Want) -> Iterator[Want]:
        """This range of our set as we have it by now, in pieces whose marks fit into a request."""
        members = [
            held
            for held in self._live(want.key)
            if place_of(held.raw) > want.after and (not want.until or place_of(held.raw) <= want.until)
        ]
        edges = [want.after, *(place_of(held.raw) for held in members[_RANGE - 1 : -1 : _RANGE]), want.until]
        for number, (after, until) in enumerate(pairwise(edges)):
            marks = b"".join(mark_of(held.raw) for held in members[number * _RANGE : (number + 1) * _RANGE])
            yield Want(want.key, marks, after, until)

    def _live(self, key: bytes) -> list[Held]:
        return live(self._holding.store.set_of(key), self._holding.dht.rpc.now())

    async def _ask(self, neighbour: Contact, method: RecordMethod, body: Body) -> Reply | None:
        try:
            reply = await self._holding.dht.rpc.call(neighbour, method, body, prove=True)
        except NetworkError:
            return None
        self._holding.heard(neighbour, reply.wall)
        return reply


def _fitting(wants: Sequence[Want]) -> tuple[Want, ...]:
    """As many of the first as one request holds, one at least."""
    left = BODY_BYTES
    for number, want in enumerate(wants):
        left -= len(want.marks) + len(want.after) + len(want.until) + len(want.key) + 12
        if number == MAX_PULLED_KEYS or (number and left < 0):
            return tuple(wants[:number])
    return tuple(wants)
