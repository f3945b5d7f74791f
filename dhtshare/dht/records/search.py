"""The searcher's side of a search: verified entries from every scope and word at once, as they come.

Up to three words are looked up side by side, the longest first; the whole query goes to the holders, for
every entry carries all its words, so that any holder can intersect alone. "Nothing there" is said only
after every word's key was asked along many paths.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass

from dhtshare.content.keys import keyword_key
from dhtshare.dht.contact import ID_BITS, Contact
from dhtshare.dht.messages import Reply
from dhtshare.dht.records.entry import Entry, SignedRecord, reread
from dhtshare.dht.records.finds import FindEntries, FoundEntries
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import ENTRY_TARGET
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.pager import Pager, Start
from dhtshare.dht.records.paging import candidates, dealt
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.streaming import Finder, stream
from dhtshare.dht.records.tellers import OURSELVES, teller_of
from dhtshare.dht.records.union import Placed, Union
from dhtshare.errors import MalformedError
from dhtshare.identity import SIGNATURE_BYTES
from dhtshare.network import Scope

FIRST_PARTS = 2  # datagrams of a first answer; most sets fit, and a large one is paged where it is read anyway
ENOUGH = 2  # times the contents wanted are read of one holder, for many of its entries are of one content
NEAR = 4 * ENTRY_TARGET  # nodes likely to be closer to a key than whoever counts as its holder
PASSERS_BY = "far"


@dataclass(frozen=True, slots=True)
class Found:
    """A verified entry that matches, the scope it came from, and who told.

    `told_by` is the holder's network, or in the LAN scope its address; OURSELVES where we hold it, and PASSERS_BY for
    all those together that are no likely holders of the word: anybody on the way of a lookup may claim to be one.
    """

    entry: Entry
    scope: Scope
    told_by: str


class Search:
    """One search over all scopes; `entries` may be read once, the rest tells about it meanwhile and afterwards.

    `suspicious`: a key's region is crowded as if somebody wanted to hide something there.
    """

    def __init__(self, holdings: Sequence[Holding], network: bytes, query: Query) -> None:
        self._holdings = holdings
        self._network = network
        self._query = query
        self._union = Union(query)
        self._told: defaultdict[str, set[bytes]] = defaultdict(set)  # signatures of the entries that each told
        self._asked: set[Contact] = set()
        self._answered: set[Contact] = set()
        self.suspicious = False

    @property
    def nodes_asked(self) -> int:
        return len(self._asked)

    @property
    def nodes_answered(self) -> int:
        return len(self._answered)

    @property
    def withdrawn(self) -> set[Placed]:
        """(publisher, content) whose entry was taken back; those already handed out have to go again."""
        return self._union.withdrawn

    def entries(self) -> AsyncGenerator[Found, None]:
        """Entries as they come, each once from everybody who tells of it; a newer one of the same content again.

        Nobody tells of more than twice the contents wanted, so whoever answers first leaves room for the others.
        """
        return stream([self._word(holding, word) for word in self._query.looked_up for holding in self._holdings])

    def _word(self, holding: Holding, word: str) -> Finder[Found]:
        key = keyword_key(self._network, word)

        async def run(found: Callable[[Found], None]) -> None:
            self._search_here(holding, key, found)
            if holding.dht.contacts:
                await self._walk(holding, key, found)

        return run

    def _search_here(self, holding: Holding, key: bytes, found: Callable[[Found], None]) -> None:
        """What we hold ourselves was verified when it came. In the order of pages: no network's entries go first."""
        wall = holding.record_wall()
        matching = candidates(holding.store.set_of(key), self._query.words, holding.dht.rpc.now())
        for _, held in dealt(matching)[: self._enough]:
            self._unite(reread(held.raw), holding, OURSELVES, wall, found)

    async def _walk(self, holding: Holding, key: bytes, found: Callable[[Found], None]) -> None:
        starts: dict[Contact, Start] = {}
        held = False
        scope, nodes = holding.dht.scope, holding.dht.estimated_size()

        def take(contact: Contact, raws: Iterable[bytes]) -> bool:
            is_near = nodes * contact.distance_to(key) <= NEAR << ID_BITS
            told_by = teller_of(contact.address, scope) if is_near else PASSERS_BY
            self._verify(raws, holding, told_by, found)
            return len(self._told[told_by]) >= self._enough

        def on_reply(contact: Contact, reply: Reply) -> None:
            nonlocal held
            self._answered.add(contact)
            answer = FoundEntries.read(reply.parts)
            holding.heard(contact, reply.wall)
            if not answer.count and reply.complete:
                return
            held = True
            take(contact, answer.raws)
            starts[contact] = Start.of(contact, answer, reply)

        result = await holding.dht.walk(
            key,
            method=RecordMethod.FIND_ENTRIES,
            body=FindEntries(key, self._query, parts=FIRST_PARTS).body(),
            on_reply=on_reply,
            found=lambda: held,
            k=ENTRY_TARGET,
            trace=lambda step: self._asked.add(step.contact),
        )
        self.suspicious |= result.suspicious
        pager = Pager(holding, key, self._query, take, self._enough)
        await pager.read(sorted(starts.values(), key=lambda start: start.contact.distance_to(key)))

    @property
    def _enough(self) -> int:
        return ENOUGH * self._query.limit

    def _verify(self, raws: Iterable[bytes], holding: Holding, told_by: str, found: Callable[[Found], None]) -> None:
        wall = holding.record_wall()
        for raw in raws:
            if len(self._told[told_by]) >= self._enough:
                return
            try:
                record = holding.verifier.check(raw)
            except MalformedError:
                continue
            self._unite(record, holding, told_by, wall, found)

    def _unite(
        self, record: SignedRecord, holding: Holding, told_by: str, wall: float, found: Callable[[Found], None]
    ) -> None:
        entry = self._union.add(record, wall)
        signature = record.raw[:SIGNATURE_BYTES]
        if entry is not None and signature not in self._told[told_by]:
            self._told[told_by].add(signature)
            found(Found(entry, holding.dht.scope, told_by))
