"""All records of a node: a holding in each scope, what is asked across scopes, and their upkeep."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable

from dhtshare.dht.dht import Dht
from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.clock import clock_warning
from dhtshare.dht.records.find_providers import find_providers
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.provider import Provider
from dhtshare.dht.records.puller import Puller
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.saved import encode_records, restore_records
from dhtshare.dht.records.search import Search
from dhtshare.dht.records.signing_clock import SigningClock
from dhtshare.dht.records.verifier import Verifier
from dhtshare.errors import MalformedError

EXPIRE_SECONDS = 60.0
SLEPT_SECONDS = 10.0  # less is not worth moving deadlines for
FIRST_SAVE_SECONDS = 60.0
SAVE_SECONDS = 300.0
SAVED_BYTES_PER_SECOND = 64 << 10  # on average: a full store of 64 MB is written every 17 minutes


class Records:
    """Holds for others and asks others. `dht` has been started; one budget and one verifier serve all scopes."""

    def __init__(
        self,
        dht: Dht,
        rng: random.Random,
        wall: Callable[[], float],
        *,
        saved: bytes = b"",
        slept: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`saved` is what `save` wrote before a restart; damaged bytes, or those of another network, are nothing.

        `slept` tells how many seconds the machine has slept in all, while the monotonic clock stood still.
        """
        self._network = dht.network
        self._wall = wall
        self._slept = slept
        self._budget = Budget()
        self._verifier = Verifier(dht.network)
        self._saving = asyncio.Lock()
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
        self._signing = SigningClock(self.holdings, wall, asyncio.get_running_loop().time)
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

    def record_wall(self) -> float:
        """The time to sign by: Unix seconds."""
        return self._signing.time()

    @property
    def clock_warning(self) -> str | None:
        """A sentence for the user where most holders have quite another time."""
        return next((text for holding in self.holdings if (text := clock_warning(holding.clock))), None)

    async def save(self, write: Callable[[bytes | bytearray], None]) -> int:
        """Have `write` keep every record over a restart; how many bytes that is.

        All of it happens in a thread, beside what the node does, and never twice at once.
        """
        async with self._saving:
            now, wall = asyncio.get_running_loop().time(), self._wall()
            stores = {holding.dht.scope: holding.store for holding in self.holdings}
            raw = await asyncio.to_thread(encode_records, self._network, stores, now=now, wall=wall)
            await asyncio.to_thread(write, raw)
            return len(raw)

    async def keep_saved(self, write: Callable[[bytes | bytearray], None]) -> None:
        """Save now and then, for ever, so that a kill or a power cut loses minutes; the rarer the more there is."""
        pause = FIRST_SAVE_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = max(SAVE_SECONDS, await self.save(write) / SAVED_BYTES_PER_SECOND)

    async def run(self) -> None:
        """Drop what has expired, also while the machine slept, and pull what we should hold, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._expire())
            for puller in self._pullers:
                group.create_task(puller.run())

    async def _expire(self) -> None:
        known = self._slept()
        while True:
            await asyncio.sleep(EXPIRE_SECONDS)
            slept = self._slept() - known
            for holding in self.holdings:
                if slept >= SLEPT_SECONDS:
                    holding.slept(slept)
                holding.expire()
            known += slept

    def _restore(self, saved: bytes) -> None:
        now = asyncio.get_running_loop().time()
        stores = {holding.dht.scope: holding.store for holding in self.holdings}
        try:
            restore_records(saved, self._network, stores, now=now, wall=self._wall())
        except MalformedError:
            return
