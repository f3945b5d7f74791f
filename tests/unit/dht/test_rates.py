"""Rates: how much one may ask, what is dropped, what is remembered, and whom nobody can silence."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.rates import (
    IGNORE_SECONDS,
    PROVED_BURST,
    PROVED_PER_SECOND,
    RECORDS_BURST,
    UNPROVED_BURST,
    UNPROVED_PER_SECOND,
    RateMeter,
    RequestRates,
    Verdict,
    record_meter,
)
from dhtshare.network import Address

SENDER = Address("81.2.3.4", 4470)


def served(rates: RequestRates, sender: Address, proved: bool, now: float, count: int) -> int:
    """How many of so many requests at one moment are served."""
    return sum(rates.judge(sender, proved, now) is Verdict.SERVE for _ in range(count))


# ---- the meter -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "burst"), [(10.0, 50), (50.0, 200), (2000 / 60, 2000), (1 / 600, 1), (0.1, 3)])
def test_a_burst_at_once_then_the_rate_for_ever(rate: float, burst: int) -> None:
    meter = RateMeter(rate, burst)
    assert sum(not meter.take("a", 0.0) for _ in range(burst + 10)) == burst
    # asked as often as one likes for a long time after, no more than the rate comes through
    horizon = 100 / rate
    took = sum(not meter.take("a", step * horizon / 1000) for step in range(1, 1001))
    assert abs(took - 100) <= 1


def test_the_wait_it_tells_is_the_wait_it_takes() -> None:
    meter = RateMeter(2.0, 5)
    while not (wait := meter.take("a", 10.0)):
        pass
    assert 0 < wait <= 0.5
    assert meter.take("a", 10.0 + wait - 1e-6) > 0
    assert meter.take("a", 10.0 + wait) == 0


def test_a_cost_is_taken_whole_or_not_at_all() -> None:
    meter = RateMeter(1.0, 10)
    assert meter.take("a", 0.0, 8) == 0
    assert meter.take("a", 0.0, 3) == pytest.approx(1.0)
    assert meter.take("a", 0.0, 2) == 0, "the refused three took nothing"
    assert meter.take("a", 0.0, 11) > 0
    assert RateMeter(1.0, 10).take("b", 0.0, 11) > 0, "more than a burst is never there at once"


def test_keys_do_not_share() -> None:
    meter = RateMeter(1.0, 1)
    assert [meter.take(key, 0.0) > 0 for key in "aabbc"] == [False, True, False, True, False]


def test_what_is_spent_again_is_forgotten_when_room_is_needed() -> None:
    meter = RateMeter(1.0, 2, limit=3)
    for key in "abc":
        assert not meter.take(key, 0.0)
    assert meter.take("d", 0.5) > 0, "no room: nobody's count may be forgotten"
    assert meter.take("a", 0.5) == 0, "and those who are known go on"
    assert meter.take("d", 1.2) == 0, "b and c have their burst back, so nothing is lost with them"
    assert len(meter) == 2


def test_memory_is_bounded_whoever_asks() -> None:
    meter = RateMeter(10.0, 50, limit=1000)
    rng = random.Random(1)
    for step in range(50_000):
        meter.take(rng.getrandbits(32), step / 1000)
    assert len(meter) <= 1000


def test_counts_that_are_past_do_not_pile_up() -> None:
    meter = RateMeter(10.0, 50)
    for step in range(10_000):
        meter.take(step, step / 10)
        assert len(meter) <= 32, "two of them run at any time"


# ---- requests ------------------------------------------------------------------------------------


def test_the_figures_of_the_design() -> None:
    assert (PROVED_PER_SECOND, PROVED_BURST) == (50, 200)
    assert (UNPROVED_PER_SECOND, UNPROVED_BURST) == (10, 50)
    assert RECORDS_BURST == 2000


def test_without_token_the_whole_ip_has_one_bucket() -> None:
    rates = RequestRates()
    assert served(rates, SENDER, False, 0.0, 40) == 40
    assert served(rates, Address(SENDER.host, 9999), False, 0.0, 40) == 10
    assert served(rates, Address("81.2.3.5", 4470), False, 0.0, 40) == 40
    assert served(rates, SENDER, False, 1.0, 40) == 10


def test_with_token_each_ip_and_port_has_its_own() -> None:
    rates = RequestRates()
    assert served(rates, SENDER, True, 0.0, 200) == 200
    assert served(rates, Address(SENDER.host, 9999), True, 0.0, 200) == 200


def test_a_forged_source_silences_nobody() -> None:
    """Whoever floods in somebody's name, without token, takes no more than the unproved share of it."""
    rates = RequestRates()
    assert served(rates, SENDER, False, 0.0, 100_000) == UNPROVED_BURST
    assert not rates.ignores(SENDER, 0.0)
    assert served(rates, SENDER, True, 0.0, 50) == 50, "the owner's token opens a bucket of its own"
    assert rates.judge(SENDER, False, 5.1) is Verdict.SERVE, "and nothing of the flood is remembered"


def test_only_proved_excess_is_ignored_and_only_that_port_and_not_for_ever() -> None:
    rates = RequestRates()
    assert served(rates, SENDER, True, 0.0, 201) == 200
    assert rates.ignores(SENDER, 0.0)
    assert rates.ignores(SENDER, IGNORE_SECONDS - 0.1)
    assert not rates.ignores(Address(SENDER.host, 9999), 1.0)
    assert not rates.ignores(SENDER, IGNORE_SECONDS)
    assert rates.judge(SENDER, True, IGNORE_SECONDS) is Verdict.SERVE


def test_an_honest_pace_is_never_dropped() -> None:
    rates = RequestRates()
    proved = all(rates.judge(SENDER, True, step / 50) is Verdict.SERVE for step in range(5000))
    unproved = all(rates.judge(Address("9.9.9.9", 1), False, step / 10) is Verdict.SERVE for step in range(1000))
    assert proved
    assert unproved


def test_records_two_thousand_a_minute_then_a_wait_in_seconds() -> None:
    meter = record_meter()
    assert all(not meter.take(SENDER, 0.0, 100) for _ in range(20))
    wait = meter.take(SENDER, 0.0, 100)
    assert wait == pytest.approx(3.0, abs=0.1)
    assert not meter.take(SENDER, wait, 100)
    assert not meter.take(Address(SENDER.host, 1), 0.0, 100), "each proved address has its own"
