"""Joining: from a few addresses to a full table. Drives walks, owns no task.

All bootstrap addresses are asked at once. The first answer starts the walk to our own id, later ones
start it again with what they named, so one hostile or dead entry costs neither time nor the truth.
Then the closest are told of us by a proved ping (only such a request nominates), and the farther
buckets are refreshed (Maymounkov and Mazières 2002, section 2.3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from dhtshare.dht.calls import Listener
from dhtshare.dht.contact import UNKNOWN_ID, Contact
from dhtshare.dht.messages import TARGET_KEY, Method, NoAnswer, Refused, Reply
from dhtshare.dht.nodeid import may_have
from dhtshare.dht.routing import K
from dhtshare.dht.scope import ScopeDht
from dhtshare.network import Address

REFRESH_SECONDS = 900.0
REFRESH_K = 8  # a refresh is to get to know some nodes there, not all of the closest
PARALLEL_REFRESHES = 3
MAX_CHECKS = 200  # named by the addresses that one joining asks


class Joining:
    """One joining of a scope; more addresses may be asked while it runs."""

    def __init__(self, scope: ScopeDht) -> None:
        self._scope = scope
        self._news = asyncio.Event()
        self._seeds: list[Contact] = []
        self._asked: set[Address] = set()
        self._awaited: set[Address] = set()
        self._checks_left = MAX_CHECKS
        self._misnamed: list[Address] = []  # answered under an id that their address may not have

    def ask(self, addresses: Iterable[Address]) -> None:
        """Ask whoever lives there for our neighbours; nobody is asked twice."""
        for address in addresses:
            if address not in self._asked:
                self._asked.add(address)
                self._awaited.add(address)
                body: dict[int, object] = {TARGET_KEY: self._scope.node_id}
                self._scope.rpc.start(Contact(UNKNOWN_ID, address), Method.FIND_NODE, body, self._listener(address))

    async def run(self) -> bool:
        """Walk to our own id and introduce ourselves. True if we know anybody afterwards.

        Returns when every address answered or failed; `scope.joined` and `on_joined` come as soon as the
        first walk is done.
        """
        scope = self._scope
        seeds = await self._more()
        while seeds or (len(scope.table) and not scope.joined):
            await find_neighbours(scope, seeds)
            self._check_some(seeds)
            if scope.contacts and not scope.joined:
                scope.joined = True
                for callback in scope.on_joined:
                    callback()
            seeds = [c for c in await self._more() if c not in scope.table and scope.table.wants(c)]
        if not scope.is_client:  # who does not know its own address yet learns it by asking us back
            await asyncio.gather(*(introduce(scope, Contact(UNKNOWN_ID, address)) for address in self._misnamed))
        return scope.contacts > 0

    def _check_some(self, seeds: Iterable[Contact]) -> None:
        """Ping those that the walk passed by: a hostile entry names the dead nearest to us, and so keeps it busy."""
        for contact in seeds:
            if self._checks_left and contact not in self._scope.table and self._scope.table.wants(contact):
                self._checks_left -= 1
                self._scope.check(contact)

    async def _more(self) -> list[Contact]:
        """New seeds as soon as there are any; empty once nobody is awaited."""
        while not self._seeds and self._awaited:
            self._news.clear()
            await self._news.wait()
        seeds, self._seeds = self._seeds, []
        return seeds

    def _listener(self, address: Address) -> Listener:
        def over() -> None:
            self._awaited.discard(address)
            self._news.set()

        def replied(reply: Reply) -> None:
            self._seeds.extend(reply.contacts)
            if may_have(reply.node_id, address.host, self._scope.scope):
                self._seeds.append(Contact(reply.node_id, address))
            else:
                self._misnamed.append(address)
            over()

        return Listener(replied, lambda _error: over(), lambda: None)


async def join(scope: ScopeDht, addresses: Iterable[Address]) -> bool:
    """Join by all these addresses; see `Joining.run`."""
    joining = Joining(scope)
    joining.ask(addresses)
    return await joining.run()


async def find_neighbours(scope: ScopeDht, seeds: Iterable[Contact] = ()) -> None:
    """Walk to our own id and let the closest know of us."""
    result = await scope.walk(scope.node_id, seeds=list(seeds))
    if scope.is_client:
        return
    await asyncio.gather(*(introduce(scope, contact) for contact in result.closest))


async def introduce(scope: ScopeDht, contact: Contact) -> None:
    """Send one proved ping; whoever has room for us then pings back."""
    try:
        await scope.rpc.call(contact, Method.PING, {}, prove=True)
    except (NoAnswer, Refused):
        return  # the table has taken note


async def fill_buckets(scope: ScopeDht) -> None:
    """After joining: walk to a random id of each bucket that has room, farthest first."""
    await _walk_into(scope, scope.table.unfilled(), K)


async def refresh_buckets(scope: ScopeDht, age: float = REFRESH_SECONDS) -> None:
    """Walk to a random id of each bucket that no walk of ours went into for `age` seconds."""
    await _walk_into(scope, scope.table.stale(scope.rpc.now(), age), REFRESH_K)


async def _walk_into(scope: ScopeDht, indexes: Iterable[int], k: int) -> None:
    gate = asyncio.Semaphore(PARALLEL_REFRESHES)

    async def refresh(index: int) -> None:
        async with gate:
            await scope.walk(scope.table.random_target(index, scope.rng), k=k, paths=1)

    await asyncio.gather(*(refresh(index) for index in indexes))
