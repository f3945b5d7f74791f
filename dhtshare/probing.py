"""Who really holds a hit: its providers are looked up and asked, a few hits at a time.

A provider record is a claim; what counts is the peer's own answer over TCP to this searcher.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from dhtshare.finding import Finder
from dhtshare.ranking import Hit

HITS_AT_ONCE = 8
ASKED_PER_HIT = 8


class Prober:
    """Asks for the first `limit` hits given to it, as they come; `finish` waits for the answers.

    `own_network` gives the network tag under which this node confirms what it holds itself, else None.
    """

    def __init__(self, finder: Finder, limit: int, own_network: Callable[[bytes], bytes | None]) -> None:
        self._finder = finder
        self._left = limit
        self._own_network = own_network
        self._attempts = finder.attempts()
        self._slots = asyncio.Semaphore(HITS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Prober:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def add(self, hit: Hit) -> None:
        """Probe this hit, if the limit is not reached."""
        if self._left <= 0:
            return
        self._left -= 1
        task = asyncio.get_running_loop().create_task(self._probe(hit), name="probe a hit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait until every hit added has its answer."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _probe(self, hit: Hit) -> None:
        async with self._slots:
            own = self._own_network(hit.content_hash)
            if own is not None:
                hit.networks.add(own)
            hit.providers = int(own is not None)
            for holder in await self._finder.holders(hit.content_hash, limit=ASKED_PER_HIT, attempts=self._attempts):
                hit.networks.add(self._finder.tag(holder.address))
                hit.providers += 1
