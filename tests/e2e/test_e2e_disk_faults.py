"""One system call of a real process fails. All of them, one after another, by `scripts/disk-faults`."""

from __future__ import annotations

import shutil

import pytest

from scripts.disk_faults.__main__ import Journal, disk_faults
from scripts.disk_faults.injection import tracing
from tests.processes import Network, eventually, marked

#: One of each kind: what a fetch wrote cannot be made durable, what a node acknowledges neither.
CHOSEN = {
    "fetch here/out/.source.bin.dhtshare-part fsync 1 EIO",
    "node home/catalogue.db-wal fdatasync 2 EIO",
    "node home/shared.jsonl write 1 ENOSPC",
}

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def test_a_call_that_fails_once_is_told_and_costs_little() -> None:
    report = disk_faults(1, Journal(None), wanted=CHOSEN.__contains__)
    fetch, node = report["fetch"], report["node"]
    assert fetch["wrong"] + node["wrong"] == []
    assert (fetch["faults"], node["faults"]) == (1, 2), "all were injected"
    assert fetch["failed"] + node["failed"] > 0
    assert report["ok"], report


def test_a_traced_process_that_is_killed_leaves_nothing(network: Network) -> None:
    home = network.home()
    home.inside = tracing(home.cwd / "trace")
    running = home.start("node", "--host", "127.0.0.1", "--port", 0)
    running.wait_for_event("ready")
    running.kill()
    assert eventually(lambda: not marked(network.name))
