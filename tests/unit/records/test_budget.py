"""Making room in a full node. Who goes is shown by properties."""

from __future__ import annotations

import tracemalloc

from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.limits import PROVIDER_BYTES, StoreLimits
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.provider_sets import ProviderSets
from dhtshare.network import Address, Scope

HELD = 5000
MOST_BYTES_EACH = 220  # 330 where every candidate stayed alive until the end


def test_room_is_made_for_what_is_larger_than_the_share_freed_at_once() -> None:
    """A cap so small that one record is more than a twentieth of it."""
    budget = Budget(StoreLimits(bytes=4 * PROVIDER_BYTES - 10))
    providers = ProviderSets(Scope.IPV4, budget)
    for number in range(6):
        providers.put(number.to_bytes(20, "big"), Address("20.0.0.1", 4470), ProviderClaim(5000, bytes(8)), now=0.0)
        assert budget.bytes <= budget.limits.bytes
    assert budget.evicted == 3


def test_looking_for_victims_keeps_no_candidate_alive() -> None:
    budget = Budget(StoreLimits(records=HELD))
    providers = ProviderSets(Scope.IPV4, budget)
    for number in range(HELD):
        sender = Address(f"20.0.{number % 2}.{1 + number % 200}", 4470)
        providers.put(number.to_bytes(20, "big"), sender, ProviderClaim(5000, bytes(8)), now=0.0)
    tracemalloc.start()
    try:
        assert budget.make_room(1, 250)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert budget.records < HELD
    assert most / HELD < MOST_BYTES_EACH
