"""Ids bound to addresses: what an address may have, what it may not, and how little choice that leaves."""

from __future__ import annotations

import random

import pytest
from blake3 import blake3

from dhtshare.dht.contact import distance
from dhtshare.dht.hostile import aimed_id, aimed_places
from dhtshare.dht.nodeid import BOUND_BITS, bound_id, bound_prefix, is_bound, may_have, random_id
from dhtshare.network import Scope, ScopeRules

HOSTS = ["4.4.4.4", "84.124.73.14", "223.255.254.1", "2a00:1450:4001::1", "2606:4700:4700::1111"]


def test_the_first_21_bits_are_a_hash_of_the_masked_address_and_r() -> None:
    """By hand, from the rule: BEP 42's mask, r the low 3 bits of the last byte."""
    node_id = bound_id("84.124.73.14", random.Random(1))
    masked = bytes((84 & 0x03, 124 & 0x0F, 73 & 0x3F, 14 & 0xFF))
    digest = blake3(b"dhtshare/1 node id " + masked + bytes((node_id[-1] & 7,))).digest()
    assert int.from_bytes(node_id[:3], "big") >> 3 == int.from_bytes(digest[:3], "big") >> 3
    assert BOUND_BITS == 21


def test_an_ipv6_address_binds_by_its_first_half() -> None:
    rng = random.Random(1)
    assert is_bound(bound_id("2a00:1450:4001:1::1", rng), "2a00:1450:4001:1::2")
    others = sum(is_bound(bound_id("2a00:1450:4001:1::1", rng), "2a00:1450:4001:2::1") for _ in range(50))
    assert others == 0


@pytest.mark.parametrize("host", HOSTS)
def test_what_is_made_for_an_address_passes_for_it_and_for_no_other(host: str) -> None:
    rng = random.Random(host)
    ids = [bound_id(host, rng) for _ in range(50)]
    assert len(set(ids)) == 50
    assert all(is_bound(node_id, host) for node_id in ids)
    assert not any(is_bound(node_id, other) for node_id in ids for other in HOSTS if other != host)


@pytest.mark.parametrize("bit", range(BOUND_BITS))
def test_each_bound_bit_counts(bit: int) -> None:
    node_id = bound_id("4.4.4.4", random.Random(bit))
    flipped = (int.from_bytes(node_id, "big") ^ 1 << 159 - bit).to_bytes(20, "big")
    assert not is_bound(flipped, "4.4.4.4")


@pytest.mark.parametrize("bit", [BOUND_BITS, 60, 100, 156])
def test_the_bits_behind_are_free(bit: int) -> None:
    node_id = bound_id("4.4.4.4", random.Random(bit))
    flipped = (int.from_bytes(node_id, "big") ^ 1 << 159 - bit).to_bytes(20, "big")
    assert is_bound(flipped, "4.4.4.4")


def test_a_machine_has_eight_places() -> None:
    rng = random.Random(7)
    assert len({bound_id("4.4.4.4", rng)[:2] + bytes((bound_prefix("4.4.4.4", 0)[0],)) for _ in range(400)}) <= 8
    assert len({bound_prefix("4.4.4.4", r) for r in range(8)}) == 8


def test_in_the_lan_any_id_of_the_right_length_will_do() -> None:
    node_id = random_id(random.Random(1))
    assert may_have(node_id, "10.0.0.1", Scope.LAN)
    assert not may_have(node_id[:-1], "10.0.0.1", Scope.LAN)
    assert not may_have(b"", "10.0.0.1", Scope.LAN)
    assert not may_have(node_id, "4.4.4.4", Scope.IPV4)
    assert not may_have(b"\0" * 21, "4.4.4.4", Scope.IPV4)


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="not an IP literal"):
        bound_prefix("example.org", 0)


def test_an_aimed_id_passes_for_its_address_and_is_the_nearest_that_does() -> None:
    rng = random.Random(3)
    for _ in range(20):
        key = rng.randbytes(20)
        aimed = aimed_id("4.4.4.4", key, rng)
        assert is_bound(aimed, "4.4.4.4")
        others = [bound_id("4.4.4.4", rng) for _ in range(100)]
        assert all(distance(aimed, key) <= distance(other, key) for other in others)


def test_aimed_nodes_are_as_many_as_asked_for_from_as_many_networks() -> None:
    key = random.Random(5).randbytes(20)
    places = list(aimed_places(key, 20, 3, random.Random(5)))
    assert len({host for host, _ in places}) == 20
    assert sorted(sum(h.rpartition(".")[0] == network for h, _ in places) for network in networks(places)) == [6, 7, 7]
    assert all(ScopeRules().scope_of(host) is Scope.IPV4 and is_bound(node_id, host) for host, node_id in places)
    assert max(distance(node_id, key).bit_length() for _, node_id in places) < 156  # nearer than all but 1 in 16


def networks(places: list[tuple[str, bytes]]) -> set[str]:
    return {host.rpartition(".")[0] for host, _ in places}
