"""The record clock follows the holders only where most of them contradict ours."""

from __future__ import annotations

import pytest

from dhtshare.dht.records.clock import MAX_HOLDERS, TOLERANCE, RecordClock, clock_warning
from dhtshare.network import Address


def clock(*offsets: float) -> RecordClock:
    made = RecordClock()
    for number, offset in enumerate(offsets):
        made.observe(Address(f"10.0.0.{number}", 1), 1000.0 + offset, 1000.0)
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
    assert made.time(50.0) == 50.0 + offset


def test_one_machine_has_one_opinion_and_the_latest_counts() -> None:
    made = RecordClock()
    for port in range(1, 10):
        made.observe(Address("10.0.0.1", port), 90_000.0, 0.0)
    assert not made.wrong
    made = clock(86400.0, 86400.0, 86400.0)
    for number in range(3):
        made.observe(Address(f"10.0.0.{number}", 1), 1000.0, 1000.0)
    assert not made.wrong


def test_old_opinions_are_forgotten() -> None:
    made = clock(*[86400.0] * 10)
    for number in range(MAX_HOLDERS):
        made.observe(Address(f"10.0.1.{number}", 1), 1000.0, 1000.0)
    assert made.offset == 0.0


@pytest.mark.parametrize(
    ("offset", "said"), [(86400.0, "24 h behind that"), (-86400.0, "24 h ahead of that"), (3700.0, "1 h behind that")]
)
def test_the_user_is_told_how_far_off_the_clock_is(offset: float, said: str) -> None:
    warning = clock_warning(clock(offset, offset, offset))
    assert warning is not None
    assert said in warning


def test_a_clock_that_is_near_enough_is_not_spoken_of() -> None:
    assert clock_warning(clock(60.0, 60.0, 60.0)) is None
