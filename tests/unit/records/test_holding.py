"""A holder whose own clock is wrong: what it kept over a restart is judged by the time on which others agree."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from dhtshare.dht.contact import Contact
from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.holding import DOUBT_SECONDS, Holding
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.saved import encode_records, restore_records
from dhtshare.dht.records.signing_clock import SigningClock
from dhtshare.dht.records.verifier import Verifier
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.network import Address, Scope, ScopeRules
from tests.unit.records.records_fakes import HOUR, NETWORK, WALL, entry, key, store

DAY = 24 * HOUR


class Machine:
    """A holding whose clock is off by `error`, and what it answers. Time stands still but for `pass_time`."""

    def __init__(self, loop: VirtualLoop, error: float, scope: Scope = Scope.LAN) -> None:
        self.loop = loop
        self.error = error
        rng, rules = random.Random(1), ScopeRules()
        self.dht = ScopeDht(scope, network=NETWORK, rules=rules, rng=rng, wall=self.wall)
        self.holding = Holding(
            self.dht,
            network=NETWORK,
            rules=rules,
            rng=rng,
            wall=self.wall,
            verifier=Verifier(NETWORK),
            budget=Budget(),
        )
        self.corrections: list[float] = []
        self.holding.on_corrected.append(lambda: self.corrections.append(loop.time()))

    def wall(self) -> float:
        return WALL + self.loop.time() + self.error

    def restore(self, saved: bytes) -> None:
        restore_records(saved, NETWORK, {self.dht.scope: self.holding.store}, now=self.loop.time(), wall=self.wall())

    def hear(self, count: int, *, off: float = 0.0, first: int = 0) -> None:
        """So many others have the right time, but for `off`."""
        for number in range(first, first + count):
            contact = Contact(bytes(20), Address(f"10.0.0.{number}", 4470))
            self.holding.heard(contact, int(WALL + self.loop.time() + off))

    def answers(self) -> int:
        page = self.holding.store.find_entries(key("musica"), Query(("musica",)), b"", [9000], now=self.loop.time())
        return len(page.parts[0])


def saved(*left: float) -> bytes:
    """What a holder wrote down: an entry for each of these lives, in seconds from now by the right time."""
    kept = store()
    for number, seconds in enumerate(left):
        made = entry(number, ttl=seconds)
        kept.put_entry(made, [0], b"net", now=0.0, wall=WALL - 1.0 if seconds > 0 else WALL + seconds - 10.0)
    return encode_records(NETWORK, {Scope.LAN: kept}, now=0.0, wall=WALL)


def tell(story: Callable[[VirtualLoop], None]) -> None:
    async def main(loop: VirtualLoop) -> None:
        story(loop)

    run_virtual(main)


def pass_time(loop: VirtualLoop, seconds: float) -> None:
    loop._jumping.now += seconds


def test_a_clock_that_is_ahead_loses_nothing_over_a_restart() -> None:
    def story(loop: VirtualLoop) -> None:
        machine = Machine(loop, DAY)
        machine.restore(saved(20 * HOUR, 10 * HOUR))
        pass_time(loop, 60.0)
        machine.holding.expire()  # nobody was heard yet
        assert machine.answers() == 0  # by our clock they are past, and nobody is told so
        machine.hear(3)
        assert machine.answers() == 2
        machine.holding.expire()
        assert machine.answers() == 2
        pass_time(loop, 11 * HOUR)
        machine.holding.expire()
        assert machine.answers() == 1

    tell(story)


def test_a_clock_that_is_behind_keeps_nothing_that_is_past() -> None:
    def story(loop: VirtualLoop) -> None:
        machine = Machine(loop, -DAY)
        machine.restore(saved(-HOUR, 20 * HOUR))
        machine.hear(2)
        assert machine.answers() == 2  # two are too few to know better
        machine.hear(1, first=2)
        assert machine.answers() == 1
        machine.holding.expire()
        assert machine.holding.store.counts().entries == 1

    tell(story)


def test_where_too_few_are_there_our_own_clock_counts_after_a_while() -> None:
    def story(loop: VirtualLoop) -> None:
        machine = Machine(loop, 0.0)
        machine.restore(saved(-HOUR, 20 * HOUR))
        machine.hear(2)
        pass_time(loop, DOUBT_SECONDS - 1)
        machine.holding.expire()
        assert machine.holding.store.counts().entries == 2
        pass_time(loop, 1)
        machine.holding.expire()
        assert machine.holding.store.counts().entries == 1

    tell(story)


def test_liars_who_were_quickest_hide_records_for_a_minute_and_destroy_none() -> None:
    def story(loop: VirtualLoop) -> None:
        machine = Machine(loop, 0.0)
        machine.restore(saved(20 * HOUR))
        machine.hear(3, off=10 * DAY)
        assert machine.answers() == 0
        machine.hear(4, first=100)
        pass_time(loop, 60.0)
        machine.holding.expire()
        assert machine.answers() == 1

    tell(story)


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_that_is_set_while_the_node_lives_drops_nothing(jump: float) -> None:
    def story(loop: VirtualLoop) -> None:
        machine = Machine(loop, 0.0)
        machine.restore(saved(20 * HOUR))
        machine.hear(5)
        machine.error = jump
        for _ in range(3):
            pass_time(loop, 60.0)
            machine.holding.expire()
            assert machine.answers() == 1
        made = entry(9, ttl=23 * HOUR)
        machine.hear(5)
        assert machine.holding.record_wall() == pytest.approx(WALL + loop.time(), abs=2)
        now, wall = loop.time(), machine.holding.record_wall()
        machine.holding.store.put_entry(made, [0], b"net", now=now, wall=wall)
        machine.holding.expire()
        assert machine.answers() == 2

    tell(story)


def test_a_machine_that_slept_lets_go_what_became_past_meanwhile() -> None:
    """The monotonic clock stood still; deadlines counted by it would keep records for as long as the sleep was."""

    def story(loop: VirtualLoop) -> None:
        machine = Machine(loop, -30 * HOUR)
        machine.restore(saved(-20 * HOUR, 4 * HOUR))
        machine.hear(5, off=-30 * HOUR)  # 30 h ago everybody had our time
        assert machine.answers() == 2
        machine.error = 0.0
        machine.hear(5)
        assert not machine.holding.clock.wrong
        assert machine.answers() == 1

    tell(story)


def test_who_signs_is_told_when_the_time_turns_out_to_be_another() -> None:
    def story(loop: VirtualLoop) -> None:
        machine = Machine(loop, DAY)
        machine.hear(2)
        assert machine.corrections == []
        machine.hear(9)
        assert len(machine.corrections) == 1
        right = Machine(loop, 0.0)
        right.hear(9)
        assert right.corrections == []

    tell(story)


def test_a_record_for_all_scopes_is_signed_by_the_time_of_the_scope_with_most_holders() -> None:
    """The LAN of one machine has no opinion, and came first."""

    def story(loop: VirtualLoop) -> None:
        lan, world = Machine(loop, DAY), Machine(loop, DAY, Scope.IPV4)
        lan.hear(1)
        for number in range(5):
            world.holding.heard(Contact(bytes(20), Address(f"93.0.{number}.1", 4470)), int(WALL))
        both = SigningClock([lan.holding, world.holding], lan.wall, loop.time)
        assert both.time() == pytest.approx(WALL, abs=2)
        alone = SigningClock([lan.holding], lan.wall, loop.time)
        assert alone.time() == WALL + DAY
        assert SigningClock([], lambda: 7.0, loop.time).time() == 7.0
        signed_at = alone.wall_at_zero()
        assert not alone.corrected_since(signed_at)
        lan.hear(3, first=1)
        assert alone.corrected_since(signed_at)

    tell(story)


def test_a_crowd_in_one_network_has_one_opinion() -> None:
    def story(loop: VirtualLoop) -> None:
        machine = Machine(loop, 0.0, Scope.IPV4)
        for number in range(50):
            machine.holding.heard(Contact(bytes(20), Address(f"93.0.0.{number}", 4470)), int(WALL + DAY))
        assert not machine.holding.clock.agreed
        for number in range(3):
            machine.holding.heard(Contact(bytes(20), Address(f"93.1.{number}.1", 4470)), int(WALL))
        assert not machine.holding.clock.wrong

    tell(story)
