"""Commands where no node runs in the home: they join by themselves, work offline, or say that a node is needed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeFile
from tests.processes import Home, Network, Node

NOWHERE = "127.0.0.1:9"  # the discard port: nobody answers


@pytest.fixture
def home(nodes: list[Node], shared_network: Network) -> Home:
    """A home in which no node runs, in a network that does."""
    return shared_network.home()


def test_publish_shares_until_ctrl_c(
    nodes: list[Node], home: Home, shared_network: Network, make_file: MakeFile
) -> None:
    path = make_file("solo performance.txt")
    running = home.start("publish", *shared_network.join(), path)
    published = running.wait_for(lambda line: "hash" in line and "event" not in line)
    assert published["receipt"]["acks"] >= 1
    [hit] = nodes[2].run("search", "solo", "performance").result["results"]
    assert hit["hash"] == published["hash"]
    fetched = nodes[2].run("fetch", hit["hash"], "-o", "solo").result
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
    running.signal(signal.SIGINT)
    done = running.finish()
    assert done.code == 0
    assert done.result["hash"] == published["hash"], "the last line is the result"


def test_other_commands_talk_to_a_seeding_publish(
    nodes: list[Node], home: Home, shared_network: Network, make_file: MakeFile
) -> None:
    running = home.start("publish", *shared_network.join(), make_file("talkative.txt"))
    running.wait_for(lambda line: "hash" in line)
    home.run("status")
    home.run("stop")
    assert running.finish().code == 0


def test_search_and_fetch_join_as_clients(
    nodes: list[Node], home: Home, shared_network: Network, make_file: MakeFile
) -> None:
    path = make_file("visiting crane.txt")
    nodes[1].run("publish", path)
    found = home.run("search", *shared_network.join(), "crane").result
    assert [hit["name"] for hit in found["results"]] == [path.name]
    fetched = home.run("fetch", *shared_network.join(), 1).result
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
    [hit] = nodes[2].run("search", "crane").result["results"]
    assert hit["providers"] == 1, "a fetch without a running node announces nothing"


def test_the_library_is_read_offline(home: Home, shared_network: Network, make_file: MakeFile) -> None:
    path = make_file("offline.txt")
    running = home.start("publish", *shared_network.join(), path)
    published = running.wait_for(lambda line: "hash" in line)
    running.stop()
    [item] = home.run("list").result["items"]
    assert (item["hash"], item["name"], item["path"]) == (published["hash"], path.name, str(path))
    home.run("verify")
    assert home.run("info", path).result["hash"] == published["hash"]


@pytest.mark.parametrize("command", [["status"], ["peers"], ["limit", "--max-upload", "1M"], ["stop"]])
def test_what_needs_a_running_node_says_so(home: Home, command: list[str]) -> None:
    failed = home.run(*command, code=10)
    assert failed.result["error"]["code"] == 10
    assert "dhtshare node" in failed.result["error"]["message"] or command == ["stop"]


@pytest.mark.parametrize("command", [["search", "word"], ["fetch", "0" * 64, "--timeout", "3"]])
def test_nobody_to_join_is_a_network_error(home: Home, command: list[str]) -> None:
    failed = home.run(*command, "--no-lan", "--bootstrap", NOWHERE, code=5, timeout=30)
    assert failed.result["error"]["code"] == 5
    assert "Traceback" not in failed.stderr


def test_a_bootstrap_file_is_read(nodes: list[Node], home: Home, make_file: MakeFile, tmp_path: Path) -> None:
    nodes[1].run("publish", make_file("listed ibis.txt"))
    (tmp_path / "nodes.txt").write_text(f"# mine\n\n{NOWHERE}  # gone\n{nodes[0].address}\n")
    found = home.run("search", "--no-lan", "--bootstrap-file", tmp_path / "nodes.txt", "ibis").result
    assert len(found["results"]) == 1


def test_fetch_with_seed_stays_a_seed(
    nodes: list[Node], home: Home, shared_network: Network, make_file: MakeFile
) -> None:
    published = nodes[1].run("publish", make_file("staying stork.txt")).result
    running = home.start("fetch", *shared_network.join(), "--seed", published["hash"])
    fetched = running.wait_for(lambda line: "path" in line and "event" not in line)
    assert Path(fetched["path"]).exists()
    [hit] = nodes[2].run("search", "stork").result["results"]
    assert hit["providers"] == 2
    assert running.stop().code == 0
