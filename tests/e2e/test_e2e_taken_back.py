"""A file that is ruined while it is read is offered to nobody any more. Figures: `scripts/bench taken-back`."""

from __future__ import annotations

import pytest

from scripts.benchmarks.library.taken_back import GOAL_SECONDS, WAYS, ruin
from tests.processes import Node


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_is_ruined_while_it_is_read_is_taken_back(nodes: list[Node], way: str) -> None:
    """Seconds count from the ruin, a little before the first read that fails."""
    seen = ruin(nodes, way, way)
    assert seen["seconds"] <= GOAL_SECONDS
    assert seen["chunks"] >= 1, "it was being read"
    assert seen["wrong_chunks"] == 0
    assert seen["not_told"] == 0
