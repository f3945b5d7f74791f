"""One announcement of many records in one scope: looked up by regions, stored in batches, read back. Driver.

Reading back is what a searcher would do: fresh lookups, and the holders that those name are asked.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dhtshare.content.keys import content_key, keyword_key
from dhtshare.dht.contact import Contact
from dhtshare.dht.records.deliveries import Deliveries, Promise, deliver, read_back
from dhtshare.dht.records.entry import Entry
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import ENTRY_TARGET, PROVIDER_TARGET
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.receipts import ReceiptTally
from dhtshare.dht.records.regions import visit_holders

HOLDERS_AT_ONCE = 32
READ_BACK_AT = 3  # holders of a key, the closest that a fresh lookup names
_BREATH = 500  # keys planned before other work gets its turn


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """A record that is to lie under a key: an entry under its word of this number, or a provider record."""

    promise: Promise
    claim: ProviderClaim | None = None
    entry: Entry | None = None
    number: int = 0

    def add_to(self, deliveries: Deliveries) -> None:
        if self.entry is not None:
            deliveries.add_entry(self.entry, self.number, self.promise)
        elif self.claim is not None:
            deliveries.add_provider(self.claim, self.promise)


@dataclass(slots=True, eq=False)
class Round:
    """What goes out in one scope. Fill it by `provide` and `enter`, then `announce`, then `read_back`."""

    holding: Holding
    network: bytes
    provider_holders: set[Contact] = field(default_factory=set)
    _wanted: defaultdict[bytes, list[_Wanted]] = field(default_factory=lambda: defaultdict(list))
    _targets: dict[bytes, int] = field(default_factory=dict)

    def provide(self, content_hash: bytes, claim: ProviderClaim, tally: ReceiptTally) -> None:
        """A provider record of ours for this content."""
        key = content_key(self.network, content_hash)
        self._add(key, PROVIDER_TARGET, _Wanted(Promise(tally, tally.add(key, PROVIDER_TARGET)), claim=claim))

    def enter(self, entry: Entry, tally: ReceiptTally) -> None:
        """An entry under each of its words."""
        for number, word in enumerate(entry.words):
            key = keyword_key(self.network, word)
            promise = Promise(tally, tally.add(key, ENTRY_TARGET, word))
            self._add(key, ENTRY_TARGET, _Wanted(promise, entry=entry, number=number))

    async def announce(self) -> None:
        """Store everything at the holders that lookups find."""

        async def store(contact: Contact, deliveries: Deliveries) -> None:
            if await deliver(self.holding, contact, deliveries):
                self.provider_holders.add(contact)

        async def region(holders: dict[bytes, list[Contact]]) -> None:
            for key, contacts in holders.items():
                for wanted in self._wanted[key]:
                    wanted.promise.key.servers = len(contacts)
            await _each(await self._plan(holders), store)

        await visit_holders(self.holding, self._targets, region)

    async def read_back(self, contents: Iterable[ReceiptTally]) -> None:
        """Look the records of these contents up afresh and ask who is named then."""
        chosen = set(map(id, contents))
        targets = {
            key: self._targets[key]
            for key, items in self._wanted.items()
            if any(id(wanted.promise.content) in chosen and wanted.promise.key.acks for wanted in items)
        }

        async def region(holders: dict[bytes, list[Contact]]) -> None:
            nearest = {key: contacts[:READ_BACK_AT] for key, contacts in holders.items()}
            plan = await self._plan(nearest, chosen)
            await _each(plan, lambda contact, deliveries: read_back(self.holding, contact, deliveries))

        await visit_holders(self.holding, targets, region)

    def _add(self, key: bytes, target: int, wanted: _Wanted) -> None:
        self._targets[key] = target
        self._wanted[key].append(wanted)

    async def _plan(
        self, holders: Mapping[bytes, Sequence[Contact]], chosen: set[int] | None = None
    ) -> dict[Contact, Deliveries]:
        plans: defaultdict[Contact, Deliveries] = defaultdict(Deliveries)
        for number, (key, contacts) in enumerate(holders.items()):
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
            for wanted in self._wanted[key]:
                promise = wanted.promise
                if chosen is not None and (id(promise.content) not in chosen or not promise.key.acks):
                    continue
                for contact in contacts:
                    wanted.add_to(plans[contact])
        return plans


async def _each(plans: dict[Contact, Deliveries], work: Callable[[Contact, Deliveries], Awaitable[None]]) -> None:
    slots = asyncio.Semaphore(HOLDERS_AT_ONCE)

    async def one(contact: Contact, deliveries: Deliveries) -> None:
        async with slots:
            await work(contact, deliveries)

    async with asyncio.TaskGroup() as group:
        for contact, deliveries in plans.items():
            group.create_task(one(contact, deliveries))
