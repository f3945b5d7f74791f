"""Which chunk to ask which peer for, one rule at a time."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from dhtshare.transfer.picker import MAX_DUPLICATES, Picker
from dhtshare.transfer.runs import bits_of

ALL = (1 << 12) - 1


def picker_of(chunks: int = 12, *, seed: int = 1, sequential: bool = False, have: int = 0) -> Picker:
    everything = (1 << chunks) - 1
    return Picker(chunks, everything & ~have, random.Random(seed), have=have, sequential=sequential)


def ask(picker: Picker, peer: str, expected: float = math.inf, **more: float) -> int | None:
    """The one chunk that the peer is asked for, which then counts as asked."""
    picked = picker.pick(peer, **more)  # type: ignore[arg-type]
    if not picked:
        return None
    picker.requested(peer, picked[0], expected)
    return picked[0]


def test_the_rarest_comes_first() -> None:
    picker = picker_of()
    picker.peer_has("one", ALL & ~bits_of([7]))
    picker.peer_has("two", ALL)
    assert ask(picker, "two") == 7
    assert ask(picker, "one") != 7


def test_what_only_seeds_have_comes_before_what_others_have_too() -> None:
    picker = picker_of()
    picker.peer_has("seed", 0, complete=True)
    picker.peer_has("partial", ALL & ~bits_of([3, 4]))
    assert {ask(picker, "seed"), ask(picker, "seed")} == {3, 4}


def test_alone_a_peer_is_walked_along() -> None:
    """Runs read and write faster."""
    picker = picker_of()
    picker.peer_has("seed", 0, complete=True)
    first = ask(picker, "seed")
    assert first is not None
    following = [ask(picker, "seed") for _ in range(12 - first - 1)]
    assert following == list(range(first + 1, 12))


def test_where_others_are_given_chunks_chance_decides_and_theirs_come_last() -> None:
    picker = picker_of()
    picker.peer_has("seed", 0, complete=True)
    picker.given(bits_of(range(6)))
    order = [ask(picker, "seed") for _ in range(12)]
    assert set(order[:6]) == set(range(6, 12))
    assert order[:6] != sorted(order[:6], key=lambda chunk: chunk or 0), "this seed of chance walks along no run"
    assert set(order[6:]) == set(range(6))


def test_what_is_given_away_waits_behind_what_somebody_has() -> None:
    """Chunk 0 is on its way to somebody; 1 is there already: it is no loss to ask the seed for that one now."""
    picker = picker_of(2)
    picker.peer_has("seed", 0, complete=True)
    picker.peer_has("other", bits_of([1]))
    picker.given(bits_of([0]))
    assert ask(picker, "seed") == 1
    assert ask(picker, "seed") == 0


def test_what_was_given_and_arrived_is_as_rare_as_it_is() -> None:
    picker = picker_of(3)
    picker.peer_has("seed", 0, complete=True)
    picker.given(bits_of([0]))
    picker.peer_has("one", bits_of([0, 1]))
    picker.peer_has("two", bits_of([1]))
    assert [ask(picker, "seed") for _ in range(3)] == [2, 0, 1]


def test_five_who_hear_of_each_other_draw_different_chunks() -> None:
    """The rule that the swarm's figures rest on: told at once, nothing is asked for twice before all was once."""
    pickers = {name: picker_of(60, seed=number) for number, name in enumerate("abcde")}
    drawn: Counter[int] = Counter()
    for picker in pickers.values():
        picker.peer_has("seed", 0, complete=True)
    for turn in range(60):
        name = "abcde"[turn % 5]
        chunk = ask(pickers[name], "seed")
        assert chunk is not None
        drawn[chunk] += 1
        for other, picker in pickers.items():
            if other != name:
                picker.given(1 << chunk)
    assert set(drawn.values()) == {1}


def test_the_tail_is_asked_of_who_brings_it_sooner() -> None:
    picker = picker_of(1)
    for peer in ("slow", "fast", "no faster"):
        picker.peer_has(peer, 0, complete=True)
    assert ask(picker, "slow", expected=10.0) == 0
    assert picker.pick("no faster", now=0.0, would_take=8.0) == []
    assert picker.pick("fast", now=0.0, would_take=1.0) == [0]


