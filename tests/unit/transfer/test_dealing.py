"""Turns among tellers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dhtshare.transfer.dealing import Deal


def test_nothing_is_left_of_nothing() -> None:
    deal: Deal[str, int] = Deal()
    assert not deal
    assert deal.next() is None


def test_groups_take_turns() -> None:
    deal: Deal[str, str] = Deal()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        deal.add(item[0], item)
    assert [deal.next() for _ in range(7)] == ["a1", "b1", "c1", "a2", "c2", "a3", None]


def test_who_comes_late_has_the_next_turn_but_the_waiting() -> None:
    deal: Deal[str, str] = Deal()
    for number in range(100):
        deal.add("a", f"a{number}")
    assert deal.next() == "a0"
    deal.add("b", "b0")
    assert [deal.next(), deal.next()] == ["a1", "b0"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers())))
def test_all_come_once_in_the_order_of_their_group(items: list[tuple[str, int]]) -> None:
    deal: Deal[str, tuple[str, int]] = Deal()
    for item in items:
        deal.add(item[0], item)
    assert len(deal) == len(items)
    dealt = [deal.next() for _ in items]
    assert deal.next() is None
    for group in "abcd":
        assert [item for item in dealt if item and item[0] == group] == [item for item in items if item[0] == group]
