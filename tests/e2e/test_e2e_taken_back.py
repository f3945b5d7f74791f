"""A file that is ruined while it is read is offered to nobody any more. Figures: `scripts/bench taken-back`."""

from __future__ import annotations

import pytest

from scripts.benchmarks.library.taken_back import ruin
from tests.processes import Node


@pytest.mark.parametrize("way", ["changed", "cut"])
def test_a_file_that_is_ruined_while_it_is_read_is_taken_back(nodes: list[Node], way: str) -> None:
    ruin(nodes, way, way)
