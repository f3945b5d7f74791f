"""A frame that was begun goes on, or its connection ends; between frames silence is allowed. In virtual time."""

from __future__ import annotations

from dhtshare.transfer.floor import FLOOR_RATE, FLOOR_SECONDS
from dhtshare.transfer.half_frame import STANDSTILL_SECONDS, HalfFrame


def ends_at(half: HalfFrame, since: float, *, until: float = 1000.0, capped: bool = False) -> float | None:
    """When the sweep of every second finds it standing still, if nothing more comes."""
    now = since
    while now < until:
        now += 1.0
        if half.stands_still(now, capped=capped):
            return now
    return None


def trickle(half: HalfFrame, rate: int, *, seconds: int, capped: bool = False) -> int | None:
    """In which second a frame that comes at this rate is found to stand still."""
    half.came(5, 0.0, begun=True, anew=False)
    for second in range(1, seconds):
        half.came(rate, float(second), begun=True, anew=False)
        if half.stands_still(float(second), capped=capped):
            return second
    return None


def test_between_frames_silence_is_allowed() -> None:
    half = HalfFrame()
    assert ends_at(half, 0.0) is None
    half.came(100, 5.0, begun=False, anew=True)
    assert ends_at(half, 5.0) is None


def test_half_a_frame_and_no_more_is_found_within_ten_seconds() -> None:
    half = HalfFrame()
    half.came(4, 100.0, begun=True, anew=False)
    found = ends_at(half, 100.5)
    assert found is not None
    assert STANDSTILL_SECONDS < found - 100.0 <= 10.0


def test_a_frame_that_ends_and_another_that_begins_in_one_read() -> None:
    half = HalfFrame()
    half.came(4, 0.0, begun=True, anew=False)
    half.came(900, 8.0, begun=True, anew=True)
    assert ends_at(half, 8.0) == 18.0
    half.came(900, 18.0, begun=False, anew=True)
    assert ends_at(half, 18.0) is None


def test_a_slow_line_that_moves_bytes_stays() -> None:
    assert trickle(HalfFrame(), FLOOR_RATE + 100, seconds=250) is None


def test_a_trickle_ends() -> None:
    assert trickle(HalfFrame(), FLOOR_RATE - 1, seconds=250) == FLOOR_SECONDS


def test_a_frame_that_slows_down_to_a_trickle_ends_a_window_later() -> None:
    half = HalfFrame()
    half.came(900_000, 0.0, begun=True, anew=False)
    for second in range(1, 100):
        half.came(1, float(second), begun=True, anew=False)
        if half.stands_still(float(second), capped=False):
            break
    assert second <= 2 * FLOOR_SECONDS


def test_who_is_held_back_by_our_own_cap_only_has_to_move() -> None:
    half = HalfFrame()
    assert trickle(half, 1, seconds=250, capped=True) is None
    assert not half.stands_still(250.0, capped=False), "the cap was taken off a moment ago"
    half.resumed(300.0)
    assert ends_at(half, 300.0, capped=True) == 310.0


def test_what_came_unwatched_is_no_trickle() -> None:
    """Threads received megabytes meanwhile, of which only the last read is told."""
    half = HalfFrame()
    half.came(10, 0.0, begun=True, anew=False)
    half.came(10, 60.0, begun=True, anew=True)
    assert not half.stands_still(60.5, capped=False)
