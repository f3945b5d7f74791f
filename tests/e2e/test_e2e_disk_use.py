"""An unfinished fetch takes no more disk than what it has verified, and a little. Figures: `scripts/bench disk-use`."""

from __future__ import annotations

import sys

import pytest

from scripts.benchmarks.library.disk_use import GOAL_CHUNKS, sample
from tests.processes import Network


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see that a process stands still")
def test_a_fetch_takes_little_more_disk_than_it_has_verified(network: Network) -> None:
    beyond = sample(network, 64)
    assert len(beyond) >= 5
    assert max(beyond) <= GOAL_CHUNKS
