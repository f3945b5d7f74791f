"""Regions of the key space: what lies in them, what we may hold, and what a lookup surely knows."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from dhtshare.dht.contact import Contact, distance
from dhtshare.dht.records.region import Region, around, known_around
from dhtshare.network import Address

KEY = bytes.fromhex("a5") + bytes(19)


def contacts(count: int, seed: int = 1) -> list[Contact]:
    rng = random.Random(seed)
    return [Contact(rng.randbytes(20), Address(f"10.0.{n >> 8}.{n & 255}", 1)) for n in range(count)]


@pytest.mark.parametrize("bits", [0, 1, 4, 7, 8, 159, 160])
def test_bounds_and_membership_agree(bits: int) -> None:
    region = Region(KEY, bits)
    first, last = int.from_bytes(region.first, "big"), int.from_bytes(region.last, "big")
    assert last - first + 1 == 1 << (160 - bits)
    for number in (first, last, int.from_bytes(KEY, "big")):
        assert number.to_bytes(20, "big") in region
    for number in (first - 1, last + 1):
        if 0 <= number < 1 << 160:
            assert number.to_bytes(20, "big") not in region


def test_slices_hold_exactly_the_keys_of_the_region() -> None:
    ordered = sorted(contact.node_id for contact in contacts(300))
    for bits in range(10):
        region = Region(ordered[7], bits)
        assert ordered[region.slice_of(ordered)] == [key for key in ordered if key in region]


def test_parts_make_up_the_whole_in_order() -> None:
    parts = Region(KEY, 3).parts(4)
    assert len(parts) == 16
    assert parts[0].first == Region(KEY, 3).first
    assert parts[-1].last == Region(KEY, 3).last
    assert all(one.last < other.first for one, other in pairwise(parts))
    assert Region(KEY, 160).parts(4) == [Region(KEY, 160)]


def test_no_key_outside_the_region_around_us_is_ours() -> None:
    for seed in range(20):
        own, *others = contacts(200, seed)
        region = around(own.node_id, others, 10)
        rng = random.Random(seed)
        for _ in range(200):
            key = rng.randbytes(20)
            closer = sum(distance(other.node_id, key) < distance(own.node_id, key) for other in others)
            assert key in region or closer >= 10


def test_in_a_small_network_everything_is_ours() -> None:
    own, *others = contacts(9)
    assert around(own.node_id, others, 10).bits == 0
    assert around(own.node_id, [], 10).bits == 0


def test_every_node_of_the_known_region_was_found() -> None:
    for seed in range(20):
        everybody = contacts(400, seed)
        target = random.Random(seed).randbytes(20)
        closest = sorted(everybody, key=lambda contact: contact.distance_to(target))[:20]
        region = known_around(target, closest, 20)
        inside = {contact for contact in everybody if contact.node_id in region}
        assert inside <= set(closest)
        assert len(inside) >= 1
    assert known_around(KEY, closest[:19], 20).bits == 0
