"""Which buckets want a lookup."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from dhtshare.dht.contact import ID_BITS
from dhtshare.dht.freshness import Freshness, farthest_first, unfilled
from dhtshare.dht.routing import K, Table
from dhtshare.network import Scope
from tests.unit.dht.dht_fakes import OWN, in_bucket

AGE = 900.0


def known_at(*indexes: int) -> Table:
    table = Table(OWN, Scope.LAN)
    for index in indexes:
        table.answered(in_bucket(index, 0, host=f"10.0.{index}.1"), 1.0)
    return table


def test_buckets_never_looked_into_are_stale_farthest_first() -> None:
    assert known_at(160, 155).stale(0.0, AGE) == [160, 159, 158, 157, 156, 155]


def test_nearer_than_anybody_known_there_is_nothing_to_refresh() -> None:
    assert known_at(158).stale(0.0, AGE)[-1] == 158
    assert known_at().stale(0.0, AGE) == [160], "who knows nobody has at least half the space to look into"


def test_only_a_lookup_of_ours_refreshes() -> None:
    table = known_at(160, 158)
    contact = in_bucket(159, 3)
    table.answered(contact, 10.0)
    table.asked(*contact, 20.0)  # stock took a stranger's question for a refresh
    assert 159 in table.stale(30.0, AGE)
    table.refreshed(contact.node_id, 30.0)
    assert table.stale(30.0 + AGE - 1, AGE) == [160, 158]
    assert 159 in table.stale(30.0 + AGE, AGE)


def test_the_lookup_of_our_own_id_is_no_bucket_s() -> None:
    table = known_at(160)
    table.refreshed(OWN, 5.0)
    assert table.stale(6.0, AGE) == [160]


def test_full_buckets_want_no_filling() -> None:
    table = known_at(157)
    for number in range(K):
        table.answered(in_bucket(160, number, host="10.1.1.1"), 1.0)
    assert table.unfilled() == [159, 158, 157]
    assert unfilled(farthest_first(158), {160: K, 159: K - 1}, K) == [159, 158]


@given(own=st.binary(min_size=20, max_size=20), index=st.integers(1, ID_BITS), seed=st.integers(0, 1 << 20))
def test_a_random_target_falls_into_its_bucket(own: bytes, index: int, seed: int) -> None:
    target = Freshness(int.from_bytes(own, "big")).random_target(index, random.Random(seed))
    assert len(target) == 20
    assert (int.from_bytes(own, "big") ^ int.from_bytes(target, "big")).bit_length() == index


def test_targets_differ() -> None:
    fresh, rng = Freshness(0), random.Random(1)
    assert len({fresh.random_target(100, rng) for _ in range(50)}) == 50