def test_what_is_late_is_asked_of_others() -> None:
    """Expected at 2, not here at 6: for all that is known it takes as long again."""
    picker = picker_of(1)
    picker.peer_has("late", 0, complete=True)
    picker.peer_has("other", 0, complete=True)
    assert ask(picker, "late", expected=2.0) == 0
    assert picker.pick("other", now=2.1, would_take=1.0) == []
    assert picker.pick("other", now=6.0, would_take=1.0) == [0]


def test_what_is_learned_of_its_arrival_counts() -> None:
    picker = picker_of(1)
    picker.peer_has("one", 0, complete=True)
    picker.peer_has("other", 0, complete=True)
    ask(picker, "one", expected=2.0)
    picker.expected("one", 0, 30.0)
    assert picker.pick("other", now=1.0, would_take=3.0) == [0]
    picker.expected("one", 0, 1.5)
    assert picker.pick("other", now=1.0, would_take=3.0) == []
    picker.expected("stranger", 0, 99.0)
    picker.expected("one", 5, 99.0)


def test_who_is_snubbed_keeps_nothing_from_others() -> None:
    picker = picker_of(2)
    picker.peer_has("frozen", 0, complete=True)
    picker.peer_has("other", 0, complete=True)
    for _ in range(2):
        ask(picker, "frozen", expected=1.0)
    assert picker.pick("other", now=0.0, would_take=5.0) == []
    picker.snubbed("frozen")
    assert picker.pick("other", now=0.0, would_take=5.0)


def test_duplicates_are_few_and_never_of_one_peer() -> None:
    picker = picker_of(1)
    for peer in range(6):
        picker.peer_has(peer, 0, complete=True)
    asked = [peer for peer in range(6) if ask(picker, peer, would_take=1.0) is not None]  # type: ignore[arg-type]
    assert len(asked) == MAX_DUPLICATES
    assert picker.pick(0, would_take=0.1) == []
    assert set(picker.verified(0)) == set(asked)
    assert picker.done


def test_who_goes_leaves_its_chunks_to_others() -> None:
    picker = picker_of(4)
    picker.peer_has("mortal", 0, complete=True)
    asked = {ask(picker, "mortal") for _ in range(4)}
    assert picker.missing == 0
    picker.peer_gone("mortal")
    assert picker.missing == bits_of(chunk for chunk in asked if chunk is not None) == 0b1111
    assert not picker.wants("mortal")


def test_who_lacks_what_it_claimed_is_not_asked_for_it_again() -> None:
    picker = picker_of(3)
    picker.peer_has("boaster", 0, complete=True)
    chunk = ask(picker, "boaster")
    assert chunk is not None
    picker.lacks("boaster", chunk)
    assert picker.availability().full == 0
    assert chunk not in {ask(picker, "boaster") for _ in range(3)}


def test_locked_chunks_wait_for_their_descriptor() -> None:
    picker = picker_of(4)
    picker.peer_has("seed", 0, complete=True)
    picker.lock(0b1100)
    assert {ask(picker, "seed"), ask(picker, "seed")} == {0, 1}
    assert picker.pick("seed") == []
    picker.unlock(0b1000)
    assert picker.pick("seed") == [3]


@pytest.mark.parametrize("most", [1, 2, 5, 100])
def test_a_run_is_of_neighbours_that_the_peer_has(most: int) -> None:
    picker = picker_of(12, sequential=False)
    picker.peer_has("seed", bits_of([2, 3, 4, 8, 9]))
    run = picker.pick("seed", most)
    assert len(run) <= most
    assert run == list(range(run[0], run[0] + len(run)))
    assert set(run) <= {2, 3, 4, 8, 9}


def test_in_sequence_what_a_stalling_peer_holds_up_comes_first() -> None:
    picker = picker_of(6, sequential=True)
    picker.peer_has("stalls", 0, complete=True)
    picker.peer_has("other", 0, complete=True)
    assert ask(picker, "stalls", expected=1.0) == 0
    assert ask(picker, "other", expected=1.0) == 1
    picker.snubbed("stalls")
    assert picker.pick("other") == [0]


def test_the_map_tells_stretches_in_eighths() -> None:
    picker = picker_of(16, have=0xFF)
    assert picker.map(2) == "80"
    assert picker.map(16) == "8" * 8 + "0" * 8
    assert picker.map(100) == picker.map(16)
    for chunk in range(8, 12):
        picker.verified(chunk)
    assert picker.map(2) == "84"
