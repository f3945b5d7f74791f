"""A real node is stored full of valid records by two networks. Up to every cap: `scripts/bench store-flood`."""

from __future__ import annotations

from dhtshare.dht.records.limits import MAX_ENTRIES_PER_KEY
from scripts.benchmarks.datagrams.store_flood import flooded
from tests.processes import Network

MOST_BEYOND_THE_CAP = 64 << 20  # threats.md


def test_a_node_stored_full_keeps_what_the_honest_stored(network: Network) -> None:
    node = network.node("--treat-as-public", "127.0.0.0/8", "--reachable", "yes")
    figures = flooded(node, entries=200, crowding=MAX_ENTRIES_PER_KEY + 200, providers=102_000)
    assert figures["honest_lost"] == 0
    assert figures["flood"]["records"]["full"] >= 50, "beyond the cap of the word: half displaces the other half"
    assert figures["records_cap"] * 0.9 < figures["records_held"] <= figures["records_cap"]
    assert figures["memory_peak_more_bytes"] <= figures["bytes_cap"] + MOST_BEYOND_THE_CAP
    assert node.stop().code == 0
