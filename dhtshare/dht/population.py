"""Many simulated nodes of one network: honest ones, liars, and how their tables came to be. For `lab` and tests.

Every node is a `ScopeDht` of the IPv4 scope at an address of its own, with an id bound to it, so that all
rules of the global scopes hold.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Sequence

from dhtshare.dht.contact import ID_BITS, Contact
from dhtshare.dht.external import ExternalAddress
from dhtshare.dht.join import fill_buckets, join
from dhtshare.dht.routing import K, Table
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.simulation import EPOCH, VirtualLoop, VirtualNetwork
from dhtshare.network import Address, Scope, ScopeRules, network_id

JOIN_SPACING_SECONDS = 0.2
BOOTSTRAPS = 3
_PORT = 4470


class LyingTable(Table):
    """The table of a liar: whatever it is asked for, it names its accomplices closest to the target."""

    def __init__(self, node_id: bytes, scope: Scope, accomplices: Sequence[Contact]) -> None:
        super().__init__(node_id, scope)
        self._accomplices = accomplices

    def nearest(self, target: bytes, count: int = K, *, loopback: bool = True) -> list[Contact]:
        return sorted(self._accomplices, key=lambda contact: contact.distance_to(target))[:count]

    def group_key(self, target: bytes, count: int = K) -> int | None:
        return None


class Population:
    """The nodes of one simulated network, by address."""

    def __init__(self, loop: VirtualLoop, rng: random.Random, *, loss: float, rtt: float) -> None:
        self.network = VirtualNetwork(loop, rng, loss=loss, rtt=rtt)
        self.nodes: dict[Address, ScopeDht] = {}
        self.liars: list[Contact] = []
        self._loop = loop
        self._rng = rng
        self._id = network_id("lab")
        self._rules = ScopeRules()

    @property
    def honest(self) -> list[ScopeDht]:
        """Nodes that neither lie nor are dead."""
        lying = {contact.address for contact in self.liars}
        return [
            node for address, node in self.nodes.items() if address not in lying and not self.network.is_silent(address)
        ]

    def contact(self, node: ScopeDht) -> Contact:
        """Where a node lives."""
        assert node.external.host is not None
        return Contact(node.node_id, Address(node.external.host, _PORT))

    def add(self) -> ScopeDht:
        """One more node, a server that knows nobody."""
        address = self._free_address()
        node = ScopeDht(
            Scope.IPV4,
            network=self._id,
            rules=self._rules,
            rng=self._rng,
            wall=lambda: EPOCH + self._loop.time(),
            external=ExternalAddress(address.host),
        )
        node.become(client=False)
        node.rpc.connection_made(self.network.attach(address, node.rpc.datagram_received))
        self.nodes[address] = node
        return node

    def turn(self, node: ScopeDht) -> None:
        """Make it a liar, in league with all the others."""
        self.liars.append(self.contact(node))
        node.rpc.moved(node.node_id, LyingTable(node.node_id, Scope.IPV4, self.liars))

    async def join_all(self) -> None:
        """Every node joins by a few of the first ones, one after the other and overlapping."""
        nodes = list(self.nodes.values())
        async with asyncio.TaskGroup() as group:
            for number, node in enumerate(nodes):
                group.create_task(self._join_at(node, number * JOIN_SPACING_SECONDS, nodes[:10]))

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
