"""The program as a process: signals, the second of them, the lock, `stop`, and which line is the last."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SECONDS = 30


class Process:
    """One command line over the stand-in node, its JSON lines read as they come."""

    def __init__(self, home: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.unit.cli.process_fakes", "--home", str(home), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DHTSHARE_")}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)
        self.seen: list[dict[str, Any]] = []

    def until(self, event: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(json.loads(line))
            if self.seen[-1].get("event") == event:
                return self.seen[-1]
        raise AssertionError(f"no {event}: {self.seen}, {self.process.communicate()[1]}")

    def result(self) -> dict[str, Any]:
        """The next line that is no event."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(json.loads(line))
            if "event" not in self.seen[-1]:
                return self.seen[-1]
        raise AssertionError(f"no result: {self.seen}, {self.process.communicate()[1]}")

    def end(self) -> int:
        out, self.errors = self.process.communicate(timeout=SECONDS)
        self.seen += map(json.loads, out.splitlines())
        return self.process.returncode


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def begin(*arguments: str) -> Process:
        started.append(Process(tmp_path / "home", *arguments))
        return started[-1]

    yield begin
    for process in started:
        process.process.kill()
        process.process.communicate()


SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_node_ends_well_on_the_first_signal(start: Start, number: signal.Signals) -> None:
    node = start("node", "--json")
    assert node.until("ready") == node.seen[0]
    node.process.send_signal(number)
    assert node.end() == 0
    assert node.errors == ""


@pytest.mark.parametrize("number", SIGNALS)
def test_work_that_is_cut_off_is_130_and_says_so_last(start: Start, number: signal.Signals) -> None:
    command = start("search", "wait", "--json")
    command.until("searching")
    command.process.send_signal(number)
    assert command.end() == 130
    assert [line.get("event") for line in command.seen[:2]] == ["searching", "cancelled"]
    assert command.seen[-1]["error"]["code"] == 130


def test_the_second_signal_does_not_wait(start: Start) -> None:
    command = start("search", "stubborn", "--json")
    command.until("searching")
    command.process.send_signal(signal.SIGINT)
    command.until("cancelled")
    command.process.send_signal(signal.SIGINT)
    assert command.end() == 130


def test_work_through_a_running_node_is_cut_off_the_same_way(start: Start) -> None:
    node = start("node", "--json")
    node.until("ready")
    command = start("search", "wait", "--json")
    command.until("searching")
    command.process.send_signal(signal.SIGINT)
    assert command.end() == 130
    assert [line.get("event") for line in command.seen[:2]] == ["searching", "cancelled"]
    assert command.seen[-1]["error"]["code"] == 130
    assert node.process.poll() is None


def test_the_second_signal_leaves_a_node_that_does_not_let_go(start: Start) -> None:
    node = start("node", "--json")
    node.until("ready")
    command = start("search", "stubborn", "--json")
    command.until("searching")
    command.process.send_signal(signal.SIGINT)
    command.until("cancelled")
    command.process.send_signal(signal.SIGINT)
    assert command.end() == 130


def test_a_killed_command_cancels_its_work(start: Start) -> None:
    node = start("node", "--json")
    node.until("ready")
    command = start("search", "wait", "--json")
    command.until("searching")
    command.process.kill()
    command.end()
    assert start("search", "quick", "--json").end() == 0
    node.process.send_signal(signal.SIGTERM)
    assert node.end() == 0


def test_publish_alone_tells_its_result_seeds_and_ends_well(start: Start) -> None:
    alone = start("publish", "a", "--json")
    assert alone.result() == {"hash": "ab", "path": str(ROOT / "a"), "client": False}
    other = start("status", "--json")  # it is a node like any other meanwhile
    assert other.end() == 0
    alone.process.send_signal(signal.SIGINT)
    assert alone.end() == 0
    assert "event" not in alone.seen[-1], "the result stays the last line"


def test_publish_through_a_node_returns(start: Start) -> None:
    start("node", "--json").until("ready")
    command = start("publish", "a", "b", "--json")
    assert command.end() == 0
    assert [line["path"] for line in command.seen] == [str(ROOT / "a"), str(ROOT / "b")]


def test_stop_returns_when_process_and_lock_are_gone(start: Start) -> None:
    node = start("node", "--json")
    node.until("ready")
    stop = start("stop", "--json")
    assert stop.end() == 0
    assert stop.seen[-1]["pid"] == node.process.pid
    assert node.process.poll() == 0 or node.process.wait(0.5) == 0  # ended already: nothing is left to wait for
    again = start("node", "--json")
    again.until("ready")
    assert start("stop", "--json").end() == 0


def test_stop_cuts_off_what_runs_through_the_node(start: Start) -> None:
    start("node", "--json").until("ready")
    command = start("search", "wait", "--json")
    command.until("searching")
    assert start("stop", "--json").end() == 0
    assert command.end() == 130
    assert command.seen[-1]["error"]["code"] == 130


def test_a_second_node_in_one_home_is_refused(start: Start) -> None:
    node = start("node", "--json")
    node.until("ready")
    second = start("node", "--json")
    assert second.end() == 11
    assert second.seen[-1]["error"]["code"] == 11
    assert str(node.process.pid) in second.errors


def test_a_killed_node_leaves_nothing_in_the_way(start: Start) -> None:
    node = start("node", "--json")
    node.until("ready")
    node.process.kill()
    node.process.wait()
    assert start("status").end() == 10
    start("node", "--json").until("ready")


def test_a_home_too_long_for_a_socket_path(tmp_path: Path, start: Start) -> None:
    home = str(tmp_path / ("long" * 40))
    start("node", "--json", "--home", home).until("ready")
    status = start("status", "--json", "--home", home)
    assert status.end() == 0
    assert status.seen[-1] == {"home": home}
    assert start("stop", "--json", "--home", home).end() == 0


def test_another_network_in_this_home_is_refused(start: Start) -> None:
    start("node", "--json", "--network", "one").until("ready")
    assert start("search", "quick", "--json", "--network", "two").end() == 2
    assert start("search", "quick", "--json").end() == 0


@pytest.mark.parametrize("running", [False, True])
def test_a_bug_is_a_sentence_and_with_v_a_traceback(start: Start, running: bool) -> None:
    if running:
        start("node", "--json").until("ready")
    quiet = start("search", "bug", "--json")
    assert quiet.end() == 1
    assert "ZeroDivisionError" in quiet.seen[-1]["error"]["message"]
    assert "Traceback" not in quiet.errors
    told = start("search", "bug", "--json", "-v")
    assert told.end() == 1
    assert "Traceback" in told.errors


def test_an_unwritable_home_is_a_disk_error(tmp_path: Path, start: Start) -> None:
    (tmp_path / "file").write_text("")
    for arguments in (["node"], ["search", "quick"], ["publish", "x"]):
        command = start(*arguments, "--json", "--home", str(tmp_path / "file" / "home"))
        assert command.end() == 7
        assert command.seen[-1]["error"]["code"] == 7
