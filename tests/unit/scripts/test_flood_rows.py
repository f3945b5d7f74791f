"""What `scripts/bench flood` calls met: a flood that was not sent is no flood that was borne."""

from __future__ import annotations

from scripts.benchmarks.datagrams.flood import judged
from scripts.benchmarks.goals import missed

QUICK = {"answered": 1.0, "p95_ms": 3.0}


def test_a_row_is_met_by_honest_pings_under_the_whole_flood() -> None:
    row = judged(5_000, QUICK, 4_900.0)
    assert row["valid"]
    assert missed(row) == []


def test_a_flood_that_was_not_sent_makes_its_row_void() -> None:
    row = judged(20_000, QUICK, 18_900.0)
    assert not row["valid"]
    assert missed(row) == ["garbage_per_second"]


def test_late_and_lost_pings_miss_their_goals() -> None:
    assert missed(judged(5_000, {"answered": 0.98, "p95_ms": 101.0}, 5_000.0)) == ["answered", "p95_ms"]
    assert missed(judged(20_000, {"answered": 0.9, "p95_ms": 800.0}, 20_000.0)) == []
