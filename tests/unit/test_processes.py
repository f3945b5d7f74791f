"""The tests' own process guard: what outlives a test is found and ended, by its network and no other; none hangs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import MARK, Running, left_behind

SLEEPER = [sys.executable, "-c", "print('up', flush=True); input()"]

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


def _start(network: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        SLEEPER, env={**os.environ, MARK: network}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _close(process: subprocess.Popen[bytes]) -> int:
    process.communicate()
    return process.wait()


def test_a_process_that_outlives_its_network_is_found_and_killed() -> None:
    process = _start("guard-one")
    assert left_behind("guard-one") == [process.pid]
    assert _close(process) == -9
    assert left_behind("guard-one") == []


def test_another_networks_process_is_left_alone() -> None:
    process = _start("guard-two")
    try:
        assert left_behind("guard") == []
    finally:
        assert process.poll() is None
        process.kill()
        _close(process)


def test_a_child_that_holds_the_output_open_is_told_instead_of_waited_for(tmp_path: Path) -> None:
    running = Running(["sh", "-c", 'sleep 60 & echo "{\\"child\\": $!}"'], dict(os.environ), tmp_path)
    child = running.wait_for(lambda line: "child" in line)["child"]
    try:
        with pytest.raises(AssertionError, match="a child goes on"):
            running.finish(timeout=0.2)
    finally:
        os.kill(child, signal.SIGKILL)
    assert running.finish().code == 0
