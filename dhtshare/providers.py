"""Every peer said to hold a content, as it is learned: hints at once, then the DHT again and again.

Believes nobody: a provider is an address worth dialling. Dials nobody itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType

from dhtshare.content.link import PeerHint
from dhtshare.network import Address, make_address, parse_ip
from dhtshare.transfer.dealing import Deal

FIRST_PAUSE = 0.25  # seconds between two lookups while somebody new is found, twice as long each time nobody is …
LONGEST_PAUSE = 30.0  # … up to this: more peers come as others fetch
LEADS_PER_TELLER = 200  # somewhat more than a holder's answer has room for
MAX_LEADS = 10_000

Lookup = Callable[[bytes], AsyncIterator["Lead"]]


@dataclass(frozen=True, slots=True)
class Lead:
    """Somebody who may hold the content. A `peer_id` of 32 bytes has to be proved, one of 8 is only noted.

    `told_by`: the holder, or its network, that says so.
    """

    address: Address
    peer_id: bytes | None = None
    origin: str = "dht"
    told_by: str = ""


class ProviderFeed:
    """One content's leads for as long as the feed is open; any number of readers see all of them.

    Leads of different tellers come in turn, and an address once from each who names it: a hundred addresses that
    one holder made up stand in nobody's way.
    """

    def __init__(
        self, content_hash: bytes, hints: Iterable[PeerHint], lookup: Lookup, *, own: Iterable[Address] = ()
    ) -> None:
        self._content_hash = content_hash
        self._hints = tuple(hints)
        self._lookup = lookup
        self._seen: set[tuple[str, Address]] = set()
        self._told: Counter[str] = Counter()
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
        deal: Deal[str, Lead] = Deal()
        while True:
            while position < len(self._order) or deal:
                for lead in self._order[position:]:
                    deal.add(lead.told_by, lead)
                position = len(self._order)
                if (dealt := deal.next()) is not None:
                    yield dealt
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
        known = (lead.told_by, lead.address)
        if known in self._seen or lead.address in self._own:
            return
        if self._told[lead.told_by] >= LEADS_PER_TELLER or len(self._order) >= MAX_LEADS:
            return
        self._seen.add(known)
        self._told[lead.told_by] += 1
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
