"""The DHT's own code on a virtual network and clock: lookups among dead, lossy and lying nodes. Seeded."""

from __future__ import annotations

import pytest

from dhtshare.dht.lab import run_lab


@pytest.mark.parametrize(
    ("share", "least_success", "first_p95_ms"),
    [
        ({}, 1.0, 230.0),
        ({"dead": 0.3}, 0.99, 1000.0),  # unknown to whoever asks
        ({"loss": 0.1}, 0.99, 600.0),
        ({"liars": 0.1}, 0.99, 1000.0),
    ],
    ids=["honest", "dead", "loss", "liars"],
)
def test_lookups_find_what_is_there(share: dict[str, float], least_success: float, first_p95_ms: float) -> None:
    figures = run_lab(nodes=120, lookups=60, seed=3, **share)
    assert figures["success"] >= least_success
    assert figures["first_ms"]["p95"] <= first_p95_ms  # virtual milliseconds: the same on every machine


def test_a_seed_repeats_its_figures() -> None:
    assert run_lab(nodes=40, lookups=20, seed=5) == run_lab(nodes=40, lookups=20, seed=5)


def test_the_closest_nodes_are_found_all() -> None:
    assert run_lab(nodes=120, lookups=40, seed=4)["recall"] == 1.0
