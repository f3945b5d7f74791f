"""Where the work of a command is done: through a running node, here, or through one that has just started."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import dhtshare.cli
from dhtshare.cli import session as session_module
from dhtshare.cli.hurry import first_signal_cancels
from dhtshare.cli.printer import Printer
from dhtshare.config import NodeConfig
from dhtshare.control.protocol import End, Request, Result
from dhtshare.library.home import Home
from tests.unit.cli.cli_fakes import CommandLine, ScriptedNode, clean_environment, running_node


@dataclass
class Here:
    """Stands in for the work done in this process: notes what was asked, ends as told."""

    end: End = field(default_factory=End)
    asked: list[tuple[str, NodeConfig, Request | None]] = field(default_factory=list)

    def run(self, config: NodeConfig, request: Request, printer: Printer, *, stay: bool, verbose: bool) -> End:
        self.asked.append(("stay" if stay else "command", config, request))
        return self.end

    def run_offline(self, config: NodeConfig, request: Request, printer: Printer, *, verbose: bool) -> End:
        self.asked.append(("offline", config, request))
        return self.end

    def run_node(self, config: NodeConfig, printer: Printer, *, verbose: bool, until_eof: bool) -> End:
        self.asked.append(("until eof" if until_eof else "node", config, None))
        return self.end


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    stand_in = Here()
    monkeypatch.setattr(dhtshare.cli, "in_process", stand_in, raising=False)
    return stand_in


@pytest.fixture
def dhtshare_(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    clean_environment(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return CommandLine(tmp_path / "home", capsys)


def how(here: Here) -> tuple[str, NodeConfig, Request | None]:
    [asked] = here.asked
    return asked


JOINING = ["--bootstrap", "a:1", "--bootstrap", "[::1]:2", "--no-lan", "--host", "127.0.0.1", "--max-upload", "1K"]


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (["search", "x"], "command"),
        (["info", "7"], "command"),
        (["fetch", "7"], "command"),
        (["fetch", "7", "--no-seed"], "command"),
        (["fetch", "7", "--seed"], "stay"),
        (["publish", "x"], "stay"),
        (["unpublish", "ab"], "command"),
        (["dht", "lookup", "x"], "command"),
        (["dht", "ping", "a:1"], "command"),
    ],
)
def test_without_a_running_node_a_command_joins_by_itself(
    dhtshare_: CommandLine, here: Here, command: list[str], place: str
) -> None:
    assert dhtshare_(*command, *JOINING).code == 0
    asked, config, _ = how(here)
    assert asked == place
    assert config.client is (place == "command")  # who stays is a node like any other
    assert (config.port, config.lan, config.host, config.max_upload) == (0, False, "127.0.0.1", 1024)
    assert config.bootstrap == ("a:1", "[::1]:2")
    assert config.home == dhtshare_.home


@pytest.mark.parametrize("command", [["list"], ["verify"], ["info", "."]])
def test_some_commands_need_no_network(dhtshare_: CommandLine, here: Here, command: list[str]) -> None:
    assert dhtshare_(*command).code == 0
    assert how(here)[0] == "offline"


def test_a_node_has_the_known_port_and_any_other_option(dhtshare_: CommandLine, here: Here, tmp_path: Path) -> None:
    assert dhtshare_("node", "--reachable", "no", "--share", "x", "--encryption", "never").code == 0
    _, config, _ = how(here)
    assert (config.port, config.reachable, config.encryption, config.client) == (4470, "no", "never", False)
    assert config.share == tmp_path / "x"
    assert config.network == "dhtshare"


def test_a_node_is_told_to_end_with_its_standard_input(dhtshare_: CommandLine, here: Here) -> None:
    assert dhtshare_("node", "--until-eof").code == 0
    assert [place for place, _, _ in here.asked] == ["until eof"]


def test_a_node_takes_any_port_when_told(dhtshare_: CommandLine, here: Here) -> None:
    dhtshare_("node", "--port", "0", "--network", "n")
    _, config, _ = how(here)
    assert (config.port, config.network) == (0, "n")


def test_paths_are_relative_to_the_callers_folder(dhtshare_: CommandLine, here: Here, tmp_path: Path) -> None:
    dhtshare_("publish", "a", "/b", "-k", "one", "--keyword", "two", "--name", "n", "--no-wait")
    _, _, request = how(here)
    assert request is not None
    assert request.args == {
        "paths": [str(tmp_path / "a"), "/b"],
        "keywords": ["one", "two"],
        "name": "n",
        "each": False,
        "wait": False,
    }


def test_a_fetch_lands_relative_to_the_callers_folder(dhtshare_: CommandLine, here: Here, tmp_path: Path) -> None:
    dhtshare_("fetch", "7", "-o", "down")
    _, _, request = how(here)
    assert request is not None
    assert request.args["output"] == str(tmp_path / "down")
    assert request.args.keys().isdisjoint({"seed", "timeout"})  # not given: the node's own defaults hold


def test_the_end_of_the_work_here_is_the_exit_code(dhtshare_: CommandLine, here: Here) -> None:
    here.end = End(5, "Nobody answered.")
    ran = dhtshare_("search", "x", "--json")
    assert (ran.code, ran.last["error"]["code"]) == (5, 5)


def test_a_running_node_is_asked_instead(dhtshare_: CommandLine, here: Here) -> None:
    with running_node(dhtshare_.home, End()) as node:
        dhtshare_("publish", "x", *JOINING)
        dhtshare_("list")
    assert [request.op for request in node.requests] == ["publish", "list"]
    assert here.asked == []


def test_a_node_that_has_just_started_is_waited_for(dhtshare_: CommandLine, here: Here) -> None:
    """The home's lock is taken before the socket listens: a `publish` in between uses that node."""
    here.end = End(11, "Another node runs.")
    dhtshare_.home.mkdir(mode=0o700)
    found: list[ScriptedNode] = []

    with ExitStack() as stack, Home(dhtshare_.home).lock():

        def listen_soon() -> None:
            found.append(stack.enter_context(running_node(dhtshare_.home, Result({"a": 1}), End())))

        timer = threading.Timer(0.1, listen_soon)
        timer.start()
        assert dhtshare_("publish", "x", "--json").last == {"a": 1}
        timer.join()
    assert found[0].requests[0].op == "publish"


