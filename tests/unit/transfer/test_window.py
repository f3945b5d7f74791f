"""A window fits the line: one chunk of trust at first, then rate × delay, and never its own queue."""

from __future__ import annotations

import math

import pytest

from dhtshare.transfer.messages import MAX_PAYLOAD_BYTES
from dhtshare.transfer.window import FIRST_PART, LEAST_PART, MOST_BYTES, PART_SECONDS, REMEMBER_SECONDS, Window

CHUNK = 1 << 20


def run_line(window: Window, rate: float, delay: float, seconds: float) -> None:
    """Peer at the end of a line of `rate` bytes a second and `delay`; answers in order, asked as by the pipeline."""
    asked: list[float] = []
    now = free_at = 0.0
    in_flight = 0
    while now < seconds:
        if in_flight <= window.size - window.batch:
            while in_flight < window.size:
                asked.append(now)
                in_flight += CHUNK
        sent = asked.pop(0)
        begins = max(free_at, sent + delay)
        window.answered(begins - sent)
        free_at = now = begins + CHUNK / rate
        window.received(CHUNK, now)
        window.verified()
        in_flight -= CHUNK


def test_one_chunk_until_one_was_right() -> None:
    window = Window(CHUNK)
    assert window.size == CHUNK
    window.answered(0.001)
    for tick in range(1, 20):
        window.received(CHUNK, tick * 0.001)
    assert window.size == CHUNK
    window.verified()
    assert window.proven
    assert window.size > CHUNK


@pytest.mark.parametrize(
    ("rate", "delay"),
    [
        (100e6, 0.020),  # 2 MB on the line
        (1e9, 0.005),  # 5 MB
        (12.5e6, 0.100),  # 1.25 MB
        (50e6, 0.100),  # 5 MB
        (50e6, 0.300),  # 15 MB: a satellite
        (150e6, 0.100),  # 15 MB, where requests go out together
    ],
)
def test_it_grows_to_what_the_line_holds(rate: float, delay: float) -> None:
    window = Window(CHUNK)
    run_line(window, rate, delay, 5.0)
    assert window.rate == pytest.approx(rate, rel=0.15)
    assert rate * delay <= window.size <= 4 * rate * delay + 2 * CHUNK + 0.01 * rate


def test_a_long_fast_line_is_filled_within_a_few_round_trips() -> None:
    """What a transfer of a few seconds loses at its start: a satellite's 15 MB after four round trips."""
    window = Window(CHUNK)
    run_line(window, 50e6, 0.3, 1.2)
    assert window.size >= 15e6


def test_requests_that_go_out_together_leave_no_hole_in_the_line() -> None:
    """Half a window refilled at once was two idle halves on a line of 100 ms: the window never grew."""
    for rate, delay in ((50e6, 0.1), (150e6, 0.1), (1e9, 0.005)):
        window = Window(CHUNK)
        run_line(window, rate, delay, 5.0)
        assert window.size - window.batch >= 1.3 * rate * delay


def test_the_first_chunk_of_a_slow_peer_tells_its_rate() -> None:
    slow, fast = Window(CHUNK), Window(CHUNK)
    for window, rate in ((slow, 6.25e6), (fast, 50e6)):
        for part in range(1, 5):
            window.received(CHUNK // 4, part * CHUNK / 4 / rate)
        window.answered(0.1)
        window.idle()
        window.verified()
    assert slow.rate == pytest.approx(6.25e6)
    assert slow.size == CHUNK + slow.part
    assert fast.rate == 0
    assert fast.size == 4 * CHUNK
    assert fast.part == MAX_PAYLOAD_BYTES, "four requests for each chunk cost a fast line 8 ms"


@pytest.mark.parametrize("first", [4096, CHUNK // 4])
def test_a_short_first_chunk_says_little_of_the_line(first: int) -> None:
    """4 KiB within a moment come over a line of a megabit, too."""
    window = Window(CHUNK)
    window.received(first // 2, 1.0)
    window.received(first // 2, 1.03)
    window.idle()
    window.verified()
    assert window.part == FIRST_PART


def test_a_slow_peer_gets_no_deep_queue() -> None:
    window = Window(CHUNK)
    run_line(window, 250e3, 0.05, 60.0)
    assert window.size == CHUNK + LEAST_PART


@pytest.mark.parametrize("rate", [10e3, 1e6, 2.5e6, 12.5e6, 1e9])
def test_a_part_takes_a_moment_and_no_more(rate: float) -> None:
    """What is small waits behind one part: a slow line is asked for short ones, a fast one for whole chunks."""
    window = Window(CHUNK)
    run_line(window, rate, 0.001, 400 * CHUNK / rate)
    assert LEAST_PART <= window.part <= MAX_PAYLOAD_BYTES
    assert window.part & (window.part - 1) == 0
    if window.part > LEAST_PART:
        assert window.part <= rate * PART_SECONDS * 1.15
    if window.part < MAX_PAYLOAD_BYTES:
        assert 2 * window.part >= rate * PART_SECONDS * 0.85


def test_a_queue_does_not_justify_itself() -> None:
    window = Window(CHUNK)
    run_line(window, 10e6, 0.010, 120.0)
    assert window.delay == pytest.approx(0.010)
    assert window.size == CHUNK + window.part


def test_it_is_bounded_whatever_is_measured() -> None:
    window = Window(CHUNK)
    window.verified()
    window.answered(30.0)
    window.received(CHUNK, 0.0)
    for tick in range(1, 50):
        window.received(64 * CHUNK, tick * 0.01)
    assert window.size == MOST_BYTES


def test_what_was_is_forgotten() -> None:
    window = Window(CHUNK)
    window.received(1, 0.0)
    window.received(8 * CHUNK, 0.1)
    fast = window.rate
    window.received(1000, 0.1 + 0.3)
    assert window.rate == fast
    window.received(1000, 0.4 + REMEMBER_SECONDS)
    assert window.rate < fast / 100


def test_a_pause_measures_nothing() -> None:
    window = Window(CHUNK)
    window.received(CHUNK, 0.0)
    window.received(8 * CHUNK, 0.1)
    before = window.rate
    window.idle()
    window.received(CHUNK, 9.0)
    window.received(8 * CHUNK, 9.1)
    assert window.rate == pytest.approx(before, rel=0.01)


def test_an_unknown_rate_expects_nothing() -> None:
    window = Window(CHUNK)
    assert window.expected(CHUNK) == math.inf
    window.received(CHUNK, 0.0)
    window.received(8 * CHUNK, 1.0)
    assert window.expected(8 * CHUNK) == pytest.approx(1.0)


def test_the_least_delay_counts() -> None:
    window = Window(CHUNK)
    assert window.delay == 0.0
    for delay in (0.3, 0.02, 5.0):
        window.answered(delay)
    assert window.delay == 0.02
