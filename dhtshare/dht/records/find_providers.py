"""Who says to hold a content: the walk for providers, in every scope at once. Believes nobody, dials nobody."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import replace

from dhtshare.content.keys import content_key
from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Reply
from dhtshare.dht.records.finds import FindProviders, read_providers
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import PROVIDER_TARGET
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ANSWER4_BYTES, Provider, answered, read_answers
from dhtshare.dht.records.streaming import stream
from dhtshare.dht.records.tellers import OURSELVES, teller_of
from dhtshare.network import LOWEST_GLOBAL_PORT, Address, Scope

PARTS = 2  # datagrams of each holder: about a hundred providers, of twenty holders and a fresh sample each


def find_providers(holdings: Sequence[Holding], network: bytes, content_hash: bytes) -> AsyncGenerator[Provider, None]:
    """Each address once from each who names it, as the scopes answer. Ends when every scope's walk is complete."""
    key = content_key(network, content_hash)
    return stream([_Walk(holding, key).run for holding in holdings])


class _Walk:
    """One scope's part. What this node itself holds for others counts, too."""

    def __init__(self, holding: Holding, key: bytes) -> None:
        self._holding = holding
        self._key = key
        self._seen: set[tuple[str, Address]] = set()

    async def run(self, found: Callable[[Provider], None]) -> None:
        holding = self._holding
        scope = holding.dht.scope
        for record in holding.store.find_providers(self._key, PROVIDER_TARGET, now=holding.dht.rpc.now()):
            _, raw = answered(record)
            split = (raw, b"") if len(raw) == ANSWER4_BYTES else (b"", raw)
            self._take(read_answers(*split, scope), found, None)

        def on_reply(contact: Contact, reply: Reply) -> None:
            for part in reply.parts:
                self._take(read_providers(part, scope), found, contact.address)

        if holding.dht.contacts:
            await holding.dht.walk(
                self._key,
                method=RecordMethod.FIND_PROVIDERS,
                body=FindProviders(self._key, PARTS).body(),
                on_reply=on_reply,
                found=lambda: bool(self._seen),
                k=PROVIDER_TARGET,
            )

    def _take(self, providers: Iterable[Provider], found: Callable[[Provider], None], answerer: Address | None) -> None:
        """Pass on what this answerer (None: we ourselves) may name: nobody leads us to our own loopback."""
        rules, scope = self._holding.rules, self._holding.dht.scope
        lowest = 1 if scope is Scope.LAN else LOWEST_GLOBAL_PORT
        told_by = OURSELVES if answerer is None else teller_of(answerer, scope)
        for provider in providers:
            address = provider.address
            if (told_by, address) in self._seen or address.port < lowest or rules.scope_of(address.host) is not scope:
                continue
            if answerer is None or rules.may_name(address.host, answerer.host):
                self._seen.add((told_by, address))
                found(replace(provider, told_by=told_by))
