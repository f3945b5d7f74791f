"""A peer that takes nothing, or a trickle, holds no place; who is held back by our own cap is not blamed for it."""

from __future__ import annotations

import pytest

from dhtshare.transfer.ratelimit import Meter, TokenBucket
from dhtshare.transfer.uptake import FLOOR_RATE, STUCK_SECONDS, Uptake


def uptake(rate: int = 0) -> tuple[Uptake, Meter, TokenBucket]:
    sent, cap = Meter(), TokenBucket(rate)
    return Uptake(sent, cap, 0.0), sent, cap


def test_what_began_a_moment_ago_is_a_transfer() -> None:
    one, _, _ = uptake()
    one.begins(100.0)
    assert one.runs(100.0 + STUCK_SECONDS - 0.1, 0.0)
    assert not one.runs(100.0 + STUCK_SECONDS, 0.0)


@pytest.mark.parametrize(("rate", "runs"), [(2 * FLOOR_RATE, True), (FLOOR_RATE // 2, False)])
def test_a_trickle_is_none(rate: int, runs: bool) -> None:
    one, sent, _ = uptake()
    one.begins(0.0)
    for second in range(40):
        sent.add(rate, float(second))
    assert one.runs(40.0, 40.0) == runs


def test_under_a_cap_any_byte_counts() -> None:
    one, _, _ = uptake(rate=1)
    one.begins(0.0)
    assert one.runs(100.0, 100.0 - STUCK_SECONDS + 1)
    assert not one.runs(100.0, 100.0 - STUCK_SECONDS - 1)


def test_what_went_out_last_may_still_be_read_for_a_while() -> None:
    one, sent, _ = uptake()
    assert not one.lingers(0.0)
    for second in range(3):
        sent.add(4 << 20, float(second))
    assert one.lingers(2.0)
    assert one.lingers(10.0)
    assert not one.lingers(40.0)


def test_greetings_do_not_linger() -> None:
    one, sent, _ = uptake()
    sent.add(150, 0.0)
    assert not one.lingers(0.0)
    assert not one.lingers(0.5)


def test_unread_is_what_did_not_grow_since_it_was_looked_at() -> None:
    one, _, _ = uptake()
    one.begins(10.0)
    assert not one.unread(3.0, 500, 10.0)
    assert not one.unread(3.0, 500, 13.0)
    assert one.unread(3.0, 500, 13.1)
    assert not one.unread(3.0, 501, 13.2)
    assert one.unread(3.0, 501, 16.3)
    one.begins(20.0)
    assert not one.unread(3.0, 501, 22.0), "nothing was under way meanwhile"
    assert one.unread(3.0, 501, 23.1)


def test_what_we_hold_back_ourselves_is_not_unread() -> None:
    one, _, cap = uptake(rate=1000)
    one.begins(0.0)
    cap.charge(100_000, 0.0)
    assert not one.unread(3.0, 0, 10.0)
    assert one.unread(3.0, 0, 200.0)
