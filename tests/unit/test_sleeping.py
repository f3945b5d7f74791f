"""How long this machine slept, by two clocks of the system."""

from __future__ import annotations

import time

import pytest

from dhtshare.sleeping import seconds_slept


def test_this_machine_does_not_fall_asleep_during_a_test() -> None:
    before = seconds_slept()
    assert before >= -0.001
    assert seconds_slept() - before < 1.0


@pytest.mark.parametrize(("platform", "clock"), [("linux", "CLOCK_BOOTTIME"), ("darwin", "CLOCK_MONOTONIC")])
def test_it_is_what_the_one_clock_counts_and_the_other_does_not(
    monkeypatch: pytest.MonkeyPatch, platform: str, clock: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr(time, clock, 77, raising=False)
    monkeypatch.setattr(time, "clock_gettime", lambda number: {77: 5000.0}[number])
    monkeypatch.setattr(time, "monotonic", lambda: 1400.0)
    assert seconds_slept() == 3600.0


def test_a_system_that_does_not_tell_has_never_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "other")
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert seconds_slept() == 0.0