def test_a_node_that_never_listens_is_code_11(
    dhtshare_: CommandLine, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "STARTING_SECONDS", 0.05)
    here.end = End(11, "Another node runs.")
    dhtshare_.home.mkdir(mode=0o700)
    with Home(dhtshare_.home).lock():
        assert dhtshare_("publish", "x", "--json").last["error"]["code"] == 11


def test_a_node_that_ended_meanwhile_is_said(dhtshare_: CommandLine, here: Here) -> None:
    here.end = End(11, "Another node runs.")
    dhtshare_.home.mkdir(mode=0o700)
    assert dhtshare_("publish", "x", "--json").last["error"]["code"] == 10


def test_stop_waits_for_process_and_lock(dhtshare_: CommandLine) -> None:
    with running_node(dhtshare_.home, Result({"pid": 2**22 + 1}), End()):  # no such process: beyond pid_max
        ran = dhtshare_("stop", "--json")
    assert ran.code == 0
    assert ran.last["stopped"] is True


def test_stop_says_which_process_does_not_go(dhtshare_: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from dhtshare.cli import running

    monkeypatch.setattr(running, "STOP_SECONDS", 0.05)
    with running_node(dhtshare_.home, Result({"pid": os.getpid()}), End()):
        ran = dhtshare_("stop", "--json")
    assert ran.code == 1
    assert str(os.getpid()) in ran.last["error"]["message"]


def test_a_node_that_refuses_to_stop_is_quoted(dhtshare_: CommandLine) -> None:
    with running_node(dhtshare_.home, End(2, "Another network.")):
        assert dhtshare_("stop").code == 2
    with running_node(dhtshare_.home / "other", End()):
        assert dhtshare_("stop", "--home", str(dhtshare_.home / "other")).code == 1  # it did not say who it is


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def handlers() -> Iterator[dict[int, Any]]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_cancels_and_the_second_leaves(
    calls: list[str], handlers: dict[int, Any], number: signal.Signals
) -> None:
    with first_signal_cancels(lambda: calls.append("cancel"), lambda: calls.append("tidy")):
        signal.raise_signal(number)
        assert calls == ["cancel"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert calls == ["cancel", "tidy"]
