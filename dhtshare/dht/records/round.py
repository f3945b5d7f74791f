"""One announcement of many records in one scope: looked up by regions, stored in batches, read back. Driver."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dhtshare.content.keys import content_key, keyword_key
from dhtshare.dht.contact import Contact
from dhtshare.dht.records.deliveries import Deliveries, Promise, deliver, read_back
from dhtshare.dht.records.entry import Entry
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import ENTRY_TARGET, PROVIDER_TARGET
from dhtshare.dht.records.looking_up import finds_entry, finds_provider
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.read_back import ASKED_HOLDERS, SINGLY_AT_MOST, bundles, cover
from dhtshare.dht.records.receipts import KeyTally, ReceiptTally
from dhtshare.dht.records.regions import visit_holders

HOLDERS_AT_ONCE = 32
REGIONS_AT_ONCE = 8  # that are read back
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

    @property
    def kept_by(self) -> list[Contact]:
        """Who said that it keeps it, where it is to be read back and was not yet."""
        return [] if self.promise.key.verified else self.promise.kept_by or []

    async def look_up(self, holding: Holding) -> bool:
        """Whether a searcher finds it; noted if so."""
        key = self.promise.key
        if self.entry is not None:
            key.verified = await finds_entry(holding, key.key, self.entry)
        elif self.claim is not None:
            key.verified = await finds_provider(holding, key.key, self.claim)
        return key.verified


@dataclass(slots=True, eq=False)
class Round:
    """What goes out in one scope. Fill it by `provide` and `enter`, then `announce`, then `read_back`."""

    holding: Holding
    network: bytes
    provider_holders: set[Contact] = field(default_factory=set)
    _wanted: defaultdict[bytes, list[_Wanted]] = field(default_factory=lambda: defaultdict(list))
    _targets: dict[bytes, int] = field(default_factory=dict)
    _regions: list[list[bytes]] = field(default_factory=list)  # keys that one lookup was enough for
    _singly: int = SINGLY_AT_MOST

    def provide(
        self, content_hash: bytes, claim: ProviderClaim, tally: ReceiptTally, *, read_back: bool = False
    ) -> None:
        """A provider record of ours for this content."""
        key = content_key(self.network, content_hash)
        promise = Promise(tally, tally.add(key, PROVIDER_TARGET), [] if read_back else None)
        self._add(key, PROVIDER_TARGET, _Wanted(promise, claim=claim))

    def enter(self, entry: Entry, tally: ReceiptTally, *, read_back: bool = False) -> list[KeyTally]:
        """An entry under each of its words. The tallies of its keys in this scope."""
        keys: list[KeyTally] = []
        for number, word in enumerate(entry.words):
            key = keyword_key(self.network, word)
            keys.append(tally.add(key, ENTRY_TARGET, word))
            promise = Promise(tally, keys[-1], [] if read_back else None)
            self._add(key, ENTRY_TARGET, _Wanted(promise, entry=entry, number=number))
        return keys

    async def announce(self) -> None:
        """Store everything at the holders that lookups find."""

        async def store(contact: Contact, deliveries: Deliveries) -> None:
            if await deliver(self.holding, contact, deliveries):
                self.provider_holders.add(contact)

        async def region(holders: dict[bytes, list[Contact]]) -> None:
            for key, contacts in holders.items():
                for wanted in self._wanted[key]:
                    wanted.promise.key.servers = len(contacts)
            self._regions.append(sorted(holders))
            await _each(await self._plan(holders), store)

        await visit_holders(self.holding, self._targets, region)

    async def read_back(self) -> None:
        """Find again what was to be read back and was acknowledged; which lookups and holders tell: `read_back.py`."""
        slots = asyncio.Semaphore(REGIONS_AT_ONCE)

        async def read(region: list[_Wanted]) -> None:
            async with slots:
                await self._read_region(region)

        async with asyncio.TaskGroup() as group:
            for keys in self._regions:
                region = [wanted for key in keys for wanted in self._wanted[key] if wanted.kept_by]
                if region:
                    group.create_task(read(region))

    async def _read_region(self, region: Sequence[_Wanted]) -> None:
        left: list[_Wanted] = []
        for bundle in bundles(region):
            drawn = self.holding.dht.rng.choice(bundle)
            others = [wanted for wanted in bundle if wanted is not drawn]
            if await drawn.look_up(self.holding):
                left += others
            else:
                await self._look_up_singly(others)
        for _ in range(ASKED_HOLDERS):
            asked = cover(left, lambda wanted: wanted.kept_by)
            plans: defaultdict[Contact, Deliveries] = defaultdict(Deliveries)
            for contact, some in asked.items():
                for wanted in some:
                    wanted.add_to(plans[contact])
                    wanted.kept_by.remove(contact)
            await _each(plans, lambda contact, deliveries: read_back(self.holding, contact, deliveries))

    async def _look_up_singly(self, records: Sequence[_Wanted]) -> None:
        for wanted in records:
            if not self._singly:
                return
            self._singly -= 1
            await wanted.look_up(self.holding)

    def _add(self, key: bytes, target: int, wanted: _Wanted) -> None:
        self._targets[key] = target
        self._wanted[key].append(wanted)

    async def _plan(self, holders: Mapping[bytes, Sequence[Contact]]) -> dict[Contact, Deliveries]:
        plans: defaultdict[Contact, Deliveries] = defaultdict(Deliveries)
        for number, (key, contacts) in enumerate(holders.items()):
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
            for wanted in self._wanted[key]:
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
