"""Few descriptors, little address space, a clock that jumps: a node degrades, says so, and does not exit."""

from __future__ import annotations

import os
import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeFile
from tests.processes import Network, Node, eventually

MIB = 1 << 20
DAY = 86_400
JUMPING_CLOCK = Path(__file__).parent / "jumping_clock"


def _limited(network: Network, limit: str) -> Node:
    """A node under one `ulimit`."""
    return network.home(("sh", "-c", f'ulimit {limit} && exec "$@"', "sh")).node("--host", "127.0.0.1", "--port", 0)


def test_a_node_of_64_descriptors(network: Network, make_file: MakeFile, tmp_path: Path) -> None:
    """It serves a folder of more files than it may open, and outlives more connections than it may take."""
    node = _limited(network, "-n 64")
    network.bootstrap = node.address
    reader = network.node()
    for number in range(100):
        path = make_file(f"many/{number:03}.bin", 10_000)
    whole = node.run("publish", path.parent).result
    done = reader.run("fetch", whole["hash"], "-o", tmp_path / "out").result
    assert done["downloaded"] == 1_000_000
    host, _, port = node.address.rpartition(":")
    with ExitStack() as crowd:
        for _ in range(100):
            crowd.enter_context(socket.create_connection((host, int(port)), timeout=10))
        assert node.running.process.poll() is None
        assert reader.run("status").result["contacts"] >= 1
    assert eventually(lambda: node.run("status", code=None).code == 0), "it listens again when they are gone"
    status = node.run("status").result
    assert status["refused"]["descriptors"] > 0
    assert [text for text in status["warnings"] if "No file descriptor is free" in text]
    assert "No file descriptor is free" in node.run("status", json_output=False).stdout
    assert 1 <= node.running.errors().count("No file descriptor is free") <= 1 + status["uptime"] // 60
    taken = node.run("fetch", reader.run("publish", make_file("big.bin", 9 * MIB)).result["hash"]).result
    assert taken["downloaded"] == 9 * MIB
    assert "Traceback" not in node.running.errors()
    assert node.stop().code == 0


def test_a_node_in_600_mb_of_address_space(network: Network, make_file: MakeFile, tmp_path: Path) -> None:
    seeds = network.nodes(3)
    path = make_file("large.bin", 32 * MIB)
    for seed in seeds:
        content = seed.run("publish", path).result["hash"]
    node = _limited(network, "-v 600000")
    assert node.run("fetch", content, "-o", tmp_path / "out").result["downloaded"] == 32 * MIB
    readers = [
        seed.home.start("fetch", content, "--no-seed", "-o", tmp_path / str(number), "--peer", node.address)
        for number, seed in enumerate(seeds)
    ]
    for number in range(100):
        small = make_file(f"many/{number:03}.bin", 5000)
    node.run("publish", small.parent, "--each")
    for reader in readers:
        assert reader.finish(60).code == 0
    assert "Traceback" not in node.running.errors()
    assert node.stop().code == 0


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit, which is Linux's")
@pytest.mark.parametrize(
    "spare", [MIB // 2, MIB * 9 // 8, 4 * MIB, 12 * MIB, 40 * MIB], ids=lambda spare: f"{spare / MIB:g} MiB"
)
def test_a_running_node_that_gets_no_more_memory(
    network: Network, make_file: MakeFile, tmp_path: Path, spare: int
) -> None:
    """Refused threads and buffers, it gives up what needed them, says so, lives on; and works when there is memory."""
    node, seed = network.nodes(2)
    path = make_file("large.bin", 32 * MIB)
    content = seed.run("publish", path).result["hash"]
    pid = node.running.process.pid
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.prlimit(pid, resource.RLIMIT_AS, (used + spare, resource.RLIM_INFINITY))
    codes: list[int] = []
    for command in (["fetch", content, "-o", tmp_path / "out", "--timeout", 5], ["publish", path]):
        done = node.run(*command, code=None)
        codes.append(done.code)
        assert done.code in (0, 1, 5), done
        assert "Traceback" not in done.stderr
    assert eventually(lambda: node.run("status", code=None).code == 0), "who is refused memory first frees the reserve"
    status = node.run("status").result
    if any(codes) or spare < 8 * MIB:  # less than the stack of one thread
        assert status["refused"]["memory"] + status["refused"]["threads"] > 0
        assert [text for text in status["warnings"] if text in node.running.errors()]
    resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    fetched = node.run("fetch", content, "-o", tmp_path / "out", "--timeout", 20).result
    assert fetched["downloaded"] + fetched["reused"] == 32 * MIB
    assert node.run("publish", path).result["hash"] == content
    out = tmp_path / "from the node"
    assert seed.home.network.home().run("fetch", content, "--peer", node.address, "-o", out, *network.join())
    assert "Traceback" not in node.running.errors()
    assert node.stop().code == 0


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["a day ahead", "a day back"])
def test_a_clock_that_jumps_a_day(
    network: Network, make_file: MakeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    """The wall clock of one node jumps. It goes on serving, learns by the first refusal what time the holders have,
    publishes by that, and says that its own is wrong. The holders are of four addresses: an address is one opinion.
    """
    others = [network.node("--host", f"127.0.0.{number}") for number in range(2, 6)]
    offset = tmp_path / "offset"
    offset.write_text("0")
    monkeypatch.setenv("TEST_CLOCK_OFFSET_FILE", str(offset))
    network.first_on_path = JUMPING_CLOCK
    node = network.node()
    network.first_on_path = None
    before = node.run("publish", make_file("punctual falcon.bin", 3 * MIB)).result
    assert before["receipt"]["acks"] > 0
    offset.write_text(str(jump))
    late = make_file("late falcon.bin", 2 * MIB)
    assert node.run("publish", late, code=None).code in (0, 8), "refused once, by whoever's time differs"
    after = node.run("publish", late).result
    assert after["receipt"]["acks"] >= 4, "records carry the time of the holders, who agree"
    hits = {hit["hash"] for hit in others[1].run("search", "falcon").result["results"]}
    assert hits == {before["hash"], after["hash"]}
    assert others[2].run("fetch", before["hash"], "-o", tmp_path / "out").result["downloaded"] == 3 * MIB
    status = node.run("status").result
    assert status["announcements"]["shared"] == 2
    assert status["clock_is_wrong"] is True
    assert "Traceback" not in node.running.errors()
    stopped = node.stop()
    assert stopped.code == 0
    again = node.home.node()  # under the right clock again
    assert {item["hash"] for item in again.run("list").result["items"]} == hits
    renewed = again.run("publish", late).result
    assert renewed["receipt"]["acks"] > 0, "a number from the future stops no renewal"


def test_a_node_asks_for_the_descriptors_that_it_may_have(network: Network) -> None:
    """A system's first limit is for programs with few files; the hard one is the user's word and stands."""
    for soft, hard, gets in ((256, 5000, 4096), (256, 1000, 1000), (1000, 1000, 1000)):
        node = _limited(network, f"-S -n {soft} && ulimit -H -n {hard}")
        limits = Path(f"/proc/{node.running.process.pid}/limits").read_text()
        line = next(line for line in limits.splitlines() if line.startswith("Max open files"))
        assert line.split()[3:5] == [str(gets), str(hard)]
        assert node.stop().code == 0
