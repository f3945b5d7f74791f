"""One system call of a real process fails. All of them, one after another, by `scripts/disk-faults`."""

from __future__ import annotations

import shutil

import pytest

from scripts.disk_faults.__main__ import Journal, disk_faults
from scripts.disk_faults.injection import tracing
from scripts.disk_faults.stories import STORIES
from tests.processes import Network, eventually, marked

#: Some of each story: what a fetch wrote, or its name, cannot be made durable; what a node acknowledges neither.
CHOSEN = {
    "fetch here/out/.source.bin.dhtshare-part fsync 1 EIO",
    "fetch here/out fsync 1 EIO",
    "collection here/out/.album.dhtshare-part/small2.bin pwrite64 1 ENOSPC",
    "collection here/out/.album.dhtshare-part/deep/large.bin fsync 1 EIO",
    "collection here/out/.album.dhtshare-part renameat 1 EIO",
    "node home/catalogue.db-wal fdatasync 2 EIO",
    "node home/shared.jsonl write 1 ENOSPC",
}

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def test_a_call_that_fails_once_is_told_and_costs_little() -> None:
    report = disk_faults(1, Journal(None), wanted=CHOSEN.__contains__)
    assert [wrong for story in STORIES for wrong in report[story]["wrong"]] == []
    assert sum(report[story]["faults"] for story in STORIES) == len(CHOSEN), "all were injected"
    assert all(report[story]["failed"] > 0 for story in STORIES)
    assert report["ok"], report


def test_a_traced_process_that_is_killed_leaves_nothing(network: Network) -> None:
    home = network.home()
    home.inside = tracing(home.cwd / "trace")
    running = home.start("node", "--host", "127.0.0.1", "--port", 0)
    running.wait_for_event("ready")
    running.kill()
    assert eventually(lambda: not marked(network.name))
