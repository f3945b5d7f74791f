"""The searcher's side: streams of providers and of verified entries, from every scope at once.

Believes no holder: each entry is verified and matched here, withdrawals win by their sequence number, and
"nothing there" is said only after every key was asked along many paths.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dhtshare.content.keys import content_key, keyword_key
from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Reply
from dhtshare.dht.records.entry import Entry, Withdrawal
from dhtshare.dht.records.finds import FindEntries, FindProviders, FoundEntries, read_providers
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import ENTRY_TARGET, PROVIDER_TARGET
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ANSWER4_BYTES, Provider, answered, read_answers
from dhtshare.dht.records.query import Query
from dhtshare.dht.wire import MAX_DATAGRAM_BYTES, MAX_PARTS
from dhtshare.errors import MalformedError, NetworkError
from dhtshare.network import Scope

FULLY_PAGED = 3  # holders of a key that are paged to the end; the others only where their digest differs
MAX_PAGES = 200  # of one holder
OWN_ROOMS = [MAX_DATAGRAM_BYTES] * MAX_PARTS

T = TypeVar("T")


async def stream(
    works: Iterable[Callable[[Callable[[T], None]], Coroutine[Any, Any, None]]],
) -> AsyncGenerator[T, None]:
    """What several coroutines give to the function they are handed, as it comes; ends when all have ended."""
    queue: asyncio.Queue[T | None] = asyncio.Queue()

    async def supervise() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for work in works:
                    group.create_task(work(queue.put_nowait))
        finally:
            queue.put_nowait(None)

    task = asyncio.create_task(supervise(), name="search")
    try:
        while (item := await queue.get()) is not None:
            yield item
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def find_providers(holdings: Sequence[Holding], network: bytes, content_hash: bytes) -> AsyncIterator[Provider]:
    """Who says to hold a content, each address once, LAN, IPv4 and IPv6 as they answer."""
    key = content_key(network, content_hash)
    return stream([_ProviderWalk(holding, key).run for holding in holdings])


class _ProviderWalk:
    def __init__(self, holding: Holding, key: bytes) -> None:
        self._holding = holding
        self._key = key
        self._seen: set[tuple[str, int]] = set()

    async def run(self, found: Callable[[Provider], None]) -> None:
        holding = self._holding
        scope = holding.dht.scope
        rules = holding.dht.rpc.rules

        def take(providers: Iterable[Provider]) -> None:
            for provider in providers:
                if provider.address not in self._seen and rules.scope_of(provider.address.host) is scope:
                    self._seen.add(provider.address)
                    found(provider)

        for record in holding.store.find_providers(self._key, PROVIDER_TARGET, now=holding.dht.rpc.now()):
            _, raw = answered(record)
            ipv4, ipv6 = (raw, b"") if len(raw) == ANSWER4_BYTES else (b"", raw)
            take(read_answers(ipv4, ipv6, scope))

        def on_reply(contact: Contact, reply: Reply) -> None:
            for part in reply.parts:
                take(read_providers(part, scope))

        if holding.dht.contacts:
            await holding.dht.walk(
                self._key,
                method=RecordMethod.FIND_PROVIDERS,
                body=FindProviders(self._key, MAX_PARTS).body(),
                on_reply=on_reply,
                found=lambda: bool(self._seen),
                k=PROVIDER_TARGET,
            )


@dataclass(frozen=True, slots=True)
class Found:
    """A verified entry that matches, and the scope it came from."""

    entry: Entry
    scope: Scope


@dataclass(slots=True)
class _Answerer:
    """A holder's last answer under one key."""

    contact: Contact
    digest: bytes
    cursor: bytes


