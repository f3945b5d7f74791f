"""The record clock follows the holders only where most of them contradict ours."""

from __future__ import annotations

import pytest

from dhtshare.dht.records.clock import (
    MAX_HOLDERS,
    MIN_HOLDERS,
    SET_SECONDS,
    TOLERANCE,
    RecordClock,
    clock_warning,
)

WALL = 1_800_000_000.0


def hear(made: RecordClock, number: int, offset: float, *, at: float = 0.0, network: str = "holder") -> None:
    made.observe(f"{network} {number}".encode(), WALL + at + offset, WALL + at, at)


def clock(*offsets: float) -> RecordClock:
    made = RecordClock()
    for number, offset in enumerate(offsets):
        hear(made, number, offset)
    return made


@pytest.mark.parametrize(
    ("offsets", "offset"),
    [
        ((), 0.0),
        ((86400.0, 86400.0), 0.0),  # two holders are too few
        ((86400.0, 86400.0, 86400.0), 86400.0),
        ((-86400.0, -86400.0, 5.0), -86400.0),
        ((86400.0, 5.0, -5.0), 0.0),
        ((86400.0, 86400.0, 0.0, 0.0), 0.0),  # half is not most
        ((TOLERANCE, TOLERANCE, TOLERANCE), 0.0),
        ((1e9, -1e9, 0.0), 0.0),  # liars who do not agree
    ],
)
def test_when_the_holders_time_counts(offsets: tuple[float, ...], offset: float) -> None:
    made = clock(*offsets)
    assert made.offset == offset
    assert made.wrong is (offset != 0.0)
    assert made.time(WALL + 50.0, 50.0) == WALL + 50.0 + offset
    assert made.agreed is (len(offsets) >= MIN_HOLDERS)


def test_one_network_has_one_opinion_and_the_latest_counts() -> None:
    made = RecordClock()
    for _ in range(10):
        hear(made, 1, 90_000.0)
    assert not made.wrong
    assert made.opinions == 1
    made = clock(86400.0, 86400.0, 86400.0)
    for number in range(3):
        hear(made, number, 0.0)
    assert not made.wrong


def test_old_opinions_are_forgotten() -> None:
    made = clock(*[86400.0] * 10)
    for number in range(MAX_HOLDERS):
        hear(made, number, 0.0, network="other")
    assert made.offset == 0.0
    assert made.opinions == MAX_HOLDERS


@pytest.mark.parametrize("jump", [86400.0, -86400.0, SET_SECONDS + 1])
def test_what_was_said_of_a_clock_that_was_set_since_counts_no_more(jump: float) -> None:
    """It was ahead, the user set it right: the holders' old opinions would now make it wrong."""
    made = clock(jump, jump, jump)
    assert made.time(WALL + jump + 5.0, 5.0) == WALL + jump + 5.0
    assert (made.opinions, made.times_set) == (0, 1)
    for number in range(3):
        made.observe(b"%d" % number, WALL + jump + 6.0, WALL + jump + 6.0, 6.0)
    assert made.agreed
    assert not made.wrong


def test_a_clock_that_drifts_is_not_one_that_was_set() -> None:
    made = RecordClock()
    for hour in range(100):
        hear(made, hour, 0.0, at=hour * 3600.0)
        made.time(WALL + hour * 3600.0 + 0.5 * SET_SECONDS * (hour % 2), hour * 3600.0)
    assert made.times_set == 0
    assert made.opinions == MAX_HOLDERS


@pytest.mark.parametrize(
    ("offset", "said"), [(86400.0, "24 h behind that"), (-86400.0, "24 h ahead of that"), (3700.0, "1 h behind that")]
)
def test_the_user_is_told_how_far_off_the_clock_is(offset: float, said: str) -> None:
    warning = clock_warning(clock(offset, offset, offset))
    assert warning is not None
    assert said in warning


def test_a_clock_that_is_near_enough_is_not_spoken_of() -> None:
    assert clock_warning(clock(60.0, 60.0, 60.0)) is None
