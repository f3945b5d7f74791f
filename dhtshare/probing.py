"""Who really holds a hit: its providers are looked up and asked, a few hits at a time.

A provider record is a claim; what counts is the peer's own answer over TCP to this searcher.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType

from dhtshare.finding import Finder
from dhtshare.ranking import Hit

HITS_AT_ONCE = 8
ASKED_PER_HIT = 8
SHARES = 10  # as many tellers as holders of a word: before all of them were heard nobody's hits fill more than a share


class Prober:
    """Asks for `limit` hits: some of each teller's as they come, the rest in the order that `finish` is given.

    `own_network` gives the network tag under which this node confirms what it holds itself, else None.
    """

    def __init__(self, finder: Finder, limit: int, own_network: Callable[[bytes], bytes | None]) -> None:
        self._finder = finder
        self._left = limit
        self._share = max(1, limit // SHARES)
        self._own_network = own_network
        self._attempts = finder.attempts()
        self._slots = asyncio.Semaphore(HITS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: set[int] = set()
        self._told: Counter[str] = Counter()

    async def __aenter__(self) -> Prober:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def add(self, hit: Hit, told_by: str) -> None:
        """Probe this hit at once, unless it is asked about already or its teller has had its share."""
        if self._told[told_by] < self._share and self._begin(hit):
            self._told[told_by] += 1

    async def finish(self, hits: Iterable[Hit]) -> None:
        """Nobody tells of more: probe the first of these that were not, and wait for all answers."""
        for hit in hits:
            self._begin(hit)
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _begin(self, hit: Hit) -> bool:
        if self._left <= 0 or id(hit) in self._begun:
            return False
        self._left -= 1
        self._begun.add(id(hit))
        task = asyncio.get_running_loop().create_task(self._probe(hit), name="probe a hit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _probe(self, hit: Hit) -> None:
        async with self._slots:
            own = self._own_network(hit.content_hash)
            if own is not None:
                hit.networks.add(own)
            hit.providers = int(own is not None)
            for holder in await self._finder.holders(hit.content_hash, limit=ASKED_PER_HIT, attempts=self._attempts):
                hit.networks.add(self._finder.tag(holder.address))
                hit.providers += 1
