"""What one holder is to keep: packed into as few datagrams as fit, sent, and read back. Driver of one holder.

A holder that is busy says for how long; it is asked again then, a few times. What it refuses is counted,
never resent at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from dhtshare.content.keys import keyword_key
from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Body, Code, Refused, Reply
from dhtshare.dht.records.entry import Entry
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.receipts import KeyTally
from dhtshare.dht.records.stores import (
    BODY_BYTES,
    MAX_ITEMS,
    MAX_KEYS,
    Check,
    CheckedEntry,
    StoreEntries,
    StoreProviders,
    read_check,
    read_verdicts,
)
from dhtshare.errors import MalformedError, NetworkError

ITEM_OVERHEAD = 10  # MessagePack headers of a record with its numbers
CHECK_ITEM_BYTES = 20 + 32 + 12
AT_ONCE = 8  # datagrams under way to one holder
BUSY_RETRIES = 3
LONGEST_BUSY_WAIT = 70.0

Placed = tuple[bytes, bytes]
"""A content hash and one of the keys under which that content's records lie."""

Tallies = dict[Placed, KeyTally]
Ask = Callable[[RecordMethod, Body], Awaitable[Reply | None]]
Items = Sequence[tuple[Entry, list[int]]]


@dataclass(slots=True)
class Deliveries:
    """Everything for one holder: provider keys by claim, and entries with the numbers of their words."""

    providers: dict[ProviderClaim, list[Placed]] = field(default_factory=dict)
    entries: dict[bytes, tuple[Entry, list[int]]] = field(default_factory=dict)

    def add_provider(self, content_hash: bytes, key: bytes, claim: ProviderClaim) -> None:
        """A provider record for this content, whose key it is."""
        self.providers.setdefault(claim, []).append((content_hash, key))

    def add_entry(self, entry: Entry, number: int) -> None:
        """An entry under its word of this number."""
        self.entries.setdefault(entry.raw, (entry, []))[1].append(number)


async def deliver(holding: Holding, contact: Contact, deliveries: Deliveries, tallies: Tallies, network: bytes) -> None:
    """Store everything at one holder, read it back, and note both in the tallies by key."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def say(method: RecordMethod, body: Body) -> Reply | None:
        async with slots:
            return await ask(holding, contact, method, body)

    async def store_providers(claim: ProviderClaim, placed: Sequence[Placed]) -> None:
        keys = tuple(key for _, key in placed)
        reply = await say(RecordMethod.STORE_PROVIDERS, StoreProviders(keys, claim).body())
        _note(reply, placed, contact, tallies)

    async def store_entries(items: Items) -> None:
        request = StoreEntries(tuple((entry.raw, bytes(numbers)) for entry, numbers in items))
        reply = await say(RecordMethod.STORE_ENTRIES, request.body())
        _note(reply, _placed(items, network), contact, tallies)

    await _all(
        [
            *(
                store_providers(claim, some)
                for claim, placed in deliveries.providers.items()
                for some in _slices(placed)
            ),
            *(store_entries(items) for items in _fitting(deliveries.entries.values())),
        ]
    )
    await _read_back(say, contact, deliveries, tallies, network)


async def _read_back(
    ask: Ask,
    contact: Contact,
    deliveries: Deliveries,
    tallies: Tallies,
    network: bytes,
) -> None:
    async def check(publisher: bytes, items: Items, providers: Sequence[Placed]) -> None:
        entries = tuple(
            CheckedEntry(keyword_key(network, entry.words[numbers[0]]), entry.content_hash, bytes(numbers))
            for entry, numbers in items
        )
        reply = await ask(RecordMethod.CHECK, Check(publisher, entries, tuple(key for _, key in providers)).body())
        checked = [*_placed(items, network), *providers]
        try:
            flags = read_check(reply.body, len(checked)) if reply is not None else []
        except MalformedError:
            return
        for placed, held in zip(checked, flags, strict=False):
            if held and contact in tallies[placed].acked:
                tallies[placed].verified.add(contact)

    items: list[tuple[Entry, list[int]]] = []
    for entry, numbers in deliveries.entries.values():
        acked = [number for number in numbers if contact in tallies[_placed([(entry, [number])], network)[0]].acked]
        if acked:  # a word whose set was full there proves nothing about the others
            items.append((entry, acked))
    publisher = items[0][0].publisher if items else bytes(32)
    per_datagram = min(MAX_ITEMS, BODY_BYTES // (CHECK_ITEM_BYTES + 32))
    await _all(
        [
            *(check(publisher, items[at : at + per_datagram], ()) for at in range(0, len(items), per_datagram)),
            *(check(publisher, (), some) for placed in deliveries.providers.values() for some in _slices(placed)),
        ]
    )


async def ask(holding: Holding, contact: Contact, method: RecordMethod, body: Body) -> Reply | None:
    """The answer, or None; a busy holder is waited for."""
    for _ in range(BUSY_RETRIES):
        try:
            reply = await holding.dht.rpc.call(contact, method, body, prove=True)
        except Refused as refusal:
            if refusal.code != Code.BUSY:
                return None
            await asyncio.sleep(min(refusal.retry_after, LONGEST_BUSY_WAIT))
        except NetworkError:
            return None
        else:
            holding.heard(contact, reply.wall)
            return reply
    return None


def _note(reply: Reply | None, placed: Sequence[Placed], contact: Contact, tallies: Tallies) -> None:
    try:
        verdicts = read_verdicts(reply.body, len(placed)) if reply is not None else []
    except MalformedError:
        return
    for where, verdict in zip(placed, verdicts, strict=False):
        if verdict is Verdict.STORED:
            tallies[where].acked.add(contact)
        elif verdict is Verdict.FULL:
            tallies[where].full += 1


def _placed(items: Items, network: bytes) -> list[Placed]:
    """Where the words of these numbers put each entry, in order."""
    return [
        (entry.content_hash, keyword_key(network, entry.words[number]))
        for entry, numbers in items
        for number in numbers
    ]


def _fitting(items: Iterable[tuple[Entry, list[int]]]) -> Iterator[list[tuple[Entry, list[int]]]]:
    """Items in groups that fit into one datagram each."""
    group: list[tuple[Entry, list[int]]] = []
    left = BODY_BYTES
    for entry, numbers in items:
        cost = len(entry.raw) + len(numbers) + ITEM_OVERHEAD
        if group and (cost > left or len(group) >= MAX_ITEMS):
            yield group
            group, left = [], BODY_BYTES
        group.append((entry, numbers))
        left -= cost
    if group:
        yield group


def _slices(placed: Sequence[Placed]) -> Iterator[Sequence[Placed]]:
    return (placed[at : at + MAX_KEYS] for at in range(0, len(placed), MAX_KEYS))


async def _all(works: Iterable[Coroutine[None, None, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)
