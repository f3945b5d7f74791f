"""Every peer said to hold a content, as it is learned: hints at once, then the DHT again and again.

Believes nobody: a provider is an address worth dialling. Dials nobody itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType

from dhtshare.content.link import PeerHint
from dhtshare.network import Address, make_address, parse_ip

FIRST_PAUSE = 1.0  # seconds between two lookups while nothing is found …
LONGEST_PAUSE = 30.0  # … growing to this: more peers come as others fetch

Lookup = Callable[[bytes], AsyncIterator["Lead"]]


@dataclass(frozen=True, slots=True)
class Lead:
    """Somebody who may hold the content. A `peer_id` of 32 bytes has to be proved, one of 8 is only noted."""

    address: Address
    peer_id: bytes | None = None
    origin: str = "dht"


class ProviderFeed:
    """One content's leads for as long as the feed is open; any number of readers see all of them."""

    def __init__(
        self, content_hash: bytes, hints: Iterable[PeerHint], lookup: Lookup, *, own: Iterable[Address] = ()
    ) -> None:
        self._content_hash = content_hash
        self._hints = tuple(hints)
        self._lookup = lookup
        self._leads: dict[Address, Lead] = {}
        self._order: list[Lead] = []
        self._own = frozenset(own)
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.lookups_done = 0

    def __len__(self) -> int:
        return len(self._order)

    async def stream(self) -> AsyncIterator[Lead]:
        """All leads known and to come; never ends by itself while the feed is open."""
        position = 0
        while True:
            while position < len(self._order):
                position += 1
                yield self._order[position - 1]
            if self._task is None or self._task.done():
                return
            news = self._news
            await news.wait()

    async def __aenter__(self) -> ProviderFeed:
        self._task = asyncio.create_task(self._run(), name="provider feed")
        self._task.add_done_callback(lambda _: self._tell())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        for hint in self._hints:
            for address in await hint_addresses(hint):
                self._add(Lead(address, hint.peer_id, "hint"))
        pause = FIRST_PAUSE
        while True:
            before = len(self._order)
            async for lead in self._lookup(self._content_hash):
                self._add(lead)
            self.lookups_done += 1
            self._tell()
            await asyncio.sleep(pause)
            pause = FIRST_PAUSE if len(self._order) > before else min(2 * pause, LONGEST_PAUSE)

    def _add(self, lead: Lead) -> None:
        if lead.address in self._leads or lead.address in self._own:
            return
        self._leads[lead.address] = lead
        self._order.append(lead)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


async def hint_addresses(hint: PeerHint) -> list[Address]:
    """The addresses of a hint: itself, or what its DNS name stands for; none for a name that nobody knows."""
    ip = parse_ip(hint.host)
    if ip is not None:
        return [make_address(hint.host, hint.port)]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(hint.host, hint.port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(
        dict.fromkeys(make_address(str(address[4][0]), hint.port) for address in found if parse_ip(str(address[4][0])))
    )
