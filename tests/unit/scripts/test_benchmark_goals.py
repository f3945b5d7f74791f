"""What makes a benchmark end with 1."""

from __future__ import annotations

from scripts.benchmarks.goals import at_least, at_most, missed


def test_a_goal_is_met_at_its_figure_and_missed_beyond_or_unmeasured() -> None:
    assert at_least(2.5, 2.5)["met"] and not at_least(2.49, 2.5)["met"] and not at_least(None, 2.5)["met"]
    assert at_most(20.0, 20)["met"] and not at_most(20.1, 20)["met"] and not at_most(None, 20)["met"]


def test_missed_goals_are_found_wherever_they_stand_and_named() -> None:
    result = {"rows": {"tmpfs": {"ratio": at_least(1, 2), "cpu": at_most(1, 2)}}, "runs": [at_most(3, 2), 7], "x": 1.0}
    assert missed(result) == ["rows.tmpfs.ratio", "runs.0"]
    assert missed({"ratio": at_least(3, 2)}) == []
