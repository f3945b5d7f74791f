"""What a node does for its place in a scope while it lives: join, retry, check, refresh, be probed.

One coroutine a scope, owned by `Dht.run`. It sleeps until the next thing is due or somebody wakes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from dhtshare.dht.join import REFRESH_SECONDS, Joining, fill_buckets, find_neighbours, refresh_buckets
from dhtshare.dht.reach import Reach
from dhtshare.dht.routing import FEW_CONTACTS, K
from dhtshare.dht.scope import ScopeDht
from dhtshare.network import Address

CHECK_SECONDS = 15.0
CHECKS_AT_ONCE = 32
ASK_AGAIN_FIRST = 5.0  # seconds; doubled each time
MAX_HINTS = 1200  # as many as a bootstrap file may name, and saved contacts
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0
FEW_RETRY_SECONDS = 300.0  # with few contacts, the bootstrap nodes that did not answer are tried again
PROBE_SECONDS = 900.0
PROBE_AGAIN_SECONDS = 1800.0  # once we are a server
UNCLEAR_PROBE_SECONDS = 330.0  # when those we wrote to count as strangers again (`holes`)
FAILED_PROBES_TO_STEP_DOWN = 3


class Upkeep:
    """Keeps one scope alive.

    `places` names addresses to join by, the likeliest first. `reach` finds out whether we can be reached;
    with `decides` that makes us client or server.
    """

    def __init__(
        self, scope: ScopeDht, places: Callable[[], Iterable[Address]], reach: Reach | None, *, decides: bool = True
    ) -> None:
        self._scope = scope
        self._places = places
        self._reach = reach
        self._decides = decides
        self._wake = asyncio.Event()
        self._hints: dict[Address, None] = {}
        self._joining: Joining | None = None
        self._settled = asyncio.Event()  # nothing is left of what we were told to join by
        self._settled.set()
        self._retry_wait = FIRST_RETRY_SECONDS
        now = scope.rpc.now()
        self._retry_at = now + FIRST_RETRY_SECONDS
        self._few_retry_at = now + FEW_RETRY_SECONDS
        self._check_at = now + CHECK_SECONDS
        self._refresh_at: float | None = None  # None: the buckets were never filled
        self._probe_at = now
        self._failed_probes = 0
        self._ask_again_at = now
        self._ask_again_wait = ASK_AGAIN_FIRST
        scope.on_joined.append(self._wake.set)
        scope.on_moved.append(self._moved)

    async def join(self, addresses: Iterable[Address]) -> bool:
        """Join by these, and wait until `run` has done it. True if we know anybody afterwards."""
        for address in addresses:
            self.hint(address)
        await self._settled.wait()
        return self._scope.contacts > 0

    def hint(self, address: Address) -> None:
        """Somebody may live there."""
        if self._joining is not None:
            self._joining.ask([address])
        elif len(self._hints) < MAX_HINTS:
            self._hints[address] = None
            self._settled.clear()
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
            await self._join(hints)
            now = scope.rpc.now()
        if not scope.contacts:
            if now >= self._retry_at:
                await self._retry()
        elif scope.contacts < FEW_CONTACTS and now >= self._few_retry_at:
            self._few_retry_at = now + FEW_RETRY_SECONDS
            await self._join([a for a in self._places() if not scope.rpc.peers.knows(a)])
        if now >= self._check_at:
            self._check_at = now + CHECK_SECONDS
            for contact in scope.table.to_check(now, CHECKS_AT_ONCE):
                scope.check(contact)
        if scope.contacts:
            await self._refresh(now)
            await self._ask_again()
            await self._probe(now)

    def _next_due(self) -> float:
        due = [self._check_at]
        if self._scope.contacts < FEW_CONTACTS:
            due.append(self._few_retry_at if self._scope.contacts else self._retry_at)
        if self._scope.contacts and self._refresh_at is not None:
            due.append(self._refresh_at)
            if self._scope.contacts < K:
                due.append(self._ask_again_at)
        return min(due)

    async def _join(self, addresses: Iterable[Address]) -> bool:
        self._joining = joining = Joining(self._scope)
        joining.ask(addresses)
        try:
            return await joining.run()
        finally:
            self._joining = None
            self._ask_again_wait = ASK_AGAIN_FIRST
            self._ask_again_at = self._scope.rpc.now() + ASK_AGAIN_FIRST
            self._settled.set()

    async def _retry(self) -> None:
        scope = self._scope
        scope.joined = False
        scope.external.doubt()
        if await self._join(self._places()):
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

    async def _ask_again(self) -> None:
        """In a small network those who start with us are not known to anybody yet when we ask for the first time."""
        scope, now = self._scope, self._scope.rpc.now()
        if scope.contacts >= K or now < self._ask_again_at:
            return
        await find_neighbours(scope)
        self._ask_again_at = now + self._ask_again_wait
        self._ask_again_wait = min(REFRESH_SECONDS, 2 * self._ask_again_wait)

    async def _probe(self, now: float) -> None:
        if self._reach is None or now < self._probe_at:
            return
        scope = self._scope
        reached = await self._reach.find_out()
        if reached is None:
            self._probe_at = now + UNCLEAR_PROBE_SECONDS
            return
        self._probe_at = now + (PROBE_AGAIN_SECONDS if reached else PROBE_SECONDS)
        self._failed_probes = 0 if reached else self._failed_probes + 1
        scope.reachable = reached
        if not self._decides:
            return
        if reached and scope.is_client:
            scope.become(client=False)
            await find_neighbours(scope)
        elif self._failed_probes >= FAILED_PROBES_TO_STEP_DOWN:
            scope.become(client=True)

    def _moved(self) -> None:
        """Another address: other neighbours, and nobody knows yet whether it can be reached."""
        self._refresh_at = None
        self._probe_at = self._scope.rpc.now()
        self._hints.update(dict.fromkeys(contact.address for contact in list(self._scope.table)[:CHECKS_AT_ONCE]))
        self._wake.set()
