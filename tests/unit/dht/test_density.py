"""How large a network is said to be, and when a region of it is too dense to be true."""

from __future__ import annotations

import math
import random

import pytest

from dhtshare.dht.contact import ID_BITS, Contact
from dhtshare.dht.density import KEPT_LOOKUPS, MIN_LOOKUPS, SizeEstimate, size_from
from dhtshare.network import Address

TARGET = bytes(20)


def closest_among(nodes: int, rng: random.Random, count: int = 20) -> list[Contact]:
    """The closest of so many random ids to a target of zeros."""
    ids = sorted(rng.getrandbits(ID_BITS) for _ in range(nodes))[:count]
    return [Contact(number.to_bytes(20, "big"), Address("10.0.0.1", 1024 + place)) for place, number in enumerate(ids)]


def crowd(bits: int, count: int = 20) -> list[Contact]:
    return [Contact(((1 << bits) + n).to_bytes(20, "big"), Address("10.0.0.2", 2000 + n)) for n in range(count)]


@pytest.mark.parametrize("nodes", [100, 1000, 10_000])
def test_the_closest_tell_the_size(nodes: int) -> None:
    rng = random.Random(nodes)
    told = [size_from(TARGET, closest_among(nodes, rng), 20) for _ in range(40)]
    assert 0.85 * nodes < sum(told) / len(told) < 1.15 * nodes


@pytest.mark.parametrize("count", [0, 1, 19])
def test_fewer_than_k_are_all_there_are(count: int) -> None:
    assert size_from(TARGET, crowd(100, count), 20) == count + 1


def test_twenty_at_the_target_itself_are_without_end() -> None:
    assert size_from(TARGET, [Contact(TARGET, Address("10.0.0.2", 2000))] * 20, 20) == math.inf


def test_the_estimate_is_the_median_of_the_last_lookups() -> None:
    rng = random.Random(1)
    size = SizeEstimate()
    assert size.nodes(0.0) == 0
    for _ in range(KEPT_LOOKUPS):
        size.looked_up(TARGET, closest_among(2000, rng), 20)
    size.looked_up(TARGET, crowd(20), 20)  # one crowded key moves a median little
    assert 1400 < size.nodes(0.0) < 2800


def test_old_lookups_are_forgotten() -> None:
    rng = random.Random(2)
    size = SizeEstimate()
    for nodes in (100, 5000):
        for _ in range(KEPT_LOOKUPS):
            size.looked_up(TARGET, closest_among(nodes, rng), 20)
    assert size.nodes(0.0) > 3000


def test_our_neighbourhood_counts_where_it_says_more() -> None:
    size = SizeEstimate()
    for _ in range(3):
        size.looked_up(TARGET, [], 20)
    assert size.nodes(500.4) == 500
    assert size.nodes(math.inf) == 1  # no number: what else is known


def grown(nodes: int, rng: random.Random) -> SizeEstimate:
    size = SizeEstimate()
    for _ in range(KEPT_LOOKUPS):
        size.looked_up(TARGET, closest_among(nodes, rng), 20)
    return size


@pytest.mark.parametrize("nodes", [50, 1000, 20_000])
def test_honest_regions_are_not_suspicious(nodes: int) -> None:
    rng = random.Random(nodes)
    size = grown(nodes, rng)
    assert not any(size.suspicious(TARGET, closest_among(nodes, rng), float(nodes)) for _ in range(60))


@pytest.mark.parametrize("hostile", [20, 10, 5])
def test_a_crowd_of_hostile_nodes_is_suspicious(hostile: int) -> None:
    rng = random.Random(hostile)
    size = grown(1000, rng)
    assert size.suspicious(TARGET, [*crowd(130, hostile), *closest_among(1000, rng, 20 - hostile)], 1000.0)


def test_four_near_ones_may_be_chance_by_what_is_known() -> None:
    rng = random.Random(4)
    size = grown(1000, rng)
    assert not size.suspicious(TARGET, [*crowd(130, 4), *closest_among(1000, rng, 16)], 1000.0)


def test_who_looked_up_little_suspects_nobody() -> None:
    size = SizeEstimate()
    for _ in range(MIN_LOOKUPS - 1):
        size.looked_up(TARGET, closest_among(1000, random.Random(3)), 20)
    assert not size.suspicious(TARGET, crowd(100), 1000.0)


def test_where_the_closest_are_all_there_are_nothing_is_suspicious() -> None:
    size = SizeEstimate()
    for _ in range(5):
        size.looked_up(TARGET, crowd(100, 10), 20)
    assert not size.suspicious(TARGET, crowd(100, 11), 11.0)
    assert not size.suspicious(TARGET, [], 11.0)


def test_a_crowd_at_the_target_itself_is_suspicious() -> None:
    size = grown(1000, random.Random(9))
    assert size.suspicious(TARGET, [Contact(TARGET, Address("10.0.0.2", 2000 + n)) for n in range(5)], 1000.0)
