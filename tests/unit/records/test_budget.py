"""Making room in a full node. Who goes is shown by properties."""

from __future__ import annotations

from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.limits import PROVIDER_BYTES, StoreLimits
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.provider_sets import ProviderSets
from dhtshare.network import Address, Scope


def test_no_more_gives_way_than_must() -> None:
    budget = Budget(StoreLimits(bytes=4 * PROVIDER_BYTES - 10))
    providers = ProviderSets(Scope.IPV4, budget)
    for number in range(6):
        providers.put(number.to_bytes(20, "big"), Address("20.0.0.1", 4470), ProviderClaim(5000, bytes(8)), now=number)
    assert budget.evicted == 3
    assert sorted(providers.keys()) == [number.to_bytes(20, "big") for number in (3, 4, 5)]
