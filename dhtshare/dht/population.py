"""Many simulated nodes of one network: honest ones, hostile ones, and how their tables came to be. For `lab` and tests.

Every node is a `ScopeDht` of the IPv4 scope at an address of its own, with an id bound to it, so that all
rules of the global scopes hold.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence

from dhtshare.dht.contact import ID_BITS, Contact
from dhtshare.dht.external import ExternalAddress
from dhtshare.dht.hostile import LyingTable, aimed_places
from dhtshare.dht.join import fill_buckets, join
from dhtshare.dht.routing import K
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.simulation import EPOCH, VirtualLoop, VirtualNetwork
from dhtshare.network import Address, Scope, ScopeRules, network_id

JOIN_SPACING_SECONDS = 0.2
BOOTSTRAPS = 3
_PORT = 4470


class Population:
    """The nodes of one simulated network, by address."""

    def __init__(self, loop: VirtualLoop, rng: random.Random, *, loss: float, rtt: float) -> None:
        self.network = VirtualNetwork(loop, rng, loss=loss, rtt=rtt)
        self.nodes: dict[Address, ScopeDht] = {}
        self.liars: list[Contact] = []
        self.aimed: dict[bytes, list[Contact]] = {}  # hostile nodes by the key that they crowd
        self.evicted_live = 0  # contacts that somebody threw out of a table though they live
        self._hostile: set[Address] = set()
        self._loop = loop
        self._rng = rng
        self._id = network_id("lab")
        self._rules = ScopeRules()

    @property
    def honest(self) -> list[ScopeDht]:
        """Nodes that neither lie nor are dead."""
        silent, hostile = self.network.is_silent, self._hostile
        return [node for address, node in self.nodes.items() if address not in hostile and not silent(address)]

    def is_hostile(self, node: ScopeDht) -> bool:
        """Whether it is a liar, or one of those that crowd a key."""
        return self.contact(node).address in self._hostile

    def contact(self, node: ScopeDht) -> Contact:
        """Where a node lives."""
        assert node.external.host is not None
        return Contact(node.node_id, Address(node.external.host, _PORT))

    def add(self) -> ScopeDht:
        """One more honest node, a server that knows nobody."""
        return self._add(self._free_address())

    def _add(self, address: Address, node_id: bytes | None = None) -> ScopeDht:
        node = ScopeDht(
            Scope.IPV4,
            network=self._id,
            rules=self._rules,
            rng=self._rng,
            wall=lambda: EPOCH + self._loop.time(),
            node_id=node_id,
            external=ExternalAddress(address.host),
        )
        forget = node.rpc.on_lost

        def lost(contact: Contact) -> None:
            self.evicted_live += contact.address in self.nodes and not self.network.is_silent(contact.address)
            if forget is not None:
                forget(contact)

        node.rpc.on_lost = lost
        node.become(client=False)
        node.rpc.connection_made(self.network.attach(address, node.rpc.datagram_received))
        self.nodes[address] = node
        return node

    def turn(self, node: ScopeDht) -> None:
        """Make it a liar, in league with all the others."""
        self.liars.append(self.contact(node))
        self._hostile.add(self.contact(node).address)
        node.rpc.moved(node.node_id, LyingTable(node.node_id, Scope.IPV4, self.liars))

    async def aim(self, key: bytes, count: int, networks: int) -> list[ScopeDht]:
        """Place hostile nodes of so many /24s around a key. They join like anybody, then name each other only."""
        crowd = self.aimed.setdefault(key, [])
        nodes = [
            self._add(Address(host, _PORT), node_id) for host, node_id in aimed_places(key, count, networks, self._rng)
        ]
        crowd += [self.contact(node) for node in nodes]
        self._hostile |= {contact.address for contact in crowd}
        known = self.honest
        async with asyncio.TaskGroup() as group:
            for number, node in enumerate(nodes):
                group.create_task(self._join_at(node, number * JOIN_SPACING_SECONDS, known))
        for node in nodes:
            node.rpc.moved(node.node_id, LyingTable(node.node_id, Scope.IPV4, crowd))
        return nodes

    async def join_all(self, progress: Callable[[float], None] = lambda share: None) -> None:
        """Every node joins by a few of the first ones, one after the other and overlapping."""
        nodes = list(self.nodes.values())
        joined = 0

        async def joins(number: int, node: ScopeDht) -> None:
            nonlocal joined
            await self._join_at(node, number * JOIN_SPACING_SECONDS, nodes[:10])
            joined += 1
            progress(joined / len(nodes))

        async with asyncio.TaskGroup() as group:
            for number, node in enumerate(nodes):
                group.create_task(joins(number, node))

    async def join_late(self, node: ScopeDht) -> None:
        """One node joins a network that runs."""
        known = self.honest
        known.remove(node)
        await self._join_at(node, 0.0, self._rng.sample(known, min(len(known), BOOTSTRAPS)))

    def settle(self) -> None:
        """Give every node the table that it would have after hours: full buckets of random contacts, its neighbours."""
        contacts = [self.contact(node) for node in self.nodes.values()]
        by_id = sorted((int.from_bytes(contact.node_id, "big"), contact) for contact in contacts)
        ids = [number for number, _ in by_id]
        now = self._loop.time()
        for node in self.nodes.values():
            own = int.from_bytes(node.node_id, "big")
            for index in range(ID_BITS, 0, -1):
                span = 1 << (index - 1)
                low = (own ^ span) & ~(span - 1)
                first, last = bisect_left(ids, low), bisect_left(ids, low + span)
                for position in self._rng.sample(range(first, last), min(K, last - first)):
                    node.table.answered(by_id[position][1], now)

    async def _join_at(self, node: ScopeDht, delay: float, known: Sequence[ScopeDht]) -> None:
        await asyncio.sleep(delay)
        others = [other for other in known if other is not node]
        chosen = self._rng.sample(others, min(len(others), BOOTSTRAPS))
        await join(node, [self.contact(other).address for other in chosen])
        await fill_buckets(node)

    def _free_address(self) -> Address:
        while True:
            host = ".".join(str(self._rng.randrange(1, 255)) for _ in range(4))
            address = Address(host, _PORT)
            if address not in self.nodes and self._rules.scope_of(host) is Scope.IPV4:
                return address
