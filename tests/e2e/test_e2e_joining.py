"""Joining between real processes: bad lists, dead entries, two nodes, late ones, restarts by saved contacts alone."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeFile
from tests.e2e.test_e2e_bad_input import _sentence
from tests.processes import Home, Network, eventually

STATE = "dht.state"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "nodes.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("good.example:1\nno port\n", "line 2"),
        ("good.example:1\n\n# fine\nhost:0\n", "line 4"),
        ("::1:4470\n", "[address]:port"),
        ("host:99999\n", "line 1"),
        ("two hosts:1 here:2\n", "line 1"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
@pytest.mark.parametrize("command", [("node",), ("search", "word")])
def test_a_malformed_bootstrap_file(
    home: Home, tmp_path: Path, text: str | bytes, says: str, command: tuple[str, ...]
) -> None:
    path = write(tmp_path, text)
    sentence = _sentence(home.run(*command, "--port", 0, "--no-lan", "--bootstrap-file", path, code=2))
    assert str(path) in sentence
    assert says in sentence


def test_a_bootstrap_file_of_a_gigabyte_is_not_read(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "nodes.txt"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    assert "no list of nodes" in _sentence(home.run("node", "--port", 0, "--no-lan", "--bootstrap-file", path, code=2))


def test_a_missing_bootstrap_file(home: Home, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.txt"
    assert str(missing) in _sentence(home.run("search", "word", "--no-lan", "--bootstrap-file", missing, code=2))


@pytest.mark.parametrize("host", ["no.such.machine", "203.0.113.7", "300.1.1.1"])
def test_a_host_that_is_not_this_machine(home: Home, host: str) -> None:
    assert host in _sentence(home.run("node", "--host", host, "--port", 0, "--no-lan", code=2))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_a_port_taken_on_either_protocol(home: Home, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        sentence = _sentence(home.run("node", "--host", "127.0.0.1", "--port", port, "--no-lan", code=2))
        assert str(port) in sentence
        assert "--port 0" in sentence, "what to do about it"
    home.node("--port", port).stop()  # a failed start leaves neither lock nor socket


@contextlib.contextmanager
def silent_entries(count: int) -> Iterator[list[str]]:
    """Entries behind which a socket takes everything and answers nothing."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        yield [f"127.0.0.1:{sock.getsockname()[1]}" for sock in sockets]


def test_nine_silent_entries_and_a_good_one(network: Network, make_file: MakeFile, tmp_path: Path) -> None:
    first = network.node()
    published = first.run("publish", make_file("found all the same.txt")).result
    network.bootstrap = None
    with silent_entries(7) as silent:
        dead = ["127.0.0.1:9", "no-such-name.invalid:4470"]
        path = write(tmp_path, "\n".join([*silent, *dead, first.address]))
        node = network.home().node("--bootstrap-file", path)
        assert node.ready["contacts"] == 1
        found = network.home().run("search", "found", "same", "--no-lan", "--bootstrap-file", path)
        assert [hit["hash"] for hit in found.result["results"]] == [published["hash"]]


def test_a_command_that_reaches_nobody_says_so(home: Home) -> None:
    with silent_entries(3) as silent:
        options = [option for address in silent for option in ("--bootstrap", address)]
        failed = home.run("search", "word", "--no-lan", *options, code=5)
        assert "--bootstrap" in _sentence(failed)


def test_two_that_name_each_other_may_start_in_any_order(network: Network) -> None:
    with socket.socket() as one, socket.socket() as two:
        for sock in (one, two):
            sock.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], two.getsockname()[1]
    first = network.home().node("--port", ports[0], "--bootstrap", f"127.0.0.1:{ports[1]}")
    assert first.ready["contacts"] == 0
    network.home().node("--port", ports[1], "--bootstrap", f"127.0.0.1:{ports[0]}")
    assert eventually(lambda: first.run("status").result["contacts"] == 1)


def test_five_that_start_at_once_know_each_other_soon(network: Network) -> None:
    """Whoever comes first has nobody to name to the others; they ask again after seconds."""
    first = network.node()
    homes = [network.home() for _ in range(4)]
    started = [home.start("node", "--host", "127.0.0.1", "--port", 0, *network.join()) for home in homes]
    for running in started:
        running.wait_for_event("ready")
    assert eventually(lambda: all(home.run("status").result["contacts"] == 4 for home in homes), 60)
    assert first.run("status").result["contacts"] == 4


def test_a_restart_knows_whom_it_knew_and_shows_it(network: Network) -> None:
    """Saved contacts alone: nobody is configured, and the one that was is gone for good."""
    bootstrap, other, node = network.nodes(3)
    assert eventually(lambda: node.run("status").result["contacts"] == 2)
    node.stop()
    state = node.home.path / STATE
    assert state.stat().st_mode & 0o777 == 0o600
    assert b"\x80\x04" not in state.read_bytes()[:2], "no pickle"
    assert [path for path in state.parent.iterdir() if path.name.endswith(".new")] == [], "renamed, nothing left"
    bootstrap.kill()
    network.bootstrap = None
    again = node.home.node()
    [contact] = [c for c in again.run("peers").result["contacts"] if c["address"] == other.address]
    assert contact["failures"] == 0
    assert contact["last_seen"] < 30


@pytest.mark.parametrize(
    "damage", [b"", b"\x80\x04\x95rubbish", b"\xc1" * 100], ids=["empty", "pickle", "no MessagePack"]
)
def test_a_damaged_state_file_is_no_obstacle(network: Network, damage: bytes) -> None:
    network.node()
    node = network.node()
    node.stop()
    (node.home.path / STATE).write_bytes(damage)
    again = node.home.node()
    assert again.ready["contacts"] == 1
    assert "Traceback" not in again.running.errors()


def test_contacts_survive_kill_9_soon_after_the_start(network: Network) -> None:
    _, node = network.nodes(2)
    state = node.home.path / STATE
    assert eventually(state.exists), "kept some seconds after joining, not at the end only"
    node.kill()
    network.bootstrap = None
    assert node.home.node().ready["contacts"] == 1
