"""Whole nodes of the DHT on a virtual Internet with NATs, DNS names and TCP dials. Seeded, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from dhtshare.dht.contact import Contact
from dhtshare.dht.dht import Dht
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.simulation import EPOCH, VirtualLoop, VirtualNetwork
from dhtshare.network import Address, Scope, ScopeRules, network_id

NETWORK = network_id("internet in the sim")
PORT = 4470
NAT_SECONDS = 180.0  # how long a NAT of this Internet lets answers in


class NatNetwork(VirtualNetwork):
    """Datagrams to a host behind a NAT arrive only from hosts that it wrote to within three minutes."""

    def __init__(self, loop: VirtualLoop, rng: random.Random, *, loss: float = 0.0, rtt: float = 0.05) -> None:
        super().__init__(loop, rng, loss=loss, rtt=rtt)
        self.natted: set[str] = set()
        self.refused = 0
        self._clock = loop
        self._holes: dict[tuple[str, str], float] = {}

    def send(self, data: bytes, source: Address, target: Address) -> None:
        if source.host in self.natted:
            self._holes[source.host, target.host] = self._clock.time()
        super().send(data, source, target)

    def _deliver(self, data: bytes, source: Address, target: Address) -> None:
        if target.host in self.natted:
            opened = self._holes.get((target.host, source.host), float("-inf"))
            if self._clock.time() - opened > NAT_SECONDS:
                self.refused += 1
                return
        super()._deliver(data, source, target)


class Line:
    """A node's end of the network: the address that the world sees it at may change."""

    def __init__(self, internet: Internet, address: Address) -> None:
        self.address = address
        self._internet = internet

    def sendto(self, data: bytes, address: Address) -> None:
        self._internet.datagrams.send(data, self.address, address)

    def close(self) -> None:
        self._internet.datagrams.detach(self.address)


class Host:
    """One node and where it lives."""

    def __init__(self, internet: Internet, dht: Dht, line: Line) -> None:
        self.dht = dht
        self.line = line
        self._internet = internet
        self._life: asyncio.Task[None] | None = None

    @property
    def address(self) -> Address:
        return self.line.address

    @property
    def scope(self) -> ScopeDht:
        return self.dht.scopes[Scope.IPV6 if ":" in self.address.host else Scope.IPV4]

    @property
    def contact(self) -> Contact:
        return Contact(self.scope.node_id, self.address)

    def live(self, group: asyncio.TaskGroup) -> None:
        self._life = group.create_task(self.dht.run())

    def rest(self) -> None:
        """From now on it only answers: no upkeep of its own, which many idle servers would spend a test's time on."""
        assert self._life is not None
        self._life.cancel()

    def move(self, host: str) -> None:
        """The provider gives it another address."""
        self.line.close()
        self.line.address = Address(host, self.address.port)
        self._internet.datagrams.attach(self.line.address, self.dht.datagram_received)

    async def end(self) -> bytes:
        """Stop it; what it keeps over a restart."""
        state = self.dht.state()
        assert self._life is not None
        self._life.cancel()
        await self.dht.stop()
        self._internet.hosts.remove(self)
        return state


class Internet:
    """A network of nodes, alive while inside `running`."""

    def __init__(self, loop: VirtualLoop, *, seed: int = 1, loss: float = 0.0) -> None:
        self.loop = loop
        self.rng = random.Random(seed)
        self.rules = ScopeRules()
        self.datagrams = NatNetwork(loop, self.rng, loss=loss)
        self.hosts: list[Host] = []
        self.names: dict[str, list[str]] = {}
        self.dials: list[Address] = []
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Internet]:
        async with asyncio.TaskGroup() as group:
            self._group = group
            yield self
            for host in list(self.hosts):
                await host.end()

    def add(
        self,
        host: str | None = None,
        *,
        natted: bool = False,
        reachable: str = "auto",
        announce_host: str | None = None,
        saved: bytes = b"",
        client: bool = False,
    ) -> Host:
        """One more node, that knows nobody yet. Without `host` it gets a random address of the Internet."""
        address = Address(host or self.free_host(), PORT)
        if natted:
            self.datagrams.natted.add(address.host)
        dht = Dht(
            NETWORK,
            self.rules,
            random.Random(self.rng.random()),
            lambda: EPOCH + self.loop.time(),
            reachable=reachable,
            announce_host=announce_host,
            client=client,
            saved=saved,
            dial=self.dial,
            resolver=self.resolve,
        )
        line = Line(self, address)
        self.datagrams.attach(address, dht.datagram_received)
        dht.attach(line, ["::" if ":" in address.host else "0.0.0.0"], PORT)
        node = Host(self, dht, line)
        self.hosts.append(node)
        assert self._group is not None
        node.live(self._group)
        return node

    async def join(self, *by: Host, **options: object) -> Host:
        """One more node, joined by these."""
        node = self.add(**options)  # type: ignore[arg-type]
        await node.dht.bootstrap([(other.address.host, other.address.port) for other in by])
        return node

    async def grow(self, count: int, *, resting: bool = False) -> list[Host]:
        """So many servers with their addresses told, each joined by some of those before."""
        for _ in range(count):
            host = self.free_host()
            by = self.rng.sample(self.hosts, min(3, len(self.hosts)))
            await self.join(*by, host=host, reachable="yes", announce_host=host)
        if resting:
            for server in self.hosts:
                server.rest()
        return list(self.hosts)

    async def dial(self, address: Address) -> bool:
        """A TCP connection: a NAT lets none in."""
        self.dials.append(address)
        there = any(host.address == address for host in self.hosts)
        if there and address.host not in self.datagrams.natted and not self.datagrams.is_silent(address):
            await asyncio.sleep(0.05)
            return True
        await asyncio.sleep(5.0)
        return False

    async def resolve(self, name: str) -> list[str]:
        await asyncio.sleep(0.02)
        try:
            return self.names[name]
        except KeyError:
            raise OSError("no such name") from None

    def free_host(self) -> str:
        taken = {host.address.host for host in self.hosts}
        while True:
            host = ".".join(str(self.rng.randrange(1, 255)) for _ in range(4))
            if host not in taken and self.rules.scope_of(host) is Scope.IPV4:
                return host

    def who_knows(self, node: Host) -> list[Host]:
        """In whose tables a node stands."""
        return [other for other in self.hosts if node.address in {c.address for c in other.scope.table}]


def addresses(hosts: Iterable[Host]) -> set[Address]:
    return {host.address for host in hosts}


def place(node: Host) -> tuple[str, int]:
    return node.address.host, node.address.port


async def seconds_until(internet: Internet, condition: Callable[[], bool], limit: float) -> float:
    """Virtual seconds until it holds; more than `limit` fails."""
    began = internet.loop.time()
    while not condition():
        assert internet.loop.time() - began <= limit, f"not within {limit} s"
        await asyncio.sleep(0.1)
    return internet.loop.time() - began
