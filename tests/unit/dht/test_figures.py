"""What many lookups come to."""

from __future__ import annotations

from dhtshare.dht.figures import Figures, percentiles


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles([number / 1000 for number in range(1, 201)]) == {"p50": 100.0, "p95": 190.0, "p99": 198.0}
    assert percentiles([0.25]) == {"p50": 250.0, "p95": 250.0, "p99": 250.0}
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None}


def test_a_summary_counts_what_was_found_among_all() -> None:
    figures = Figures()
    figures.found(0.1, 2, 5)
    figures.done(0.4, 30, 1.0)
    figures.done(0.6, 40, 0.9)
    figures.silent += 1
    summary = figures.summary(nodes=500, seed=7)
    assert summary["success"] == 0.5
    assert (summary["nodes"], summary["seed"], summary["lookups"], summary["silent"]) == (500, 7, 2, 1)
    assert (summary["hops"], summary["requests_to_first"], summary["requests"], summary["recall"]) == (2, 5, 35, 0.95)
    assert summary["first_ms"]["p99"] == 100.0
    assert summary["complete_ms"] == {"p50": 400.0, "p95": 600.0, "p99": 600.0}


def test_nothing_measured_is_said_to_be_nothing() -> None:
    summary = Figures().summary(nodes=2, seed=1)
    assert summary["lookups"] == 0
    assert summary["success"] is summary["hops"] is summary["recall"] is None
