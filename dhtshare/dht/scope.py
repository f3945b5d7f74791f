"""One DHT of one scope: who we are in it, whom we know, and what we can ask of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from dhtshare.dht.calls import Listener
from dhtshare.dht.contact import Contact
from dhtshare.dht.density import SizeEstimate, size_from
from dhtshare.dht.external import ExternalAddress
from dhtshare.dht.messages import Body, Method, Reply
from dhtshare.dht.nodeid import bound_id, may_have, random_id
from dhtshare.dht.rates import RateMeter
from dhtshare.dht.routing import K, Table
from dhtshare.dht.rpc import Rpc
from dhtshare.dht.walk import PATHS, Step, WalkResult, walk
from dhtshare.errors import NetworkError
from dhtshare.network import Address, Scope, ScopeRules

NOMINATIONS_PER_SECOND = 20.0
NOMINATIONS_BURST = 100
MAX_LOST = 64  # evicted contacts remembered for the day the network comes back


class ScopeDht:
    """A node's place in one scope.

    `is_client` is True while nobody showed that we can be reached: then we ask and are never named.
    The callbacks run on the loop, in the order added: `on_joined` after the lookup of our own id,
    `on_refresh` after each refresh of our region, `on_moved` when our id changed, `on_dialable` when
    `undialable` did.
    """

    def __init__(
        self,
        scope: Scope,
        *,
        network: bytes,
        rules: ScopeRules,
        rng: random.Random,
        wall: Callable[[], float],
        node_id: bytes | None = None,
        external: ExternalAddress | None = None,
    ) -> None:
        """`node_id` is a saved one, used where our address may have it; `external` is for global scopes."""
        self.scope = scope
        self.rng = rng
        self.is_client = scope is not Scope.LAN
        self.dialable: bool | None = None  # whether those who tried reached our TCP port; None while nobody did
        self.undialable = False  # whether provider records of ours are of no use here
        self.reachable: bool | None = None  # whether strangers' datagrams come in; None while nobody found out
        self.size = SizeEstimate()
        self.joined = False
        self.lost: list[Address] = []
        self.on_joined: list[Callable[[], None]] = []
        self.on_refresh: list[Callable[[], None]] = []
        self.on_moved: list[Callable[[], None]] = []
        self.on_dialable: list[Callable[[], None]] = []
        self.external = external or ExternalAddress()
        host = self.external.host
        own = node_id if node_id is not None and (host is None or may_have(node_id, host, scope)) else None
        own = own or (random_id(rng) if host is None or scope is Scope.LAN else bound_id(host, rng))
        self.rpc = Rpc(
            network=network,
            scope=scope,
            rules=rules,
            table=Table(own, scope),
            node_id=own,
            rng=rng,
            wall=wall,
            client=self.is_client,
        )
        self.rpc.on_nominated = self._nominated
        self.rpc.on_lost = self._lost
        if scope is not Scope.LAN:
            self.rpc.on_reply = self._replied
            if self.external.host is None:
                self.rpc.on_dialled = self._dialled
        self._nominations = RateMeter(NOMINATIONS_PER_SECOND, NOMINATIONS_BURST, limit=1)
        self._pinging: dict[Address, None] = {}

    @property
    def node_id(self) -> bytes:
        return self.rpc.node_id

    @property
    def table(self) -> Table:
        return self.rpc.table

    @property
    def contacts(self) -> int:
        """How many servers we know."""
        return len(self.table)

    def become(self, *, client: bool) -> None:
        """Be a client or a server from now on."""
        self.is_client = self.rpc.client = client

    def found_undialable(self, undialable: bool) -> None:
        """Nobody who tried reached our TCP port, or somebody did."""
        if undialable != self.undialable:
            self.undialable = undialable
            for callback in self.on_dialable:
                callback()

    def move(self, node_id: bytes) -> None:
        """Live under another id. Contacts are kept, in the buckets of the new id; tell `on_moved`."""
        self.rpc.moved(node_id, self.table.moved_to(node_id))
        for callback in self.on_moved:
            callback()

    async def ping(self, contact: Contact) -> Reply:
        """Raises NoAnswer or Refused."""
        return await self.rpc.call(contact, Method.PING, {})

    def check(self, contact: Contact) -> None:
        """Ping without waiting; the table hears of the outcome."""
        address = contact.address
        if address in self._pinging:
            return
        self._pinging[address] = None

        def over(_outcome: Reply | NetworkError) -> None:
            self._pinging.pop(address, None)
            if not self._pinging:
                self._pinging.clear()  # gives back the room of its fullest time

        self.rpc.start(contact, Method.PING, {}, Listener(over, over, lambda: None))

    async def walk(
        self,
        target: bytes,
        *,
        method: int = Method.FIND_NODE,
        body: Body | None = None,
        on_reply: Callable[[Contact, Reply], None] | None = None,
        found: Callable[[], bool] | None = None,
        k: int = K,
        paths: int = PATHS,
        seeds: Sequence[Contact] = (),
        stop_when_found: bool = False,
        around: int = 0,
        trace: Callable[[Step], None] | None = None,
    ) -> WalkResult:
        """See `walk.walk`; what it finds also tells the size of the network."""
        result = await walk(
            self,
            target,
            method=method,
            body=body,
            on_reply=on_reply,
            found=found,
            k=k,
            paths=paths,
            seeds=seeds,
            stop_when_found=stop_when_found,
            around=around,
            trace=trace,
        )
        if result.complete and not result.suspicious:
            self.size.looked_up(target, result.closest, k)
        return result

    def suspicious(self, target: bytes, closest: Sequence[Contact]) -> bool:
        """Whether these are closer to the target than the size of the network makes likely."""
        return self.size.suspicious(target, closest, self._neighbourhood())

    def estimated_size(self) -> int:
        """Nodes in this scope, ourselves included, as far as our table and our lookups tell."""
        return self.size.nodes(self._neighbourhood())

    def _neighbourhood(self) -> float:
        return size_from(self.node_id, self.table.nearest(self.node_id, K), K)

    def close(self) -> None:
        """Fail what is under way; the sockets belong to the `Dht`."""
        self.rpc.close()

    def _nominated(self, contact: Contact) -> None:
        if not self._nominations.take("", self.rpc.now()):
            self.check(contact)

    def _replied(self, contact: Contact, reply: Reply) -> None:
        seen = reply.seen
        if (
            seen is not None
            and self.rpc.rules.scope_of(seen.host) is self.scope
            and self.external.seen(contact.address, seen.host, self.rpc.now())
            and not may_have(self.node_id, seen.host, self.scope)
        ):
            self.move(bound_id(seen.host, self.rng))

    def _dialled(self, address: Address) -> None:
        """Somebody reached us there. The first node of a network has nobody whom it could ask for its address."""
        if self.external.host is None and not self.contacts and self.rpc.rules.scope_of(address.host) is self.scope:
            self.external.suppose(address.host)
            self.move(bound_id(address.host, self.rng))
        if self.external.host is not None:
            self.rpc.on_dialled = None

    def _lost(self, contact: Contact) -> None:
        self.lost.append(contact.address)
        del self.lost[:-MAX_LOST]
