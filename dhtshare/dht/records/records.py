"""All records of a node: a holding in each scope, and what is asked across scopes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

from dhtshare.dht.dht import Dht
from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.provider import Provider
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.search import Search, find_providers
from dhtshare.dht.records.verifier import Verifier

EXPIRE_SECONDS = 60.0


class Records:
    """Holds for others and asks others. `dht` has been started; one budget and one verifier serve all scopes."""

    def __init__(self, dht: Dht, rng: random.Random, wall: Callable[[], float]) -> None:
        self._network = dht.network
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

    def providers(self, content_hash: bytes) -> AsyncIterator[Provider]:
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

    async def run(self) -> None:
        """Drop what has expired, for ever."""
        while True:
            await asyncio.sleep(EXPIRE_SECONDS)
            for holding in self.holdings:
                holding.store.expire(now=holding.dht.rpc.now())
