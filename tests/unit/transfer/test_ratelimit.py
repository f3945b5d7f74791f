"""Caps hold over any interval, debts are paid, and a meter is honest from the first moment."""

from __future__ import annotations

import pytest

from dhtshare.transfer.ratelimit import BURST_SECONDS, MAX_PIECE_BYTES, MIN_BURST_BYTES, Limits, Meter, TokenBucket

MIB = 1 << 20


def drain(bucket: TokenBucket, seconds: float, step: float = 0.001) -> int:
    """Send as much as the bucket lets through, as the senders do: a piece whenever there is no delay."""
    sent, now = 0, 0.0
    while now < seconds:
        if bucket.delay(now) == 0:
            piece = bucket.piece
            bucket.charge(piece, now)
            sent += piece
        now += step
    return sent


@pytest.mark.parametrize("rate", [20_000, 1_000_000, 50 * MIB])
def test_ten_seconds_stay_within_five_percent_of_the_cap(rate: int) -> None:
    assert drain(TokenBucket(rate), 10.0) == pytest.approx(10 * rate, rel=0.05)


def test_no_cap_is_no_delay() -> None:
    bucket = TokenBucket()
    bucket.charge(1 << 40, 0.0)
    assert bucket.delay(0.0) == 0.0
    assert bucket.piece > 1 << 40


def test_what_could_not_wait_is_paid_off_by_what_can() -> None:
    bucket = TokenBucket(MIB)
    bucket.charge(3 * MIB, 0.0)  # datagrams
    delay = bucket.delay(0.0)
    assert delay == pytest.approx(3 - BURST_SECONDS, abs=0.01)
    assert bucket.delay(delay) == pytest.approx(0, abs=1e-6)


def test_savings_are_no_more_than_a_burst() -> None:
    bucket = TokenBucket(MIB)
    assert bucket.delay(0.0) == 0
    bucket.charge(int(2 * BURST_SECONDS * MIB), 1000.0)
    assert bucket.delay(1000.0) > 0


def test_a_new_cap_counts_from_now_on() -> None:
    bucket = TokenBucket(MIB)
    bucket.charge(MIB, 0.0)
    bucket.set_rate(10 * MIB, 0.0)
    assert bucket.rate == 10 * MIB
    assert bucket.delay(0.0) == pytest.approx(0.09, abs=0.01)
    bucket.set_rate(0, 0.0)
    assert bucket.delay(0.0) == 0


def test_a_clock_that_stands_gives_nothing() -> None:
    bucket = TokenBucket(MIB)
    bucket.charge(MIB, 5.0)
    assert bucket.delay(5.0) == bucket.delay(5.0) > 0


def test_pieces_make_a_rate_felt_as_a_rate() -> None:
    assert TokenBucket(1000).piece == MIN_BURST_BYTES
    assert TokenBucket(MIB).piece == MIB // 20
    assert TokenBucket(1000 * MIB).piece == MAX_PIECE_BYTES


def test_the_two_directions_are_apart() -> None:
    limits = Limits(1000, 0)
    assert (limits.upload.rate, limits.download.rate) == (1000, 0)


def test_a_meter_tells_the_rate_soon_and_forgets_it_later() -> None:
    meter = Meter()
    assert meter.rate(0.0) == 0
    for tick in range(100):
        meter.add(10_000, tick / 100)
    assert meter.rate(1.0) == pytest.approx(1_000_000, rel=0.1)
    assert meter.rate(60.0) < 1000
    assert meter.total == 1_000_000


def test_one_burst_is_no_infinite_rate() -> None:
    meter = Meter()
    meter.add(MIB, 5.0)
    assert meter.rate(5.0) <= MIB / 0.049
