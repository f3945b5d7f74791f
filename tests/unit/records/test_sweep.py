"""Which nodes hold which keys, by how many lookups: regions, their width, and how the key space is cut."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.contact import ID_BITS, Contact, distance
from dhtshare.dht.records.sweep import PLAIN_K, REGION_NODES, Sweep, region_bits, spans
from dhtshare.network import Address

A = b"a" * 32


def contact(number: int, rng: random.Random) -> Contact:
    return Contact(rng.randbytes(20), Address(f"10.0.{number >> 8}.{number & 255}", 4470))


def looked_up(nodes: list[Contact], target: bytes, around: int) -> list[Contact]:
    """What a lookup finds that misses nobody."""
    closest = sorted(nodes, key=lambda node: distance(node.node_id, target))
    return closest[: max(PLAIN_K, sum(distance(node.node_id, target) <= around for node in nodes))]


def test_one_lookup_covers_all_keys_of_a_small_network() -> None:
    rng = random.Random(2)
    nodes = [contact(number, rng) for number in range(8)]
    keys = [rng.randbytes(20) for _ in range(500)]
    sweep = Sweep(keys, dict.fromkeys(keys, 10), 0)
    target = sweep.next_target()
    assert target == min(keys)
    holders = sweep.covered(target, nodes)
    assert set(holders) == set(keys)
    assert all(set(found) == set(nodes) for found in holders.values())
    assert sweep.next_target() is None


@pytest.mark.parametrize(("wanted", "bits", "most_lookups"), [(10, 5, 34), (20, 5, 34), (20, 7, 66), (20, 4, 17)])
def test_a_sweep_gives_every_key_its_closest_nodes_with_few_lookups(wanted: int, bits: int, most_lookups: int) -> None:
    rng = random.Random(3)
    nodes = [contact(number, rng) for number in range(1000)]
    keys = [rng.randbytes(20) for _ in range(2000)]
    sweep = Sweep(keys, dict.fromkeys(keys, wanted), bits)
    lookups, right = 0, 0
    covered: set[bytes] = set()
    while (target := sweep.next_target()) is not None:
        lookups += 1
        closest = looked_up(nodes, target, sweep.around)
        for key, holders in sweep.covered(target, closest).items():
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
    sweep = Sweep(keys, dict.fromkeys(keys, 20), ID_BITS)
    assert sweep.around == 0
    while (target := sweep.next_target()) is not None:
        closest = sorted(nodes, key=lambda node: distance(node.node_id, target))[:20]
        assert sweep.covered(target, closest) == {target: closest}


def test_a_crowded_region_is_stored_to_twice_as_wide() -> None:
    rng = random.Random(5)
    nodes = sorted((contact(number, rng) for number in range(100)), key=lambda node: distance(node.node_id, A[:20]))
    sweep = Sweep([A[:20]], {A[:20]: 10}, ID_BITS)
    assert sweep.covered(A[:20], nodes[:40], factor=2) == {A[:20]: nodes[:20]}


def test_a_lookup_that_was_cut_off_is_enough_for_its_target_alone_and_makes_the_next_narrower() -> None:
    """Of the network it found fewer than twenty; that does not make these all that there are."""
    rng = random.Random(6)
    nodes = [contact(number, rng) for number in range(12)]
    keys = sorted(rng.randbytes(20) for _ in range(50))
    sweep = Sweep(keys, dict.fromkeys(keys, 10), 3)
    assert sweep.covered(keys[0], nodes, complete=False).keys() == {keys[0]}
    assert sweep.around == (1 << ID_BITS - 4) - 1
    assert sweep.covered(keys[1], nodes).keys() == set(keys[1:])


def test_where_a_region_has_too_few_nodes_the_next_lookups_are_for_larger_ones() -> None:
    rng = random.Random(7)
    few, many = (
        [Contact(bytes([first]) + rng.randbytes(19), Address("10.0.0.1", 2000 + n)) for n in range(count)]
        for first, count in ((0, 6), (1, 30))
    )
    keys = sorted(bytes([n % 2]) + rng.randbytes(19) for n in range(40))
    sweep = Sweep(keys, dict.fromkeys(keys, 20), 8)
    assert sweep.covered(keys[0], looked_up(few + many, keys[0], sweep.around)).keys() == {keys[0]}
    assert sweep.around == (1 << ID_BITS - 7) - 1
    assert sweep.covered(keys[1], looked_up(few + many, keys[1], sweep.around)).keys() == set(keys[1:])


def test_regions_are_as_large_as_a_lookup_can_see_whole_and_single_keys_where_they_are_few() -> None:
    assert region_bits(7, 1000) == ID_BITS
    assert region_bits(51, 1000) == 5
    assert region_bits(10_000, 10_000) == 8
    assert region_bits(1, 1) == region_bits(1, 0) == region_bits(10, REGION_NODES) == 0
    assert region_bits(10, REGION_NODES + 1) == 1


def test_spans_share_the_keys_out_in_order() -> None:
    keys = [bytes([number]) for number in range(30)]
    for nodes, count in ((10_000, 8), (10, 1), (440, 1), (450, 2)):
        cut = spans(reversed(keys), nodes)
        assert [key for span in cut for key in span] == keys
        assert len(cut) == count
    assert spans([], 100) == []
