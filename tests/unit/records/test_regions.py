"""A sweep in action: each key's holders once, by far fewer lookups than keys, whatever the lookups find."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhtshare.dht.contact import Contact
from dhtshare.dht.records.regions import visit_holders
from dhtshare.dht.records.sweep import PLAIN_K, REGION_NODES, SPANS, Sweep
from dhtshare.dht.walk import WalkResult
from dhtshare.network import Address
from tests.unit.records.others import Others, tell

Holders = dict[bytes, list[Contact]]


def nodes(count: int, seed: int = 1) -> list[Contact]:
    rng = random.Random(seed)
    return [Contact(rng.randbytes(20), Address(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 4470)) for n in range(count)]


def keys(count: int, seed: int = 2) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(20) for _ in range(count)]


def closest(everybody: list[Contact], key: bytes, count: int) -> list[Contact]:
    return sorted(everybody, key=lambda contact: contact.distance_to(key))[:count]


def found(everybody: list[Contact], target: bytes, k: int, around: int) -> list[Contact]:
    """The k closest, and all around."""
    return closest(everybody, target, max(k, sum(contact.distance_to(target) <= around for contact in everybody)))


def network(others: Others, everybody: list[Contact], *, loses: float = 0.0) -> list[bytes]:
    """Lookups find the closest of these, and miss some. The targets that were looked up."""
    looked_up: list[bytes] = []

    async def walk(target: bytes, *, k: int = 20, around: int = 0, **_options: Any) -> WalkResult:
        looked_up.append(target)
        alive = [contact for contact in everybody if others.rng.random() >= loses]
        return WalkResult(target, found(alive, target, k, around), complete=True, suspicious=others.suspicious)

    others.dht.walk = walk  # type: ignore[method-assign,assignment]
    others.dht.estimated_size = lambda: len(everybody)  # type: ignore[method-assign]
    for contact in everybody[:30]:
        others.dht.table.answered(contact, 0.0)
    return looked_up


async def visited(others: Others, targets: dict[bytes, int]) -> Holders:
    found: Holders = {}

    async def visit(holders: Holders) -> None:
        assert not found.keys() & holders.keys(), "every key once"
        found.update(holders)

    await visit_holders(others.holding, targets, visit)
    return found


@pytest.mark.parametrize(("count", "many", "most_lookups"), [(8, 300, 1), (400, 1000, 60), (2000, 40, 40)])
def test_every_key_gets_its_holders_by_few_lookups(count: int, many: int, most_lookups: int) -> None:
    async def story(others: Others) -> None:
        everybody = nodes(count)
        looked_up = network(others, everybody)
        wanted = dict.fromkeys(keys(many), 10)
        found = await visited(others, wanted)
        assert found.keys() == wanted.keys()
        assert len(looked_up) <= most_lookups
        right = sum(len(set(found[key]) & set(closest(everybody, key, 10))) for key in wanted)
        assert right >= 0.97 * sum(min(10, count) for _ in wanted)

    tell(story)


def test_targets_differ_by_key() -> None:
    async def story(others: Others) -> None:
        network(others, nodes(200))
        few, many = keys(2)
        found = await visited(others, {few: 10, many: 20})
        assert (len(found[few]), len(found[many])) == (10, 20)

    tell(story)


def test_a_crowded_region_has_twice_as_many() -> None:
    async def story(others: Others) -> None:
        network(others, nodes(200))
        others.suspicious = True
        (key,) = keys(1)
        assert len((await visited(others, {key: 10}))[key]) == 20

    tell(story)


def test_alone_every_key_has_nobody_and_nobody_is_asked() -> None:
    async def story(others: Others) -> None:
        wanted = dict.fromkeys(keys(5), 10)
        assert await visited(others, wanted) == {key: [] for key in wanted}
        assert await visited(others, {}) == {}

    tell(story)


def test_lookups_that_find_nobody_end_it_all_the_same() -> None:
    async def story(others: Others) -> None:
        looked_up = network(others, nodes(300), loses=1.0)
        wanted = dict.fromkeys(keys(50), 10)
        assert await visited(others, wanted) == {key: [] for key in wanted}
        assert len(looked_up) == 1, "with nobody found there are no others anywhere"

    tell(story)


def test_what_a_lookup_misses_costs_lookups_and_no_key() -> None:
    async def story(others: Others) -> None:
        looked_up = network(others, nodes(600), loses=0.3)
        wanted = dict.fromkeys(keys(500), 10)
        found = await visited(others, wanted)
        assert found.keys() == wanted.keys()
        assert all(len(holders) == 10 for holders in found.values())
        assert len(looked_up) <= 4 * 600 / REGION_NODES + 2 * SPANS

    tell(story)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=30, unique=True),
    st.integers(0, 60),
    st.integers(0, 5),
    st.sampled_from([0, 1, 3, 160]),
)
def test_a_sweep_ends_and_covers_each_key_once_with_the_closest_of_what_was_found(
    wanted: list[bytes], count: int, seed: int, bits: int
) -> None:
    everybody = nodes(count, seed)
    sweep = Sweep(wanted, dict.fromkeys(wanted, 10), bits)
    covered: Holders = {}
    while (target := sweep.next_target()) is not None:
        there = found(everybody, target, PLAIN_K, sweep.around)
        part = sweep.covered(target, there)
        assert target in part, "each lookup settles its own target at least"
        assert not part.keys() & covered.keys()
        for key, holders in part.items():
            assert set(holders) == set(closest(there, key, 10))
        covered |= part
    assert covered.keys() == set(wanted)
