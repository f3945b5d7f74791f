"""A sorted list against a set that is sorted anew each time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhtshare.dht.records import sorted_list
from dhtshare.dht.records.by_age import AGE_BYTES, ByAge, age_key
from dhtshare.dht.records.sorted_list import SortedList


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few items make many blocks."""
    monkeypatch.setattr(sorted_list, "BLOCK", 4)


@settings(max_examples=200)
@given(st.sets(st.integers(0, 60)), st.lists(st.integers(0, 60), max_size=60), st.integers(-1, 61))
def test_it_holds_what_was_added_in_order(first: set[int], toggled: list[int], start: int) -> None:
    held, model = SortedList(first, key=lambda item: -item), set(first)
    for item in toggled:
        if item in model:
            held.remove(item)
        else:
            held.add(item)
        model ^= {item}
        assert list(held) == sorted(model, reverse=True)
        assert len(held) == len(model)
        assert list(held.starting(-start)) == [one for one in sorted(model, reverse=True) if one <= start]


tags = st.sampled_from((b"", b"a", b"ab", b"\xff", b"\xff\xff"))
ages = st.sampled_from((0, 1, 255, 256, (1 << 32) - 1))


@settings(max_examples=200)
@given(st.sets(st.tuples(tags, ages, st.sampled_from((b"", b"\0", b"\xff" * 9)))), tags, ages)
def test_networks_stand_apart_the_oldest_first(records: set[tuple[bytes, int, bytes]], tag: bytes, now: int) -> None:
    held: ByAge[tuple[bytes, int, bytes]] = ByAge(
        records, key=lambda record: age_key(record[0], record[1].to_bytes(AGE_BYTES, "big"), record[2])
    )
    of_tag = sorted(record for record in records if record[0] == tag)
    assert list(held.of(tag)) == of_tag
    assert held.oldest(tag) == (of_tag[0] if of_tag else None)
    assert sorted(held.past(lambda record: record[1] <= now)) == sorted(one for one in records if one[1] <= now)
