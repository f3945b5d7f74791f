"""Who has a content, and how to reach them: the DHT's claims, the hints of a link, and the peers' own answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress

from dhtshare.content.link import PeerHint
from dhtshare.errors import DhtshareError
from dhtshare.network import LOWEST_GLOBAL_PORT, Address, Scope, ScopeRules, network_tag
from dhtshare.providers import Lead, ProviderFeed, hint_addresses
from dhtshare.transfer.asking import PeerHas
from dhtshare.transfer.dealing import Deal
from dhtshare.transfer.dialler import PeerAddress
from dhtshare.transfer.dials import DIALS_IN_FLIGHT, Attempts
from dhtshare.transfer.exchange import Exchange

ASKED_AT_MOST = 40  # as many as a fetch would connect to (design.md, section 7)
ASKED_PER_NETWORK = 4  # of one /24 or /48 for one content (threats.md: a DDoS tool); the LAN has no such cap
SHARES = 4  # tellers at least whose leads are asked, while more may come
ANSWER_SECONDS = 2.0
LOOKUP_SECONDS = 10.0

Lookup = Callable[[bytes], AsyncIterator[Lead]]


class Finder:
    """Looks for providers and asks them, within the limits that keep it from being a weapon."""

    def __init__(
        self, lookup: Lookup, exchange: Exchange, rules: ScopeRules, own: Callable[[], Iterable[Address]]
    ) -> None:
        self._lookup = lookup
        self._exchange = exchange
        self._rules = rules
        self._own = own

    def feed(self, content_hash: bytes, hints: Iterable[PeerHint]) -> ProviderFeed:
        """Leads for as long as it is open."""
        return ProviderFeed(content_hash, hints, self._lookup, own=self._own())

    def attempts(self) -> Attempts:
        """The account of one errand: whatever it dials, in all its steps, is counted together."""
        return Attempts(self._rules)

    async def peers(self, feed: ProviderFeed) -> AsyncIterator[PeerAddress]:
        """The feed's leads as peers to dial, each once."""
        given: set[Address] = set()
        async for lead in feed.stream():
            if lead.address not in given:
                given.add(lead.address)
                yield PeerAddress(lead.address, lead.peer_id)

    async def holders(
        self,
        content_hash: bytes,
        hints: Iterable[PeerHint] = (),
        *,
        limit: int = ASKED_AT_MOST,
        attempts: Attempts | None = None,
    ) -> list[PeerHas]:
        """Ask up to `limit` providers of different networks what they hold; those that hold something.

        One lookup, and LOOKUP_SECONDS at most. `attempts`: those of the errand that this is a part of. Whoever does
        not answer within ANSWER_SECONDS holds nothing. While the lookup goes on, no teller fills more than its share.
        """
        holders: list[PeerHas] = []
        asked: dict[Address, bytes] = {}
        told: Counter[str] = Counter()
        later: Deal[str, Lead] = Deal()
        attempts = attempts or self.attempts()
        gate = asyncio.Semaphore(DIALS_IN_FLIGHT)

        async def ask(lead: Lead) -> None:
            peer = PeerAddress(lead.address, lead.peer_id)
            try:
                async with gate:
                    answer = await self._exchange.ask_have(
                        peer, content_hash, timeout=ANSWER_SECONDS, attempts=attempts
                    )
            except DhtshareError:
                return  # a claim that nobody confirmed
            if answer.held or not answer.chunks:
                holders.append(answer)

        async with asyncio.TaskGroup() as group:

            def take(lead: Lead) -> None:
                if len(asked) < limit and self._may_ask(lead.address, asked):
                    asked[lead.address] = self.tag(lead.address)
                    told[lead.told_by] += 1
                    group.create_task(ask(lead))

            with suppress(TimeoutError):
                async with asyncio.timeout(LOOKUP_SECONDS):
                    async for lead in self._leads(content_hash, hints):
                        if told[lead.told_by] < max(1, limit // SHARES):
                            take(lead)
                        else:
                            later.add(lead.told_by, lead)
            while len(asked) < limit and (waiting := later.next()) is not None:
                take(waiting)
        return holders

    def tag(self, address: Address) -> bytes:
        """The network that counts as one opinion: /24, /48, or in the LAN scope the IP address."""
        scope = self._rules.scope_of(address.host)
        return network_tag(address.host, scope) if scope is not None else b""

    def _may_ask(self, address: Address, asked: dict[Address, bytes]) -> bool:
        scope = self._rules.scope_of(address.host)
        if scope is None or address in asked or address in self._own():
            return False
        if scope is Scope.LAN:
            return True
        same_network = list(asked.values()).count(network_tag(address.host, scope))
        return address.port >= LOWEST_GLOBAL_PORT and same_network < ASKED_PER_NETWORK

    async def _leads(self, content_hash: bytes, hints: Iterable[PeerHint]) -> AsyncIterator[Lead]:
        for hint in hints:
            for address in await hint_addresses(hint):
                yield Lead(address, hint.peer_id, "hint")
        async for lead in self._lookup(content_hash):
            yield lead
