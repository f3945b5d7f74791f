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
from dhtshare.dht.scope import ScopeDht
from dhtshare.network import Address

REFRESH_SECONDS = 900.0
REFRESH_K = 8  # a refresh is to get to know some nodes there, not all of the closest
PARALLEL_REFRESHES = 3


class _Answers:
    """Collects what the bootstrap addresses answer; late ones are not waited for."""

    def __init__(self, scope: ScopeDht, addresses: Iterable[Address]) -> None:
        self._scope = scope
        self._queue: asyncio.Queue[None] = asyncio.Queue()
        self._seeds: list[Contact] = []
        self._awaited = set(addresses)
        self.misnamed: list[Address] = []  # answered under an id that their address may not have
        body: dict[int, object] = {TARGET_KEY: scope.node_id}
        for address in list(self._awaited):
            scope.rpc.start(Contact(UNKNOWN_ID, address), Method.FIND_NODE, body, self._listener(address))

    def _listener(self, address: Address) -> Listener:
        def over() -> None:
            self._awaited.discard(address)
            self._queue.put_nowait(None)

        def replied(reply: Reply) -> None:
            self._seeds.extend(reply.contacts)
            contact = Contact(reply.node_id, address)
            if may_have(contact.node_id, address.host, self._scope.scope):
                self._seeds.append(contact)
            else:
                self.misnamed.append(address)
            over()

        return Listener(replied, lambda _error: over(), lambda: None)

    async def more(self) -> list[Contact]:
        """New seeds as soon as there are any; empty once nobody is awaited."""
        while not self._seeds and (self._awaited or not self._queue.empty()):
            await self._queue.get()
        seeds, self._seeds = self._seeds, []
        return seeds


async def join(scope: ScopeDht, addresses: Iterable[Address]) -> bool:
    """Ask all addresses, walk to our own id, introduce ourselves. True if we know anybody afterwards.

    Returns when every address answered or failed; `scope.joined` and `on_joined` come as soon as the
    first walk is done.
    """
    answers = _Answers(scope, addresses)
    seeds = await answers.more()
    while seeds or (len(scope.table) and not scope.joined):
        await find_neighbours(scope, seeds)
        if scope.contacts and not scope.joined:
            scope.joined = True
            for callback in scope.on_joined:
                callback()
        seeds = [c for c in await answers.more() if c not in scope.table and scope.table.wants(c)]
    if not scope.is_client:  # who does not know its own address yet learns it by asking us back
        await asyncio.gather(*(introduce(scope, Contact(UNKNOWN_ID, address)) for address in answers.misnamed))
    return scope.contacts > 0


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
    await _walk_into(scope, scope.table.unfilled())


async def refresh_buckets(scope: ScopeDht, age: float = REFRESH_SECONDS) -> None:
    """Walk to a random id of each bucket that no walk of ours went into for `age` seconds."""
    await _walk_into(scope, scope.table.stale(scope.rpc.now(), age))


async def _walk_into(scope: ScopeDht, indexes: Iterable[int]) -> None:
    gate = asyncio.Semaphore(PARALLEL_REFRESHES)

    async def refresh(index: int) -> None:
        async with gate:
            await scope.walk(scope.table.random_target(index, scope.rng), k=REFRESH_K, paths=1)

    await asyncio.gather(*(refresh(index) for index in indexes))
