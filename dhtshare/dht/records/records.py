"""All records of a node: a holding in each scope, what is asked across scopes, and their upkeep."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable

from dhtshare.dht.dht import Dht
from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.find_providers import find_providers
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.provider import Provider
from dhtshare.dht.records.puller import Puller
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.saved import encode_records, restore_records
from dhtshare.dht.records.search import Search
from dhtshare.dht.records.verifier import Verifier
from dhtshare.errors import MalformedError

EXPIRE_SECONDS = 60.0


class Records:
    """Holds for others and asks others. `dht` has been started; one budget and one verifier serve all scopes."""

    def __init__(self, dht: Dht, rng: random.Random, wall: Callable[[], float], *, saved: bytes = b"") -> None:
        """`saved` is what `state` gave before a restart; damaged bytes, or those of another network, are nothing."""
        self._network = dht.network
        self._wall = wall
        self._budget = Budget()
        self._verifier = Verifier(dht.network)
        self.holdings = [
            Holding(
                scope,
                network=dht.network,
                rules=dht.rules,
                rng=rng,
                wall=wall,
                verifier=self._verifier,
                budget=self._budget,
            )
            for scope in dht.scopes.values()
        ]
        self._pullers = [Puller(holding, dht.network) for holding in self.holdings]
        if saved:
            self._restore(saved)

    def providers(self, content_hash: bytes) -> AsyncGenerator[Provider, None]:
        """Who says to hold a content, as they are found, in every scope."""
        return find_providers(self.holdings, self._network, content_hash)

    def search(self, query: Query) -> Search:
        """A search that begins when its entries are read."""
        return Search(self.holdings, self._network, query)

    def counts(self) -> dict[str, int]:
        """Records held for others, by kind."""
        total = {"entries": 0, "withdrawals": 0, "providers": 0, "keys": 0}
        for holding in self.holdings:
            counts = holding.store.counts()
            for kind in total:
                total[kind] += getattr(counts, kind)
        return total

    @property
    def clock_is_wrong(self) -> bool:
        """Whether most holders have quite another time: the user should be told."""
        return any(holding.clock.wrong for holding in self.holdings)

    def state(self) -> bytes:
        """Every record, to be kept over a restart."""
        now = asyncio.get_running_loop().time()
        stores = {holding.dht.scope: holding.store for holding in self.holdings}
        return encode_records(self._network, stores, now=now, wall=self._wall())

    async def run(self) -> None:
        """Drop what has expired and pull what we should hold, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._expire())
            for puller in self._pullers:
                group.create_task(puller.run())

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_SECONDS)
            for holding in self.holdings:
                holding.store.expire(now=holding.dht.rpc.now())

    def _restore(self, saved: bytes) -> None:
        now = asyncio.get_running_loop().time()
        stores = {holding.dht.scope: holding.store for holding in self.holdings}
        try:
            restore_records(saved, self._network, stores, now=now, wall=self._wall())
        except MalformedError:
            return
