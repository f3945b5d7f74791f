"""The DHT's own code on a virtual network and clock: lookups among dead, lossy and lying nodes. Seeded."""

from __future__ import annotations

import pytest

from dhtshare.dht import lab
from dhtshare.dht.lab import Trouble, run_lab


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
    figures = run_lab(nodes=80, lookups=40, seed=3, trouble=Trouble(**share))
    assert figures["success"] >= least_success
    assert figures["first_ms"]["p95"] <= first_p95_ms  # virtual milliseconds: the same on every machine


def test_a_key_crowded_from_many_networks_is_found_or_said_to_be_suspicious(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "LARGEST_JOINED", 0)  # tables as after hours
    monkeypatch.setattr(lab, "AIMED_KEYS", 1)
    trouble = Trouble(hostile=20, networks=20)
    figures = run_lab(nodes=120, lookups=8, seed=2, trouble=trouble)
    assert figures["silent"] == 0
    assert figures["suspicious"] >= 4


def test_a_crowd_from_two_networks_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "LARGEST_JOINED", 0)
    monkeypatch.setattr(lab, "AIMED_KEYS", 1)
    figures = run_lab(nodes=120, lookups=8, seed=2, trouble=Trouble(hostile=20, networks=2))
    assert figures["success"] == 1.0


def test_lost_datagrams_throw_nobody_out() -> None:
    assert run_lab(nodes=50, lookups=40, seed=6, trouble=Trouble(loss=0.1))["evicted_live"] == 0


def test_progress_goes_from_nothing_to_all_and_never_back() -> None:
    shares: list[float] = []
    run_lab(nodes=20, lookups=10, seed=7, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] == 1.0


def test_a_seed_repeats_its_figures() -> None:
    assert run_lab(nodes=40, lookups=20, seed=5) == run_lab(nodes=40, lookups=20, seed=5)


def test_the_closest_nodes_are_found_all() -> None:
    assert run_lab(nodes=80, lookups=30, seed=4)["recall"] == 1.0
