"""Whether a searcher finds a record: the walk that a search makes, until the first who shows it. Driver."""

from __future__ import annotations

from collections.abc import Callable

from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Body, Reply
from dhtshare.dht.records.entry import Entry
from dhtshare.dht.records.find_providers import PARTS
from dhtshare.dht.records.finds import FindEntries, FindProviders, FoundEntries, read_providers
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.limits import ENTRY_TARGET, PROVIDER_TARGET
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.search import FIRST_PARTS


async def finds_provider(holding: Holding, key: bytes, claim: ProviderClaim) -> bool:
    """Whether a lookup of this content key comes to somebody who names us, by port and peer id."""
    scope = holding.dht.scope

    def shows(reply: Reply) -> bool:
        providers = (provider for part in reply.parts for provider in read_providers(part, scope))
        return any((one.address.port, one.peer) == (claim.port, claim.peer) for one in providers)

    body = FindProviders(key, PARTS).body()
    return await _found(holding, key, RecordMethod.FIND_PROVIDERS, body, PROVIDER_TARGET, shows)


async def finds_entry(holding: Holding, key: bytes, entry: Entry) -> bool:
    """Whether a search for its words comes, by the key of one of them, to somebody who shows this very entry."""

    def shows(reply: Reply) -> bool:
        return entry.raw in FoundEntries.read(reply.parts).raws

    body = FindEntries(key, Query(entry.words), parts=FIRST_PARTS).body()
    return await _found(holding, key, RecordMethod.FIND_ENTRIES, body, ENTRY_TARGET, shows)


async def _found(
    holding: Holding, key: bytes, method: RecordMethod, body: Body, k: int, shows: Callable[[Reply], bool]
) -> bool:
    found = False

    def on_reply(_contact: Contact, reply: Reply) -> None:
        nonlocal found
        found |= shows(reply)

    walk = holding.dht.walk
    await walk(key, method=method, body=body, on_reply=on_reply, found=lambda: found, stop_when_found=True, k=k)
    return found
