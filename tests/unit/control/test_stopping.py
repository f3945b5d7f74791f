"""Waiting for a process that is no child of ours, or one whose parent has not asked yet."""

import os
import subprocess
import sys

import pytest

from dhtshare.control import stopping
from dhtshare.control.stopping import wait_for_exit, wait_until

SLEEPER = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def test_a_process_that_ends_is_waited_for() -> None:
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE) as process:
        assert not wait_for_exit(process.pid, 0)
        assert process.stdin is not None
        process.stdin.close()
        if hasattr(os, "pidfd_open"):
            assert wait_for_exit(process.pid, 30)  # a zombie by then: nobody has asked how it ended


def test_a_process_that_is_gone_needs_no_waiting() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert wait_for_exit(process.pid, 0)


def test_where_the_kernel_has_no_descriptors_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert not wait_for_exit(os.getpid(), 0)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert wait_for_exit(process.pid, 5)


def test_another_users_process_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert stopping._is_alive(1)


def test_waiting_ends_with_the_condition_or_the_time() -> None:
    looks = iter([False, False, True])
    assert wait_until(lambda: next(looks), 30)
    assert not wait_until(lambda: False, 0.05)
