"""The processes of a demo, with a stand-in for dhtshare: what they say is read, and all of them end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dhtshare.cli.demo import processes
from dhtshare.cli.demo.processes import DemoNetwork
from dhtshare.errors import AlreadyRunningError, IntegrityError, NetworkError

READY = 'import time; print(\'{"event":"ready","address":"127.0.0.1:7"}\', flush=True); time.sleep(600)'
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY


class StandIn(DemoNetwork):
    """A network whose program is a line of Python."""

    program = READY

    def _command(self, home: Path, *arguments: str) -> list[str]:
        return [sys.executable, "-c", self.program, *arguments]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[StandIn]:
    network = StandIn(tmp_path, "demo-test")
    yield network
    network.kill()
    network.stop()


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_node_is_ready_when_it_says_so(network: StandIn) -> None:
    node = network.start_node("one")
    node.wait_until_ready()
    assert node.address == "127.0.0.1:7"
    assert network.nodes == [node]


def test_a_stopped_network_has_no_process_left(network: StandIn) -> None:
    nodes = [network.start_node(name) for name in ("one", "two")]
    for node in nodes:
        node.wait_until_ready()
    network.stop()
    assert all(_is_gone(node.process.pid) for node in nodes)
    network.stop()  # may be called twice


def test_a_deaf_node_is_killed(network: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.05)
    network.program = DEAF
    node = network.start_node("deaf")
    node.wait_until_ready()
    network.stop()
    assert _is_gone(node.process.pid)


def test_a_node_that_ends_is_reported_in_its_own_words(network: StandIn) -> None:
    network.program = 'print(\'{"error":{"code":11,"message":"somebody is here"}}\'); raise SystemExit(11)'
    with pytest.raises(AlreadyRunningError, match="node one: somebody is here"):
        network.start_node("one").wait_until_ready()


def test_a_node_that_says_nothing_is_not_waited_for_forever(network: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "READY_SECONDS", 0.05)
    network.program = "import time; time.sleep(600)"
    with pytest.raises(NetworkError, match="one was not ready"):
        network.start_node("one").wait_until_ready()


def test_events_go_by_and_results_are_kept(network: StandIn) -> None:
    node = network.start_node("one")
    network.program = 'print(\'{"event":"e","done":1}\\n{"a":1}\\n{"event":"f"}\\n{"a":2}\')'
    seen: list[object] = []
    assert network.ask(node, "fetch", on_event=seen.append).results() == [{"a": 1}, {"a": 2}]
    assert seen == [{"event": "e", "done": 1}, {"event": "f"}]
    assert network.ask(node, "fetch").result() == {"a": 2}


def test_a_failed_command_raises_its_own_error(network: StandIn) -> None:
    node = network.start_node("one")
    network.program = 'print(\'{"error":{"code":6,"message":"wrong bytes"}}\'); raise SystemExit(6)'
    with pytest.raises(IntegrityError, match="failed at fetch: wrong bytes"):
        network.ask(node, "fetch").results()


def test_a_command_that_failed_in_silence_is_told_by_its_last_words(network: StandIn) -> None:
    node = network.start_node("one")
    network.program = "raise SystemExit('out of luck')"
    with pytest.raises(Exception, match="out of luck"):
        network.ask(node, "fetch").results()


def test_children_see_nothing_of_the_callers_settings(network: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DHTSHARE_HOME", "/precious")
    monkeypatch.setenv("DHTSHARE_BOOTSTRAP", "example.org:1")
    node = network.start_node("one")
    network.program = (
        "import os, json; print(json.dumps({'mine': sorted(n for n in os.environ if n.startswith('DHTSHARE_'))}))"
    )
    assert network.ask(node, "status").result() == {"mine": []}


def test_children_run_this_checkouts_code(network: StandIn) -> None:
    import dhtshare

    node = network.start_node("one")
    network.program = "import dhtshare, json; print(json.dumps({'file': dhtshare.__file__}))"
    assert network.ask(node, "status").result() == {"file": dhtshare.__file__}


def test_the_command_line_is_the_contracts(tmp_path: Path) -> None:
    command = DemoNetwork(tmp_path, "demo-x")._command(Path("/h"), "search", "word")
    assert command == [
        *(sys.executable, "-P", "-m", "dhtshare"),
        *("--json", "--home", "/h", "--network", "demo-x", "search", "word"),
    ]
