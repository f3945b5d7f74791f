"""What scripts/soak concludes: slopes that are there, none that is not, and no success where nothing was shown."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from dhtshare.library.handles import OPEN_FILES
from scripts.soaking.gauges import LEAST_SAMPLES, LIMITS, SLACK, Gauge, Limit, Series, settled
from scripts.soaking.tally import LEAST_ASKED, Tally

MIB = 1 << 20
HOUR = 3600.0
RUN = 900.0  # a quarter of an hour, sampled every ten seconds
LIMIT = LIMITS["memory"]


def series(value: Callable[[float], float], seconds: float = RUN) -> Series:
    return Series([(float(now), value(now)) for now in range(0, int(seconds), 10)])


def test_a_leak_of_60_mib_an_hour_is_seen_in_a_quarter_of_one() -> None:
    rng = random.Random(1)
    leaking = series(lambda now: 50 * MIB + 60 * MIB * now / HOUR + rng.uniform(-MIB, MIB))
    assert leaking.per_hour(RUN / 3) == pytest.approx(60 * MIB, rel=0.3)
    assert leaking.grows(RUN / 3, LIMIT)


def test_a_slow_leak_is_seen_in_a_long_run() -> None:
    assert not series(lambda now: 15 * MIB * now / HOUR, 4 * HOUR).grows(1200, LIMIT)
    assert series(lambda now: 17 * MIB * now / HOUR, 4 * HOUR).grows(1200, LIMIT)


@pytest.mark.parametrize(
    "value",
    [
        lambda now: 50 * MIB,
        lambda now: 50 * MIB + 30 * MIB * (now >= 840),  # the last minute: a burst
        lambda now: 50 * MIB + 30 * MIB * (now % 60 < 10),  # a fetch every minute
        lambda now: 50 * MIB - 40 * MIB * now / HOUR,
        lambda now: 50 * MIB + min(now, 300) * MIB / 10,  # fills in the warm-up, and is full
        lambda now: 50 * MIB + 3 * MIB * now / RUN,  # 12 MiB an hour
    ],
    ids=["flat", "burst", "peaks", "falls", "fills", "little"],
)
def test_what_is_no_leak(value: Callable[[float], float]) -> None:
    assert not series(value).grows(RUN / 3, LIMIT)


def test_a_staircase_is_a_leak() -> None:
    """One step a minute: the median of a window less that of another would do, a first difference would not."""
    assert series(lambda now: 50 * MIB + MIB * (now // 60)).grows(RUN / 3, LIMIT)


def test_steep_within_the_noise_does_not_count() -> None:
    """In two minutes 3 MiB are 90 an hour, and nothing."""
    assert not series(lambda now: 3 * MIB * now / 180, 180).grows(60, LIMIT)


def gauge(samples: int, *, whole_run: bool) -> Gauge:
    made = Gauge("node 0", os.getpid(), Path("/nowhere"), 0.0, whole_run=whole_run)
    for number in range(samples):
        made.sample(RUN / 2 + number)
    return made


def test_too_few_samples_are_a_fault_of_whoever_lived_through_it() -> None:
    few, enough = LEAST_SAMPLES - 1, LEAST_SAMPLES
    assert len(gauge(few, whole_run=True).faults(RUN)) == len(LIMITS)
    assert gauge(few, whole_run=False).faults(RUN) == []
    assert not gauge(few, whole_run=False).judged(RUN)
    assert gauge(enough, whole_run=True).faults(RUN) == []
    assert gauge(enough, whole_run=True).judged(RUN)


def test_a_process_that_is_gone_gives_no_samples() -> None:
    gone = Gauge("node 0", 2**22 + 1, Path("/nowhere"), 0.0, whole_run=True)
    for number in range(100):
        gone.sample(RUN / 2 + number)
    assert len(gone.faults(RUN)) == len(LIMITS)


def test_samples_of_one_moment_are_no_slope() -> None:
    assert Series([(5.0, 1.0)] * 20).per_hour(0) is None
    assert not Series([(5.0, 1.0)] * 20).grows(0, Limit(0, 0))


def test_descriptors_are_given_back() -> None:
    assert settled(20 + OPEN_FILES + SLACK, 20)
    assert not settled(21 + OPEN_FILES + SLACK, 20)


def well() -> Tally:
    tally = Tally()
    for kind in ("publish", "search", "fetch"):
        tally.succeeded(kind, 40)
    return tally


def test_all_well_is_no_fault() -> None:
    assert well().faults() == []


def test_a_soak_in_which_nothing_succeeded_is_not_well() -> None:
    assert len(Tally().faults()) == 3
    tally = Tally()
    for kind in ("publish", "search"):
        tally.succeeded(kind, LEAST_ASKED)
    assert [fault for fault in tally.faults() if "fetch" in fault] == tally.faults() != []


def test_one_failure_that_nothing_explains_is_a_fault() -> None:
    tally = well()
    tally.failed("fetch", "thing1: no provider", None)
    assert tally.faults() == ["fetch failed and nothing explains it: thing1: no provider"]


def test_a_few_failures_may_be_explained_and_are_counted() -> None:
    tally = well()
    for _ in range(4):
        tally.failed("fetch", "thing1: no provider", "killed")
    assert tally.faults() == []
    assert tally.report()["fetch"] == {"succeeded": 40, "explained": {"killed": 4}}
    tally.failed("fetch", "thing1: no provider", "frozen")
    assert len(tally.faults()) == 1, "5 of 45 are too many for chance"
