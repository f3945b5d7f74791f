"""Slots go round: who gives gets, who waited comes next, and nobody waits while a slot is free."""

from __future__ import annotations

import random
from collections import Counter

from dhtshare.transfer.choker import MOST_SLOTS, OFFERS, OPTIMISTIC_ROUNDS, SLOTS, TURN_ROUNDS, Choker, Facts


def takers(count: int, sent: float = 1e6) -> list[Facts[str]]:
    return [Facts(f"p{number}", True, 0.0, sent) for number in range(count)]


def test_nobody_is_choked_while_there_is_room() -> None:
    choker: Choker[str] = Choker(random.Random(1))
    assert all(choker.may_start(f"p{number}") for number in range(SLOTS + 1))
    assert not choker.may_start("one too many")
    assert choker.is_unchoked("p0")
    assert not choker.is_unchoked("one too many")


def test_a_slot_that_becomes_free_goes_to_who_waited_longest() -> None:
    choker: Choker[str] = Choker(random.Random(1), slots=1)
    for peer in ("a", "b"):
        assert choker.may_start(peer)
    assert not choker.may_start("first")
    choker.decide([Facts("a", True, 9.0, 0.0), Facts("b", True, 8.0, 0.0), Facts("first", True, 0.0, 0.0)])
    assert not choker.may_start("second")
    assert choker.offers() == []
    waiting = {"a", "b", "first"} - {peer for peer in ("a", "b", "first") if choker.is_unchoked(peer)}
    choker.gone("a")
    told = choker.offers()
    assert told == [waiting.pop(), "second"]
    assert choker.offers() == [], "each is told once"
    assert [choker.may_start(peer) for peer in told] == [True, False], "there is one slot, and first come, first served"


def test_who_sends_to_us_keeps_its_slot() -> None:
    choker: Choker[str] = Choker(random.Random(2))
    givers = [Facts(f"giver{number}", True, 1e5 + number, 0.0) for number in range(SLOTS)]
    for _ in range(12):
        unchoked = choker.decide([*takers(20, sent=0.0), *givers])
        assert {giver.peer for giver in givers} <= unchoked


def test_at_most_the_slots_and_the_optimistic_one() -> None:
    choker: Choker[str] = Choker(random.Random(3))
    for _ in range(30):
        assert len(choker.decide(takers(50))) <= choker.slots + 1


def test_takers_of_one_seed_take_turns() -> None:
    choker: Choker[str] = Choker(random.Random(4))
    rounds: Counter[str] = Counter()
    for _ in range(20 * TURN_ROUNDS):
        rounds.update(choker.decide(takers(3 * SLOTS)))
    assert len(rounds) == 3 * SLOTS
    assert min(rounds.values()) > max(rounds.values()) / 3


def test_chance_gives_newcomers_a_slot() -> None:
    choker: Choker[str] = Choker(random.Random(5), slots=2)
    givers = [Facts("giver1", True, 9e6, 0.0), Facts("giver2", True, 8e6, 0.0)]
    lucky: set[str] = set()
    for _ in range(40 * OPTIMISTIC_ROUNDS):
        lucky |= choker.decide([*givers, *takers(4, sent=0.0)])
    assert lucky == {"giver1", "giver2", "p0", "p1", "p2", "p3"}


def test_who_wants_nothing_holds_no_slot() -> None:
    choker: Choker[str] = Choker(random.Random(6))
    choker.may_start("idle")
    assert choker.decide([Facts("idle", False, 0.0, 0.0)]) == set()
    assert not choker.is_unchoked("idle")


def test_more_slots_while_they_fill_the_line_better() -> None:
    choker: Choker[str] = Choker(random.Random(7))
    for _ in range(100):
        choker.decide(takers(60, sent=1e5 * choker.slots**2))
    assert choker.slots > SLOTS
    assert choker.slots <= MOST_SLOTS
    for fewer in range(100):
        choker.decide(takers(60, sent=1e9 / 2**fewer))
    assert choker.slots == SLOTS


def test_it_says_whether_anybody_waits() -> None:
    """So that idle slots are looked for only where somebody wants them."""
    choker: Choker[str] = Choker(random.Random(6), slots=1)
    assert choker.may_start("a")
    assert choker.may_start("b")
    assert not choker.anybody_waits
    assert not choker.may_start("c")
    assert choker.anybody_waits
    choker.gone("a")
    assert choker.offers() == ["c"]
    assert choker.anybody_waits, "it was told, and has not come"
    assert choker.may_start("c")
    assert not choker.anybody_waits
    choker.gone("c")
    assert choker.offers() == []


def test_a_crowd_of_sleepers_is_told_many_at_a_time() -> None:
    """A hundred that ask and never come: the honest one behind them is told after a few sweeps, not after twelve."""
    choker: Choker[str] = Choker(random.Random(8))
    awake = [f"p{number}" for number in range(SLOTS + 1)]
    assert all(choker.may_start(peer) for peer in awake)
    for number in range(100):
        choker.may_start(f"sleeper{number}")
    choker.may_start("honest")
    for peer in awake:
        choker.gone(peer)
    sweeps = 0
    while "honest" not in (told := choker.offers()):
        assert 0 < len(told) <= OFFERS * (SLOTS + 1)
        for sleeper in told:
            choker.gone(sleeper)
        sweeps += 1
    assert sweeps <= 100 // (OFFERS * (SLOTS + 1)) + 1
    assert choker.may_start("honest")


def test_who_was_told_and_came_too_late_keeps_its_place() -> None:
    choker: Choker[str] = Choker(random.Random(9), slots=0)
    assert choker.may_start("a")
    for peer in ("b", "c", "d"):
        assert not choker.may_start(peer)
    choker.gone("a")
    assert choker.offers() == ["b", "c", "d"]
    assert choker.may_start("c")
    assert not choker.may_start("b")
    choker.gone("c")
    assert choker.offers() == ["b"], "d has not answered yet"
