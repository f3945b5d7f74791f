"""A node's DHT: up to three scopes over shared sockets. The source address of a datagram picks the scope."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress

from dhtshare.dht.bootstrap import Bootstrap, HostPort, Resolver, system_resolver
from dhtshare.dht.contact import Contact
from dhtshare.dht.external import ExternalAddress
from dhtshare.dht.favours import Dial, Favours, dial_tcp
from dhtshare.dht.reach import Reach
from dhtshare.dht.rpc import Transport
from dhtshare.dht.saved import SavedScope, decode_state, encode_state
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.sockets import UdpTransport
from dhtshare.dht.upkeep import Upkeep
from dhtshare.errors import MalformedError
from dhtshare.network import Address, Scope, ScopeRules, is_loopback, parse_ip

MAX_BOOTSTRAP_CONTACTS = 40  # saved contacts asked at once when we join
RESOLVE_AGAIN_SECONDS = 60.0
SILENT_SECONDS = 0.5  # what those who have not answered still get, once a scope has joined
Charge = Callable[[int, int], None]


class Dht:
    """Up to three DHTs of one node.

    `start` opens the scopes that the sockets allow; `run` is the work of a node's life and ends only by
    cancellation; `stop` closes everything. `charge(sent, received)` hears of every datagram's bytes.
    """

    def __init__(
        self,
        network: bytes,
        rules: ScopeRules,
        rng: random.Random,
        wall: Callable[[], float],
        *,
        reachable: str = "auto",
        announce_host: str | None = None,
        client: bool = False,
        saved: bytes = b"",
        charge: Charge | None = None,
        dial: Dial = dial_tcp,
        resolver: Resolver = system_resolver,
    ) -> None:
        """`reachable` is auto, yes or no; `client` keeps even the LAN from naming us (a command of its own).

        `saved` is what `state` gave before a restart; bytes that are damaged or of another network count
        for nothing.
        """
        self.network = network
        self.rules = rules
        self.scopes: dict[Scope, ScopeDht] = {}
        self.malformed = 0  # datagrams from where no node can live
        self._rng = rng
        self._wall = wall
        self._reachable = reachable
        self._announce_host = announce_host
        self._client = client
        self._charge = charge
        self._dial = dial
        self._bootstrap = Bootstrap(rules, resolver)
        self._transport: Transport | None = None
        self._interfaces: tuple[str, ...] = ()
        self._upkeep: dict[Scope, Upkeep] = {}
        self._favours: list[Favours] = []
        try:
            self._saved = decode_state(saved, network) if saved else {}
        except MalformedError:
            self._saved = {}

    # ---- life ----------------------------------------------------------------------------------

    async def start(self, sockets: Sequence[socket.socket], tcp_port: int = 0, interfaces: Iterable[str] = ()) -> None:
        """Open the scopes of these bound, non-blocking UDP sockets, which are ours from now on.

        `tcp_port` is what others shall dial when they probe us, 0 for none. `interfaces` are the addresses of
        this machine: a global one among them is where to start believing.
        """
        self._interfaces = tuple(interfaces)
        hosts = [sock.getsockname()[0] for sock in sockets]
        self.attach(UdpTransport(sockets, self.datagram_received), hosts, tcp_port)

    def attach(self, transport: Transport, hosts: Iterable[str], tcp_port: int = 0) -> None:
        """Open the scopes that listening on these hosts allows, over any transport."""
        self._transport = transport
        for host in hosts:
            for scope in self._scopes_of(host):
                if scope not in self.scopes:
                    self._open(scope, host, tcp_port)

    async def bootstrap(self, hosts: Iterable[HostPort] = ()) -> int:
        """Join by these `host, port` pairs and by saved contacts, all at once. How many contacts we have then.

        `run` does it, and must be running. Returns when each of them answered or was given up; who waits no
        longer stops nothing, and `run` goes on trying.
        """
        self._bootstrap.add(hosts)
        await asyncio.gather(
            *(upkeep.join(self._places_of(scope)) for scope, upkeep in self._upkeep.items()),
            self._bootstrap.resolve(self._join_by),
        )
        return self.contacts

    async def bootstrap_within(self, seconds: float, hosts: Iterable[HostPort] = ()) -> None:
        """`bootstrap`, not waited for longer than this, nor for the silent ones once a scope has joined.

        After a restart most saved contacts may be dead; whoever waits for a node to be ready waits for none of them.
        """
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError), ExitStack() as watching:
            async with asyncio.timeout(seconds) as limit:

                def joined() -> None:
                    limit.reschedule(min(limit.when() or 0.0, loop.time() + SILENT_SECONDS))

                for scope in self.scopes.values():
                    scope.on_joined.append(joined)
                    watching.callback(scope.on_joined.remove, joined)
                await self.bootstrap(hosts)

    async def run(self) -> None:
        """Keep every scope alive, for ever."""
        async with asyncio.TaskGroup() as group:
            for upkeep in self._upkeep.values():
                group.create_task(upkeep.run())
            for favours in self._favours:
                group.create_task(favours.serve())
            group.create_task(self._resolve_again())

    async def stop(self) -> None:
        """Fail what is under way and close the sockets."""
        for scope in self.scopes.values():
            scope.close()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # ---- facts ---------------------------------------------------------------------------------

    def add_contact_hint(self, address: Address) -> None:
        """Somebody of our network may live there (LAN discovery, a link)."""
        scope = self.rules.scope_of(address.host)
        upkeep = self._upkeep.get(scope) if scope is not None else None
        if upkeep is not None:
            upkeep.hint(address)

    def datagram_received(self, data: bytes, sender: Address) -> None:
        """Hand one datagram to the scope of its source."""
        kind = self.rules.scope_of(sender.host)
        scope = self.scopes.get(kind) if kind is not None else None
        if scope is None:
            self.malformed += 1
            return
        if self._charge is not None:
            self._charge(0, len(data))
        scope.rpc.datagram_received(data, sender)

    # ---- questions -----------------------------------------------------------------------------

    @property
    def contacts(self) -> int:
        """Servers known in all scopes."""
        return sum(scope.contacts for scope in self.scopes.values())

    def estimated_size(self) -> int:
        """Nodes of the largest scope, ourselves included, as far as lookups tell."""
        return max((scope.estimated_size() for scope in self.scopes.values()), default=1)

    def state(self) -> bytes:
        """What to keep over a restart."""
        return encode_state(
            self.network,
            {
                kind: SavedScope(scope.node_id, scope.external.host, self._worth_keeping(scope))
                for kind, scope in self.scopes.items()
            },
        )

    # ---- inside --------------------------------------------------------------------------------

    def _scopes_of(self, host: str) -> list[Scope]:
        """Loopback leads to its own scope only; any other address to the LAN and, maybe by NAT, the world."""
        everywhere = Scope.IPV6 if ":" in host else Scope.IPV4
        if is_loopback(host):
            scope = self.rules.scope_of(host)
            return [] if scope is None else [scope]
        return [Scope.LAN, everywhere]

    def _open(self, scope: Scope, host: str, tcp_port: int) -> None:
        saved = self._saved.get(scope)
        configured = self._own_host(scope, host)
        external = ExternalAddress(configured, self._likely_host(scope, saved))
        dht = ScopeDht(
            scope,
            network=self.network,
            rules=self.rules,
            rng=self._rng,
            wall=self._wall,
            node_id=saved.node_id if saved is not None else None,
            external=None if scope is Scope.LAN else external,
        )
        transport = self._transport
        assert transport is not None
        dht.rpc.connection_made(transport if self._charge is None else _Charged(transport, self._charge))
        reach = None
        decides = self._reachable == "auto"
        if scope is not Scope.LAN:
            dht.undialable = self._reachable == "no"
            self._favours.append(Favours(dht, self._dial))
            if self._reachable != "no" and not self._client:
                reach = Reach(dht, tcp_port, decides=decides)
        dht.become(client=self._starts_as_client(scope))
        self.scopes[scope] = dht
        self._upkeep[scope] = Upkeep(dht, lambda: self._places_of(scope), reach, decides=decides)

    def _starts_as_client(self, scope: Scope) -> bool:
        if self._client:
            return True
        return scope is not Scope.LAN and self._reachable != "yes"

    def _own_host(self, scope: Scope, host: str) -> str | None:
        """The address told by the user, or the one listened on where that is an address of this scope."""
        for candidate in (self._announce_host, host):
            if candidate is not None and self.rules.scope_of(candidate) is scope:
                return str(parse_ip(candidate))
        return None

    def _likely_host(self, scope: Scope, saved: SavedScope | None) -> str | None:
        """What an earlier life believed, or what an interface says where that is of this scope."""
        ours = [host for host in self._interfaces if self.rules.scope_of(host) is scope]
        before = saved.host if saved is not None else None
        return before if before in ours or not ours else ours[0]

    def _worth_keeping(self, scope: ScopeDht) -> tuple[Contact, ...]:
        """Whom we know; a session that reached nobody keeps what the one before knew."""
        saved = self._saved.get(scope.scope)
        known = tuple(known.contact for known in scope.table.liveliest())
        return known or (saved.contacts if saved is not None else ())

    def _places_of(self, scope: Scope) -> Iterable[Address]:
        saved = self._saved.get(scope)
        known = [contact.address for contact in saved.contacts[:MAX_BOOTSTRAP_CONTACTS]] if saved is not None else []
        return dict.fromkeys([*known, *self.scopes[scope].lost, *self._bootstrap.addresses(scope)])

    async def _join_by(self, scope: Scope, addresses: list[Address]) -> None:
        if scope in self._upkeep:
            await self._upkeep[scope].join(addresses)

    async def _resolve_again(self) -> None:
        """Names that meant nothing while the network was away may mean something now."""
        while True:
            await asyncio.sleep(RESOLVE_AGAIN_SECONDS)
            if not self.contacts:
                await self._bootstrap.resolve(self._join_by)


class _Charged:
    """A transport whose bytes somebody counts."""

    def __init__(self, transport: Transport, charge: Charge) -> None:
        self._transport = transport
        self._charge = charge

    def sendto(self, data: bytes, address: Address) -> None:
        self._charge(len(data), 0)
        self._transport.sendto(data, address)

    def close(self) -> None:
        self._transport.close()
