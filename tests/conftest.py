"""Fixtures shared by all tests: a temporary dhtshare network of real processes, and the tests' ground rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.processes import Home, Network, left_behind

# Two cores are shared by several workers: a deadline per example would measure the machine, not the code.
settings.register_profile("dhtshare", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dhtshare")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file of end-to-end tests shares one running network, so one worker runs all of it."""
    for item in items:
        if {"e2e", "hostile"} & set(item.path.parts):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """A network of its own, no node running yet; what is started is stopped, and nothing may stay behind."""
    with Network(tmp_path) as started:
        yield started
    assert not left_behind(started.name), "processes outlived the test"


@pytest.fixture(scope="module")
def shared_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Like `network`, for all tests of a file: they must not disturb one another."""
    with Network(tmp_path_factory.mktemp("network")) as started:
        yield started
    assert not left_behind(started.name), "processes outlived the tests of the file"


@pytest.fixture
def home(network: Network) -> Home:
    """A home in which no node runs."""
    return network.home()
