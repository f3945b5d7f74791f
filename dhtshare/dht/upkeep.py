"""What a node does for its place in a scope while it lives: join, retry, check, refresh, be probed.

One coroutine a scope, owned by `Dht.run`. It sleeps until the next thing is due or somebody wakes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from dhtshare.dht.join import REFRESH_SECONDS, fill_buckets, find_neighbours, join, refresh_buckets
from dhtshare.dht.reach import Reach
from dhtshare.dht.scope import ScopeDht
from dhtshare.network import Address

CHECK_SECONDS = 15.0
CHECKS_AT_ONCE = 8
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0
FEW_CONTACTS = 8  # with fewer, the bootstrap nodes that did not answer are tried again now and then
FEW_RETRY_SECONDS = 300.0
PROBE_SECONDS = 900.0
PROBE_AGAIN_SECONDS = 1800.0  # once we are a server
FAILED_PROBES_TO_STEP_DOWN = 3


class Upkeep:
    """Keeps one scope alive. `places` names addresses to join by, the likeliest first."""

    def __init__(self, scope: ScopeDht, places: Callable[[], Iterable[Address]], reach: Reach | None) -> None:
        self._scope = scope
        self._places = places
        self._reach = reach
        self._wake = asyncio.Event()
        self._hints: dict[Address, None] = {}
        self._joining = asyncio.Lock()
        self._retry_wait = FIRST_RETRY_SECONDS
        now = scope.rpc.now()
        self._retry_at = now + FIRST_RETRY_SECONDS
        self._check_at = now + CHECK_SECONDS
        self._refresh_at: float | None = None  # None: the buckets were never filled
        self._probe_at = now
        self._failed_probes = 0
        scope.on_joined.append(self._wake.set)
        scope.on_moved.append(self._moved)

    async def join(self, addresses: Iterable[Address]) -> bool:
        """Join by these now. True if we know anybody afterwards."""
        async with self._joining:
            joined = await join(self._scope, addresses)
        self._wake.set()
        return joined

    def hint(self, address: Address) -> None:
        """Somebody may live there."""
        if len(self._hints) < CHECKS_AT_ONCE * 8:
            self._hints[address] = None
            self._wake.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._round()
            pause = max(0.0, self._next_due() - self._scope.rpc.now())
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _round(self) -> None:
        self._wake.clear()
        scope, now = self._scope, self._scope.rpc.now()
        if self._hints:
            hints, self._hints = list(self._hints), {}
            await self.join(hints)
        if not scope.contacts and now >= self._retry_at:
            await self._retry()
        elif 0 < scope.contacts < FEW_CONTACTS and now >= self._retry_at:
            self._retry_at = now + FEW_RETRY_SECONDS
            await self.join([a for a in self._places() if not scope.rpc.peers.knows(a)])
        if now >= self._check_at:
            self._check_at = now + CHECK_SECONDS
            for contact in scope.table.to_check(now, CHECKS_AT_ONCE):
                scope.check(contact)
        if scope.contacts:
            await self._refresh(now)
            await self._probe(now)

    def _next_due(self) -> float:
        due = [self._check_at]
        if self._scope.contacts < FEW_CONTACTS:
            due.append(self._retry_at)
        if self._scope.contacts and self._refresh_at is not None:
            due.append(self._refresh_at)
        return min(due)

    async def _retry(self) -> None:
        scope = self._scope
        scope.joined = False
        if await self.join(list(self._places())):
            self._retry_wait = FIRST_RETRY_SECONDS
        self._retry_at = scope.rpc.now() + self._retry_wait * (0.75 + scope.rng.random() / 2)
        self._retry_wait = min(LAST_RETRY_SECONDS, self._retry_wait * 2)

    async def _refresh(self, now: float) -> None:
        scope = self._scope
        if self._refresh_at is None:
            self._refresh_at = now + REFRESH_SECONDS * (0.8 + 0.4 * scope.rng.random())
            await fill_buckets(scope)
        elif now >= self._refresh_at:
            self._refresh_at = now + REFRESH_SECONDS * (0.8 + 0.4 * scope.rng.random())
            await find_neighbours(scope)
            await refresh_buckets(scope)
            for callback in scope.on_refresh:
                callback()

    async def _probe(self, now: float) -> None:
        if self._reach is None or now < self._probe_at:
            return
        scope = self._scope
        reached = await self._reach.find_out()
        self._probe_at = now + (PROBE_SECONDS if scope.is_client else PROBE_AGAIN_SECONDS)
        scope.dialable = self._reach.dialable
        if reached:
            self._failed_probes = 0
            if scope.is_client:
                scope.become(client=False)
                await find_neighbours(scope)
        elif reached is False:
            self._failed_probes += 1
            if self._failed_probes >= FAILED_PROBES_TO_STEP_DOWN:
                scope.become(client=True)

    def _moved(self) -> None:
        """Another address: other neighbours, and nobody knows yet whether it can be reached."""
        self._refresh_at = None
        self._probe_at = self._scope.rpc.now()
        self._hints.update(dict.fromkeys(contact.address for contact in list(self._scope.table)[:CHECKS_AT_ONCE]))
        self._wake.set()
