"""Of two connections between the same two fetches both sides keep the same one."""

from __future__ import annotations

from itertools import permutations

import pytest

from dhtshare.transfer.twins import Twins

LOW, HIGH = b"\x01" * 8, b"\x02" * 8


def let_go(own: bytes, other: bytes, arrivals: tuple[tuple[str, bool], ...]) -> list[str | None]:
    """What one side lets go of as the tag of the other comes in on these (line, opened here)."""
    twins: Twins[str] = Twins(own)
    return [twins.told(line, other, opened_here=opened) for line, opened in arrivals]


@pytest.mark.parametrize("order_here", list(permutations([0, 1])))
@pytest.mark.parametrize("order_there", list(permutations([0, 1])))
def test_both_sides_let_go_of_the_same_one(order_here: tuple[int, int], order_there: tuple[int, int]) -> None:
    """Whatever the order in which each side hears of the other's two connections."""
    lines = (("by low", True), ("by high", False))
    here = [lines[at] for at in order_here]
    there = [(lines[at][0], not lines[at][1]) for at in order_there]
    dropped_here = [line for line in let_go(LOW, HIGH, tuple(here)) if line]
    dropped_there = [line for line in let_go(HIGH, LOW, tuple(there)) if line]
    assert dropped_here == dropped_there == ["by low"]


def test_alone_nobody_is_let_go_of() -> None:
    twins: Twins[str] = Twins(LOW)
    assert twins.told("one", HIGH, opened_here=True) is None
    assert twins.told("other", b"\x03" * 8, opened_here=False) is None
    assert twins.twin("one") is None
    assert twins.twin("other") is None


def test_without_a_tag_there_are_no_twins() -> None:
    """A peer of an earlier version, and one that asks without fetching, send none."""
    twins: Twins[str] = Twins(LOW)
    assert twins.told("one", b"", opened_here=True) is None
    assert twins.told("two", b"", opened_here=False) is None
    assert twins.twin("two") is None


def test_the_same_connection_told_twice_is_no_twin_of_itself() -> None:
    twins: Twins[str] = Twins(LOW)
    assert twins.told("one", HIGH, opened_here=True) is None
    assert twins.told("one", HIGH, opened_here=True) is None
    assert twins.twin("one") is None


def test_of_two_that_we_opened_the_first_stays() -> None:
    """A peer with two addresses."""
    twins: Twins[str] = Twins(LOW)
    assert twins.told("first", HIGH, opened_here=True) is None
    assert twins.told("second", HIGH, opened_here=True) == "second"
    assert twins.twin("second") == "first"


def test_a_twin_that_is_left_alone_is_one_no_more() -> None:
    twins: Twins[str] = Twins(LOW)
    twins.told("mine", HIGH, opened_here=True)
    assert twins.told("theirs", HIGH, opened_here=False) == "mine"
    assert twins.twin("mine") == "theirs"
    twins.gone("theirs")
    assert twins.twin("mine") is None
    assert twins.told("again", HIGH, opened_here=True) is None
