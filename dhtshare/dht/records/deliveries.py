"""What one holder is to keep or to show: packed into as few datagrams as fit, sent, and noted. Driver of one holder.

A holder that is busy says for how long; it is asked again then, a few times. What it refuses is counted,
never resent at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dhtshare.content.format import HASH_BYTES
from dhtshare.content.keys import KEY_BYTES
from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Body, Code, NoAnswer, Refused, Reply
from dhtshare.dht.records.entry import Entry
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.receipts import KeyTally, ReceiptTally
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
from dhtshare.errors import MalformedError

ITEM_OVERHEAD = 10  # MessagePack headers of a record with its numbers
AT_ONCE = 4  # datagrams under way to one holder; more would only wait in its socket
TRIES = 3  # each with two retransmissions: at 15 % loss one datagram in a hundred thousand fails
LONGEST_BUSY_WAIT = 70.0
_CHECK_OVERHEAD = 8  # MessagePack headers of one entry that is asked about
_CHECK_HEAD = 48  # the publisher's key and the keys of the fields

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Promise:
    """One key of one content that a holder is asked for, and where what it says is noted.

    `kept_by`: who said that it keeps it; None where it is not to be read back.
    """

    content: ReceiptTally
    key: KeyTally
    kept_by: list[Contact] | None = None


@dataclass(slots=True)
class EntryDelivery:
    """One entry for one holder: the numbers of its words, and their keys, that belong there."""

    entry: Entry
    numbers: bytearray = field(default_factory=bytearray)
    promises: list[Promise] = field(default_factory=list)

    @property
    def likeliest_key(self) -> bytes:
        """Of the word that most holders took: others may be full, and an entry is looked for under one of its words."""
        return max(self.promises, key=lambda promise: promise.key.acks).key.key


@dataclass(slots=True)
class Deliveries:
    """Everything for one holder: provider keys by claim, and entries each once with the numbers of their words."""

    providers: dict[ProviderClaim, list[Promise]] = field(default_factory=dict)
    entries: dict[bytes, EntryDelivery] = field(default_factory=dict)

    def add_provider(self, claim: ProviderClaim, promise: Promise) -> None:
        """A provider record under the promise's key."""
        self.providers.setdefault(claim, []).append(promise)

    def add_entry(self, entry: Entry, number: int, promise: Promise) -> None:
        """An entry under its word of this number."""
        delivery = self.entries.get(entry.raw)
        if delivery is None:
            delivery = self.entries[entry.raw] = EntryDelivery(entry)
        delivery.numbers.append(number)
        delivery.promises.append(promise)


class _Line:
    """Asks one holder many things, and nothing more once it is dead."""

    def __init__(self, holding: Holding, contact: Contact) -> None:
        self._holding = holding
        self._contact = contact
        self._dead = False

    async def ask(self, method: RecordMethod, body: Body) -> Reply | None:
        reply = None if self._dead else await ask(self._holding, self._contact, method, body)
        self._dead = reply is None
        return reply


async def deliver(holding: Holding, contact: Contact, deliveries: Deliveries) -> bool:
    """Store everything at one holder and note what it says. True if it may keep a provider record of ours now.

    An answer that was lost tells nothing, so whoever was offered one may.
    """

    line = _Line(holding, contact)

    async def store(method: RecordMethod, body: Body, promises: Sequence[Promise]) -> None:
        reply = await line.ask(method, body)
        try:
            verdicts = read_verdicts(reply.body, len(promises)) if reply is not None else []
        except MalformedError:
            return
        for promise, verdict in zip(promises, verdicts, strict=False):
            if verdict is Verdict.STORED:
                promise.key.acks += 1
                promise.content.holders.add(contact.address)
                if promise.kept_by is not None:
                    promise.kept_by.append(contact)
            elif verdict is Verdict.FULL:
                promise.key.full += 1

    def works() -> Iterator[Coroutine[Any, Any, None]]:
        for claim, promises in deliveries.providers.items():
            for some in _slices(promises):
                keys = tuple(promise.key.key for promise in some)
                yield store(RecordMethod.STORE_PROVIDERS, StoreProviders(keys, claim).body(), some)
        for group in _fitting(deliveries.entries.values(), _stored_bytes, BODY_BYTES):
            items = tuple((one.entry.raw, bytes(one.numbers)) for one in group)
            yield store(RecordMethod.STORE_ENTRIES, StoreEntries(items).body(), _promises(group))

    await _few_at_once(works())
    return bool(deliveries.providers)


async def read_back(holding: Holding, contact: Contact, deliveries: Deliveries) -> None:
    """Ask one holder which of these it has, and note what it shows."""

    line = _Line(holding, contact)

    async def check(request: Check, promises: Sequence[Promise]) -> None:
        reply = await line.ask(RecordMethod.CHECK, request.body())
        try:
            held = read_check(reply.body, len(promises)) if reply is not None else []
        except MalformedError:
            return
        for promise, shown in zip(promises, held, strict=False):
            promise.key.verified |= shown

    def works() -> Iterator[Coroutine[Any, Any, None]]:
        for promises in deliveries.providers.values():
            for some in _slices(promises):
                yield check(Check(bytes(32), (), tuple(promise.key.key for promise in some)), some)
        for group in _fitting(deliveries.entries.values(), _checked_bytes, BODY_BYTES - _CHECK_HEAD):
            entries = tuple(
                CheckedEntry(one.likeliest_key, one.entry.content_hash, bytes(one.numbers)) for one in group
            )
            yield check(Check(group[0].entry.publisher, entries), _promises(group))

    await _few_at_once(works())


async def ask(holding: Holding, contact: Contact, method: RecordMethod, body: Body) -> Reply | None:
    """The answer, or None. A busy holder is waited for; one that does not answer, but did just now, is asked again."""
    for _ in range(TRIES):
        try:
            reply = await holding.dht.rpc.call(contact, method, body, prove=True)
        except NoAnswer:
            continue
        except Refused as refusal:
            if refusal.code != Code.BUSY:
                return None
            await asyncio.sleep(min(refusal.retry_after, LONGEST_BUSY_WAIT))
        else:
            holding.heard(contact, reply.wall)
            return reply
    return None


def _promises(group: Iterable[EntryDelivery]) -> list[Promise]:
    return [promise for one in group for promise in one.promises]


def _stored_bytes(one: EntryDelivery) -> int:
    return len(one.entry.raw) + len(one.numbers) + ITEM_OVERHEAD


def _checked_bytes(one: EntryDelivery) -> int:
    return KEY_BYTES + HASH_BYTES + len(one.numbers) + _CHECK_OVERHEAD


def _fitting(
    items: Iterable[EntryDelivery], cost: Callable[[EntryDelivery], int], room: int
) -> Iterator[list[EntryDelivery]]:
    """Items in groups that fit into one datagram each."""
    group: list[EntryDelivery] = []
    left = room
    for item in items:
        if group and (cost(item) > left or len(group) >= MAX_ITEMS):
            yield group
            group, left = [], room
        group.append(item)
        left -= cost(item)
    if group:
        yield group


def _slices(promises: Sequence[Promise]) -> Iterator[Sequence[Promise]]:
    return (promises[at : at + MAX_KEYS] for at in range(0, len(promises), MAX_KEYS))


async def _few_at_once(works: Iterator[Awaitable[None]]) -> None:
    async def worker() -> None:
        for work in works:
            await work

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
