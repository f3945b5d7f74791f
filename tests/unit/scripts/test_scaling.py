"""The crowd of scripts/scale against what it stands for: a true sorted list, and tables as nodes keep them."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.contact import Contact
from dhtshare.dht.nodeid import is_bound
from dhtshare.dht.routing import K
from scripts.scaling.__main__ import scaled
from scripts.scaling.crowd import Crowd


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return Crowd(2000, 3)


def everybody(crowd: Crowd) -> list[Contact]:
    return [crowd.contact(place) for place in range(len(crowd))]


def test_every_node_has_an_id_that_its_address_may_have_and_none_comes_twice(crowd: Crowd) -> None:
    nodes = everybody(crowd)
    assert len(set(nodes)) == len({node.address for node in nodes}) == 2000
    assert all(is_bound(node.node_id, node.address.host) for node in nodes)
    assert [node.node_id for node in nodes] == sorted(node.node_id for node in nodes)


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_are_those_of_brute_force(crowd: Crowd, seed: int) -> None:
    target = random.Random(seed).randbytes(20)
    true = sorted(everybody(crowd), key=lambda node: node.distance_to(target))
    assert crowd.nearest(target) == true[:K]
    assert crowd.nearest(target, 80) == true[:80]


def test_the_nearest_to_a_node_are_itself_and_its_neighbours(crowd: Crowd) -> None:
    node = crowd.contact(1000)
    assert crowd.nearest(node.node_id)[0] == node


@pytest.mark.parametrize("seed", range(5))
def test_a_table_holds_k_of_each_bucket_and_answers_with_its_nearest(crowd: Crowd, seed: int) -> None:
    rng = random.Random(seed)
    node, target = crowd.contact(rng.randrange(2000)), rng.randbytes(20)
    whole = crowd.table_nearest(node.node_id, node.node_id, 10_000)
    sizes = [0] * 161
    for contact in whole:
        sizes[contact.distance_to(node.node_id).bit_length()] += 1
    there = [0] * 161
    for contact in everybody(crowd):
        there[contact.distance_to(node.node_id).bit_length()] += contact != node
    assert sizes == [min(K, count) for count in there]
    expected = sorted(whole, key=lambda contact: contact.distance_to(target))[:K]
    assert crowd.table_nearest(node.node_id, target) == expected
    assert node not in whole


@pytest.mark.parametrize("dead", [0.0, 0.3])
def test_a_lookup_there_finds_what_the_closest_hold(dead: float) -> None:
    figures = scaled(1000, lookups=20, dead=dead, seed=2)
    assert figures["success"] == 1.0
    assert figures["recall"] >= (1.0 if not dead else 0.9)
    assert 1.0 <= figures["hops"] <= 2.5


def test_same_seed_same_figures() -> None:
    one, other = (scaled(300, lookups=5, dead=0.2, seed=4) for _ in range(2))
    assert {**one, "wall_seconds": 0} == {**other, "wall_seconds": 0}