@dataclass
class Search:
    """One search, over all scopes and up to three words; `entries` may be read once."""

    holdings: Sequence[Holding]
    network: bytes
    query: Query
    asked: set[tuple[Scope, Contact]] = field(default_factory=set)
    answered: set[tuple[Scope, Contact]] = field(default_factory=set)
    suspicious: bool = False
    #: (publisher, content) whose entry was taken back; those already handed out have to go again
    withdrawn: set[tuple[bytes, bytes]] = field(default_factory=set)
    #: (publisher, content) → highest sequence number seen, of an entry or a withdrawal
    _latest: dict[tuple[bytes, bytes], int] = field(default_factory=dict)

    @property
    def nodes_asked(self) -> int:
        return len(self.asked)

    @property
    def nodes_answered(self) -> int:
        return len(self.answered)

    def entries(self) -> AsyncGenerator[Found, None]:
        """Entries as they come; each publisher's entry of a content once."""
        return stream([self._one_word(holding, word) for holding in self.holdings for word in self.query.looked_up])

    def _one_word(self, holding: Holding, word: str) -> Callable[[Callable[[Found], None]], Coroutine[Any, Any, None]]:
        async def run(found: Callable[[Found], None]) -> None:
            key = keyword_key(self.network, word)
            self._own(holding, key, found)
            if not holding.dht.contacts:
                return
            answerers: list[_Answerer] = []

            def on_reply(contact: Contact, reply: Reply) -> None:
                self.answered.add((holding.dht.scope, contact))
                answer = FoundEntries.read(reply.parts)
                if answer.count:
                    self._take(holding, answer.raws, found)
                    answerers.append(_Answerer(contact, answer.digest, answer.cursor))

            result = await holding.dht.walk(
                key,
                method=RecordMethod.FIND_ENTRIES,
                body=FindEntries(key, self.query, parts=MAX_PARTS).body(),
                on_reply=on_reply,
                found=lambda: bool(answerers),
                k=max(ENTRY_TARGET, 10),
                trace=lambda step: self.asked.add((holding.dht.scope, step.contact)),
            )
            self.suspicious |= result.suspicious
            await self._page(holding, key, answerers, found)

        return run

    def _own(self, holding: Holding, key: bytes, found: Callable[[Found], None]) -> None:
        cursor = b""
        for _ in range(MAX_PAGES):
            page = holding.store.find_entries(key, self.query, cursor, OWN_ROOMS, now=holding.dht.rpc.now())
            self._take(holding, [raw for part in page.parts for raw in part], found)
            cursor = page.cursor
            if not cursor:
                return

    async def _page(
        self, holding: Holding, key: bytes, answerers: Sequence[_Answerer], found: Callable[[Found], None]
    ) -> None:
        """Read on where answers were cut: a few holders to the end, others only where their set differs."""
        read: dict[bytes, int] = {}
        for answerer in answerers:
            if not answerer.cursor or read.get(answerer.digest, 0) >= FULLY_PAGED:
                continue
            if len(read) and answerer.digest in read and sum(read.values()) >= FULLY_PAGED:
                continue
            read[answerer.digest] = read.get(answerer.digest, 0) + 1
            await self._page_one(holding, key, answerer, found)

    async def _page_one(
        self, holding: Holding, key: bytes, answerer: _Answerer, found: Callable[[Found], None]
    ) -> None:
        cursor = answerer.cursor
        for _ in range(MAX_PAGES):
            if not cursor:
                return
            body = FindEntries(key, self.query, cursor, MAX_PARTS).body()
            try:
                reply = await holding.dht.rpc.call(answerer.contact, RecordMethod.FIND_ENTRIES, body, prove=True)
                answer = FoundEntries.read(reply.parts)
            except (NetworkError, MalformedError):
                return
            self._take(holding, answer.raws, found)
            if answer.cursor == cursor:
                return  # a holder that turns in circles
            cursor = answer.cursor

    def _take(self, holding: Holding, raws: Iterable[bytes], found: Callable[[Found], None]) -> None:
        wall = holding.record_wall()
        for raw in raws:
            try:
                record = holding.verifier.check(raw)
            except MalformedError:
                continue
            place = record.publisher, record.content_hash
            latest = self._latest.get(place, -1)
            if record.expires <= wall or record.sequence <= latest:
                continue
            if isinstance(record, Withdrawal):
                self._latest[place] = record.sequence
                self.withdrawn.add(place)
            elif self.query.matches(record):
                self._latest[place] = record.sequence
                self.withdrawn.discard(place)
                found(Found(record, holding.dht.scope))
