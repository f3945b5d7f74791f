"""kill -9 at random moments. Two hundred times by `scripts/kill-loop`."""

import random
from pathlib import Path

from scripts.killing import LONGEST_START_SECONDS, MOST_CHUNKS_AGAIN, kill_fetches, kill_publishers
from tests.processes import Network


def test_a_fetch_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        figures = kill_fetches(network, random.Random(5), 4)
    assert (figures["wrong_files"], figures["failed"]) == (0, 0)
    assert figures["while_receiving"] >= 1
    assert figures["chunks_again"] <= MOST_CHUNKS_AGAIN


def test_what_a_killed_publisher_acknowledged_is_there_again(tmp_path: Path) -> None:
    with Network(tmp_path) as network:
        figures = kill_publishers(network, random.Random(6), 4)
    assert (figures["lost"], figures["torn_catalogues"]) == (0, 0)
    assert figures["slowest_start_unqueued_s"] <= LONGEST_START_SECONDS, (
        "what other work of the machine took is not its"
    )
