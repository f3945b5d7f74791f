"""Which nodes hold which keys, by how many lookups: regions, their width, and how the key space is cut."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.contact import Contact, distance
from dhtshare.dht.records.sweep import PLAIN_K, SWEEP_K, Sweep, lookup_width, spans
from dhtshare.network import Address

A = b"a" * 32


def contact(number: int, rng: random.Random) -> Contact:
    return Contact(rng.randbytes(20), Address(f"10.0.{number >> 8}.{number & 255}", 4470))


def test_one_lookup_covers_all_keys_of_a_small_network() -> None:
    rng = random.Random(2)
    nodes = [contact(number, rng) for number in range(8)]
    keys = [rng.randbytes(20) for _ in range(500)]
    sweep = Sweep(keys, dict.fromkeys(keys, 10))
    target = sweep.next_target()
    assert target == min(keys)
    holders = sweep.covered(target, nodes, 20)
    assert set(holders) == set(keys)
    assert all(set(found) == set(nodes) for found in holders.values())
    assert sweep.next_target() is None


@pytest.mark.parametrize(("wanted", "k", "most_lookups"), [(10, 40, 60), (20, 40, 60)])
def test_a_sweep_gives_every_key_its_closest_nodes_with_few_lookups(wanted: int, k: int, most_lookups: int) -> None:
    rng = random.Random(3)
    nodes = [contact(number, rng) for number in range(1000)]
    keys = [rng.randbytes(20) for _ in range(2000)]
    sweep = Sweep(keys, dict.fromkeys(keys, wanted))
    lookups, right = 0, 0
    covered: set[bytes] = set()
    while (target := sweep.next_target()) is not None:
        lookups += 1
        closest = sorted(nodes, key=lambda node: distance(node.node_id, target))[:k]
        for key, holders in sweep.covered(target, closest, k).items():
            assert key not in covered
            assert len(holders) == wanted
            covered.add(key)
            true = set(sorted(nodes, key=lambda node: distance(node.node_id, key))[:wanted])
            right += len(true & set(holders))
    assert covered == set(keys)
    assert lookups <= most_lookups  # of 2,000 keys; one each would be 2,000
    assert right / (wanted * len(keys)) > 0.97


def test_few_keys_are_looked_up_one_by_one_and_rightly() -> None:
    rng = random.Random(4)
    nodes = [contact(number, rng) for number in range(1000)]
    keys = [rng.randbytes(20) for _ in range(7)]
    sweep = Sweep(keys, dict.fromkeys(keys, 20))
    while (target := sweep.next_target()) is not None:
        closest = sorted(nodes, key=lambda node: distance(node.node_id, target))[:20]
        assert sweep.covered(target, closest, 20) == {target: closest}


def test_a_crowded_region_is_stored_to_twice_as_wide() -> None:
    rng = random.Random(5)
    nodes = sorted((contact(number, rng) for number in range(100)), key=lambda node: distance(node.node_id, A[:20]))
    sweep = Sweep([A[:20]], {A[:20]: 10})
    assert sweep.covered(A[:20], nodes[:40], 20, factor=2) == {A[:20]: nodes[:20]}


def test_lookups_are_wide_only_where_regions_hold_several_keys() -> None:
    assert lookup_width(7, 1000) == PLAIN_K
    assert lookup_width(51, 1000) == SWEEP_K
    assert lookup_width(1, 1) == SWEEP_K


def test_spans_share_the_keys_out_in_order() -> None:
    keys = [bytes([number]) for number in range(20)]
    for nodes, count in ((10_000, 7), (10, 1), (300, 1), (350, 2)):
        cut = spans(reversed(keys), nodes)
        assert [key for span in cut for key in span] == keys
        assert len(cut) == count
    assert spans([], 100) == []
