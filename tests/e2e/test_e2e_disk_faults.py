"""One system call of a real process fails. All of them, one after another, by `scripts/disk-faults`."""

from __future__ import annotations

import shutil

import pytest

from scripts.disk_faults import MOST_CHUNKS_AGAIN, disk_faults


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("call", ["fsync", "pwrite64"])
def test_a_call_that_fails_once_is_told_and_costs_little(call: str) -> None:
    report = disk_faults(seed=1, most=1, calls=(call,))
    fetch, publish = report["fetch"], report["publish"]
    assert fetch["wrong"] + publish["wrong"] == []
    assert fetch["faults"] + publish["faults"] > 0, "nothing was injected"
    assert fetch["chunks_again"] <= MOST_CHUNKS_AGAIN
