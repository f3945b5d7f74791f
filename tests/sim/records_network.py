"""Nodes with records in a virtual network: the real code over in-memory datagrams, in virtual time, seeded."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from typing import Any

from dhtshare.content.format import Kind
from dhtshare.dht.contact import ID_BITS, Contact
from dhtshare.dht.external import ExternalAddress
from dhtshare.dht.join import fill_buckets, join
from dhtshare.dht.records.agenda import Agenda
from dhtshare.dht.records.announcer import Announcer
from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.entry import sign_entry, sign_withdrawal
from dhtshare.dht.records.find_providers import find_providers
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import ENTRY_TTL, StoreLimits
from dhtshare.dht.records.provider import Provider, ProviderClaim
from dhtshare.dht.records.puller import Puller
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.search import Found, Search
from dhtshare.dht.records.verifier import Verifier
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.simulation import EPOCH, VirtualLoop, VirtualNetwork
from dhtshare.dht.upkeep import Upkeep
from dhtshare.identity import SigningKey
from dhtshare.network import Address, Scope, ScopeRules, network_id

NETWORK = network_id("records in the sim")
TCP_PORT = 5000


def content(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Person:
    """One node: what it holds, what it shares, what it asks. `library`: content hash → name and words."""

    def __init__(
        self, net: RecordsNetwork, number: int, address: Address, *, limits: StoreLimits | None = None
    ) -> None:
        loop, rng = net.loop, random.Random(net.rng.random())
        self.net = net
        self.number = number
        self.address = address
        self.clock_error = 0.0
        self.key = SigningKey.from_seed((number + 1).to_bytes(32, "big"))
        self.other_keys: dict[bytes, SigningKey] = {}  # of contents that are published as if by somebody else
        self.sequence = 1 << 41
        self.library: dict[bytes, tuple[str, tuple[str, ...]]] = {}
        self.due: dict[bytes, float] = {}
        self.dht = ScopeDht(
            net.scope,
            network=NETWORK,
            rules=net.rules,
            rng=rng,
            wall=self.wall,
            external=None if net.scope is Scope.LAN else ExternalAddress(address.host),
        )
        self.dht.become(client=False)
        self.dht.rpc.connection_made(net.datagrams.attach(address, self.dht.rpc.datagram_received))
        self.holding = Holding(
            self.dht,
            network=NETWORK,
            rules=net.rules,
            rng=rng,
            wall=self.wall,
            verifier=Verifier(NETWORK),
            budget=Budget(limits),
        )
        self.puller = Puller(self.holding, NETWORK)
        self.announcer = Announcer(
            [self.holding],
            network=NETWORK,
            agenda=Agenda(rng),
            make_entry=self.make_entry,
            make_withdrawal=self.make_withdrawal,
            claim=lambda partial: ProviderClaim(TCP_PORT + number, self.key.public[:8], partial),
            wall=self.wall,
            keep_due=self.keep_due,
        )
        self._loop = loop

    def wall(self) -> float:
        return EPOCH + self.net.loop.time() + self.clock_error

    async def keep_due(self, due: dict[bytes, float]) -> None:
        self.due |= due

    def make_entry(self, content_hash: bytes) -> bytes | None:
        if content_hash not in self.library:
            return None
        name, words = self.library[content_hash]
        self.sequence += 1
        return sign_entry(
            self.other_keys.get(content_hash, self.key),
            NETWORK,
            content_hash=content_hash,
            sequence=self.sequence,
            expires=int(self.holding.record_wall() + ENTRY_TTL),
            kind=Kind.FILE,
            size=1000,
            name=name,
            words=words,
        )

    def make_withdrawal(self, content_hash: bytes) -> bytes:
        self.sequence += 1
        expires = int(self.holding.record_wall() + ENTRY_TTL)
        return sign_withdrawal(self.key, NETWORK, content_hash=content_hash, sequence=self.sequence, expires=expires)

    def share(self, number: int, words: Iterable[str], *, entry_at: float | None = None) -> bytes:
        content_hash = content(number)
        self.library[content_hash] = f"{' '.join(words)} {number}.mp3", tuple(words)
        self.announcer.share(content_hash, words, entry_at=entry_at)
        return content_hash

    def searching(self, *words: str, **filters: object) -> Search:
        return Search([self.holding], NETWORK, Query(words, **filters))  # type: ignore[arg-type]

    async def search(self, *words: str, **filters: object) -> list[Found]:
        search = self.searching(*words, **filters)
        latest = {(one.entry.publisher, one.entry.content_hash): one async for one in search.entries()}
        return [one for place, one in latest.items() if place not in search.withdrawn]

    async def providers(self, content_hash: bytes) -> list[Provider]:
        found = [provider async for provider in find_providers([self.holding], NETWORK, content_hash)]
        return list({provider.address: provider for provider in found}.values())

    def die(self) -> None:
        self.net.datagrams.silence(self.address)


class RecordsNetwork:
    """A network that grows by `add`. Everybody's announcer and puller run while inside `living`."""

    def __init__(
        self, loop: VirtualLoop, *, scope: Scope = Scope.LAN, seed: int = 1, loss: float = 0.0, rtt: float = 0.02
    ) -> None:
        self.loop = loop
        self.scope = scope
        self.rng = random.Random(seed)
        self.rules = ScopeRules()
        self.datagrams = VirtualNetwork(loop, self.rng, loss=loss, rtt=rtt)
        self.people: list[Person] = []
        self._born = 0
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[Person, list[asyncio.Task[None]]] = {}

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            self._group = group
            yield
            for person in list(self._tasks):
                self._end_tasks(person)

    async def add(
        self,
        count: int = 1,
        *,
        joins: bool = True,
        pulls: bool = True,
        upkeep: bool = False,
        limits: StoreLimits | None = None,
        host: str | None = None,
    ) -> Person:
        """More nodes, each joining by some that are there. The last one.

        `upkeep`: with all that a node does by itself for hours. `host`: where the one lives, else anywhere.
        """
        assert count > 0
        for _ in range(count):
            person = self._bear(limits, host)
            if pulls:
                self._work(person, person.puller.run())
            if joins and len(self.people) > 1:
                await self.join(person)
            if upkeep:
                self._work(person, Upkeep(person.dht, lambda: (), None).run())
        return person

    def remove(self, person: Person) -> None:
        """A node ends without a word, as by `kill -9`, and is forgotten here."""
        self.people.remove(person)
        self._end_tasks(person)
        person.die()
        self.datagrams.detach(person.address)

    def _bear(self, limits: StoreLimits | None = None, host: str | None = None) -> Person:
        address = self._address(self._born) if host is None else Address(host, 4470)
        person = Person(self, self._born, address, limits=limits)
        self._born += 1
        self.people.append(person)
        self._work(person, person.announcer.run())
        return person

    def _work(self, person: Person, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None
        self._tasks.setdefault(person, []).append(self._group.create_task(work))

    def _end_tasks(self, person: Person) -> None:
        for task in self._tasks.pop(person):
            task.cancel()

    async def join(self, person: Person) -> None:
        others = [other for other in self.people if other is not person and not self.datagrams.is_silent(other.address)]
        chosen = self.rng.sample(others, min(3, len(others)))
        await join(person.dht, [other.address for other in chosen])
        await fill_buckets(person.dht)

    def settle(self, count: int) -> None:
        """So many nodes at once, each knowing random others and its neighbours, as after hours."""
        for _ in range(count):
            self._bear()
        contacts = [self.contact(person) for person in self.people]
        by_id = sorted(contacts)
        now = self.loop.time()
        for person in self.people:
            near = _closest(by_id, person.dht.node_id, 41)
            for contact in [*near, *self.rng.sample(contacts, min(150, len(contacts)))]:
                if contact.address != person.address:
                    person.dht.table.answered(contact, now)

    def contact(self, person: Person) -> Contact:
        return Contact(person.dht.node_id, person.address)

    def _address(self, number: int) -> Address:
        if self.scope is Scope.LAN:
            return Address(f"10.0.{number >> 8}.{number & 255}", 4470)
        while True:
            host = str(IPv4Address(self.rng.getrandbits(32)))
            if self.rules.scope_of(host) is Scope.IPV4:
                return Address(host, 4470)


def _closest(by_id: Sequence[Contact], node_id: bytes, count: int) -> list[Contact]:
    """The closest to an id: all that share enough of its first bits are closer than any other."""
    number = int.from_bytes(node_id, "big")
    first, last = 0, len(by_id)
    for bits in range(ID_BITS - 1, -1, -1):
        low = number >> bits << bits
        start = bisect_left(by_id, low, first, last, key=_number)
        end = bisect_left(by_id, low + (1 << bits), first, last, key=_number)
        if end - start < count:
            break
        first, last = start, end
    return sorted(by_id[first:last], key=lambda contact: contact.distance_to(node_id))[:count]


def _number(contact: Contact) -> int:
    return int.from_bytes(contact.node_id, "big")
